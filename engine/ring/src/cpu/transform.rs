//! Transforms of whole polynomials.

use rayon::prelude::*;

use super::Cpu;
use crate::Shape;

impl Cpu {
    pub(super) fn forward_limbs(&self, words: &mut [u64], shape: Shape) {
        let transforms = self.transforms(shape.ring);
        let primes: Vec<_> = shape.basis.indices().collect();
        words
            .par_chunks_exact_mut(shape.ring.degree())
            .zip(primes)
            .for_each(|(limb, prime)| transforms.modulo(prime).forward(limb));
    }

    pub(super) fn inverse_limbs(&self, words: &mut [u64], shape: Shape) {
        let transforms = self.transforms(shape.ring);
        let primes: Vec<_> = shape.basis.indices().collect();
        words
            .par_chunks_exact_mut(shape.ring.degree())
            .zip(primes)
            .for_each(|(limb, prime)| transforms.modulo(prime).inverse(limb));
    }
}
