//! From values to coefficients.

use std::arch::x86_64::*;

use super::{
    IfmaTransform, LEAF, LOG_LEAF, ROOT,
    passes::{consecutive, halves, inverse_butterfly, joined, layer, leaf_layers, pass, pass_layers},
    tables::{Derivation, Leaf},
};
use crate::{
    Modulus,
    lanes::{Factor, LaneFactor, Lanes, WideReduction, load, reduce_once, store, transpose},
};

/// Layers of the inverse transform that may double values below `2p` without leaving 52 bits. A leaf starts with values
/// below `p`, which gives it one more.
pub(super) const fn unreduced_layers(modulus: &Modulus) -> u32 {
    51 - modulus.bits()
}

/// Values to coefficients. `REDUCE`: values are kept below `2p`; otherwise the bound doubles in every layer of a leaf,
/// and again in every layer above the leaves.
pub(super) struct Inverse<'a, const REDUCE: bool> {
    lanes: Lanes,
    reduction: WideReduction,
    nodes: &'a [Factor],
    leaves: &'a [Leaf],
    derivation: Derivation,
    normalisation: LaneFactor,
    /// A multiple of `p` that no value exceeds.
    offset: __m512i,
}

impl<'a, const REDUCE: bool> Inverse<'a, REDUCE> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn new(transform: &'a IfmaTransform) -> Self {
        let modulus = &transform.modulus;
        let lanes = Lanes::new(modulus);
        let offset = _mm512_set1_epi64((modulus.value() << unreduced_layers(modulus)) as i64);
        Self {
            offset: if REDUCE { lanes.double } else { offset },
            lanes,
            reduction: WideReduction::new(modulus),
            nodes: &transform.inverse.nodes,
            leaves: &transform.inverse.leaves,
            derivation: Derivation::new(modulus, &transform.inverse),
            normalisation: LaneFactor::broadcast(&transform.normalisation),
        }
    }

    /// Finishes the node at heap position `index`, children first.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn node(&self, words: &mut [u64], index: usize) {
        if words.len() == LEAF {
            return self.leaf(words, index);
        }
        let layers = pass_layers(words.len().ilog2() - LOG_LEAF);
        for (i, child) in words.chunks_exact_mut(words.len() >> layers).enumerate() {
            self.node(child, (index << layers) + i);
        }
        match layers {
            1 => pass!(self, words, index, 2, 1),
            2 => pass!(self, words, index, 4, 1 2),
            3 => pass!(self, words, index, 8, 1 2 4),
            _ => pass!(self, words, index, 16, 1 2 4 8),
        }
    }

    /// The first seven layers of 128 words.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn leaf(&self, words: &mut [u64], index: usize) {
        let words: &mut [u64; LEAF] = words.try_into().expect("a leaf has 128 words");
        let start = words.as_mut_ptr();
        let Leaf { nodes, roots: [low_roots, high_roots] } = &self.leaves[index - self.leaves.len()];
        // SAFETY: sixteen vectors of eight words make a leaf.
        let x: [__m512i; 16] = unsafe { std::array::from_fn(|i| load(start.add(8 * i))) };
        let [low, high] = halves(x);
        let low = transpose(leaf_layers!(self, low, low_roots, 1 2 4));
        let high = transpose(leaf_layers!(self, high, high_roots, 1 2 4));
        let mut x = joined(low, high);
        layer!(self.butterfly, x, 16, 1, consecutive(nodes, 8), LaneFactor::broadcast);
        layer!(self.butterfly, x, 16, 2, consecutive(nodes, 4), LaneFactor::broadcast);
        layer!(self.butterfly, x, 16, 4, consecutive(nodes, 2), LaneFactor::broadcast);
        layer!(self.butterfly, x, 16, 8, consecutive(nodes, 1), LaneFactor::broadcast);
        self.finish_pass(&mut x, index);
        for (i, &x) in x.iter().enumerate() {
            let x = if REDUCE || index == ROOT { x } else { self.reduction.reduce_word_lazy(x) };
            // SAFETY: as above.
            unsafe { store(start.add(8 * i), x) };
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn butterfly(&self, x: __m512i, y: __m512i, factor: LaneFactor) -> (__m512i, __m512i) {
        inverse_butterfly::<REDUCE>(&self.lanes, self.offset, x, y, factor)
    }

    /// As `butterfly`, with a factor below `p` in Montgomery form.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn leaf_butterfly(&self, x: __m512i, y: __m512i, factor: __m512i) -> (__m512i, __m512i) {
        let Lanes { p, double, .. } = self.lanes;
        let sum = _mm512_add_epi64(x, y);
        let sum = if REDUCE { reduce_once(sum, double) } else { sum };
        let difference = _mm512_sub_epi64(_mm512_add_epi64(x, self.offset), y);
        (sum, self.derivation.montgomery.add_product(p, difference, factor))
    }

    /// At the root, normalises: the first half are sums, the second half products with a factor that is normalised.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn finish_pass<const RADIX: usize>(&self, x: &mut [__m512i; RADIX], index: usize) {
        if index == ROOT {
            let Lanes { p, mask, .. } = self.lanes;
            for i in 0..RADIX / 2 {
                x[i] = self.lanes.multiply_constant(x[i], self.normalisation);
                x[i + RADIX / 2] = reduce_once(_mm512_and_si512(x[i + RADIX / 2], mask), p);
            }
        }
    }
}
