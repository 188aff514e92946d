//! Which polynomial ring a value lives in.

use std::fmt;

/// The two families of degree-`N` rings that the engine computes in; both share every prime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RingKind {
    /// `Z[X]/(X^N + 1)`: `N/2` complex slots.
    Cyclotomic,
    /// The conjugate-invariant ring, the fixed ring of `X -> 1/X` in `Z[X]/(X^2N + 1)`: `N` real slots.
    /// An element is written in the basis `1, X^k + X^-k` for `0 < k < N` (Kim and Song, ICISC 2018).
    ConjugateInvariant,
}

/// A ring of degree `2^log_degree`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ring {
    /// The family.
    pub kind: RingKind,
    /// Binary logarithm of the number of coefficients.
    pub log_degree: u32,
}

impl Ring {
    /// `Z[X]/(X^N + 1)` with `N = 2^log_degree`.
    pub const fn cyclotomic(log_degree: u32) -> Self {
        Self { kind: RingKind::Cyclotomic, log_degree }
    }

    /// The conjugate-invariant ring with `N = 2^log_degree` coefficients.
    pub const fn conjugate_invariant(log_degree: u32) -> Self {
        Self { kind: RingKind::ConjugateInvariant, log_degree }
    }

    /// Number of coefficients `N`.
    pub const fn degree(self) -> usize {
        1 << self.log_degree
    }

    /// The ring of the same kind whose degree is smaller by the factor `parts` (a power of two).
    pub const fn subring(self, parts: usize) -> Self {
        Self { kind: self.kind, log_degree: self.log_degree - parts.trailing_zeros() }
    }
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RingKind::Cyclotomic => write!(f, "Z[X]/(X^{}+1)", self.degree()),
            RingKind::ConjugateInvariant => write!(f, "conjugate-invariant ring of degree {}", self.degree()),
        }
    }
}

/// An automorphism `X -> X^g`, `g` odd, taken modulo `4N` so that one type serves both ring kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GaloisElement(u64);

impl GaloisElement {
    /// The identity.
    pub const IDENTITY: Self = Self(1);

    /// The automorphism that rotates the slots of `ring` left by `steps` (negative: right): `5^steps`.
    pub fn rotation(ring: Ring, steps: i64) -> Self {
        let order = match ring.kind {
            RingKind::Cyclotomic => ring.degree() as i64 / 2,
            RingKind::ConjugateInvariant => ring.degree() as i64,
        };
        let modulus = Self::modulus(ring);
        let (mut power, mut base, mut exponent) = (1u64, 5u64, steps.rem_euclid(order) as u64);
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = power * base % modulus;
            }
            base = base * base % modulus;
            exponent >>= 1;
        }
        Self(power)
    }

    /// Complex conjugation of the slots, `X -> 1/X`; the identity on the conjugate-invariant ring.
    pub fn conjugation(ring: Ring) -> Self {
        match ring.kind {
            RingKind::Cyclotomic => Self(Self::modulus(ring) - 1),
            RingKind::ConjugateInvariant => Self::IDENTITY,
        }
    }

    /// The exponent `g`, reduced modulo the order of `X` in `ring`.
    pub fn exponent(self) -> u64 {
        self.0
    }

    /// From an odd exponent; `None` if it is even.
    pub fn from_exponent(ring: Ring, exponent: u64) -> Option<Self> {
        (exponent & 1 == 1).then(|| Self(exponent % Self::modulus(ring)))
    }

    /// First `self`, then `other`: `X -> X^(g h)`.
    pub fn compose(self, other: Self, ring: Ring) -> Self {
        Self(self.0 * other.0 % Self::modulus(ring))
    }

    /// The automorphism that undoes this one.
    pub fn inverse(self, ring: Ring) -> Self {
        // Newton iteration for the inverse of an odd number modulo a power of two: each round doubles the bits.
        let mut inverse = 1u64;
        for _ in 0..6 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(self.0.wrapping_mul(inverse)));
        }
        Self(inverse & (Self::modulus(ring) - 1))
    }

    /// Order of `X`: `2N` in the cyclotomic ring, `4N` in the ring above the conjugate-invariant one.
    fn modulus(ring: Ring) -> u64 {
        match ring.kind {
            RingKind::Cyclotomic => 2 * ring.degree() as u64,
            RingKind::ConjugateInvariant => 4 * ring.degree() as u64,
        }
    }
}
