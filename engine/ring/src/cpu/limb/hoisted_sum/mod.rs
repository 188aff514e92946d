//! The inner part of a double-hoisted linear transform on a block of one limb.
//!
//! First the block of every rotated ciphertext: the product of the digits with the key of its automorphism, word after word as
//! they lie in memory, each vector put where the automorphism sends it. Automorphisms permute aligned blocks of any power of
//! two as a whole, so a block of the result needs one block of the digits and of each key, which lies elsewhere in the limb for
//! each automorphism. Then the sums of these blocks times their factors.

#[cfg(target_arch = "x86_64")]
mod doubles;
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

/// An automorphism with its key, whole limbs.
pub(in crate::cpu) struct HoistedAutomorphism<'a> {
    /// None for the identity, whose rows are empty.
    pub(in crate::cpu) table: Option<&'a GaloisTable>,
    pub(in crate::cpu) rows: Vec<[&'a [u64]; 2]>,
}

/// The terms of one sum: the index of an automorphism and the factor, a whole limb.
pub(in crate::cpu) type HoistedTerms<'a> = Vec<(usize, &'a [u64])>;

/// All operands of one limb.
pub(in crate::cpu) struct HoistedLimbs<'a> {
    pub(in crate::cpu) inputs: Vec<HoistedLimb<'a>>,
    pub(in crate::cpu) automorphisms: Vec<HoistedAutomorphism<'a>>,
    pub(in crate::cpu) sums: Vec<HoistedTerms<'a>>,
}

impl LimbKernels<'_> {
    /// Fills the words from `start` of every sum: `targets[input][sum][half]`, all of one length that divides `start`.
    /// `scratch` holds [`HoistedLimbs::scratch_words`] words, whose content does not matter.
    pub(in crate::cpu) fn hoisted_sums(
        self,
        targets: &mut [Vec<[&mut [u64]; 2]>],
        start: usize,
        limbs: &HoistedLimbs<'_>,
        scratch: &mut [u64],
    ) {
        dispatch!(self, doubles hoisted_sums(targets, start, limbs, scratch))
    }
}

/// Words of the rotated ciphertexts at a time, at most: half of a second-level cache of a megabyte.
const ROTATED: usize = 1 << 16;
/// Words of a block, at least: half a page of every row of a key.
const LEAST: usize = 1 << 8;

impl HoistedLimbs<'_> {
    /// Polynomials that the rotations of all inputs make.
    fn rotated(&self) -> usize {
        2 * self.inputs.len() * self.automorphisms.len()
    }

    /// Words that are worked on at a time.
    fn block_words(&self) -> usize {
        let words = (ROTATED / self.rotated().max(1)).max(LEAST);
        1 << words.ilog2()
    }

    /// Words of scratch space.
    pub(in crate::cpu) fn scratch_words(&self) -> usize {
        self.rotated() * self.block_words()
    }
}
