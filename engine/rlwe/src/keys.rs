//! Names, shapes and contents of switching keys.

use std::{collections::BTreeMap, fmt};

use fhe_ring::{Backend, Basis, GaloisElement, Poly, RingKind, Seed};

use crate::{Parameters, RlweError, SecretId};

/// Which half of the exponents: `p(X) = even(X^2) + X odd(X^2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Parity {
    /// The part of even exponents.
    Even,
    /// The part of odd exponents.
    Odd,
}

impl Parity {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Even, Self::Odd];
}

/// Which part of a complex number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The real part.
    Real,
    /// The imaginary part.
    Imaginary,
}

impl Part {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Real, Self::Imaginary];
}

/// Which switching key.
///
/// The secrets: `s` of the cyclotomic main ring, `t` of the conjugate-invariant ring of the same degree, the sparse `e` of ModRaise,
/// `s'` of the small ring, `l` of the ring of lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyId {
    /// `s^2 -> s`, or `t^2 -> t`.
    Relinearisation(RingKind),
    /// `s -> g^-1(s)`, or the same for `t`: after the product with this key the automorphism `g` returns the result to the
    /// secret. Applying the automorphism last is what lets many rotations share one decomposition.
    Galois(RingKind, GaloisElement),
    /// `s -> e`, before ModRaise.
    DenseToEphemeral,
    /// `g(e) -> s`, after ModRaise: one for each rotation of the linear map that is done on the raise.
    Raise(GaloisElement),
    /// `2 Re s -> t` and `2 Im s -> t`, with `s(X^2) = Re s + X^N Im s` and both invariant under `X -> 1/X`.
    ToReal(Part),
    /// `t_even -> g^-1(s)` and `Y t_odd -> g^-1(s)`, with `t = t_even(X^2) + X t_odd(X^2)` and `Y` the variable of the
    /// cyclotomic ring; the automorphism `g` comes after the product.
    ToComplex(Parity, GaloisElement),
    /// `s -> s'(X^g)`, ring switching to the small ring.
    RingSwitch,
    /// `s'_j(X^r) -> s` with `s'_j` the `j`-th stride of the small secret, for rows of so many tokens.
    Packing {
        /// Degree of a module row.
        tokens: usize,
        /// Index of the stride.
        block: usize,
    },
    /// `s' -> g^-1(s')` in the small ring, for packing the products of a vector: as [`KeyId::Galois`].
    SmallGalois(GaloisElement),
    /// `s -> l(X^g)`, ring switching to the ring of lanes.
    LaneSwitch,
    /// `g(l) -> l`, in the ring of lanes: there the automorphism comes before the switch.
    LaneGalois(GaloisElement),
    /// `g(l) l -> l`, in the ring of lanes: a transposition and the relinearisation that follows it, in one.
    LaneRelinearisation(GaloisElement),
    /// `l(X^g) -> s`, from the ring of lanes back to the main one.
    LaneReturn,
}

impl KeyId {
    /// What the key is for, without its index.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Relinearisation(_) => "relinearisation",
            Self::Galois(..) => "rotations and conjugation",
            Self::DenseToEphemeral => "dense to ephemeral (before ModRaise)",
            Self::Raise(_) => "ephemeral to dense (after ModRaise)",
            Self::ToReal(_) => "complex to real slots",
            Self::ToComplex(..) => "real to complex slots",
            Self::RingSwitch => "ring switching",
            Self::Packing { .. } => "packing of module rows",
            Self::SmallGalois(_) => "packing of products with a vector",
            Self::LaneSwitch | Self::LaneReturn => "ring switching to lanes and back",
            Self::LaneGalois(_) | Self::LaneRelinearisation(_) => "products over lanes",
        }
    }

    /// The kind of the ring that the key lives in; [`Parameters::key_ring`] knows its degree.
    pub fn ring(&self) -> RingKind {
        match self {
            Self::Relinearisation(ring) | Self::Galois(ring, _) => *ring,
            Self::ToReal(_) => RingKind::ConjugateInvariant,
            _ => RingKind::Cyclotomic,
        }
    }

    /// The secret that the key is encrypted under, which decides its security.
    pub fn target(&self) -> SecretId {
        match self {
            Self::DenseToEphemeral => SecretId::Ephemeral,
            Self::RingSwitch | Self::SmallGalois(_) => SecretId::Small,
            Self::LaneSwitch | Self::LaneGalois(_) | Self::LaneRelinearisation(_) => SecretId::Lanes,
            _ => match self.ring() {
                RingKind::Cyclotomic => SecretId::Dense,
                RingKind::ConjugateInvariant => SecretId::Real,
            },
        }
    }

    /// Whether the argument of a switch is cut into digits by groups of primes.
    pub(crate) fn in_groups(&self) -> bool {
        matches!(self, Self::Relinearisation(_) | Self::Galois(..) | Self::ToReal(_) | Self::ToComplex(..))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |ring: &RingKind| match ring {
            RingKind::Cyclotomic => "of complex slots",
            RingKind::ConjugateInvariant => "of real slots",
        };
        match self {
            Self::Relinearisation(ring) => write!(f, "relinearisation key {}", of(ring)),
            Self::Galois(ring, g) => write!(f, "Galois key X -> X^{} {}", g.exponent(), of(ring)),
            Self::DenseToEphemeral => write!(f, "dense-to-ephemeral key"),
            Self::Raise(g) => write!(f, "ephemeral-to-dense key after X -> X^{}", g.exponent()),
            Self::ToReal(part) => write!(f, "complex-to-real key, {part:?} part"),
            Self::ToComplex(parity, g) => {
                write!(f, "real-to-complex key before X -> X^{}, {parity:?} part", g.exponent())
            }
            Self::RingSwitch => write!(f, "ring-switching key"),
            Self::Packing { tokens, block } => write!(f, "packing key {block} for rows of {tokens}"),
            Self::SmallGalois(g) => write!(f, "Galois key X -> X^{} of the small ring", g.exponent()),
            Self::LaneSwitch => write!(f, "ring-switching key to lanes"),
            Self::LaneGalois(g) => write!(f, "Galois key X -> X^{} of lanes", g.exponent()),
            Self::LaneRelinearisation(g) => write!(f, "relinearisation key of lanes after X -> X^{}", g.exponent()),
            Self::LaneReturn => write!(f, "ring-switching key from lanes"),
        }
    }
}

/// How the argument of a key switch is cut into digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gadget {
    /// One row for each of the first so many digit groups of the parameter set; row `d` carries the special modulus on
    /// the primes of group `d` and zero elsewhere, so any subset of primes works with the same key.
    Groups(usize),
    /// The argument is a small integer polynomial and is its own only digit; the row carries the special modulus on every
    /// prime.
    Whole,
    /// The argument is at `q_0` and cut into two integers of half its bits, `low + base high`; row 0 carries the special modulus, row 1
    /// that times the base ([`Parameters::halving`]).
    Halves,
}

/// The primes that a key must cover, and its gadget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyShape {
    /// Ciphertext primes (no special primes).
    pub ciphertext: Basis,
    /// Number of special primes.
    pub special: usize,
    /// The gadget.
    pub gadget: Gadget,
}

impl KeyShape {
    /// All primes of the key.
    pub fn basis(&self) -> Basis {
        self.ciphertext.with_special(self.special)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self.gadget {
            Gadget::Whole => 1,
            Gadget::Halves => 2,
            Gadget::Groups(count) => count,
        }
    }

    /// Whether a key of this shape can stand in for one of the required shape: at least its ciphertext primes and rows, and exactly its
    /// special primes and kind of gadget, since the rows carry the product of the special primes that the division will take away.
    pub fn serves(&self, required: &Self) -> bool {
        let gadget = match (self.gadget, required.gadget) {
            (Gadget::Whole, Gadget::Whole) | (Gadget::Halves, Gadget::Halves) => true,
            (Gadget::Groups(found), Gadget::Groups(required)) => found >= required,
            _ => false,
        };
        gadget && self.ciphertext.contains(required.ciphertext) && self.special == required.special
    }

    /// The smallest shape that serves both.
    fn union(self, other: Self) -> Self {
        let gadget = match (self.gadget, other.gadget) {
            (Gadget::Groups(first), Gadget::Groups(second)) => Gadget::Groups(first.max(second)),
            (gadget, _) => gadget,
        };
        Self { ciphertext: self.ciphertext.union(other.ciphertext), special: self.special, gadget }
    }

    /// Words of the key once expanded.
    pub fn words(&self, degree: usize) -> usize {
        2 * self.rows() * self.basis().len() * degree
    }
}

/// The keys that a circuit needs, each at the smallest basis that covers its uses with one number of special primes. Emitted by
/// running the circuit on a backend without data; never typed by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRequests {
    shapes: BTreeMap<(KeyId, usize), KeyShape>,
}

impl KeyRequests {
    /// Adds a use; two uses of a key at different bases are served by their union.
    pub fn add(&mut self, id: KeyId, shape: KeyShape) {
        self.shapes.entry((id, shape.special)).and_modify(|known| *known = known.union(shape)).or_insert(shape);
    }

    /// All requests in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&KeyId, &KeyShape)> {
        self.shapes.iter().map(|((id, _), shape)| (id, shape))
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether nothing was requested.
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    /// Bytes of all keys once expanded.
    pub fn bytes(&self, parameters: &Parameters) -> usize {
        self.iter().map(|(id, shape)| 8 * shape.words(parameters.key_ring(id).degree())).sum()
    }
}

/// A switching key: gadget encryptions `(b_d, a_d)` of the source secret, evaluation domain. The uniform halves `a_d`
/// are held expanded; their public seeds stay beside them, so that writing a key needs no
/// more than what the server holds.
pub struct SwitchingKey<B: Backend> {
    pub(crate) id: KeyId,
    pub(crate) shape: KeyShape,
    /// Of the uniform halves, one per row; none for the empty keys of a plan.
    pub(crate) seeds: Vec<Seed>,
    /// `(b, a)` per digit group.
    pub(crate) rows: Vec<[Poly<B>; 2]>,
}

impl<B: Backend> SwitchingKey<B> {
    /// Which key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What it covers.
    pub fn shape(&self) -> KeyShape {
        self.shape
    }

    /// A copy that another backend holds.
    ///
    /// # Errors
    /// [`RlweError::Ring`] if its chain of primes is another one, or it holds data and this one none.
    pub fn carried<C: Backend>(&self, from: &B, to: &C) -> Result<SwitchingKey<C>, RlweError> {
        // A half that a seed stands for is expanded there.
        let carried = |(row, [b, a]): (usize, &[Poly<B>; 2])| {
            let b = b.carried(from, to)?;
            let a = match self.seeds.get(row) {
                Some(seed) if B::HOLDS_DATA => Poly::uniform(to, a.shape(), seed)?,
                _ => a.carried(from, to)?,
            };
            Ok([b, a])
        };
        let rows = self.rows.iter().enumerate().map(carried).collect::<Result<_, RlweError>>()?;
        Ok(SwitchingKey { id: self.id, shape: self.shape, seeds: self.seeds.clone(), rows })
    }
}
