//! The inner part of a double-hoisted linear transform on a block of one limb.
//!
//! For every automorphism: the product of the digits with its key, rotated in registers, times each of its factors, onto the
//! sums. Automorphisms permute aligned blocks of any power of two as a whole, so a block of the result needs one
//! block of the digits and of each key. Sums stay unreduced, in two halves of 64 bits, for as long as these hold them.

use super::{LimbKernels, inner_product::Addend};
use crate::{
    InstructionSet, Modulus,
    galois_table::{BLOCK, GaloisTable},
};

/// One input of the batch: its digits and its two halves with the product of the special primes, whole limbs.
pub(in crate::cpu) struct HoistedLimb<'a> {
    pub(in crate::cpu) digits: Vec<&'a [u64]>,
    pub(in crate::cpu) ciphertext: [Addend<'a>; 2],
}

/// An automorphism: its key, whole limbs, and the factors of its result with the number of the sum they go to.
pub(in crate::cpu) struct HoistedAutomorphism<'a> {
    /// None for the identity, whose rows are empty.
    pub(in crate::cpu) table: Option<&'a GaloisTable>,
    pub(in crate::cpu) rows: Vec<[&'a [u64]; 2]>,
    pub(in crate::cpu) factors: Vec<(usize, &'a [u64])>,
}

impl HoistedAutomorphism<'_> {
    /// The first word of the block that a block of the result comes from; anything beyond the end.
    #[inline(always)]
    fn first_word(&self, block: usize) -> usize {
        self.table.map_or(block, |table| table.source_or_none(block).unwrap_or(block)) * BLOCK
    }

    /// How often its result enters the sum that it enters most often.
    fn most_of_one_sum(&self) -> usize {
        let times = |sum: usize| self.factors.iter().filter(|&&(other, _)| other == sum).count();
        self.factors.iter().map(|&(sum, _)| times(sum)).max().unwrap_or(0)
    }

    /// Where block `index` (of [`BLOCK`] words) of the result comes from: the first word and the rearrangement.
    #[inline(always)]
    fn source(&self, index: usize) -> (usize, Option<&[u64; BLOCK]>) {
        match self.table {
            None => (index * BLOCK, None),
            Some(table) => {
                let (block, permutation) = table.source(index);
                (block * BLOCK, Some(&table.permutations()[permutation]))
            }
        }
    }
}

impl LimbKernels<'_> {
    /// Fills block `start ..` of every sum: `targets[input][sum][half]`, all of one length, a multiple of [`BLOCK`].
    /// `scratch` holds [`scratch_words`].
    pub(in crate::cpu) fn hoisted_sums(
        self,
        targets: &mut [Vec<[&mut [u64]; 2]>],
        start: usize,
        inputs: &[HoistedLimb<'_>],
        automorphisms: &[HoistedAutomorphism<'_>],
        scratch: &mut [u64],
    ) {
        #[cfg(target_arch = "x86_64")]
        if self.instructions == InstructionSet::Avx512Ifma && ifma::fits(targets, automorphisms) {
            // SAFETY: a backend takes this instruction set only after detecting its features.
            return unsafe { ifma::hoisted_sums(self.modulus, targets, start, inputs, automorphisms, scratch) };
        }
        let _ = (InstructionSet::Portable, scratch);
        portable(self.modulus, targets, start, inputs, automorphisms);
    }
}

/// Words of the accumulators of one input, at most: half of a first-level cache of 32 KiB.
const ACCUMULATORS: usize = 1 << 11;
/// Accumulators per word of a sum: two halves of a ciphertext, each in two halves of a lazy sum.
const HALVES: usize = 4;

/// Words of scratch space for so many sums.
pub(in crate::cpu) fn scratch_words(sums: usize) -> usize {
    HALVES * block_words(sums) * sums
}

/// Words that are accumulated at a time: as many as leave the accumulators in the first-level cache, a cache line at least.
fn block_words(sums: usize) -> usize {
    let words = (ACCUMULATORS / (HALVES * sums.max(1))).max(BLOCK);
    1 << words.ilog2()
}

fn portable(
    m: &Modulus,
    targets: &mut [Vec<[&mut [u64]; 2]>],
    start: usize,
    inputs: &[HoistedLimb<'_>],
    automorphisms: &[HoistedAutomorphism<'_>],
) {
    for (targets, input) in targets.iter_mut().zip(inputs) {
        targets.iter_mut().flatten().for_each(|target| target.fill(0));
        let len = targets.first().map_or(0, |target| target[0].len());
        for automorphism in automorphisms {
            for i in 0..len {
                let (first, order) = automorphism.source((start + i) / BLOCK);
                let source = first + order.map_or(i % BLOCK, |order| order[i % BLOCK] as usize);
                for half in 0..2 {
                    // Only the identity, which has no key, passes the second half on.
                    let passed = half == 0 || automorphism.table.is_none();
                    let addend = input.ciphertext[half].filter(|_| passed);
                    let addend = addend.map_or(0, |(words, factor)| words[source] as u128 * factor as u128);
                    let terms = input.digits.iter().zip(&automorphism.rows);
                    let product = terms.map(|(digit, row)| digit[source] as u128 * row[half][source] as u128);
                    let rotated = m.reduce_u128(addend + product.sum::<u128>());
                    for &(sum, factor) in &automorphism.factors {
                        let target = &mut targets[sum][half][i];
                        *target = m.add(*target, m.mul(rotated, factor[start + i]));
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod ifma {
    use std::arch::x86_64::*;

    use super::{BLOCK, HALVES, HoistedAutomorphism, HoistedLimb, block_words};
    use crate::{
        Modulus,
        lanes::{WideReduction, WideSum, load, prefetch_line, store},
    };

    /// Most rows of a key that are held in registers.
    const MAX_ROWS: usize = 6;

    /// Whether the vector loop handles these operands: whole vectors, keys that fit.
    pub(super) fn fits(targets: &[Vec<[&mut [u64]; 2]>], automorphisms: &[HoistedAutomorphism<'_>]) -> bool {
        let few = |automorphism: &HoistedAutomorphism<'_>| {
            automorphism.rows.len() <= MAX_ROWS && automorphism.most_of_one_sum() <= WideSum::MAX_PRODUCTS
        };
        automorphisms.iter().all(few)
            && targets.iter().flatten().flatten().all(|target| target.len().is_multiple_of(BLOCK))
    }

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
        let limb = |words: &[u64]| words.len() >= start + len;
        assert!(len.is_multiple_of(BLOCK) && start.is_multiple_of(len) && targets.len() == inputs.len());
        assert!(targets.iter().all(|targets| targets.len() == sums));
        assert!(targets.iter().flatten().flatten().all(|target| target.len() == len));
        for input in inputs {
            assert!(input.digits.iter().all(|words| limb(words)));
            assert!(input.ciphertext.iter().flatten().all(|(words, _)| limb(words)));
        }
        for automorphism in automorphisms {
            assert!(automorphism.rows.iter().flatten().all(|words| limb(words)));
            assert!(automorphism.factors.iter().all(|&(sum, words)| sum < sums && limb(words)));
            let keyed = automorphism.table.is_some() && inputs.iter().all(|i| i.digits.len() == automorphism.rows.len());
            assert!(keyed || automorphism.table.is_none() && automorphism.rows.is_empty());
        }
        let words = block_words(sums).min(len);
        let scratch = &mut scratch[..HALVES * words * sums];
        for offset in (0..len).step_by(words) {
            let block = Block { reduction: WideReduction::new(m), start: start + offset, len: words };
            for (index, (targets, input)) in targets.iter_mut().zip(inputs).enumerate() {
                // The keys of the first input's pass stay in the second-level cache for the others.
                block.run(scratch, input, automorphisms, index == 0);
                block.finish(targets, offset, scratch);
            }
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
        /// Asks for what it needs at word `i` of its block: whole blocks of some hundred bytes each, all over the limbs, which no
        /// hardware foresees.
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
    }

    impl Block {
        /// First word of the accumulator of a sum: low halves of both ciphertext halves, then the high ones.
        fn accumulator(&self, sum: usize) -> usize {
            HALVES * self.len * sum
        }

        /// Accumulates all sums of one input.
        #[target_feature(enable = "avx512f,avx512ifma")]
        fn run(
            &self,
            scratch: &mut [u64],
            input: &HoistedLimb<'_>,
            automorphisms: &[HoistedAutomorphism<'_>],
            prefetch: bool,
        ) {
            scratch.fill(0);
            let mut products = 0;
            for (index, automorphism) in automorphisms.iter().enumerate() {
                // At most so many more products in any one sum; a reduced accumulator counts as none.
                let more = automorphism.most_of_one_sum();
                if products + more > WideSum::MAX_PRODUCTS {
                    self.renormalise(scratch);
                    products = 0;
                }
                products += more;
                // After the last automorphism of a block comes the first of the next block.
                let next = match automorphisms.get(index + 1) {
                    Some(next) => (next, self.start),
                    None => (&automorphisms[0], self.start + self.len),
                };
                let next = Next { automorphism: next.0, start: next.1, with_key: prefetch };
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

        /// Adds what one automorphism contributes, and asks for the operands of the next one, which starts at some word.
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
            let zero = _mm512_setzero_si512();
            for i in (0..self.len).step_by(BLOCK) {
                let (source, order) = automorphism.source((self.start + i) / BLOCK);
                next.prefetch(i, input);
                // Loops instead of iterator adaptors: vectors stay in registers only where everything is inlined.
                // SAFETY: a block of the result and its source, another block of the same aligned range, lie within every limb,
                // and the accumulators within the scratch space, as the caller asserted.
                unsafe {
                    let mut key = [[zero; 2]; ROWS];
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
                        let order = load(order.as_ptr());
                        (b, a) = (_mm512_permutexvar_epi64(order, b), _mm512_permutexvar_epi64(order, a));
                    }
                    for &(sum, factor) in &automorphism.factors {
                        let factor = load(factor.as_ptr().add(self.start + i));
                        let low = scratch.as_mut_ptr().add(self.accumulator(sum) + i);
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

        /// Reduces the accumulators where they are, so that they can take more products.
        #[target_feature(enable = "avx512f,avx512ifma")]
        fn renormalise(&self, scratch: &mut [u64]) {
            for accumulator in scratch.chunks_exact_mut(HALVES * self.len) {
                let (low, high) = accumulator.split_at_mut(2 * self.len);
                for (low, high) in low.chunks_exact_mut(BLOCK).zip(high.chunks_exact_mut(BLOCK)) {
                    // SAFETY: both have eight words.
                    unsafe {
                        let sum = WideSum::joined(load(low.as_ptr()), load(high.as_ptr()));
                        store(low.as_mut_ptr(), self.reduction.reduce(sum));
                        store(high.as_mut_ptr(), _mm512_setzero_si512());
                    }
                }
            }
        }

        /// Reduces the accumulators into the targets, from word `offset` on.
        #[target_feature(enable = "avx512f,avx512ifma")]
        fn finish(&self, targets: &mut [[&mut [u64]; 2]], offset: usize, scratch: &[u64]) {
            for (accumulator, halves) in scratch.chunks_exact(HALVES * self.len).zip(targets) {
                for (half, target) in halves.iter_mut().enumerate() {
                    let target = &mut target[offset..offset + self.len];
                    for (i, target) in target.chunks_exact_mut(BLOCK).enumerate() {
                        // SAFETY: an accumulator has four times the block's words; a chunk of the target has eight.
                        unsafe {
                            let low = accumulator.as_ptr().add(half * self.len + i * BLOCK);
                            let sum = WideSum::joined(load(low), load(low.add(2 * self.len)));
                            store(target.as_mut_ptr(), self.reduction.reduce(sum));
                        }
                    }
                }
            }
        }
    }
}
