//! The transform in vectors of eight, on AVX-512 IFMA.
//!
//! A node of the tree is halved two to four layers at a time (a *pass*: so many words stay in registers), depth first, so
//! that each subtree is finished while its words are in the nearest cache. Nodes of 64 words are finished in
//! registers: three layers across eight vectors, a transposition, three layers across the words of what were vectors.

use std::arch::x86_64::*;

use super::tables::Twiddles;
use crate::{
    Modulus,
    lanes::{Factor, FactorVector, LaneFactor, Lanes, WideReduction, load, reduce_once, store, transpose},
};

/// Binary logarithm of the nodes that are finished in registers: the smallest degree.
pub(super) const LOG_LEAF: u32 = 6;
const LEAF: usize = 1 << LOG_LEAF;

/// Factors of a leaf's last three layers, for each of its eight groups of words: 1 + 2 + 4.
type LeafFactors = [FactorVector; 7];

/// Largest primes, in bits, whose values can grow by `2p` in each of 20 layers without leaving 52 bits.
const UNREDUCED_BITS: u32 = 46;

/// The tables of the vector transform of one ring modulo one prime.
pub(super) struct IfmaTransform {
    modulus: Modulus,
    forward: Direction,
    inverse: Direction,
    normalisation: Factor,
    imaginary_unit: Factor,
}

struct Direction {
    /// Nodes of more than eight words: node `k` of depth `d` at position `2^d + k`.
    nodes: Vec<Factor>,
    /// Per leaf, the factors of its nodes of eight, four and two words, in vectors over its eight groups of words.
    leaves: Vec<LeafFactors>,
}

impl Direction {
    fn new(modulus: &Modulus, heap: &[u64]) -> Self {
        let degree = heap.len();
        let nodes = heap[..degree / 8].iter().map(|&value| Factor::new(modulus, value)).collect();
        let leaves = (0..degree / LEAF)
            .map(|leaf| {
                [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3)].map(|(log_nodes, node)| {
                    FactorVector::new(std::array::from_fn(|group| {
                        let index = (degree / 8 + 8 * leaf + group << log_nodes) + node;
                        Factor::new(modulus, heap[index])
                    }))
                })
            })
            .collect();
        Self { nodes, leaves }
    }
}

/// Layers of the first pass over a node with `layers` layers above the leaves: as many threes as possible follow.
const fn pass_layers(layers: u32) -> u32 {
    match (layers % 3, layers) {
        (0, _) => 3,
        (1, 1) => 1,
        (1, _) => 4,
        (_, 2 | 5) => 2,
        _ => 4,
    }
}

impl IfmaTransform {
    pub(super) fn new(modulus: &Modulus, twiddles: &Twiddles) -> Self {
        Self {
            modulus: *modulus,
            forward: Direction::new(modulus, &twiddles.forward),
            inverse: Direction::new(modulus, &twiddles.inverse),
            normalisation: Factor::new(modulus, twiddles.normalisation),
            imaginary_unit: Factor::new(modulus, twiddles.imaginary_unit),
        }
    }

    /// Residues of `0..p` in and out.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn forward(&self, words: &mut [u64]) {
        assert!(words.len() == 8 * self.forward.nodes.len() && words.len() >= LEAF);
        if self.modulus.bits() <= UNREDUCED_BITS {
            Forward::<false>::new(self).node(words, 1);
        } else {
            Forward::<true>::new(self).node(words, 1);
        }
    }

    /// Residues of `0..p` in and out, multiplied by the normalisation.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn inverse(&self, words: &mut [u64]) {
        assert!(words.len() == 8 * self.inverse.nodes.len() && words.len() >= LEAF);
        Inverse::new(self).run(words);
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

/// One layer of butterflies on `$radix` vectors, pairs `$half` apart: the factors of consecutive nodes are those that
/// `$load` makes of the entries of `$factors`, a heap without its unused first position.
macro_rules! layer {
    ($self:ident, $x:ident, $radix:literal, $half:literal, $factors:expr, $load:path) => {
        let factors: &[_; $radix / 2 / $half] = $factors;
        for (node, factor) in factors.iter().enumerate() {
            let factor = $load(factor);
            for i in 2 * $half * node..2 * $half * node + $half {
                ($x[i], $x[i + $half]) = $self.butterfly($x[i], $x[i + $half], factor);
            }
        }
    };
}

/// The factors of `COUNT` consecutive nodes from heap position `index`.
#[inline(always)]
fn consecutive<const COUNT: usize, T>(heap: &[T], index: usize) -> &[T; COUNT] {
    heap[index..].first_chunk().expect("the heap holds every node")
}

/// A pass over a node: the given layers on `$radix` vectors at a time, `1/$radix` of the node apart.
macro_rules! pass {
    ($self:ident, $words:ident, $index:ident, $radix:literal, $($half:literal)+) => {{
        let stride = $words.len() / $radix;
        let start = $words.as_mut_ptr();
        for column in (0..stride).step_by(8) {
            // SAFETY: row i, column .. column + 8 lies within the node for i < radix and column + 8 <= stride.
            let mut x: [__m512i; $radix] = unsafe { std::array::from_fn(|i| load(start.add(i * stride + column))) };
            $(layer!($self, x, $radix, $half, consecutive($self.nodes, $index * ($radix / 2 / $half)), LaneFactor::broadcast);)+
            for (i, &x) in x.iter().enumerate() {
                // SAFETY: as above.
                unsafe { store(start.add(i * stride + column), x) };
            }
        }
    }};
}

/// Coefficients to values. `REDUCE`: values are kept below `4p`; otherwise they grow by `2p` per layer, which primes of
/// at most [`UNREDUCED_BITS`] bits have room for.
struct Forward<'a, const REDUCE: bool> {
    lanes: Lanes,
    reduction: WideReduction,
    nodes: &'a [Factor],
    leaves: &'a [LeafFactors],
}

impl<'a, const REDUCE: bool> Forward<'a, REDUCE> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn new(transform: &'a IfmaTransform) -> Self {
        Self {
            lanes: Lanes::new(&transform.modulus),
            reduction: WideReduction::new(&transform.modulus),
            nodes: &transform.forward.nodes,
            leaves: &transform.forward.leaves,
        }
    }

    /// Finishes the node at heap position `index`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn node(&self, words: &mut [u64], index: usize) {
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

    /// The last six layers of 64 words.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn leaf(&self, words: &mut [u64], index: usize) {
        let words: &mut [u64; LEAF] = words.try_into().expect("a leaf has 64 words");
        let start = words.as_mut_ptr();
        let number = index - self.nodes.len() * 8 / LEAF;
        let factors = &self.leaves[number];
        // SAFETY: eight vectors of eight words make a leaf.
        let mut x: [__m512i; 8] = unsafe { std::array::from_fn(|i| load(start.add(8 * i))) };
        layer!(self, x, 8, 4, consecutive(self.nodes, index), LaneFactor::broadcast);
        layer!(self, x, 8, 2, consecutive(self.nodes, 2 * index), LaneFactor::broadcast);
        layer!(self, x, 8, 1, consecutive(self.nodes, 4 * index), LaneFactor::broadcast);
        let mut x = transpose(x);
        layer!(self, x, 8, 4, consecutive(factors, 0), LaneFactor::load);
        layer!(self, x, 8, 2, consecutive(factors, 1), LaneFactor::load);
        layer!(self, x, 8, 1, consecutive(factors, 3), LaneFactor::load);
        for (i, x) in transpose(x.map(|x| self.finish(x))).into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { store(start.add(8 * i), x) };
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn butterfly(&self, x: __m512i, y: __m512i, factor: LaneFactor) -> (__m512i, __m512i) {
        let product = self.lanes.multiply_lazy(y, factor);
        let x = if REDUCE { reduce_once(x, self.lanes.double) } else { x };
        (_mm512_add_epi64(x, product), _mm512_sub_epi64(_mm512_add_epi64(x, self.lanes.double), product))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn finish(&self, x: __m512i) -> __m512i {
        if REDUCE {
            reduce_once(reduce_once(x, self.lanes.double), self.lanes.p)
        } else {
            self.reduction.reduce_word(x)
        }
    }
}

/// Values to coefficients; all values are kept below `2p`.
struct Inverse<'a> {
    lanes: Lanes,
    nodes: &'a [Factor],
    leaves: &'a [LeafFactors],
    normalisation: Factor,
}

impl<'a> Inverse<'a> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn new(transform: &'a IfmaTransform) -> Self {
        Self {
            lanes: Lanes::new(&transform.modulus),
            nodes: &transform.inverse.nodes,
            leaves: &transform.inverse.leaves,
            normalisation: transform.normalisation,
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn run(&self, words: &mut [u64]) {
        self.node(words, 1);
        let factor = LaneFactor::broadcast(&self.normalisation);
        for vector in words.chunks_exact_mut(8) {
            // SAFETY: the chunk has eight words.
            unsafe { store(vector.as_mut_ptr(), self.lanes.multiply_constant(load(vector.as_ptr()), factor)) };
        }
    }

    /// Finishes the node at heap position `index`, children first.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn node(&self, words: &mut [u64], index: usize) {
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

    /// The first six layers of 64 words.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn leaf(&self, words: &mut [u64], index: usize) {
        let words: &mut [u64; LEAF] = words.try_into().expect("a leaf has 64 words");
        let start = words.as_mut_ptr();
        let number = index - self.nodes.len() * 8 / LEAF;
        let factors = &self.leaves[number];
        // SAFETY: eight vectors of eight words make a leaf.
        let x: [__m512i; 8] = unsafe { std::array::from_fn(|i| load(start.add(8 * i))) };
        let mut x = transpose(x);
        layer!(self, x, 8, 1, consecutive(factors, 3), LaneFactor::load);
        layer!(self, x, 8, 2, consecutive(factors, 1), LaneFactor::load);
        layer!(self, x, 8, 4, consecutive(factors, 0), LaneFactor::load);
        let mut x = transpose(x);
        layer!(self, x, 8, 1, consecutive(self.nodes, 4 * index), LaneFactor::broadcast);
        layer!(self, x, 8, 2, consecutive(self.nodes, 2 * index), LaneFactor::broadcast);
        layer!(self, x, 8, 4, consecutive(self.nodes, index), LaneFactor::broadcast);
        for (i, x) in x.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { store(start.add(8 * i), x) };
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn butterfly(&self, x: __m512i, y: __m512i, factor: LaneFactor) -> (__m512i, __m512i) {
        let sum = reduce_once(_mm512_add_epi64(x, y), self.lanes.double);
        let difference = _mm512_sub_epi64(_mm512_add_epi64(x, self.lanes.double), y);
        (sum, self.lanes.multiply_lazy(difference, factor))
    }
}
