//! Automorphisms and products with monomials.

use rayon::prelude::*;

use super::{Cpu, limb::LimbKernels, words::Words};
use crate::{Domain, GaloisElement, Modulus, Operand, Ring, RingKind, Shape, primes::primitive_root};

impl Cpu {
    pub(super) fn apply_automorphism(&self, source: Operand<'_, Words>, element: GaloisElement) -> Words {
        let ring = source.shape.ring;
        match source.shape.domain {
            Domain::Coefficient => self.map_limbs(source, |kernels, out, limb| {
                permute_coefficients(kernels.modulus, ring, element, out, limb);
            }),
            Domain::Evaluation => {
                let table = self.tables.automorphism(ring, element);
                self.map_limbs(source, |kernels, out, limb| kernels.permute(out, limb, &table))
            }
        }
    }

    pub(super) fn accumulate_automorphism(
        &self,
        target: &mut Words,
        source: Operand<'_, Words>,
        element: GaloisElement,
    ) {
        let shape = source.shape;
        let degree = shape.ring.degree();
        let table = self.tables.automorphism(shape.ring, element);
        self.for_each_block(target, shape, |kernels, block, range| {
            let limb = &source.buffer[range.start / degree * degree..][..degree];
            kernels.permute_accumulate(block, limb, range.start % degree, &table);
        });
    }

    pub(super) fn shift_by_monomial(&self, source: Operand<'_, Words>, exponent: usize) -> Words {
        let exponent = exponent % (2 * source.shape.ring.degree());
        match source.shape.domain {
            Domain::Coefficient => {
                self.map_limbs(source, |kernels, out, limb| shift_coefficients(kernels.modulus, exponent, out, limb))
            }
            Domain::Evaluation => self.map_limbs(source, |kernels, out, limb| {
                let mut monomial = self.pool.take(limb.len());
                monomial_values(kernels, exponent, &mut monomial);
                kernels.multiply(out, limb, &monomial);
            }),
        }
    }

    fn map_limbs(
        &self,
        source: Operand<'_, Words>,
        kernel: impl Fn(LimbKernels<'_>, &mut [u64], &[u64]) + Sync,
    ) -> Words {
        let Shape { ring, basis, .. } = source.shape;
        let moduli: Vec<&Modulus> = self.chain.moduli(basis).collect();
        let mut out = self.pool.take(source.shape.words());
        out.par_chunks_exact_mut(ring.degree())
            .zip(source.buffer.par_chunks_exact(ring.degree()))
            .zip(moduli)
            .for_each(|((out, limb), modulus)| kernel(self.kernels(modulus), out, limb));
        out
    }
}

/// `X^k` goes to `X^(k g)`; indices beyond the degree come back by `X^N = -1`. In the conjugate-invariant ring the
/// basis elements `V_k = X^k + X^-k` obey `V_-k = V_k` and `V_(k+2N) = -V_k`, so that `V_(2N-k) = -V_k`.
fn permute_coefficients(m: &Modulus, ring: Ring, element: GaloisElement, out: &mut [u64], source: &[u64]) {
    let degree = ring.degree();
    let order = match ring.kind {
        RingKind::Cyclotomic => 2 * degree,
        RingKind::ConjugateInvariant => 4 * degree,
    };
    let step = element.exponent() as usize;
    let mut image = 0;
    for &coefficient in source {
        let (index, negative) = match ring.kind {
            RingKind::Cyclotomic => (image % degree, image >= degree),
            RingKind::ConjugateInvariant => {
                let folded = if image > 2 * degree { order - image } else { image };
                if folded > degree { (2 * degree - folded, true) } else { (folded, false) }
            }
        };
        out[index] = if negative { m.neg(coefficient) } else { coefficient };
        image = (image + step) % order;
    }
}

/// `X^exponent` times the source in the cyclotomic ring.
fn shift_coefficients(m: &Modulus, exponent: usize, out: &mut [u64], source: &[u64]) {
    let degree = source.len();
    let (shift, flipped) = (exponent % degree, exponent >= degree);
    let (wrapped, moved) = out.split_at_mut(shift);
    let (low, high) = source.split_at(degree - shift);
    let signed = |x: u64, negative: bool| if negative { m.neg(x) } else { x };
    moved.iter_mut().zip(low).for_each(|(out, &x)| *out = signed(x, flipped));
    wrapped.iter_mut().zip(high).for_each(|(out, &x)| *out = signed(x, !flipped));
}

/// The values of `X^exponent` in the cyclotomic ring. With `u` of order `2N` the value with index `i` is
/// `u^(exponent (1 + 2 brv(i)))`, so that index `i + len`, `i < len`, multiplies that of `i` by `u^(exponent N/len)`.
fn monomial_values(kernels: LimbKernels<'_>, exponent: usize, out: &mut [u64]) {
    let m = kernels.modulus;
    let order = 2 * out.len();
    let root =
        primitive_root(m, order as u64).expect("checked operations refuse rings beyond the chain's largest degree");
    let power = |e: usize| m.pow(root, (e % order) as u64);
    out[0] = power(exponent);
    let mut len = 1;
    while len < out.len() {
        let (known, next) = out[..2 * len].split_at_mut(len);
        kernels.scale_into(next, known, power(exponent * (order / 2 / len)));
        len *= 2;
    }
}
