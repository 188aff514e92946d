//! Residues of integers, copies of limbs.

use rayon::prelude::*;

use super::{Cpu, words::Words};
use crate::{Modulus, Operand, Shape};

impl Cpu {
    pub(super) fn residues_of(&self, shape: Shape, coefficients: &[i64]) -> Words {
        let mut words = self.pool.take(shape.words());
        let moduli: Vec<&Modulus> = self.chain.moduli(shape.basis).collect();
        (words.par_chunks_mut(shape.ring.degree()).zip(moduli))
            .for_each(|(limb, modulus)| reduce_signed(coefficients, modulus, limb));
        words
    }

    pub(super) fn restrict_limbs(&self, source: Operand<'_, Words>, target: Shape) -> Words {
        let degree = target.ring.degree();
        let mut out = self.pool.take(target.words());
        out.par_chunks_exact_mut(degree).zip(target.basis.indices().collect::<Vec<_>>()).for_each(|(limb, prime)| {
            limb.copy_from_slice(limb_of(source, prime));
        });
        out
    }
}

/// Small coefficients, among them all secrets, without a branch on their sign.
fn reduce_signed(coefficients: &[i64], modulus: &Modulus, limb: &mut [u64]) {
    let largest = coefficients.iter().fold(0, |most, c| most.max(c.unsigned_abs()));
    if largest < modulus.value() {
        let prime = modulus.value() as i64;
        for (word, &c) in limb.iter_mut().zip(coefficients) {
            *word = (c + ((c >> 63) & prime)) as u64;
        }
    } else {
        for (word, &c) in limb.iter_mut().zip(coefficients) {
            *word = modulus.reduce_i64(c);
        }
    }
}

/// The limb of a prime, which the operand must have.
pub(super) fn limb_of<'a>(operand: Operand<'a, Words>, prime: crate::PrimeIndex) -> &'a [u64] {
    let position = operand.shape.basis.position(prime).expect("checked operations ask for present primes only");
    let degree = operand.shape.ring.degree();
    &operand.buffer[position * degree..][..degree]
}
