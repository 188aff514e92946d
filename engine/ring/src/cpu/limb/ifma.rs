//! The loops in vectors of eight, on AVX-512 IFMA. Lengths that are no multiple of eight go through a padded copy.

use std::arch::x86_64::*;

use super::portable;
use crate::{
    Modulus,
    cpu::base_conversion::OverflowRule,
    galois_table::{BLOCK, GaloisTable},
    lanes::{Factor, LaneFactor, Lanes, WideReduction, WideSum, load, store},
};

/// Words per vector.
const WIDTH: usize = 8;

/// Applies `f` to vectors of a target and of sources of the same length, in place.
#[inline]
#[target_feature(enable = "avx512f")]
fn update<const N: usize>(target: &mut [u64], sources: [&[u64]; N], f: impl Fn(__m512i, [__m512i; N]) -> __m512i) {
    assert!(sources.iter().all(|source| source.len() == target.len()));
    let vectors = target.len() / WIDTH * WIDTH;
    for i in (0..vectors).step_by(WIDTH) {
        // SAFETY: i + 8 is within all slices, which have the target's length.
        unsafe {
            let mut y = [_mm512_setzero_si512(); N];
            for (y, source) in y.iter_mut().zip(&sources) {
                *y = load(source.as_ptr().add(i));
            }
            let target = target.as_mut_ptr().add(i);
            store(target, f(load(target), y));
        }
    }
    if vectors < target.len() {
        let rest = target.len() - vectors;
        let padded = |words: &[u64]| {
            let mut padded = [0; WIDTH];
            padded[..rest].copy_from_slice(&words[vectors..]);
            padded
        };
        let mut last = padded(target);
        // SAFETY: padded copies have eight words.
        unsafe {
            let mut y = [_mm512_setzero_si512(); N];
            for (y, source) in y.iter_mut().zip(&sources) {
                *y = load(padded(source).as_ptr());
            }
            let x = f(load(last.as_ptr()), y);
            store(last.as_mut_ptr(), x);
        }
        target[vectors..].copy_from_slice(&last[..rest]);
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn add_assign(m: &Modulus, target: &mut [u64], other: &[u64]) {
    let lanes = Lanes::new(m);
    update(target, [other], |x, [y]| lanes.add(x, y));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn subtract_assign(m: &Modulus, target: &mut [u64], other: &[u64]) {
    let lanes = Lanes::new(m);
    update(target, [other], |x, [y]| lanes.sub(x, y));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn negate(m: &Modulus, target: &mut [u64]) {
    let lanes = Lanes::new(m);
    update(target, [], |x, []| lanes.sub(_mm512_setzero_si512(), x));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn multiply(m: &Modulus, out: &mut [u64], left: &[u64], right: &[u64]) {
    let reduction = WideReduction::new(m);
    update(out, [left, right], |_, [y, z]| {
        let mut sum = WideSum::zero();
        sum.add_product(y, z);
        reduction.reduce(sum)
    });
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn multiply_accumulate(m: &Modulus, target: &mut [u64], left: &[u64], right: &[u64]) {
    let reduction = WideReduction::new(m);
    update(target, [left, right], |x, [y, z]| {
        let mut sum = WideSum::from(x);
        sum.add_product(y, z);
        reduction.reduce(sum)
    });
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn scale(m: &Modulus, target: &mut [u64], constant: u64) {
    let lanes = Lanes::new(m);
    let constant = LaneFactor::broadcast(&Factor::new(m, constant));
    update(target, [], |x, []| lanes.multiply_constant(x, constant));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn scale_into(m: &Modulus, out: &mut [u64], source: &[u64], constant: u64) {
    let lanes = Lanes::new(m);
    let constant = LaneFactor::broadcast(&Factor::new(m, constant));
    update(out, [source], |_, [y]| lanes.multiply_constant(y, constant));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn add_constant(m: &Modulus, target: &mut [u64], constant: u64) {
    let lanes = Lanes::new(m);
    let constant = _mm512_set1_epi64(constant as i64);
    update(target, [], |x, []| lanes.add(x, constant));
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn subtract_from_and_scale(m: &Modulus, target: &mut [u64], minuend: &[u64], constant: u64) {
    let lanes = Lanes::new(m);
    let constant = LaneFactor::broadcast(&Factor::new(m, constant));
    // y + p - x < 2p needs no reduction before the product.
    update(target, [minuend], |x, [y]| {
        lanes.multiply_constant(_mm512_sub_epi64(_mm512_add_epi64(y, lanes.p), x), constant)
    });
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn tensor(m: &Modulus, out: [&mut [u64]; 3], left: [&[u64]; 2], right: [&[u64]; 2]) {
    let [constant, linear, quadratic] = out;
    let len = constant.len();
    if !len.is_multiple_of(WIDTH) {
        return portable::tensor(m, [constant, linear, quadratic], left, right);
    }
    assert!(linear.len() == len && quadratic.len() == len);
    assert!(left.iter().chain(&right).all(|half| half.len() == len));
    let reduction = WideReduction::new(m);
    let product = |pairs: &[(__m512i, __m512i)]| {
        let mut sum = WideSum::zero();
        pairs.iter().for_each(|&(x, y)| sum.add_product(x, y));
        reduction.reduce(sum)
    };
    for i in (0..len).step_by(WIDTH) {
        // SAFETY: i + 8 is within every slice, as asserted.
        unsafe {
            let [xb, xa] = left.map(|half| load(half.as_ptr().add(i)));
            let [yb, ya] = right.map(|half| load(half.as_ptr().add(i)));
            store(constant.as_mut_ptr().add(i), product(&[(xb, yb)]));
            store(linear.as_mut_ptr().add(i), product(&[(xb, ya), (xa, yb)]));
            store(quadratic.as_mut_ptr().add(i), product(&[(xa, ya)]));
        }
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn linear_combination(m: &Modulus, out: &mut [u64], terms: &[&[u64]], constants: &[u64]) {
    /// Vectors at a time: as many as share each load of a constant.
    const UNROLL: usize = 4;
    let len = out.len();
    if !len.is_multiple_of(UNROLL * WIDTH) {
        return portable::linear_combination(m, out, terms, constants);
    }
    assert!(terms.len() == constants.len() && terms.iter().all(|term| term.len() == len));
    let reduction = WideReduction::new(m);
    let capacity = WideReduction::capacity(m);
    for i in (0..len).step_by(UNROLL * WIDTH) {
        let mut sums = [WideSum::zero(); UNROLL];
        for (index, (term, &constant)) in terms.iter().zip(constants).enumerate() {
            if index > 0 && index.is_multiple_of(capacity) {
                sums = sums.map(|sum| WideSum::from(reduction.reduce(sum)));
            }
            let constant = _mm512_set1_epi64(constant as i64);
            for (j, sum) in sums.iter_mut().enumerate() {
                // SAFETY: i + 32 is within every slice, as asserted.
                sum.add_product(unsafe { load(term.as_ptr().add(i + j * WIDTH)) }, constant);
            }
        }
        for (j, &sum) in sums.iter().enumerate() {
            // SAFETY: as above.
            unsafe { store(out.as_mut_ptr().add(i + j * WIDTH), reduction.reduce(sum)) };
        }
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn count_overflow(m: &Modulus, out: &mut [u64], scaled: &[&[u64]], rule: &OverflowRule) {
    let OverflowRule::FixedPoint { multipliers, fraction_bits } = rule else {
        return portable::count_overflow(m, out, scaled, rule);
    };
    let len = out.len();
    if !len.is_multiple_of(WIDTH) {
        return portable::count_overflow(m, out, scaled, rule);
    }
    assert!(scaled.iter().all(|limb| limb.len() == len));
    let half = _mm512_set1_epi64(1 << (fraction_bits - 1));
    let shift = _mm_cvtsi64_si128(*fraction_bits as i64);
    for i in (0..len).step_by(WIDTH) {
        let mut sum = half;
        for (limb, &multiplier) in scaled.iter().zip(multipliers) {
            // SAFETY: i + 8 is within every slice, as asserted.
            let y = unsafe { load(limb.as_ptr().add(i)) };
            sum = _mm512_madd52hi_epu64(sum, y, _mm512_set1_epi64(multiplier as i64));
        }
        // SAFETY: as above.
        unsafe { store(out.as_mut_ptr().add(i), _mm512_srl_epi64(sum, shift)) };
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn permute(m: &Modulus, out: &mut [u64], source: &[u64], table: &GaloisTable) {
    if out.len() < BLOCK {
        return portable::permute(m, out, source, table);
    }
    let permutations = table.permutations();
    for (out, (from, permutation)) in out.chunks_exact_mut(BLOCK).zip(table.moves()) {
        let source = &source[from * BLOCK..][..BLOCK];
        // SAFETY: all three have eight words.
        unsafe {
            let order = load(permutations[permutation].as_ptr());
            store(out.as_mut_ptr(), _mm512_permutexvar_epi64(order, load(source.as_ptr())));
        }
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn permute_accumulate(m: &Modulus, target: &mut [u64], source: &[u64], start: usize, table: &GaloisTable) {
    if source.len() < BLOCK {
        return portable::permute_accumulate(m, target, source, start, table);
    }
    assert!(start + target.len() <= source.len());
    let lanes = Lanes::new(m);
    let permutations = table.permutations();
    for (i, target) in target.chunks_exact_mut(BLOCK).enumerate() {
        let (from, permutation) = table.source(start / BLOCK + i);
        let source = &source[from * BLOCK..][..BLOCK];
        // SAFETY: all three have eight words.
        unsafe {
            let order = load(permutations[permutation].as_ptr());
            let rotated = _mm512_permutexvar_epi64(order, load(source.as_ptr()));
            store(target.as_mut_ptr(), lanes.add(load(target.as_ptr()), rotated));
        }
    }
}
