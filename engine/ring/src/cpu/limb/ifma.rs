//! The loops in vectors of eight, on AVX-512 IFMA. Lengths that are no multiple of eight go through a padded copy.

use std::arch::x86_64::*;

use super::portable;
use crate::{
    Modulus,
    cpu::base_conversion::OverflowRule,
    galois_table::{BLOCK, GaloisTable},
    lanes::{Factor, LaneFactor, Lanes, WideReduction, WideSum, load, read, reduce_once, store, write},
};

/// Words per vector.
const WIDTH: usize = 8;

/// Applies `f` to vectors of a target and of sources of the same length, in place.
#[inline]
#[target_feature(enable = "avx512f")]
fn update<const N: usize>(target: &mut [u64], sources: [&[u64]; N], f: impl Fn(__m512i, [__m512i; N]) -> __m512i) {
    assert!(sources.iter().all(|source| source.len() == target.len()));
    let (vectors, rest) = target.as_chunks_mut::<WIDTH>();
    let source_vectors = sources.map(|source| &source.as_chunks::<WIDTH>().0[..vectors.len()]);
    for (i, target) in vectors.iter_mut().enumerate() {
        write(target, f(read(target), source_vectors.map(|source| read(&source[i]))));
    }
    if !rest.is_empty() {
        let padded = |words: &[u64]| {
            let mut padded = [0; WIDTH];
            padded[..rest.len()].copy_from_slice(&words[words.len() - rest.len()..]);
            read(&padded)
        };
        let mut last = [0; WIDTH];
        write(&mut last, f(padded(rest), sources.map(padded)));
        rest.copy_from_slice(&last[..rest.len()]);
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
    let len = out[0].len();
    if !len.is_multiple_of(WIDTH) {
        return portable::tensor(m, out, left, right);
    }
    let reduction = WideReduction::new(m);
    let product = |pairs: &[(__m512i, __m512i)]| {
        let mut sum = WideSum::zero();
        pairs.iter().for_each(|&(x, y)| sum.add_product(x, y));
        reduction.reduce(sum)
    };
    let vectors = len / WIDTH;
    let [constant, linear, quadratic] = out.map(|part| &mut part.as_chunks_mut::<WIDTH>().0[..vectors]);
    let [[xb, xa], [yb, ya]] = [left, right].map(|halves| halves.map(|half| &half.as_chunks::<WIDTH>().0[..vectors]));
    for i in 0..vectors {
        let [xb, xa, yb, ya] = [xb, xa, yb, ya].map(|half| read(&half[i]));
        write(&mut constant[i], product(&[(xb, yb)]));
        write(&mut linear[i], product(&[(xb, ya), (xa, yb)]));
        write(&mut quadratic[i], product(&[(xa, ya)]));
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
pub(super) fn reversed_integers(m: &Modulus, out: &mut [u64], integers: &[i16], negated: bool) {
    assert_eq!(out.len(), integers.len());
    // One addition brings a negative weight into `0..p`.
    if m.value() <= 1 << 15 {
        return portable::reversed_integers(m, out, integers, negated);
    }
    let p = _mm512_set1_epi64(m.value() as i64);
    let reverse = _mm512_set_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    let residues = |source: &[i16; WIDTH]| {
        // SAFETY: eight integers are 16 bytes; the load is unaligned.
        let source = unsafe { _mm_loadu_si128(source.as_ptr().cast()) };
        let x = _mm512_permutexvar_epi64(reverse, _mm512_cvtepi16_epi64(source));
        let x = if negated { _mm512_sub_epi64(_mm512_setzero_si512(), x) } else { x };
        // Negative numbers are large without a sign, and small again with p.
        _mm512_min_epu64(x, _mm512_add_epi64(x, p))
    };
    // Vectors end where the target does, which is where lines of memory end.
    let (rest, vectors) = out.as_rchunks_mut::<WIDTH>();
    let (sources, last) = integers.as_chunks::<WIDTH>();
    for (target, source) in vectors.iter_mut().rev().zip(sources) {
        write(target, residues(source));
    }
    if !rest.is_empty() {
        let (mut source, mut target) = ([0; WIDTH], [0; WIDTH]);
        source[..last.len()].copy_from_slice(last);
        write(&mut target, residues(&source));
        rest.copy_from_slice(&target[WIDTH - last.len()..]);
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

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn lift_centred(m: &Modulus, out: &mut [u64], source: &[u64], half: u64, negated: u64) {
    let (lanes, reduction) = (Lanes::new(m), WideReduction::new(m));
    let [half, negated] = [half, negated].map(|word| _mm512_set1_epi64(word as i64));
    update(out, [source], |_, [x]| {
        let residue = reduce_once(reduction.reduce_word_lazy(x), lanes.p);
        lanes.add(residue, _mm512_maskz_mov_epi64(_mm512_cmpgt_epu64_mask(x, half), negated))
    });
}

#[target_feature(enable = "avx512f")]
pub(super) fn permute(m: &Modulus, out: &mut [u64], source: &[u64], table: &GaloisTable) {
    if out.len() < BLOCK {
        return portable::permute(m, out, source, table);
    }
    let blocks = source.as_chunks().0;
    let permutations = table.permutations();
    for (out, (from, permutation)) in out.as_chunks_mut().0.iter_mut().zip(table.moves()) {
        write(out, _mm512_permutexvar_epi64(read(&permutations[permutation]), read(&blocks[from])));
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn permute_accumulate(m: &Modulus, target: &mut [u64], source: &[u64], start: usize, table: &GaloisTable) {
    if source.len() < BLOCK {
        return portable::permute_accumulate(m, target, source, start, table);
    }
    let lanes = Lanes::new(m);
    let blocks = source.as_chunks().0;
    let permutations = table.permutations();
    for (i, target) in target.as_chunks_mut().0.iter_mut().enumerate() {
        let (from, permutation) = table.source(start / BLOCK + i);
        let rotated = _mm512_permutexvar_epi64(read(&permutations[permutation]), read(&blocks[from]));
        write(target, lanes.add(read(target), rotated));
    }
}
