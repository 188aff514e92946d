//! The inner part of a double-hoisted linear transform on a block of one limb.
//!
//! For every automorphism: the product of the digits with its key, rotated in registers, times each of its factors, onto the
//! sums. Automorphisms permute aligned blocks of any power of two as a whole, so a block of the result needs one block of the
//! digits and of each key, which lies elsewhere in the limb for each automorphism.

#[cfg(target_arch = "x86_64")]
mod ifma;
mod portable;

use super::{LimbKernels, dispatch, inner_product::Addend};
use crate::galois_table::{BLOCK, GaloisTable};

/// One input of the batch: its digits and its two halves with the product of the special primes, whole limbs.
pub(in crate::cpu) struct HoistedLimb<'a> {
    pub(in crate::cpu) digits: Vec<&'a [u64]>,
    pub(in crate::cpu) ciphertext: [Addend<'a>; 2],
}

/// An automorphism: its key, whole limbs, and the factors of its result with the number of the sum they go to.
pub(in crate::cpu) struct HoistedAutomorphism<'a> {
    /// None for the identity, whose rows are empty.
    pub(in crate::cpu) table: Option<&'a GaloisTable>,
    pub(in crate::cpu) rows: Vec<[&'a [u64]; 2]>,
    pub(in crate::cpu) factors: Vec<(usize, &'a [u64])>,
}

impl HoistedAutomorphism<'_> {
    /// How often it is used in that of the sums that uses it most.
    #[cfg(target_arch = "x86_64")]
    fn most_factors_of_a_sum(&self, sums: usize) -> usize {
        let uses = |sum| self.factors.iter().filter(|(target, _)| *target == sum).count();
        (0..sums).map(uses).max().unwrap_or(0)
    }

    /// The first word of the block that block `index` of the result comes from; something useless beyond the end.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn first_word(&self, index: usize) -> usize {
        match self.table {
            Some(table) if index < table.blocks() => table.source(index).0 * BLOCK,
            _ => index * BLOCK,
        }
    }

    /// Where block `index` (of [`BLOCK`] words) of the result comes from: the first word and the rearrangement. The block lies
    /// within a limb if block `index` does: tables send blocks to blocks of the same limb.
    #[inline(always)]
    fn source(&self, index: usize) -> (usize, Option<&[u64; BLOCK]>) {
        match self.table {
            None => (index * BLOCK, None),
            Some(table) => {
                let (block, permutation) = table.source(index);
                (block * BLOCK, Some(&table.permutations()[permutation]))
            }
        }
    }
}

impl LimbKernels<'_> {
    /// Fills the words from `start` of every sum: `targets[input][sum][half]`, all of one length that divides `start`.
    /// `scratch` holds [`scratch_words`] words, whose content does not matter.
    pub(in crate::cpu) fn hoisted_sums(
        self,
        targets: &mut [Vec<[&mut [u64]; 2]>],
        start: usize,
        inputs: &[HoistedLimb<'_>],
        automorphisms: &[HoistedAutomorphism<'_>],
        scratch: &mut [u64],
    ) {
        dispatch!(self, hoisted_sums(targets, start, inputs, automorphisms, scratch))
    }
}

/// Accumulators per word of a sum: two halves of a ciphertext, each in two halves of a lazy sum.
const HALVES: usize = 4;
/// Words of the accumulators of one input, at most: half of a first-level cache of 32 KiB.
const ACCUMULATORS: usize = 1 << 11;

/// Words of scratch space for so many sums.
pub(in crate::cpu) fn scratch_words(sums: usize) -> usize {
    HALVES * block_words(sums) * sums
}

/// Words that are accumulated at a time: as many as leave the accumulators in the first-level cache, a vector at least.
fn block_words(sums: usize) -> usize {
    let words = (ACCUMULATORS / (HALVES * sums.max(1))).max(BLOCK);
    1 << words.ilog2()
}
