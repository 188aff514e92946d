//! In vectors of eight, on AVX-512 IFMA. Sums stay unreduced, in two halves of 64 bits, for as long as they have room.

use std::arch::x86_64::*;

use super::{BLOCK, HoistedAutomorphism, HoistedLimb, portable, scratch_words};
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

    let scratch = &mut scratch[..scratch_words(len, inputs.len(), sums)];
    scratch.fill(0);
    let block = Block { reduction: WideReduction::new(m), start, len, sums };
    let mut held = 0;
    for (index, automorphism) in automorphisms.iter().enumerate() {
        let added = automorphism.most_factors_of_a_sum(sums);
        if held + added > capacity {
            block.reduce_sums(scratch);
            held = 0;
        }
        held += added;
        let next = automorphisms.get(index + 1);
        match automorphism.rows.len() {
            0 => block.add::<0>(scratch, inputs, automorphism, next),
            1 => block.add::<1>(scratch, inputs, automorphism, next),
            2 => block.add::<2>(scratch, inputs, automorphism, next),
            3 => block.add::<3>(scratch, inputs, automorphism, next),
            4 => block.add::<4>(scratch, inputs, automorphism, next),
            5 => block.add::<5>(scratch, inputs, automorphism, next),
            6 => block.add::<6>(scratch, inputs, automorphism, next),
            rows => unreachable!("dispatched for at most {MAX_ROWS} rows, not {rows}"),
        }
    }
    block.finish(targets, scratch);
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

/// One block of the result.
struct Block {
    reduction: WideReduction,
    start: usize,
    len: usize,
    sums: usize,
}

impl Block {
    /// Words of the accumulator of a sum: low halves of both ciphertext halves, then the high ones.
    fn accumulator_words(&self) -> usize {
        scratch_words(self.len, 1, 1)
    }

    /// Adds what one automorphism contributes, and asks for the key of the next one.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn add<const ROWS: usize>(
        &self,
        scratch: &mut [u64],
        inputs: &[HoistedLimb<'_>],
        automorphism: &HoistedAutomorphism<'_>,
        next: Option<&HoistedAutomorphism<'_>>,
    ) {
        let rows: &[[&[u64]; 2]; ROWS] =
            automorphism.rows.as_slice().try_into().expect("dispatched by the number of rows");
        for i in (0..self.len).step_by(BLOCK) {
            let (source, order) = automorphism.source((self.start + i) / BLOCK);
            if let Some(next) = next {
                let (source, _) = next.source((self.start + i) / BLOCK);
                next.rows.iter().flatten().for_each(|words| prefetch_line(words, source));
                next.factors.iter().for_each(|(_, words)| prefetch_line(words, self.start + i));
            }
            // SAFETY: `assert_limbs` made sure that the vector at `start + i` is within every limb, and so is that at `source`, to
            // which a table of as many blocks sends it. Accumulator `index * sums + sum` is one of inputs times sums in the
            // scratch space, and i + 8 <= len.
            unsafe {
                let key: [[__m512i; 2]; ROWS] = rows.map(|row| row.map(|half| load(half.as_ptr().add(source))));
                for (index, input) in inputs.iter().enumerate() {
                    let mut products = [WideSum::zero(); 2];
                    for (half, product) in products.iter_mut().enumerate() {
                        // Only the identity, which has no key, passes the second half on.
                        if (half == 0 || ROWS == 0)
                            && let Some((words, factor)) = input.ciphertext[half]
                        {
                            let factor = _mm512_set1_epi64(factor as i64);
                            product.add_product(load(words.as_ptr().add(source)), factor);
                        }
                    }
                    for (digit, key) in input.digits.iter().zip(&key) {
                        let x = load(digit.as_ptr().add(source));
                        products[0].add_product(x, key[0]);
                        products[1].add_product(x, key[1]);
                    }
                    let mut rotated = products.map(|product| self.reduction.reduce(product));
                    if let Some(order) = order {
                        let order = read(order);
                        rotated = rotated.map(|x| _mm512_permutexvar_epi64(order, x));
                    }
                    for &(sum, factor) in &automorphism.factors {
                        let factor = load(factor.as_ptr().add(self.start + i));
                        let accumulator = self.accumulator_words() * (index * self.sums + sum);
                        let at = scratch.as_mut_ptr().add(accumulator + i);
                        for (half, &x) in rotated.iter().enumerate() {
                            let (low, high) = (at.add(half * self.len), at.add((2 + half) * self.len));
                            store(low, _mm512_madd52lo_epu64(load(low), x, factor));
                            store(high, _mm512_madd52hi_epu64(load(high), x, factor));
                        }
                    }
                }
            }
        }
    }

    /// Makes room in the accumulators: their sums go on from the residues.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn reduce_sums(&self, scratch: &mut [u64]) {
        for accumulator in scratch.chunks_exact_mut(self.accumulator_words()) {
            let (low, high) = accumulator.split_at_mut(2 * self.len);
            for (low, high) in low.as_chunks_mut().0.iter_mut().zip(high.as_chunks_mut().0) {
                write(low, self.reduction.reduce(WideSum::joined(read(low), read(high))));
                high.fill(0);
            }
        }
    }

    /// Reduces the accumulators into the targets.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn finish(&self, targets: &mut [Vec<[&mut [u64]; 2]>], scratch: &[u64]) {
        let accumulators = scratch.chunks_exact(self.accumulator_words());
        for (halves, accumulator) in targets.iter_mut().flatten().zip(accumulators) {
            let (low, high) = accumulator.split_at(2 * self.len);
            let sums = low.chunks_exact(self.len).zip(high.chunks_exact(self.len));
            for (target, (low, high)) in halves.iter_mut().zip(sums) {
                let sums = low.as_chunks().0.iter().zip(high.as_chunks().0);
                for (target, (low, high)) in target.as_chunks_mut().0.iter_mut().zip(sums) {
                    write(target, self.reduction.reduce(WideSum::joined(read(low), read(high))));
                }
            }
        }
    }
}
