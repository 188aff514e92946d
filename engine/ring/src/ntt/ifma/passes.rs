//! What both directions are made of: layers of butterflies on vectors in registers.
//!
//! Macros, because a function call would put the vectors into memory.

use std::arch::x86_64::*;

use crate::lanes::{LaneFactor, Lanes, reduce_once};

/// Layers of the first pass over a node with `layers` layers above the leaves: three, whose eight rows, a power of two apart, fit into
/// one set of a first-level cache of eight ways; four where they finish a small node.
pub(super) const fn pass_layers(layers: u32) -> u32 {
    match layers {
        1..=4 => layers,
        _ => 3,
    }
}

/// `x + y w` and `x - y w + 2p`. `REDUCE`: both below `4p`, as `x` and `y` are; otherwise `2p` more than those.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn forward_butterfly<const REDUCE: bool>(
    lanes: &Lanes,
    x: __m512i,
    y: __m512i,
    factor: LaneFactor,
) -> (__m512i, __m512i) {
    let &Lanes { double, negated, mask, .. } = lanes;
    let x = if REDUCE { reduce_once(x, double) } else { x };
    // With y w = quotient p + r: x + r, accumulated modulo 2^52, and x - r + 2p as 2x + 2p - (x + r).
    let quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), y, factor.quotient);
    let sum = _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(x, y, factor.value), quotient, negated);
    let sum = if REDUCE { _mm512_and_si512(sum, mask) } else { sum };
    let twice = _mm512_add_epi64(_mm512_add_epi64(x, x), double);
    (sum, _mm512_sub_epi64(twice, sum))
}

/// `x + y` and `(x - y) w`, for `y` at most `offset`, a multiple of `p`. `REDUCE`: both below `2p`, as `x` and `y` are; otherwise the bound
/// of the sum doubles.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn inverse_butterfly<const REDUCE: bool>(
    lanes: &Lanes,
    offset: __m512i,
    x: __m512i,
    y: __m512i,
    factor: LaneFactor,
) -> (__m512i, __m512i) {
    let &Lanes { double, negated, mask, .. } = lanes;
    let sum = _mm512_add_epi64(x, y);
    let sum = if REDUCE { reduce_once(sum, double) } else { sum };
    let difference = _mm512_sub_epi64(_mm512_add_epi64(x, offset), y);
    let zero = _mm512_setzero_si512();
    let quotient = _mm512_madd52hi_epu64(zero, difference, factor.quotient);
    let product = _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(zero, difference, factor.value), quotient, negated);
    (sum, if REDUCE { _mm512_and_si512(product, mask) } else { product })
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
pub(super) fn consecutive<const COUNT: usize, T>(heap: &[T], index: usize) -> &[T; COUNT] {
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

#[inline(always)]
pub(super) fn halves([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: [__m512i; 16]) -> [[__m512i; 8]; 2] {
    [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]]
}

#[inline(always)]
pub(super) fn joined([a, b, c, d, e, f, g, h]: [__m512i; 8], [i, j, k, l, m, n, o, p]: [__m512i; 8]) -> [__m512i; 16] {
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

pub(super) use {layer, leaf_layers, pass};
