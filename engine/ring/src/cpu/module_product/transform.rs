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
        while 4 * nodes <= line.len() {
            for (k, quarters) in quarters(line, nodes).enumerate() {
                let [upper, left, right] = self.factors(&self.forward, k);
                for (((a, b), c), d) in quarters {
                    let (x, z) = self.forward_butterfly(*a, *c, upper);
                    let (y, w) = self.forward_butterfly(*b, *d, upper);
                    (*a, *b) = self.forward_butterfly(x, y, left);
                    (*c, *d) = self.forward_butterfly(z, w, right);
                }
            }
            nodes *= 4;
        }
        if 2 * nodes == line.len() {
            for (pair, factor) in line.as_chunks_mut().0.iter_mut().zip(&self.forward) {
                let [x, y] = *pair;
                *pair = self.forward_butterfly(x, y, LaneFactor::broadcast(factor)).into();
            }
        }
    }

    /// From `0..2p` to `0..2p`, all layers but the last, not normalised.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn inverse(&self, line: &mut [__m512i]) {
        let mut nodes = line.len() / 2;
        while nodes >= 4 {
            for (k, quarters) in quarters(line, nodes / 2).enumerate() {
                let [upper, left, right] = self.factors(&self.inverse, k);
                for (((a, b), c), d) in quarters {
                    let (x, y) = self.inverse_butterfly(*a, *b, left);
                    let (z, w) = self.inverse_butterfly(*c, *d, right);
                    (*a, *c) = self.inverse_butterfly(x, z, upper);
                    (*b, *d) = self.inverse_butterfly(y, w, upper);
                }
            }
            nodes /= 4;
        }
        if nodes == 2 {
            let quarter = line.len() / 4;
            for (node, factor) in line.chunks_exact_mut(2 * quarter).zip(&self.inverse) {
                let factor = LaneFactor::broadcast(factor);
                let (x, y) = node.split_at_mut(quarter);
                for (x, y) in x.iter_mut().zip(y) {
                    (*x, *y) = self.inverse_butterfly(*x, *y, factor);
                }
            }
        }
    }

    /// The factors of node `k` and of its two children.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn factors(&self, table: &[Factor], k: usize) -> [LaneFactor; 3] {
        [k, 2 * k, 2 * k + 1].map(|k| LaneFactor::broadcast(&table[k]))
    }

    /// `x + y w` and `x - y w`, from `0..4p` to `0..4p`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn forward_butterfly(&self, x: __m512i, y: __m512i, factor: LaneFactor) -> (__m512i, __m512i) {
        let product = self.lanes.multiply_lazy(y, factor);
        let reduced = reduce_once(x, self.lanes.double);
        (self.sum(reduced, product), self.difference(reduced, product))
    }

    /// `x + y` and `(x - y) w`, from `0..2p` to `0..2p`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn inverse_butterfly(&self, x: __m512i, y: __m512i, factor: LaneFactor) -> (__m512i, __m512i) {
        let difference = self.difference(x, y);
        (reduce_once(self.sum(x, y), self.lanes.double), self.lanes.multiply_lazy(difference, factor))
    }
}

/// Words of each of so many nodes by the quarter they lie in: two layers at a time keep half of the words in registers that one
/// would store.
fn quarters(
    line: &mut [__m512i],
    nodes: usize,
) -> impl Iterator<Item = impl Iterator<Item = (((&mut __m512i, &mut __m512i), &mut __m512i), &mut __m512i)>> {
    let quarter = line.len() / nodes / 4;
    line.chunks_exact_mut(4 * quarter).map(move |node| {
        let (left, right) = node.split_at_mut(2 * quarter);
        let ((a, b), (c, d)) = (left.split_at_mut(quarter), right.split_at_mut(quarter));
        a.iter_mut().zip(b).zip(c).zip(d)
    })
}
