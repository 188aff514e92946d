//! The inputs of the suite.

use std::fmt;

use fhe_ring::{Backend, Basis, Modulus, Poly, PrimeChain, Ring, RingKind, Seed, Shape, uniform_limbs};

/// Words with which a polynomial is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Uniform residues.
    Random,
    /// All zero.
    Zero,
    /// All `p - 1`: the most that sums of products can reach.
    Largest,
    /// `(p - 1) / 2` and `(p + 1) / 2` in turn: the two sides of the boundary of centred representatives.
    Centre,
    /// Zero but for `p - 1` as the last word.
    Last,
}

impl Pattern {
    /// Every pattern.
    pub const ALL: [Self; 5] = [Self::Random, Self::Zero, Self::Largest, Self::Centre, Self::Last];

    /// A polynomial filled so; `salt` tells random ones apart.
    pub fn poly<B: Backend>(self, backend: &B, shape: Shape, salt: u64) -> Poly<B> {
        let chain = backend.primes();
        let degree = shape.ring.degree();
        let fill = |words: &mut [u64]| {
            if self == Self::Random {
                let seed = Seed::from_bytes(*b"inputs of the conformance suite.").derive("poly", salt);
                uniform_limbs(&seed, chain, shape.basis, degree, words).expect("the shape is well formed");
                return;
            }
            for (limb, prime) in words.chunks_mut(degree).zip(chain.moduli(shape.basis).map(Modulus::value)) {
                for (i, word) in limb.iter_mut().enumerate() {
                    *word = match self {
                        Self::Largest => prime - 1,
                        Self::Centre => prime / 2 + (i as u64 & 1),
                        Self::Last if i + 1 == degree => prime - 1,
                        Self::Random | Self::Zero | Self::Last => 0,
                    };
                }
            }
        };
        Poly::upload(backend, shape, fill).expect("the case is well formed and its words are reduced")
    }
}

/// One ring, one set of primes, one kind of input.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The ring.
    pub ring: Ring,
    /// Ciphertext primes, perhaps with gaps; no special ones.
    pub basis: Basis,
    /// Number of special primes used beside them; at least one.
    pub special: usize,
    /// The input.
    pub pattern: Pattern,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} with {} special primes, {:?}", self.ring, self.basis, self.special, self.pattern)
    }
}

/// The cases for a chain: degrees from the smallest on, some of them with every pattern, and the largest degree.
///
/// The chain needs at least four ciphertext primes and one special prime.
pub fn cases(chain: &PrimeChain) -> Vec<Case> {
    let count = chain.ciphertext_primes().len();
    let special = chain.special_primes().len();
    assert!(count >= 4 && special >= 1, "the suite needs four ciphertext primes and a special prime");
    let bases = [
        (Basis::prefix(count), special),
        (Basis::prefix(1), 1),
        (Basis::prefix(2), special),
        (Basis::of([0, 2, count - 1]), special),
        (Basis::of([1, 3]), 1),
        (Basis::of((0..count).filter(|i| i % 3 != 1)), special),
    ];
    let largest = chain.max_log_degree();
    let mut cases = Vec::new();
    for log_degree in 1..=largest {
        let thorough = matches!(log_degree, 1..=4 | 7);
        for kind in [RingKind::Cyclotomic, RingKind::ConjugateInvariant] {
            for (basis, special) in bases {
                for pattern in Pattern::ALL {
                    let at_large_degrees = matches!(pattern, Pattern::Random | Pattern::Largest) && basis.len() > 2;
                    if thorough || at_large_degrees {
                        cases.push(Case { ring: Ring { kind, log_degree }, basis, special, pattern });
                    }
                }
            }
        }
    }
    cases
}

/// Partitions of a chain's ciphertext primes into groups for gadget digits: of one prime each, of equal widths, all in one,
/// of unequal widths, of primes that are not neighbours.
pub(crate) fn partitions(chain: &PrimeChain) -> Vec<Vec<Basis>> {
    let count = chain.ciphertext_primes().len();
    let all = Basis::prefix(count);
    let mut partitions: Vec<_> = [1, 2, 3, count].map(|width| all.groups_of(width)).to_vec();
    partitions.push([0..1, 1..4, 4..count].map(Basis::of).to_vec());
    partitions.push([0, 1].map(|parity| Basis::of((parity..count).step_by(2))).to_vec());
    partitions
}
