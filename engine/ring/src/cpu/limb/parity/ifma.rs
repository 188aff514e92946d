//! In vectors of eight, on AVX-512 IFMA: vector `j` and the mirrored vector `N/8 - 1 - j` of the cyclotomic ring meet the vectors
//! `2j` and `2j + 1` of the conjugate-invariant one.

use std::arch::x86_64::*;

use super::{EvenPoints, portable};
use crate::{
    Modulus,
    lanes::{Factor, LaneFactor, Lanes, WideReduction, WideSum, read, write},
};

/// Words of a vector.
const WIDTH: usize = 8;

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn trace(m: &Modulus, out: &mut [u64], even: &[u64], odd: &[u64], turned: bool, table: &EvenPoints) {
    if out.len() < 2 * WIDTH {
        return portable::trace(m, out, even, odd, turned, table);
    }
    let (lanes, reduction) = (Lanes::new(m), WideReduction::new(m));
    let unit = LaneFactor::broadcast(&Factor::new(m, table.imaginary_unit));
    let [even, odd] = [even, odd].map(vectors);
    let last = even.len() - 1;
    let pairs = out.as_chunks_mut().0.as_chunks_mut().0;
    let points = vectors(&table.points).iter().zip(vectors(&table.inverses));
    for (j, ([first, second], (points, inverses))) in pairs.iter_mut().zip(points).enumerate() {
        let (a, mirrored_a) = (read(&even[j]), reverse(read(&even[last - j])));
        let (b, mirrored_b) = (read(&odd[j]), reverse(read(&odd[last - j])));
        // Minus the mirrored word where the parts are turned: p - y of a reduced y is a factor below 2^52.
        let mirrored_b = if turned { _mm512_sub_epi64(lanes.p, mirrored_b) } else { mirrored_b };
        let mut sum = WideSum::zero();
        sum.add_product(read(points), b);
        sum.add_product(read(inverses), mirrored_b);
        let (mut fixed, mut signed) = (lanes.add(a, mirrored_a), reduction.reduce(sum));
        if turned {
            fixed = lanes.multiply_constant(lanes.sub(a, mirrored_a), unit);
            signed = lanes.multiply_constant(signed, unit);
        }
        let (at_points, at_negatives) = (lanes.add(fixed, signed), lanes.sub(fixed, signed));
        let [low, high] = interleaved(at_points, at_negatives);
        write(first, low);
        write(second, high);
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn parity_split(m: &Modulus, even: &mut [u64], odd: &mut [u64], source: &[u64], table: &EvenPoints) {
    if source.len() < 2 * WIDTH {
        return portable::parity_split(m, even, odd, source, table);
    }
    let (lanes, reduction) = (Lanes::new(m), WideReduction::new(m));
    let half = LaneFactor::broadcast(&Factor::new(m, table.half));
    let product = |x, y| {
        let mut sum = WideSum::zero();
        sum.add_product(x, y);
        reduction.reduce(sum)
    };
    let [even, odd] = [even, odd].map(|words| words.as_chunks_mut().0);
    let last = even.len() - 1;
    let points = vectors(&table.points).iter().zip(vectors(&table.inverses));
    let pairs = vectors(source).as_chunks().0;
    for (j, ([first, second], (points, inverses))) in pairs.iter().zip(points).enumerate() {
        let [at_points, at_negatives] = separated(read(first), read(second));
        let sum = lanes.multiply_constant(lanes.add(at_points, at_negatives), half);
        let difference = lanes.multiply_constant(lanes.sub(at_points, at_negatives), half);
        write(&mut even[j], sum);
        write(&mut even[last - j], reverse(sum));
        write(&mut odd[j], product(difference, read(inverses)));
        write(&mut odd[last - j], reverse(product(difference, read(points))));
    }
}

/// Words in vectors, of which there is a whole number.
fn vectors(words: &[u64]) -> &[[u64; WIDTH]] {
    words.as_chunks().0
}

#[inline]
#[target_feature(enable = "avx512f")]
fn reverse(x: __m512i) -> __m512i {
    _mm512_permutexvar_epi64(_mm512_set_epi64(0, 1, 2, 3, 4, 5, 6, 7), x)
}

/// `x_0, y_0, x_1, y_1, ..`
#[inline]
#[target_feature(enable = "avx512f")]
fn interleaved(x: __m512i, y: __m512i) -> [__m512i; 2] {
    let low = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0);
    let high = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
    [_mm512_permutex2var_epi64(x, low, y), _mm512_permutex2var_epi64(x, high, y)]
}

/// The inverse of [`interleaved`].
#[inline]
#[target_feature(enable = "avx512f")]
fn separated(first: __m512i, second: __m512i) -> [__m512i; 2] {
    let even = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
    let odd = _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1);
    [_mm512_permutex2var_epi64(first, even, second), _mm512_permutex2var_epi64(first, odd, second)]
}
