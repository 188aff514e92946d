//! Cyclic transforms of vectors, every lane its own.

use std::arch::x86_64::*;

use crate::{
    Modulus,
    lanes::{Factor, LaneFactor, Lanes, reduce_once},
    ntt::Twiddles,
};

/// The tables of the tree of `X^length - 1` ([`Twiddles::cyclic`]), whose node `k` has one factor at every depth.
pub(super) struct CyclicLanes {
    lanes: Lanes,
    forward: Vec<Factor>,
    inverse: Vec<Factor>,
    normalisation: LaneFactor,
}

impl CyclicLanes {
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn new(modulus: &Modulus, twiddles: &Twiddles) -> Self {
        let lowest = |heap: &[u64]| heap[heap.len() / 2..].iter().map(|&w| Factor::new(modulus, w)).collect();
        Self {
            lanes: Lanes::new(modulus),
            forward: lowest(&twiddles.forward),
            inverse: lowest(&twiddles.inverse),
            normalisation: LaneFactor::broadcast(&Factor::new(modulus, twiddles.normalisation)),
        }
    }

    /// The residue of a small signed integer.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn residue(&self, x: __m512i) -> __m512i {
        // A negative number is huge, and p more than it is not.
        _mm512_min_epu64(x, _mm512_add_epi64(x, self.lanes.p))
    }

    /// `-x` in `0..=p` for `x` in `0..p`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn negate(&self, x: __m512i) -> __m512i {
        _mm512_sub_epi64(self.lanes.p, x)
    }

    /// `x + y` in `0..4p` for `x` and `y` in `0..2p`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn sum(&self, x: __m512i, y: __m512i) -> __m512i {
        _mm512_add_epi64(x, y)
    }

    /// `x - y` in `0..4p` for `x` and `y` in `0..2p`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn difference(&self, x: __m512i, y: __m512i) -> __m512i {
        _mm512_sub_epi64(_mm512_add_epi64(x, self.lanes.double), y)
    }

    /// From `0..4p` to `0..p`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn reduce(&self, x: __m512i) -> __m512i {
        reduce_once(reduce_once(x, self.lanes.double), self.lanes.p)
    }

    /// `x / length` in `0..2p` for `x < 2^52`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn normalise(&self, x: __m512i) -> __m512i {
        self.lanes.multiply_lazy(x, self.normalisation)
    }

    /// From `0..4p` to `0..4p`, the layers from so many nodes on.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn forward(&self, line: &mut [__m512i], mut nodes: usize) {
        while nodes < line.len() {
            let half = line.len() / nodes / 2;
            let halves = line.chunks_exact_mut(2 * half).map(|node| node.split_at_mut(half));
            for ((x, y), factor) in halves.zip(&self.forward) {
                let factor = LaneFactor::broadcast(factor);
                for (x, y) in x.iter_mut().zip(y) {
                    let product = self.lanes.multiply_lazy(*y, factor);
                    let reduced = reduce_once(*x, self.lanes.double);
                    (*x, *y) = (self.sum(reduced, product), self.difference(reduced, product));
                }
            }
            nodes *= 2;
        }
    }

    /// From `0..2p` to `0..2p`, all layers but the last, not normalised.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn inverse(&self, line: &mut [__m512i]) {
        let mut nodes = line.len() / 2;
        while nodes > 1 {
            let half = line.len() / nodes / 2;
            let halves = line.chunks_exact_mut(2 * half).map(|node| node.split_at_mut(half));
            for ((x, y), factor) in halves.zip(&self.inverse) {
                let factor = LaneFactor::broadcast(factor);
                for (x, y) in x.iter_mut().zip(y) {
                    let difference = self.difference(*x, *y);
                    *x = reduce_once(self.sum(*x, *y), self.lanes.double);
                    *y = self.lanes.multiply_lazy(difference, factor);
                }
            }
            nodes /= 2;
        }
    }
}
