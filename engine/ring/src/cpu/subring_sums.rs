//! Ciphertexts times matrices of factors from a subring: at every point of the subring a product of a matrix of numbers with the
//! words that the inputs have there.
//!
//! The value of `f(X^(N/n))` at word `i` of a limb is that of `f` at word `i / (N/n)`, since values are in bit-reversed order: a
//! factor is `n` numbers for runs of `N/n` neighbouring words. Factors come one after the other, and are needed point by
//! point: they are transposed first.

use rayon::prelude::*;

use super::{
    Cpu,
    gadget::blocks_of,
    limb::{
        prefetch,
        subring_sum::{SubringLimb, TOGETHER},
    },
    words::Words,
};
use crate::{Operand, Pair};

/// Words per parallel task: those of all inputs fit into the second-level cache.
const BLOCK: usize = 1 << 6;
/// Points that are transposed at a time: a cache line of each factor.
const POINTS: usize = 8;
/// Inputs ahead whose factors are asked for meanwhile.
const AHEAD: usize = 8;

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
        let numbers = self.transposed(factors, points, shape.basis.len());
        let of_limb = numbers.len() / shape.basis.len();
        let limbs: Vec<SubringLimb<'_>> = (numbers.chunks_exact(of_limb).enumerate())
            .map(|(limb, numbers)| SubringLimb {
                inputs: (inputs.iter())
                    .map(|input| input.map(|half| &half.buffer[limb * degree..][..degree]))
                    .collect(),
                numbers,
                sums: factors.len(),
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

    /// The numbers of all factors: limb after limb, point after point, for each group of [`TOGETHER`] sums input after input those of the
    /// group side by side, zeros in place of missing sums.
    fn transposed(&self, factors: &[Vec<Operand<'_, Words>>], points: usize, limbs: usize) -> Words {
        let inputs = factors.first().map_or(0, Vec::len);
        let groups = factors.len().div_ceil(TOGETHER);
        let of_point = groups * inputs * TOGETHER;
        let mut numbers = self.pool.take(limbs * points * of_point);
        let together = points.min(POINTS);
        numbers.par_chunks_exact_mut(together * of_point).enumerate().for_each(|(chunk, numbers)| {
            // Limbs of a factor follow one another as those of the numbers do.
            let first = chunk * together;
            for (group, factors) in factors.chunks(TOGETHER).enumerate() {
                for input in 0..inputs {
                    // Every factor is a stream of its own, too many for hardware to follow.
                    for factors in factors {
                        if let Some(factor) = factors.get(input + AHEAD) {
                            prefetch(&factor.buffer[first..first + together]);
                        }
                    }
                    let place = (group * inputs + input) * TOGETHER;
                    for s in 0..TOGETHER {
                        let words = factors.get(s).map(|factors| &factors[input].buffer[first..first + together]);
                        for (point, numbers) in numbers.chunks_exact_mut(of_point).enumerate() {
                            numbers[place + s] = words.map_or(0, |words| words[point]);
                        }
                    }
                }
            }
        });
        numbers
    }
}
