//! The inner part of a double-hoisted linear transform on a block of one limb.
//!
//! For every automorphism: the product of the digits with its key, rotated in registers, times each of its factors, onto the
//! sums. Automorphisms permute aligned blocks of any power of two as a whole, so a block of the result needs one
//! block of the digits and of each key. Sums stay unreduced, in two halves of 64 bits, until the last automorphism.

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
    /// `scratch` holds [`scratch_words`] words.
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

/// Words of scratch space for blocks of `len` words of so many inputs and sums: two halves of a ciphertext, two of a sum.
pub(in crate::cpu) fn scratch_words(len: usize, inputs: usize, sums: usize) -> usize {
    4 * len * inputs * sums
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

    use super::{BLOCK, HoistedAutomorphism, HoistedLimb, scratch_words};
    use crate::{
        Modulus,
        lanes::{WideReduction, WideSum, load, prefetch_line, store},
    };

    /// Most terms of one lazy sum: products of 52-bit halves add up to 64 bits no sooner than after 4000.
    const MAX_TERMS: usize = 1 << 10;
    /// Most rows of a key that are held in registers.
    const MAX_ROWS: usize = 6;

    /// Whether the vector loop handles these operands: whole vectors, keys that fit, sums that cannot overflow.
    pub(super) fn fits(targets: &[Vec<[&mut [u64]; 2]>], automorphisms: &[HoistedAutomorphism<'_>]) -> bool {
        automorphisms.len() <= MAX_TERMS
            && automorphisms.iter().all(|automorphism| automorphism.rows.len() <= MAX_ROWS)
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
        let scratch = &mut scratch[..scratch_words(len, inputs.len(), sums)];
        scratch.fill(0);
        let block = Block { reduction: WideReduction::new(m), start, len, sums };
        for (index, automorphism) in automorphisms.iter().enumerate() {
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

    /// One block of the result.
    struct Block {
        reduction: WideReduction,
        start: usize,
        len: usize,
        sums: usize,
    }

    impl Block {
        /// First word of the accumulator of a sum: low halves of both ciphertext halves, then the high ones.
        fn accumulator(&self, input: usize, sum: usize) -> usize {
            scratch_words(self.len, 1, 1) * (input * self.sums + sum)
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
                // SAFETY: a block of the result and its source, another block of the same aligned range, lie within every limb,
                // and the accumulators within the scratch space, as the caller asserted.
                unsafe {
                    let key: [[__m512i; 2]; ROWS] = rows.map(|row| row.map(|half| load(half.as_ptr().add(source))));
                    for (index, input) in inputs.iter().enumerate() {
                        let mut products = [WideSum::zero(); 2];
                        for (half, product) in products.iter_mut().enumerate() {
                            if half == 0 || ROWS == 0 {
                                if let Some((words, factor)) = input.ciphertext[half] {
                                    let factor = _mm512_set1_epi64(factor as i64);
                                    product.add_product(load(words.as_ptr().add(source)), factor);
                                }
                            }
                        }
                        for (digit, key) in input.digits.iter().zip(&key) {
                            let x = load(digit.as_ptr().add(source));
                            products[0].add_product(x, key[0]);
                            products[1].add_product(x, key[1]);
                        }
                        let mut rotated = products.map(|product| self.reduction.reduce(product));
                        if let Some(order) = order {
                            let order = load(order.as_ptr());
                            rotated = rotated.map(|x| _mm512_permutexvar_epi64(order, x));
                        }
                        for &(sum, factor) in &automorphism.factors {
                            let factor = load(factor.as_ptr().add(self.start + i));
                            let at = scratch.as_mut_ptr().add(self.accumulator(index, sum) + i);
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

        /// Reduces the accumulators into the targets.
        #[target_feature(enable = "avx512f,avx512ifma")]
        fn finish(&self, targets: &mut [Vec<[&mut [u64]; 2]>], scratch: &[u64]) {
            for (input, targets) in targets.iter_mut().enumerate() {
                for (sum, halves) in targets.iter_mut().enumerate() {
                    for (half, target) in halves.iter_mut().enumerate() {
                        for i in (0..self.len).step_by(BLOCK) {
                            // SAFETY: as in `add`; targets have the block's length.
                            unsafe {
                                let at = scratch.as_ptr().add(self.accumulator(input, sum) + i);
                                let low = load(at.add(half * self.len));
                                let high = load(at.add((2 + half) * self.len));
                                store(target.as_mut_ptr().add(i), self.reduction.reduce(WideSum::joined(low, high)));
                            }
                        }
                    }
                }
            }
        }
    }
}
