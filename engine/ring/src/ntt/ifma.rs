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

use std::arch::x86_64::*;

use super::tables::Twiddles;
use crate::{
    Modulus,
    lanes::{Factor, LaneFactor, Lanes, Montgomery, WideReduction, load, reduce_once, store, stream, transpose},
};

/// Binary logarithm of the nodes that are finished in registers: the smallest degree.
pub(super) const LOG_LEAF: u32 = 7;
const LEAF: usize = 1 << LOG_LEAF;
/// The root's position in the heap of nodes.
const ROOT: usize = 1;

/// Largest primes, in bits, whose values can grow by `2p` in each of 20 layers without leaving 52 bits: `41 p < 2^52`.
const UNREDUCED_FORWARD_BITS: u32 = 46;

/// Layers of the inverse transform that may double values below `2p` without leaving 52 bits. A leaf starts with values
/// below `p`, which gives it one more.
const fn unreduced_inverse_layers(modulus: &Modulus) -> u32 {
    51 - modulus.bits()
}

/// The tables of the vector transform of one ring modulo one prime.
pub(super) struct IfmaTransform {
    modulus: Modulus,
    forward: Direction,
    inverse: Direction,
    normalisation: Factor,
    imaginary_unit: Factor,
}

/// The tables of one direction.
struct Direction {
    /// Nodes above the leaves: node `k` of depth `d` at position `2^d + k`.
    nodes: Vec<Factor>,
    /// In the order in which the transform reads them.
    leaves: Vec<Leaf>,
    /// Factors of the second nodes of four and two words relative to the first: `I`.
    imaginary_unit: Factor,
    /// The same for the third and fourth nodes of two words: `w^(N/2)` and its product with `I`.
    eighth_roots: [Factor; 2],
}

/// The factors of a leaf, in six cache lines.
#[repr(C, align(64))]
struct Leaf {
    /// A heap of the nodes of more than eight words.
    nodes: [Factor; 16],
    /// For each half and each of its eight groups of eight words, in Montgomery form, the root `g` that the factors of the
    /// group's nodes derive from: it is the factor of the first node of two words.
    roots: [[u64; 8]; 2],
}

impl Direction {
    fn new(modulus: &Modulus, heap: &[u64], eighth_root: u64) -> Self {
        let leaves = heap.len() / LEAF;
        let factor = |value| Factor::new(modulus, value);
        let leaf = |number: usize| Leaf {
            nodes: std::array::from_fn(|node| {
                // Depth l of the leaf's own heap: position 2^l + k is position (leaves + number) 2^l + k of the whole.
                let depth = node.max(1).ilog2();
                let node = node.max(1) - (1 << depth);
                factor(heap[((leaves + number) << depth) + node])
            }),
            roots: std::array::from_fn(|half| {
                let first = heap.len() / 2 + 64 * number + 32 * half;
                std::array::from_fn(|group| Montgomery::represent(modulus, heap[first + 4 * group]))
            }),
        };
        let imaginary_unit = modulus.mul(eighth_root, eighth_root);
        Self {
            nodes: heap[..leaves].iter().map(|&value| factor(value)).collect(),
            leaves: (0..leaves).map(leaf).collect(),
            imaginary_unit: factor(imaginary_unit),
            eighth_roots: [factor(eighth_root), factor(modulus.mul(eighth_root, imaginary_unit))],
        }
    }

    /// Replaces the root's factor.
    fn set_root(&mut self, factor: Factor) {
        match self.nodes.get_mut(ROOT) {
            Some(root) => *root = factor,
            None => self.leaves[0].nodes[ROOT] = factor,
        }
    }
}

/// What derives the factors of a leaf's last three layers.
struct Derivation {
    lanes: Lanes,
    montgomery: Montgomery,
    imaginary_unit: LaneFactor,
    eighth_roots: [LaneFactor; 2],
}

impl Derivation {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn new(modulus: &Modulus, direction: &Direction) -> Self {
        let [third, fourth] = &direction.eighth_roots;
        Self {
            lanes: Lanes::new(modulus),
            montgomery: Montgomery::new(modulus),
            imaginary_unit: LaneFactor::broadcast(&direction.imaginary_unit),
            eighth_roots: [LaneFactor::broadcast(third), LaneFactor::broadcast(fourth)],
        }
    }

    /// The factors of a half leaf's nodes of eight, four and two words, a heap without its unused first position.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn factors(&self, roots: &[u64; 8]) -> [__m512i; 7] {
        // SAFETY: eight words.
        let g = unsafe { load(roots.as_ptr()) };
        let square = self.montgomery.multiply(g, g);
        let constant = |x, factor| self.lanes.multiply_constant(x, factor);
        [
            self.montgomery.multiply(square, square),
            square,
            constant(square, self.imaginary_unit),
            g,
            constant(g, self.imaginary_unit),
            constant(g, self.eighth_roots[0]),
            constant(g, self.eighth_roots[1]),
        ]
    }
}

/// Layers of the first pass over a node with `layers` layers above the leaves.
const fn pass_layers(layers: u32) -> u32 {
    match layers {
        1..=4 => layers,
        5 | 6 => 3,
        _ => 4,
    }
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

    /// Residues of `0..p` in and out, in place.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn forward(&self, words: &mut [u64]) {
        self.forward_with(words, None);
    }

    /// As [`Self::forward`], but writes past the caches to other words and leaves `words` undefined. False, with nothing
    /// written, if `out` is not aligned to 64 bytes.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn forward_into_memory(&self, words: &mut [u64], out: &mut [u64]) -> bool {
        let aligned = (out.as_ptr() as usize).is_multiple_of(64);
        if aligned {
            assert_eq!(out.len(), words.len());
            self.forward_with(words, Some(out));
            // Streamed stores are ordered by nothing but this.
            _mm_sfence();
        }
        aligned
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn forward_with(&self, words: &mut [u64], out: Option<&mut [u64]>) {
        assert!(words.len() == LEAF * self.forward.leaves.len());
        if self.modulus.bits() <= UNREDUCED_FORWARD_BITS {
            Forward::<false>::new(self).node(words, out, ROOT);
        } else {
            Forward::<true>::new(self).node(words, out, ROOT);
        }
    }

    /// Residues of `0..p` in and out, multiplied by the normalisation.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn inverse(&self, words: &mut [u64]) {
        assert!(words.len() == LEAF * self.inverse.leaves.len());
        let layers = words.len().ilog2().saturating_sub(LOG_LEAF).max(LOG_LEAF - 1);
        if layers <= unreduced_inverse_layers(&self.modulus) {
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

/// One layer of butterflies on `$radix` vectors, pairs `$half` apart, with the factors of consecutive nodes.
macro_rules! layer {
    ($self:ident.$butterfly:ident, $x:ident, $radix:literal, $half:literal, $factors:expr, $load:path) => {
        let factors: &[_; $radix / 2 / $half] = $factors;
        for (node, factor) in factors.iter().enumerate() {
            let factor = $load(factor);
            for i in 2 * $half * node..2 * $half * node + $half {
                ($x[i], $x[i + $half]) = $self.$butterfly($x[i], $x[i + $half], factor);
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
            $(layer!($self.butterfly, x, $radix, $half, consecutive($self.nodes, $index * ($radix / 2 / $half)), LaneFactor::broadcast);)+
            $self.finish_pass(&mut x, $index);
            for (i, &x) in x.iter().enumerate() {
                // SAFETY: as above.
                unsafe { store(start.add(i * stride + column), x) };
            }
        }
    }};
}

/// Three layers on half a leaf, whose words are transposed.
macro_rules! leaf_layers {
    ($self:ident, $x:ident, $roots:expr, $($half:literal)+) => {{
        let factors = $self.derivation.factors($roots);
        let mut x = transpose($x);
        $(layer!($self.leaf_butterfly, x, 8, $half, consecutive(&factors, 4 / $half - 1), Clone::clone);)+
        x
    }};
}

/// Coefficients to values. `REDUCE`: values are kept below `4p`; otherwise they grow by `2p` per layer, which primes of
/// at most [`UNREDUCED_FORWARD_BITS`] bits have room for.
struct Forward<'a, const REDUCE: bool> {
    lanes: Lanes,
    reduction: WideReduction,
    nodes: &'a [Factor],
    leaves: &'a [Leaf],
    derivation: Derivation,
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
            derivation: Derivation::new(&transform.modulus, &transform.forward),
        }
    }

    /// Finishes the node at heap position `index`: in place, or past the caches into `out`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn node(&self, words: &mut [u64], out: Option<&mut [u64]>, index: usize) {
        if words.len() == LEAF {
            return self.leaf(words, out, index);
        }
        let layers = pass_layers(words.len().ilog2() - LOG_LEAF);
        match layers {
            1 => pass!(self, words, index, 2, 1),
            2 => pass!(self, words, index, 4, 2 1),
            3 => pass!(self, words, index, 8, 4 2 1),
            _ => pass!(self, words, index, 16, 8 4 2 1),
        }
        let len = words.len() >> layers;
        let children = (index << layers..).zip(words.chunks_exact_mut(len));
        match out {
            None => children.for_each(|(index, child)| self.node(child, None, index)),
            Some(out) => children
                .zip(out.chunks_exact_mut(len))
                .for_each(|((index, child), out)| self.node(child, Some(out), index)),
        }
    }

    /// The last seven layers of 128 words.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn leaf(&self, words: &mut [u64], out: Option<&mut [u64]>, index: usize) {
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
        let x = joined(transpose(low), transpose(high));
        match out {
            // SAFETY: sixteen vectors of eight words make a leaf.
            None => x.iter().enumerate().for_each(|(i, &x)| unsafe { store(words.as_mut_ptr().add(8 * i), x) }),
            Some(out) => {
                let out: &mut [u64; LEAF] = out.try_into().expect("a leaf has 128 words");
                // SAFETY: as above; `forward_into_memory` checked the alignment.
                x.iter().enumerate().for_each(|(i, &x)| unsafe { stream(out.as_mut_ptr().add(8 * i), x) });
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn butterfly(&self, x: __m512i, y: __m512i, factor: LaneFactor) -> (__m512i, __m512i) {
        let Lanes { double, negated, mask, .. } = self.lanes;
        let x = if REDUCE { reduce_once(x, double) } else { x };
        // With y w = quotient p + r: x + r, accumulated modulo 2^52, and x - r + 2p as 2x + 2p - (x + r).
        let quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), y, factor.quotient);
        let sum = _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(x, y, factor.value), quotient, negated);
        let sum = if REDUCE { _mm512_and_si512(sum, mask) } else { sum };
        let twice = _mm512_add_epi64(_mm512_add_epi64(x, x), double);
        (sum, _mm512_sub_epi64(twice, sum))
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

/// Values to coefficients. `REDUCE`: values are kept below `2p`; otherwise the bound doubles in every layer of a leaf,
/// and again in every layer above the leaves.
struct Inverse<'a, const REDUCE: bool> {
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
    fn new(transform: &'a IfmaTransform) -> Self {
        let modulus = &transform.modulus;
        let lanes = Lanes::new(modulus);
        let offset = _mm512_set1_epi64((modulus.value() << unreduced_inverse_layers(modulus)) as i64);
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
        let Lanes { double, negated, mask, .. } = self.lanes;
        let sum = _mm512_add_epi64(x, y);
        let sum = if REDUCE { reduce_once(sum, double) } else { sum };
        let difference = _mm512_sub_epi64(_mm512_add_epi64(x, self.offset), y);
        let zero = _mm512_setzero_si512();
        let quotient = _mm512_madd52hi_epu64(zero, difference, factor.quotient);
        let product = _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(zero, difference, factor.value), quotient, negated);
        (sum, if REDUCE { _mm512_and_si512(product, mask) } else { product })
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

#[inline(always)]
fn halves([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: [__m512i; 16]) -> [[__m512i; 8]; 2] {
    [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]]
}

#[inline(always)]
fn joined([a, b, c, d, e, f, g, h]: [__m512i; 8], [i, j, k, l, m, n, o, p]: [__m512i; 8]) -> [__m512i; 16] {
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}
