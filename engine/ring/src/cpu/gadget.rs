//! The inner product of gadget digits with a switching key.

use rayon::prelude::*;

use super::{Cpu, storage::limb_of, words::Words};
use crate::{Operand, PrimeIndex};

/// Words per parallel task.
const BLOCK: usize = 1 << 12;

impl Cpu {
    pub(super) fn accumulate_digits(
        &self,
        target: [&mut Words; 2],
        digits: &[Operand<'_, Words>],
        rows: &[[Operand<'_, Words>; 2]],
    ) {
        let Some(first) = digits.first() else { return };
        let degree = first.shape.ring.degree();
        let block = degree.min(BLOCK);
        let primes: Vec<PrimeIndex> = first.shape.basis.indices().collect();
        let digit_limbs: Vec<&[u64]> = per_prime(&primes, digits, |&digit, prime| limb_of(digit, prime));
        let row_limbs: Vec<[&[u64]; 2]> = per_prime(&primes, rows, |row, prime| row.map(|half| limb_of(half, prime)));
        let [b, a] = target;
        b.par_chunks_exact_mut(block).zip(a.par_chunks_exact_mut(block)).enumerate().for_each_init(
            || (Vec::with_capacity(digits.len()), Vec::with_capacity(digits.len())),
            |(digit_blocks, row_blocks), (i, (b, a))| {
                let (limb, start) = (i * block / degree, i * block % degree);
                let (range, terms) = (start..start + block, limb * digits.len()..(limb + 1) * digits.len());
                digit_blocks.clear();
                digit_blocks.extend(digit_limbs[terms.clone()].iter().map(|limb| &limb[range.clone()]));
                row_blocks.clear();
                row_blocks.extend(row_limbs[terms].iter().map(|row| row.map(|limb| &limb[range.clone()])));
                let modulus = self.chain.modulus(primes[limb]);
                self.kernels(modulus).inner_products([b, a], digit_blocks, row_blocks);
            },
        );
    }
}

/// `of(item, prime)` for every prime, and within a prime for every item.
fn per_prime<I, T>(primes: &[PrimeIndex], items: &[I], of: impl Fn(&I, PrimeIndex) -> T) -> Vec<T> {
    primes.iter().flat_map(|&prime| items.iter().map(move |item| (item, prime))).map(|(i, p)| of(i, p)).collect()
}
