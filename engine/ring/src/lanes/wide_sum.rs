//! Sums of products that are reduced once.
//!
//! A sum is kept in two halves: multiply-add adds the low 52 bits of a product to one and the high 52 bits to the other.
//! It can be reduced while it is below `2^104`. For primes of 50 bits that is as little as sixteen products
//! ([`WideReduction::capacity`]): who adds more reduces in between and goes on from the residue, or folds what is above once at the
//! end ([`WideReduction::reduce_long`]).

use std::arch::x86_64::*;

use super::{Factor, LaneFactor, Lanes, reduce_once};
use crate::{Modulus, modulus::HalvesReduction};

/// The constants that reduce a lazy sum of products.
#[derive(Clone, Copy)]
pub(crate) struct WideReduction {
    lanes: Lanes,
    /// `floor(2^52 / p)`.
    unit: __m512i,
    /// `2^52 mod p`.
    carry: LaneFactor,
}

/// A lazy sum of products: `high 2^52 + low`, both halves 64 bits wide.
#[derive(Clone, Copy)]
pub(crate) struct WideSum {
    low: __m512i,
    high: __m512i,
}

impl WideSum {
    /// Starts from a value of 64 bits: a residue, say, to which what follows is added.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn from(x: __m512i) -> Self {
        Self { low: x, high: _mm512_setzero_si512() }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn zero() -> Self {
        Self::from(_mm512_setzero_si512())
    }

    /// Adds a reduced residue.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn add_word(&mut self, x: __m512i) {
        self.low = _mm512_add_epi64(self.low, x);
    }

    /// Adds `a b` for factors below `2^52`, of which [`WideReduction::capacity`] says how often.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn add_product(&mut self, a: __m512i, b: __m512i) {
        self.low = _mm512_madd52lo_epu64(self.low, a, b);
        self.high = _mm512_madd52hi_epu64(self.high, a, b);
    }
}

impl WideReduction {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn new(modulus: &Modulus) -> Self {
        let &HalvesReduction { unit, carry, carry_quotient } = modulus.halves();
        Self {
            lanes: Lanes::new(modulus),
            unit: _mm512_set1_epi64(unit as i64),
            carry: LaneFactor::broadcast(&Factor { value: carry, quotient: carry_quotient }),
        }
    }

    /// How many products of a word below `2^50` and a residue may be added to a sum that starts from zero or from a residue: all
    /// of them are below `2^104`, and their low halves below `2^63`.
    pub(crate) fn capacity(modulus: &Modulus) -> usize {
        1 << (104 - Modulus::MAX_BITS - modulus.bits()).min(11)
    }

    /// How many products of factors below `2^52` [`WideReduction::reduce_long`] takes, after a residue: both halves stay below `2^64`.
    pub(crate) const LONG_CAPACITY: usize = 1 << 11;

    /// The residue in `0..p` of a sum below `2^104`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn reduce(&self, sum: WideSum) -> __m512i {
        let high = _mm512_add_epi64(sum.high, _mm512_srli_epi64::<52>(sum.low));
        self.join(self.reduce_high(high), sum.low)
    }

    /// The residue in `0..p` of a sum of up to [`WideReduction::LONG_CAPACITY`] products.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn reduce_long(&self, sum: WideSum) -> __m512i {
        let high = _mm512_add_epi64(sum.high, _mm512_srli_epi64::<52>(sum.low));
        // What exceeds 52 bits of the high half is worth 2^52 times as much; both parts are below 2p.
        let excess = self.lanes.multiply_lazy(_mm512_srli_epi64::<52>(high), self.carry);
        let high = self.reduce_high(_mm512_and_si512(high, self.lanes.mask));
        self.join(_mm512_add_epi64(high, excess), sum.low)
    }

    /// From `high < 2^52` to `0..2p`, by Barrett.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn reduce_high(&self, high: __m512i) -> __m512i {
        let zero = _mm512_setzero_si512();
        let quotient = _mm512_madd52hi_epu64(zero, high, self.unit);
        _mm512_sub_epi64(high, _mm512_madd52lo_epu64(zero, quotient, self.lanes.p))
    }

    /// The residue of `high 2^52 + low` for `high < 4p`; bits of `low` above the 52nd are ignored.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn join(&self, high: __m512i, low: __m512i) -> __m512i {
        let Lanes { p, double, negated, mask } = self.lanes;
        let zero = _mm512_setzero_si512();
        let low = _mm512_and_si512(low, mask);
        // One Shoup product and one Barrett reduction with a common correction: each estimate of a quotient is too small by
        // less than 1 + x/2^52, so the remainder is below (2 + 2) p < 2^52.
        let quotient = _mm512_madd52hi_epu64(_mm512_madd52hi_epu64(zero, high, self.carry.quotient), low, self.unit);
        let remainder = _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(low, high, self.carry.value), quotient, negated);
        reduce_once(reduce_once(_mm512_and_si512(remainder, mask), double), p)
    }

    /// From any `x < 2^52` to `0..2p`. Bits of `x` above the 52nd are ignored.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn reduce_word_lazy(&self, x: __m512i) -> __m512i {
        let Lanes { negated, mask, .. } = self.lanes;
        let quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), x, self.unit);
        _mm512_and_si512(_mm512_madd52lo_epu64(x, quotient, negated), mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InstructionSet, primes::primes_below};

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn sum_of_products(modulus: &Modulus, start: u64, [a, b]: [u64; 2], count: usize) -> u64 {
        let mut sum = WideSum::from(_mm512_set1_epi64(start as i64));
        (0..count).for_each(|_| sum.add_product(_mm512_set1_epi64(a as i64), _mm512_set1_epi64(b as i64)));
        _mm_cvtsi128_si64(_mm512_castsi512_si128(WideReduction::new(modulus).reduce(sum))) as u64
    }

    #[test]
    fn long_sums_hold_as_many_of_the_largest_products_as_their_capacity_says() {
        if InstructionSet::detect() != InstructionSet::Avx512Ifma {
            return;
        }
        #[target_feature(enable = "avx512f,avx512ifma")]
        fn sum_of_products(modulus: &Modulus, start: u64, factor: u64, count: usize) -> u64 {
            let mut sum = WideSum::from(_mm512_set1_epi64(start as i64));
            let factor = _mm512_set1_epi64(factor as i64);
            (0..count).for_each(|_| sum.add_product(factor, factor));
            _mm_cvtsi128_si64(_mm512_castsi512_si128(WideReduction::new(modulus).reduce_long(sum))) as u64
        }
        for bits in [50, 49, 43, 42, 30, 20] {
            let modulus = Modulus::new(primes_below(1 << bits, 8).next().unwrap()).unwrap();
            let (residue, word) = (modulus.value() - 1, (1 << 52) - 1);
            for (start, factor) in [(0, word), (residue, word), (residue, residue), (0, word - 12345)] {
                for count in [0, 1, 15, 16, 17, 128, 1000, WideReduction::LONG_CAPACITY] {
                    let expected = modulus.reduce_u128(start as u128 + factor as u128 * factor as u128 * count as u128);
                    // SAFETY: the instructions are there.
                    let found = unsafe { sum_of_products(&modulus, start, factor, count) };
                    assert_eq!(found, expected, "{count} squares of {factor} modulo {modulus}");
                }
            }
        }
    }

    #[test]
    fn sums_hold_as_many_of_the_largest_products_as_their_capacity_says() {
        if InstructionSet::detect() != InstructionSet::Avx512Ifma {
            return;
        }
        for bits in [50, 49, 45, 44, 43, 42, 30, 20] {
            let modulus = Modulus::new(primes_below(1 << bits, 8).next().unwrap()).unwrap();
            let (largest, word) = (modulus.value() - 1, (1 << Modulus::MAX_BITS) - 1);
            let capacity = WideReduction::capacity(&modulus);
            for (start, count) in [(0, capacity), (largest, capacity), (largest, 1), (0, capacity / 2)] {
                let expected = modulus.reduce_u128(start as u128 + word as u128 * largest as u128 * count as u128);
                // SAFETY: the instructions are there.
                let found = unsafe { sum_of_products(&modulus, start, [word, largest], count) };
                assert_eq!(found, expected, "{count} products modulo {modulus}");
            }
        }
    }
}
