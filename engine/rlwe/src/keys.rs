//! Names, shapes and contents of switching keys.

use std::{collections::BTreeMap, fmt};

use fhe_ring::{Backend, Basis, GaloisElement, Poly, Seed};

use crate::SecretId;

/// Which switching key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyId {
    /// `s^2 -> s`.
    Relinearisation,
    /// `s -> g^-1(s)`: after the product with this key the automorphism `g` returns the result to `s`. Applying the automorphism
    /// last is what lets many rotations share one decomposition.
    Galois(GaloisElement),
    /// `s -> e`, before ModRaise.
    DenseToEphemeral,
    /// `e -> s`, after ModRaise.
    EphemeralToDense,
    /// `s -> s'(X^g)`, ring switching to the small ring.
    RingSwitch,
    /// `s'_j(X^r) -> s` with `s'_j` the `j`-th stride of the small secret, for rows of so many tokens.
    Packing {
        /// Degree of a module row.
        tokens: usize,
        /// Index of the stride.
        block: usize,
    },
}

impl KeyId {
    /// What the key is for, without its index.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Relinearisation => "relinearisation",
            Self::Galois(_) => "rotations and conjugation",
            Self::DenseToEphemeral => "dense to ephemeral (before ModRaise)",
            Self::EphemeralToDense => "ephemeral to dense (after ModRaise)",
            Self::RingSwitch => "ring switching",
            Self::Packing { .. } => "packing of module rows",
        }
    }

    /// The secret that the key is encrypted under, which decides its security.
    pub fn target(&self) -> SecretId {
        match self {
            Self::DenseToEphemeral => SecretId::Ephemeral,
            Self::RingSwitch => SecretId::Small,
            _ => SecretId::Dense,
        }
    }

    /// The gadget that the key's uses call for, in a set whose digits are so many primes wide.
    pub(crate) fn gadget(&self, width: usize) -> Gadget {
        match self {
            Self::Relinearisation | Self::Galois(_) => Gadget::Groups(width),
            _ => Gadget::Whole,
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relinearisation => write!(f, "relinearisation key"),
            Self::Galois(g) => write!(f, "Galois key X -> X^{}", g.exponent()),
            Self::DenseToEphemeral => write!(f, "dense-to-ephemeral key"),
            Self::EphemeralToDense => write!(f, "ephemeral-to-dense key"),
            Self::RingSwitch => write!(f, "ring-switching key"),
            Self::Packing { tokens, block } => write!(f, "packing key {block} for rows of {tokens}"),
        }
    }
}

/// How the argument of a key switch is cut into digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gadget {
    /// One digit per group of so many consecutive chain positions; the key's row `d` carries the special modulus on
    /// the primes of group `d` and zero elsewhere, so any subset of primes works with the same key.
    Groups(usize),
    /// The argument is a small integer polynomial (one prime wide) and is its own only digit; the row carries the special modulus on every
    /// prime.
    Whole,
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

    /// Number of rows: one for every digit group up to the highest one present.
    pub fn rows(&self) -> usize {
        match self.gadget {
            Gadget::Whole => 1,
            Gadget::Groups(width) => self.ciphertext.last().map_or(0, |last| last / width + 1),
        }
    }

    /// Whether a key of this shape can stand in for one of the required shape: at least its ciphertext primes, and exactly its special
    /// primes and gadget, since the rows carry the product of the special primes that the division will take away.
    pub fn serves(&self, required: &Self) -> bool {
        self.ciphertext.contains(required.ciphertext)
            && self.special == required.special
            && self.gadget == required.gadget
    }

    /// Words of the key once expanded.
    pub fn words(&self, degree: usize) -> usize {
        2 * self.rows() * self.basis().len() * degree
    }
}

/// The keys that a circuit needs, each at the smallest basis that covers its uses. Emitted by running the circuit on a
/// backend without data; never typed by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRequests {
    shapes: BTreeMap<KeyId, KeyShape>,
}

impl KeyRequests {
    /// Adds a use; two uses of a key at different bases are served by their union.
    pub fn add(&mut self, id: KeyId, shape: KeyShape) {
        self.shapes
            .entry(id)
            .and_modify(|known| known.ciphertext = known.ciphertext.union(shape.ciphertext))
            .or_insert(shape);
    }

    /// All requests in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&KeyId, &KeyShape)> {
        self.shapes.iter()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether nothing was requested.
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    /// Bytes of all keys once expanded at the given degree.
    pub fn bytes(&self, degree: usize) -> usize {
        self.shapes.values().map(|s| 8 * s.words(degree)).sum()
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
}
