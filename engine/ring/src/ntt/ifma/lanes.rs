//! Transforms of rows over a subring: the passes alone, down to nodes of one word of each row.

use std::arch::x86_64::*;

use super::{
    ROOT,
    forward::UNREDUCED_BITS,
    inverse::unreduced_layers,
    passes::{consecutive, forward_butterfly, inverse_butterfly, layer, pass, pass_layers},
};
use crate::{
    Modulus,
    lanes::{Factor, LaneFactor, Lanes, load, reduce_once, store},
    ntt::Twiddles,
};

/// The tables of the vector transform of rows of one length modulo one prime.
pub(in crate::ntt) struct IfmaLaneTransform {
    modulus: Modulus,
    /// Node `k` of depth `d` at position `2^d + k`; as many as there are points.
    forward: Vec<Factor>,
    /// Inverses of `forward`, the root's normalised.
    inverse: Vec<Factor>,
    normalisation: Factor,
}

impl IfmaLaneTransform {
    pub(in crate::ntt) fn new(modulus: &Modulus, twiddles: &Twiddles) -> Self {
        let factor = |&value| Factor::new(modulus, value);
        let mut inverse: Vec<_> = twiddles.inverse.iter().map(factor).collect();
        if let Some(root) = inverse.get_mut(ROOT) {
            *root = Factor::new(modulus, modulus.mul(twiddles.inverse[ROOT], twiddles.normalisation));
        }
        Self {
            modulus: *modulus,
            forward: twiddles.forward.iter().map(factor).collect(),
            inverse,
            normalisation: Factor::new(modulus, twiddles.normalisation),
        }
    }

    /// Whether there are so many rows that vectors lie within the words of one point.
    pub(in crate::ntt) fn suits(&self, words: &[u64]) -> bool {
        words.len().is_multiple_of(8 * self.forward.len())
    }

    /// Residues of `0..p` in, values below `2^52` out.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(in crate::ntt) fn forward(&self, words: &mut [u64]) {
        assert!(self.suits(words));
        let lanes = Lanes::new(&self.modulus);
        if self.modulus.bits() <= UNREDUCED_BITS {
            Forward::<false> { lanes, nodes: &self.forward }.node(words, ROOT);
        } else {
            Forward::<true> { lanes, nodes: &self.forward }.node(words, ROOT);
        }
    }

    /// Residues of `0..p` in and out, normalised.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(in crate::ntt) fn inverse(&self, words: &mut [u64]) {
        assert!(self.suits(words));
        let lanes = Lanes::new(&self.modulus);
        let normalisation = LaneFactor::broadcast(&self.normalisation);
        let most = unreduced_layers(&self.modulus);
        if self.inverse.len().ilog2() <= most {
            let offset = _mm512_set1_epi64((self.modulus.value() << most) as i64);
            Inverse::<false> { lanes, nodes: &self.inverse, normalisation, offset }.node(words, ROOT);
        } else {
            Inverse::<true> { offset: lanes.double, lanes, nodes: &self.inverse, normalisation }.node(words, ROOT);
        }
    }
}

/// Layers between a node and the points.
fn layers_below(nodes: &[Factor], index: usize) -> u32 {
    nodes.len().ilog2() - index.ilog2()
}

/// Coefficients to values. `REDUCE`: values are kept below `4p`; otherwise they grow by `2p` per layer.
struct Forward<'a, const REDUCE: bool> {
    lanes: Lanes,
    nodes: &'a [Factor],
}

impl<const REDUCE: bool> Forward<'_, REDUCE> {
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn node(&self, words: &mut [u64], index: usize) {
        let below = layers_below(self.nodes, index);
        if below == 0 {
            return;
        }
        let layers = pass_layers(below);
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

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn butterfly(&self, x: __m512i, y: __m512i, factor: LaneFactor) -> (__m512i, __m512i) {
        forward_butterfly::<REDUCE>(&self.lanes, x, y, factor)
    }

    /// Passes leave nothing to do.
    #[inline(always)]
    fn finish_pass<const RADIX: usize>(&self, _: &mut [__m512i; RADIX], _: usize) {}
}

/// Values to coefficients. `REDUCE`: values are kept below `2p`; otherwise the bound doubles in every layer.
struct Inverse<'a, const REDUCE: bool> {
    lanes: Lanes,
    nodes: &'a [Factor],
    normalisation: LaneFactor,
    /// A multiple of `p` that no value exceeds.
    offset: __m512i,
}

impl<const REDUCE: bool> Inverse<'_, REDUCE> {
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn node(&self, words: &mut [u64], index: usize) {
        let below = layers_below(self.nodes, index);
        if below == 0 {
            return;
        }
        let layers = pass_layers(below);
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

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn butterfly(&self, x: __m512i, y: __m512i, factor: LaneFactor) -> (__m512i, __m512i) {
        inverse_butterfly::<REDUCE>(&self.lanes, self.offset, x, y, factor)
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
