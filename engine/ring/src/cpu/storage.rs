//! Copies of limbs.

use rayon::prelude::*;

use super::{Cpu, words::Words};
use crate::{Operand, Shape};

impl Cpu {
    pub(super) fn restrict_limbs(&self, source: Operand<'_, Words>, target: Shape) -> Words {
        let degree = target.ring.degree();
        let mut out = self.pool.take(target.words());
        out.par_chunks_exact_mut(degree).zip(target.basis.indices().collect::<Vec<_>>()).for_each(|(limb, prime)| {
            limb.copy_from_slice(limb_of(source, prime));
        });
        out
    }
}

/// The limb of a prime, which the operand must have.
pub(super) fn limb_of<'a>(operand: Operand<'a, Words>, prime: crate::PrimeIndex) -> &'a [u64] {
    let position = operand.shape.basis.position(prime).expect("checked operations ask for present primes only");
    let degree = operand.shape.ring.degree();
    &operand.buffer[position * degree..][..degree]
}
