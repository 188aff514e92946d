//! Ciphertexts times matrices of factors from a subring: at every point of the subring a product of a matrix of numbers with the
//! words that the inputs have there.
//!
//! The value of `f(X^(N/n))` at word `i` of a limb is that of `f` at word `i / (N/n)`, since values are in bit-reversed order: a
//! factor is `n` numbers for runs of `N/n` neighbouring words.

use rayon::prelude::*;

use super::{Cpu, gadget::blocks_of, limb::subring_sum::SubringLimb, words::Words};
use crate::{Operand, Pair};

/// Words per parallel task: those of all inputs fit into the second-level cache.
const BLOCK: usize = 1 << 6;

impl Cpu {
    pub(super) fn sum_over_subring(
        &self,
        inputs: &[Pair<'_, Words>],
        factors: &[Vec<Operand<'_, Words>>],
    ) -> Vec<[Words; 2]> {
        let (Some([half, _]), Some(factor)) = (inputs.first(), factors.iter().flatten().next()) else {
            return Vec::new();
        };
        let (shape, points) = (half.shape, factor.shape.ring.degree());
        let degree = shape.ring.degree();
        let limbs: Vec<SubringLimb<'_>> = (0..shape.basis.len())
            .map(|limb| SubringLimb {
                inputs: (inputs.iter())
                    .map(|input| input.map(|half| &half.buffer[limb * degree..][..degree]))
                    .collect(),
                factors: (factors.iter().flatten()).map(|factor| &factor.buffer[limb * points..][..points]).collect(),
                run: degree / points,
            })
            .collect();
        let moduli: Vec<_> = self.chain.moduli(shape.basis).collect();
        let block = degree.min(BLOCK);
        let mut sums: Vec<[Words; 2]> = factors.iter().map(|_| [0, 1].map(|_| self.pool.take(shape.words()))).collect();
        let blocks = blocks_of(sums.iter_mut().map(|halves| halves.each_mut()), block);
        blocks.into_par_iter().enumerate().for_each(|(i, mut targets)| {
            let limb = &limbs[i * block / degree];
            let mut scratch = self.pool.take(limb.scratch_words(block));
            let kernels = self.kernels(moduli[i * block / degree]);
            kernels.subring_sums(&mut targets, i * block % degree, limb, &mut scratch);
        });
        sums
    }
}
