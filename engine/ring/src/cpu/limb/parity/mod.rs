//! The trace to the conjugate-invariant ring and the split by parity, on one limb of values.
//!
//! Value `i` of the conjugate-invariant ring is taken at `w^e`, `e = 1 + 4 brv(i)`; that of the cyclotomic ring at `w^(2 + 4 brv(i))`
//! ([`crate::ntt::root_exponent`]). Squares of the points `2j` and `2j + 1`, which are negatives of each other, are both point
//! `j` of the cyclotomic ring, and the squares of their inverses point `N - 1 - j`. So both maps are butterflies between
//! the pair `2j, 2j + 1` on one side and the pair `j, N - 1 - j` on the other, with the factors `w^e` of even `i = 2j`.

#[cfg(target_arch = "x86_64")]
mod ifma;
mod portable;

use super::{LimbKernels, dispatch};
use crate::{Modulus, Ring, ntt::root_exponent, primes::primitive_root};

/// The points `w^e` of the even values of the conjugate-invariant ring, and their inverses.
pub(in crate::cpu) struct EvenPoints {
    points: Vec<u64>,
    inverses: Vec<u64>,
    /// `w^N`, the value of `X^N` at all of them.
    imaginary_unit: u64,
    half: u64,
}

impl EvenPoints {
    /// Of a conjugate-invariant ring; the chain's primes are 1 modulo `4N`.
    pub(in crate::cpu) fn new(ring: Ring, m: &Modulus) -> Self {
        let degree = ring.degree();
        let root = primitive_root(m, 4 * degree as u64)
            .expect("checked operations refuse rings beyond the chain's largest degree");
        let mut powers = vec![1u64; 4 * degree];
        for k in 1..powers.len() {
            powers[k] = m.mul(powers[k - 1], root);
        }
        let exponent = |j: usize| root_exponent(ring, 2 * j) as usize;
        Self {
            points: (0..degree / 2).map(|j| powers[exponent(j)]).collect(),
            inverses: (0..degree / 2).map(|j| powers[4 * degree - exponent(j)]).collect(),
            imaginary_unit: powers[degree],
            half: m.value().div_ceil(2),
        }
    }
}

impl LimbKernels<'_> {
    /// Values of the trace of `f = A(X^2) + X B(X^2)`, or of `X^N f` if `turned`.
    ///
    /// With `A` and `B` at `x^2`, `A'` and `B'` at `x^-2`, and `+` and `-` for the points `x` and `-x`:
    /// `(A + A') +- (x B + B'/x)`, turned `I (A - A') +- I (x B - B'/x)`.
    pub(in crate::cpu) fn trace(self, out: &mut [u64], even: &[u64], odd: &[u64], turned: bool, table: &EvenPoints) {
        dispatch!(self, trace(out, even, odd, turned, table))
    }

    /// Values of `A` and `B` with `A(X^2) + X B(X^2)` equal to the source.
    pub(in crate::cpu) fn parity_split(self, even: &mut [u64], odd: &mut [u64], source: &[u64], table: &EvenPoints) {
        dispatch!(self, parity_split(even, odd, source, table))
    }
}
