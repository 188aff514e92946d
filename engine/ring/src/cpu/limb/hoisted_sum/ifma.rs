//! In vectors of eight, on AVX-512 IFMA. Sums stay unreduced, in two halves of 64 bits, for as long as they have room.

use std::arch::x86_64::*;

use super::{BLOCK, HALVES, HoistedAutomorphism, HoistedLimb, block_words, portable};
use crate::{
    Modulus,
    lanes::{WideReduction, WideSum, load, prefetch_line, read, store, write},
};

/// Most rows of a key that are held in registers.
const MAX_ROWS: usize = 6;

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn hoisted_sums(
    m: &Modulus,
    targets: &mut [Vec<[&mut [u64]; 2]>],
    start: usize,
    inputs: &[HoistedLimb<'_>],
    automorphisms: &[HoistedAutomorphism<'_>],
    scratch: &mut [u64],
) {
    let Some(sums) = targets.first().map(Vec::len).filter(|&sums| sums > 0) else { return };
    let len = targets[0][0][0].len();
    let capacity = WideReduction::capacity(m);
    let fits = |automorphism: &HoistedAutomorphism<'_>| {
        automorphism.rows.len() <= MAX_ROWS && automorphism.most_factors_of_a_sum(sums) <= capacity
    };
    if !len.is_multiple_of(BLOCK) || !automorphisms.iter().all(fits) {
        return portable::hoisted_sums(m, targets, start, inputs, automorphisms, scratch);
    }
    assert!(targets.len() == inputs.len() && targets.iter().all(|targets| targets.len() == sums));
    assert!(targets.iter().flatten().flatten().all(|target| target.len() == len));
    assert_limbs(start, len, sums, inputs, automorphisms);

    let words = block_words(sums).min(len);
    let scratch = &mut scratch[..HALVES * words * sums];
    for offset in (0..len).step_by(words) {
        let block = Block { reduction: WideReduction::new(m), start: start + offset, len: words, sums, capacity };
        for (index, (targets, input)) in targets.iter_mut().zip(inputs).enumerate() {
            // The first input brings the keys into the second-level cache for the others.
            block.accumulate(scratch, input, automorphisms, index == 0);
            block.finish(targets, offset, scratch);
        }
    }
}

/// What [`Block::add`] relies on: every limb has as many words as every table permutes, the block `start .. start + len` is among
/// them and starts a block of [`BLOCK`], factors go to sums that exist, and keys have a row for each digit.
fn assert_limbs(
    start: usize,
    len: usize,
    sums: usize,
    inputs: &[HoistedLimb<'_>],
    automorphisms: &[HoistedAutomorphism<'_>],
) {
    let degree = inputs.iter().find_map(|input| input.digits.first()).map_or(0, |digit| digit.len());
    assert!(start.is_multiple_of(BLOCK) && len.is_multiple_of(BLOCK) && start + len <= degree);
    for input in inputs {
        assert!(input.digits.iter().all(|words| words.len() == degree));
        assert!(input.ciphertext.iter().flatten().all(|(words, _)| words.len() == degree));
    }
    for automorphism in automorphisms {
        assert!(automorphism.table.is_none_or(|table| table.blocks() * BLOCK == degree));
        assert!(automorphism.rows.iter().flatten().all(|words| words.len() == degree));
        assert!(automorphism.factors.iter().all(|&(sum, words)| sum < sums && words.len() == degree));
        let rows = automorphism.rows.len();
        let keyed = rows > 0 && inputs.iter().all(|input| input.digits.len() == rows);
        assert!(if automorphism.table.is_some() { keyed } else { rows == 0 });
    }
}

/// The automorphism after the current one, with the word of the result that it goes on with.
struct Next<'a> {
    automorphism: &'a HoistedAutomorphism<'a>,
    start: usize,
    /// Whether its key and factors are not yet in the second-level cache.
    with_key: bool,
}

impl Next<'_> {
    /// Asks for what it needs at word `i` of its block: pieces of some hundred bytes each, all over the limbs, which no hardware
    /// foresees.
    #[inline(always)]
    fn prefetch(&self, i: usize, input: &HoistedLimb<'_>) {
        let source = self.automorphism.first_word((self.start + i) / BLOCK);
        for words in &input.digits[..self.automorphism.rows.len()] {
            prefetch_line(words, source);
        }
        if let Some((words, _)) = input.ciphertext[0] {
            prefetch_line(words, source);
        }
        if self.with_key {
            for [b, a] in &self.automorphism.rows {
                prefetch_line(b, source);
                prefetch_line(a, source);
            }
            for (_, words) in &self.automorphism.factors {
                prefetch_line(words, self.start + i);
            }
        }
    }
}

/// One block of the result.
struct Block {
    reduction: WideReduction,
    start: usize,
    len: usize,
    sums: usize,
    /// Products that a lazy sum holds.
    capacity: usize,
}

impl Block {
    /// Accumulates all sums of one input.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn accumulate(
        &self,
        scratch: &mut [u64],
        input: &HoistedLimb<'_>,
        automorphisms: &[HoistedAutomorphism<'_>],
        first_input: bool,
    ) {
        scratch.fill(0);
        let mut held = 0;
        for (index, automorphism) in automorphisms.iter().enumerate() {
            let added = automorphism.most_factors_of_a_sum(self.sums);
            if held + added > self.capacity {
                self.reduce_sums(scratch);
                held = 0;
            }
            held += added;
            // After the last automorphism of a block comes the first of the next block.
            let next = match automorphisms.get(index + 1) {
                Some(next) => Next { automorphism: next, start: self.start, with_key: first_input },
                None => Next { automorphism: &automorphisms[0], start: self.start + self.len, with_key: first_input },
            };
            match automorphism.rows.len() {
                0 => self.add::<0>(scratch, input, automorphism, &next),
                1 => self.add::<1>(scratch, input, automorphism, &next),
                2 => self.add::<2>(scratch, input, automorphism, &next),
                3 => self.add::<3>(scratch, input, automorphism, &next),
                4 => self.add::<4>(scratch, input, automorphism, &next),
                5 => self.add::<5>(scratch, input, automorphism, &next),
                6 => self.add::<6>(scratch, input, automorphism, &next),
                rows => unreachable!("dispatched for at most {MAX_ROWS} rows, not {rows}"),
            }
        }
    }

    /// Adds what one automorphism contributes, and asks for the operands of the next one.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn add<const ROWS: usize>(
        &self,
        scratch: &mut [u64],
        input: &HoistedLimb<'_>,
        automorphism: &HoistedAutomorphism<'_>,
        next: &Next<'_>,
    ) {
        let rows: &[[&[u64]; 2]; ROWS] =
            automorphism.rows.as_slice().try_into().expect("dispatched by the number of rows");
        let digits: &[&[u64]] = &input.digits[..ROWS];
        for i in (0..self.len).step_by(BLOCK) {
            next.prefetch(i, input);
            let (source, order) = automorphism.source((self.start + i) / BLOCK);
            // Loops instead of iterator adaptors: vectors stay in registers only where everything is inlined.
            // SAFETY: `assert_limbs` made sure that the vector at `start + i` is within every limb, and so is that at `source`, to
            // which a table of as many blocks sends it. Accumulator `sum` is one of those in the scratch space, and
            // i + 8 <= len.
            unsafe {
                let mut key = [[_mm512_setzero_si512(); 2]; ROWS];
                for (key, row) in key.iter_mut().zip(rows) {
                    *key = [load(row[0].as_ptr().add(source)), load(row[1].as_ptr().add(source))];
                }
                let [mut b, mut a] = [WideSum::zero(); 2];
                if let Some((words, factor)) = input.ciphertext[0] {
                    b.add_product(load(words.as_ptr().add(source)), _mm512_set1_epi64(factor as i64));
                }
                // Only the identity, which has no key, passes the second half on.
                if ROWS == 0
                    && let Some((words, factor)) = input.ciphertext[1]
                {
                    a.add_product(load(words.as_ptr().add(source)), _mm512_set1_epi64(factor as i64));
                }
                for (digit, key) in digits.iter().zip(&key) {
                    let x = load(digit.as_ptr().add(source));
                    b.add_product(x, key[0]);
                    a.add_product(x, key[1]);
                }
                let (mut b, mut a) = (self.reduction.reduce(b), self.reduction.reduce(a));
                if let Some(order) = order {
                    let order = read(order);
                    (b, a) = (_mm512_permutexvar_epi64(order, b), _mm512_permutexvar_epi64(order, a));
                }
                for &(sum, factor) in &automorphism.factors {
                    let factor = load(factor.as_ptr().add(self.start + i));
                    let low = scratch.as_mut_ptr().add(HALVES * self.len * sum + i);
                    let high = low.add(2 * self.len);
                    store(low, _mm512_madd52lo_epu64(load(low), b, factor));
                    store(high, _mm512_madd52hi_epu64(load(high), b, factor));
                    let (low, high) = (low.add(self.len), high.add(self.len));
                    store(low, _mm512_madd52lo_epu64(load(low), a, factor));
                    store(high, _mm512_madd52hi_epu64(load(high), a, factor));
                }
            }
        }
    }

    /// Makes room in the accumulators: their sums go on from the residues.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn reduce_sums(&self, scratch: &mut [u64]) {
        for accumulator in scratch.chunks_exact_mut(HALVES * self.len) {
            let (low, high) = accumulator.split_at_mut(2 * self.len);
            for (low, high) in low.as_chunks_mut().0.iter_mut().zip(high.as_chunks_mut().0) {
                write(low, self.reduction.reduce(WideSum::joined(read(low), read(high))));
                high.fill(0);
            }
        }
    }

    /// Reduces the accumulators into the targets, from word `offset` of these on.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn finish(&self, targets: &mut [[&mut [u64]; 2]], offset: usize, scratch: &[u64]) {
        for (halves, accumulator) in targets.iter_mut().zip(scratch.chunks_exact(HALVES * self.len)) {
            let (low, high) = accumulator.split_at(2 * self.len);
            let sums = low.chunks_exact(self.len).zip(high.chunks_exact(self.len));
            for (target, (low, high)) in halves.iter_mut().zip(sums) {
                let target = &mut target[offset..offset + self.len];
                let sums = low.as_chunks().0.iter().zip(high.as_chunks().0);
                for (target, (low, high)) in target.as_chunks_mut().0.iter_mut().zip(sums) {
                    write(target, self.reduction.reduce(WideSum::joined(read(low), read(high))));
                }
            }
        }
    }
}
