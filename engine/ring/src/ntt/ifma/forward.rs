//! From coefficients to values.

use std::arch::x86_64::*;

use super::{
    IfmaTransform, LEAF, LOG_LEAF,
    passes::{consecutive, forward_butterfly, halves, joined, layer, leaf_layers, pass, pass_layers},
    tables::{Derivation, Leaf},
};
use crate::lanes::{Factor, LaneFactor, Lanes, WideReduction, load, reduce_once, store, transpose};

/// Largest primes, in bits, whose values can grow by `2p` in each of 20 layers without leaving 52 bits: `41 p < 2^52`.
pub(super) const UNREDUCED_BITS: u32 = 46;

/// Coefficients to values. `REDUCE`: values are kept below `4p`; otherwise they grow by `2p` per layer, which primes of
/// at most [`UNREDUCED_BITS`] bits have room for.
pub(super) struct Forward<'a, const REDUCE: bool> {
    lanes: Lanes,
    reduction: WideReduction,
    nodes: &'a [Factor],
    leaves: &'a [Leaf],
    derivation: Derivation,
}

impl<'a, const REDUCE: bool> Forward<'a, REDUCE> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn new(transform: &'a IfmaTransform) -> Self {
        Self {
            lanes: Lanes::new(&transform.modulus),
            reduction: WideReduction::new(&transform.modulus),
            nodes: &transform.forward.nodes,
            leaves: &transform.forward.leaves,
            derivation: Derivation::new(&transform.modulus, &transform.forward),
        }
    }

    /// Finishes the node at heap position `index`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn node(&self, words: &mut [u64], index: usize) {
        if words.len() == LEAF {
            return self.leaf(words, index);
        }
        let layers = pass_layers(words.len().ilog2() - LOG_LEAF);
        match layers {
            1 => pass!(self, words, index, 2, 1),
            2 => pass!(self, words, index, 4, 2 1),
            3 => pass!(self, words, index, 8, 4 2 1),
            _ => pass!(self, words, index, 16, 8 4 2 1),
        }
        for (i, child) in words.chunks_exact_mut(words.len() >> layers).enumerate() {
            self.node(child, (index << layers) + i);
        }
    }

    /// The last seven layers of 128 words.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn leaf(&self, words: &mut [u64], index: usize) {
        let words: &mut [u64; LEAF] = words.try_into().expect("a leaf has 128 words");
        let Leaf { nodes, roots: [low_roots, high_roots] } = &self.leaves[index - self.leaves.len()];
        // SAFETY: sixteen vectors of eight words make a leaf.
        let mut x: [__m512i; 16] = unsafe { std::array::from_fn(|i| load(words.as_ptr().add(8 * i))) };
        layer!(self.butterfly, x, 16, 8, consecutive(nodes, 1), LaneFactor::broadcast);
        layer!(self.butterfly, x, 16, 4, consecutive(nodes, 2), LaneFactor::broadcast);
        layer!(self.butterfly, x, 16, 2, consecutive(nodes, 4), LaneFactor::broadcast);
        layer!(self.butterfly, x, 16, 1, consecutive(nodes, 8), LaneFactor::broadcast);
        let [low, high] = halves(x);
        let mut low = leaf_layers!(self, low, low_roots, 4 2 1);
        let mut high = leaf_layers!(self, high, high_roots, 4 2 1);
        for x in &mut low {
            *x = self.finish(*x);
        }
        for x in &mut high {
            *x = self.finish(*x);
        }
        for (i, x) in joined(transpose(low), transpose(high)).into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { store(words.as_mut_ptr().add(8 * i), x) };
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn butterfly(&self, x: __m512i, y: __m512i, factor: LaneFactor) -> (__m512i, __m512i) {
        forward_butterfly::<REDUCE>(&self.lanes, x, y, factor)
    }

    /// As `butterfly`, with a factor below `p` in Montgomery form.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn leaf_butterfly(&self, x: __m512i, y: __m512i, factor: __m512i) -> (__m512i, __m512i) {
        let Lanes { p, double, .. } = self.lanes;
        let x = if REDUCE { reduce_once(x, double) } else { x };
        let start = _mm512_add_epi64(x, p);
        let sum = self.derivation.montgomery.add_product(start, y, factor);
        (sum, _mm512_sub_epi64(_mm512_add_epi64(start, start), sum))
    }

    /// Passes leave nothing to do.
    #[inline(always)]
    fn finish_pass<const RADIX: usize>(&self, _: &mut [__m512i; RADIX], _: usize) {}

    /// From what the butterflies return to `0..p`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn finish(&self, x: __m512i) -> __m512i {
        let x = if REDUCE { reduce_once(x, self.lanes.double) } else { self.reduction.reduce_word_lazy(x) };
        reduce_once(x, self.lanes.p)
    }
}
