//! In vectors of eight, on AVX-512 IFMA. Sums stay unreduced, in two halves of 64 bits, for as long as they have room.

use std::arch::x86_64::*;

use super::{BLOCK, HoistedAutomorphism, HoistedLimb, HoistedLimbs, HoistedTerms, portable};
use crate::{
    Modulus,
    lanes::{WideReduction, WideSum, load, prefetch_line, read, store, write},
};

/// Most rows of a key that are multiplied in registers.
const MAX_ROWS: usize = 6;

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn hoisted_sums(
    m: &Modulus,
    targets: &mut [Vec<[&mut [u64]; 2]>],
    start: usize,
    limbs: &HoistedLimbs<'_>,
    scratch: &mut [u64],
) {
    let HoistedLimbs { inputs, automorphisms, sums } = limbs;
    let Some(len) = targets.iter().flatten().next().map(|halves| halves[0].len()) else { return };
    if !len.is_multiple_of(BLOCK) || !automorphisms.iter().all(|automorphism| automorphism.rows.len() <= MAX_ROWS) {
        return portable::hoisted_sums(m, targets, start, limbs, scratch);
    }
    assert!(targets.len() == inputs.len() && targets.iter().all(|targets| targets.len() == sums.len()));
    assert!(targets.iter().flatten().flatten().all(|target| target.len() == len));
    limbs.assert_alike(start, len);

    let (reduction, capacity) = (WideReduction::new(m), WideReduction::capacity(m));
    let words = limbs.block_words().min(len);
    let scratch = &mut scratch[..limbs.rotated() * words];
    for offset in (0..len).step_by(words) {
        let block = Block { reduction, capacity, start: start + offset, len: words };
        // The first input brings a block of each key into the caches for the others.
        for (index, automorphism) in automorphisms.iter().enumerate() {
            for (number, input) in inputs.iter().enumerate() {
                let rotated = &mut scratch[2 * words * (number * automorphisms.len() + index)..][..2 * words];
                match automorphism.rows.len() {
                    0 => block.rotate::<0>(rotated, input, automorphism),
                    1 => block.rotate::<1>(rotated, input, automorphism),
                    2 => block.rotate::<2>(rotated, input, automorphism),
                    3 => block.rotate::<3>(rotated, input, automorphism),
                    4 => block.rotate::<4>(rotated, input, automorphism),
                    5 => block.rotate::<5>(rotated, input, automorphism),
                    6 => block.rotate::<6>(rotated, input, automorphism),
                    rows => unreachable!("dispatched for at most {MAX_ROWS} rows, not {rows}"),
                }
            }
        }
        for (sum, terms) in sums.iter().enumerate() {
            for (number, targets) in targets.iter_mut().enumerate() {
                let rotated = &scratch[2 * words * number * automorphisms.len()..][..2 * words * automorphisms.len()];
                block.sum(targets[sum].each_mut().map(|half| &mut half[offset..offset + words]), rotated, terms);
            }
        }
    }
}

impl HoistedLimbs<'_> {
    /// What a [`Block`] relies on: every limb has as many words as every table permutes, the block `start .. start + len` is among
    /// them and an aligned power of two, sums name automorphisms that exist, and keys have a row for each digit.
    fn assert_alike(&self, start: usize, len: usize) {
        let Self { inputs, automorphisms, sums } = self;
        let degree = inputs.iter().find_map(|input| input.digits.first()).map_or(0, |digit| digit.len());
        assert!(len.is_power_of_two() && start.is_multiple_of(len) && start + len <= degree);
        for input in inputs {
            assert!(input.digits.iter().all(|words| words.len() == degree));
            assert!(input.ciphertext.iter().flatten().all(|(words, _)| words.len() == degree));
        }
        for automorphism in automorphisms {
            assert!(automorphism.table.is_none_or(|table| table.blocks() * BLOCK == degree));
            assert!(automorphism.rows.iter().flatten().all(|words| words.len() == degree));
            let rows = automorphism.rows.len();
            let keyed = rows > 0 && inputs.iter().all(|input| input.digits.len() == rows);
            assert!(if automorphism.table.is_some() { keyed } else { rows == 0 });
        }
        let terms = sums.iter().flatten();
        assert!(terms.clone().all(|&(index, words)| index < automorphisms.len() && words.len() == degree));
    }
}

/// One block of the result.
struct Block {
    reduction: WideReduction,
    /// Products that a lazy sum holds.
    capacity: usize,
    start: usize,
    len: usize,
}

impl Block {
    /// The two halves of the block of one rotated ciphertext.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn rotate<const ROWS: usize>(
        &self,
        rotated: &mut [u64],
        input: &HoistedLimb<'_>,
        automorphism: &HoistedAutomorphism<'_>,
    ) {
        let rows: &[[&[u64]; 2]; ROWS] =
            automorphism.rows.as_slice().try_into().expect("dispatched by the number of rows");
        let digits: &[&[u64]] = &input.digits[..ROWS];
        let (rotated_b, rotated_a) = rotated.split_at_mut(self.len);
        // The block of the source, of which all words go to this block.
        let source = automorphism.table.map_or(self.start, |table| {
            let (block, _) = table.source(self.start / BLOCK);
            (block * BLOCK) & !(self.len - 1)
        });
        for i in (source..source + self.len).step_by(BLOCK) {
            let (target, order) = match automorphism.table {
                None => (i, None),
                Some(table) => {
                    let (block, permutation) = table.target(i / BLOCK);
                    (block * BLOCK, Some(&table.permutations()[permutation]))
                }
            };
            let target = target & (self.len - 1);
            // Loops instead of iterator adaptors: vectors stay in registers only where everything is inlined.
            // SAFETY: `assert_alike` made sure that the aligned block at `source` is within every limb; `target` is a multiple of
            // eight below the length of either half of `rotated`.
            unsafe {
                let [mut b, mut a] = [WideSum::zero(); 2];
                if let Some((words, factor)) = input.ciphertext[0] {
                    b.add_product(load(words.as_ptr().add(i)), _mm512_set1_epi64(factor as i64));
                }
                // Only the identity, which has no key, passes the second half on.
                if ROWS == 0
                    && let Some((words, factor)) = input.ciphertext[1]
                {
                    a.add_product(load(words.as_ptr().add(i)), _mm512_set1_epi64(factor as i64));
                }
                for (digit, row) in digits.iter().zip(rows) {
                    let x = load(digit.as_ptr().add(i));
                    b.add_product(x, load(row[0].as_ptr().add(i)));
                    a.add_product(x, load(row[1].as_ptr().add(i)));
                }
                let (mut b, mut a) = (self.reduction.reduce(b), self.reduction.reduce(a));
                if let Some(order) = order {
                    let order = read(order);
                    (b, a) = (_mm512_permutexvar_epi64(order, b), _mm512_permutexvar_epi64(order, a));
                }
                store(rotated_b.as_mut_ptr().add(target), b);
                store(rotated_a.as_mut_ptr().add(target), a);
            }
        }
    }

    /// The block of one sum of one input.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn sum(&self, targets: [&mut [u64]; 2], rotated: &[u64], terms: &HoistedTerms<'_>) {
        let [target_b, target_a] = targets.map(|target| target.as_chunks_mut().0);
        for (i, (target_b, target_a)) in target_b.iter_mut().zip(target_a).enumerate() {
            let i = i * BLOCK;
            let [mut b, mut a] = [WideSum::zero(); 2];
            let mut held = 0;
            for &(index, factor) in terms {
                prefetch_line(factor, self.start + i + AHEAD);
                // SAFETY: `assert_alike` made sure that the factor has the words of the block, and that `rotated` has two halves of
                // it for automorphism `index`.
                unsafe {
                    let factor = load(factor.as_ptr().add(self.start + i));
                    let source = rotated.as_ptr().add(2 * self.len * index + i);
                    b.add_product(load(source), factor);
                    a.add_product(load(source.add(self.len)), factor);
                }
                held += 1;
                if held == self.capacity {
                    (b, a) = (WideSum::from(self.reduction.reduce(b)), WideSum::from(self.reduction.reduce(a)));
                    held = 0;
                }
            }
            write(target_b, self.reduction.reduce(b));
            write(target_a, self.reduction.reduce(a));
        }
    }
}

/// Words between a factor that is used and one that is asked for.
const AHEAD: usize = 16 * BLOCK;
