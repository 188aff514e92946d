//! The transform in vectors of eight, on AVX-512 IFMA.
//!
//! A node of the tree is halved two to four layers at a time (a *pass*: so many words stay in registers), depth first, so
//! that each subtree is finished while its words are in the nearest cache. Nodes of 128 words, the *leaves*, are finished
//! in registers: four layers across sixteen vectors, two transpositions, three layers across the words of what were
//! vectors.
//!
//! Tables are small, because a chain of many primes reads each prime's from memory: the factors of the last three layers,
//! seven eighths of all, are computed from one root per eight words (in Montgomery form; the others have Shoup quotients).
//!
//! Values live modulo `2^52`: multiply-add ignores higher bits of its factors. Where the true value stays below `2^52`
//! without any reduction, as for the smaller primes of a chain, a butterfly is six instructions, otherwise nine.

mod forward;
mod inverse;
mod lanes;
mod passes;
mod tables;

use std::arch::x86_64::*;

use super::tables::Twiddles;
use crate::{
    Modulus,
    lanes::{Factor, LaneFactor, Lanes, load, store},
};
pub(super) use lanes::IfmaLaneTransform;

use forward::Forward;
use inverse::{Inverse, unreduced_layers};
use tables::Direction;

/// Binary logarithm of the nodes that are finished in registers: the smallest degree.
pub(super) const LOG_LEAF: u32 = 7;
const LEAF: usize = 1 << LOG_LEAF;
/// The root's position in the heap of nodes.
const ROOT: usize = 1;

/// The tables of the vector transform of one ring modulo one prime.
pub(super) struct IfmaTransform {
    modulus: Modulus,
    forward: Direction,
    inverse: Direction,
    normalisation: Factor,
    imaginary_unit: Factor,
}

impl IfmaTransform {
    pub(super) fn new(modulus: &Modulus, twiddles: &Twiddles) -> Self {
        let inverse_eighth_root = modulus.pow(twiddles.eighth_root, 7);
        let mut inverse = Direction::new(modulus, &twiddles.inverse, inverse_eighth_root);
        // The last layer normalises as well.
        let root = modulus.mul(twiddles.inverse[ROOT], twiddles.normalisation);
        inverse.set_root(Factor::new(modulus, root));
        Self {
            modulus: *modulus,
            forward: Direction::new(modulus, &twiddles.forward, twiddles.eighth_root),
            inverse,
            normalisation: Factor::new(modulus, twiddles.normalisation),
            imaginary_unit: Factor::new(modulus, twiddles.imaginary_unit),
        }
    }

    /// Residues of `0..p` in and out.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn forward(&self, words: &mut [u64]) {
        assert!(words.len() == LEAF * self.forward.leaves.len());
        if self.modulus.bits() <= forward::UNREDUCED_BITS {
            Forward::<false>::new(self).node(words, ROOT);
        } else {
            Forward::<true>::new(self).node(words, ROOT);
        }
    }

    /// Residues of `0..p` in and out, multiplied by the normalisation.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn inverse(&self, words: &mut [u64]) {
        assert!(words.len() == LEAF * self.inverse.leaves.len());
        let layers = words.len().ilog2().saturating_sub(LOG_LEAF).max(LOG_LEAF - 1);
        if layers <= unreduced_layers(&self.modulus) {
            Inverse::<false>::new(self).node(words, ROOT);
        } else {
            Inverse::<true>::new(self).node(words, ROOT);
        }
    }

    /// The fold of the conjugate-invariant ring, `d_0 = c_0`, `d_k = c_k - I c_(N-k)`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn fold(&self, words: &mut [u64]) {
        let lanes = Lanes::new(&self.modulus);
        let unit = LaneFactor::broadcast(&self.imaginary_unit);
        for_each_mirrored_pair(words, |x, y| {
            (lanes.sub(x, lanes.multiply_constant(y, unit)), lanes.sub(y, lanes.multiply_constant(x, unit)))
        });
    }

    /// Twice the inverse of [`Self::fold`], whose half is in the normalisation: `2 c_k = d_k + I d_(N-k)`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn unfold(&self, words: &mut [u64]) {
        let lanes = Lanes::new(&self.modulus);
        let unit = LaneFactor::broadcast(&self.imaginary_unit);
        words[0] = self.modulus.add(words[0], words[0]);
        for_each_mirrored_pair(words, |x, y| {
            (lanes.add(x, lanes.multiply_constant(y, unit)), lanes.add(y, lanes.multiply_constant(x, unit)))
        });
    }
}

/// Calls `f` with the words `k .. k + 8` and the words `N - k, N - k - 1, ..`, for `k = 1, 9, ..` up to the middle, and
/// stores what it returns. The middle word is in both vectors of the last pair.
#[inline]
#[target_feature(enable = "avx512f")]
fn for_each_mirrored_pair(words: &mut [u64], f: impl Fn(__m512i, __m512i) -> (__m512i, __m512i)) {
    assert!(words.len() >= 16 && words.len().is_multiple_of(16));
    let reverse = _mm512_set_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    let start = words.as_mut_ptr();
    for step in (0..words.len() / 2).step_by(8) {
        // SAFETY: step + 9 <= N/2 + 1 and N - 8 - step >= N/2 for every step <= N/2 - 8.
        unsafe {
            let (low, high) = (start.add(1 + step), start.add(words.len() - 8 - step));
            let (x, y) = f(load(low), _mm512_permutexvar_epi64(reverse, load(high)));
            store(low, x);
            store(high, _mm512_permutexvar_epi64(reverse, y));
        }
    }
}
