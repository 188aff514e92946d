//! Sums of products that are reduced once.
//!
//! A sum is kept in two halves: multiply-add adds the low 52 bits of a product to one and the high 52 bits to the other.
//! It is reduced cheaply while it is below `2^104`. For primes of 50 bits that is as little as sixteen products
//! ([`WideReduction::capacity`]): who adds more reduces in between and goes on from the residue, or pays for
//! [`WideReduction::reduce_long`] once.

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

    /// How many products of factors below `2^52` may be added to a sum that [`Self::reduce_long`] reduces: neither half overflows, nor
    /// does the high one with the low one's carry.
    pub(crate) const LONG_CAPACITY: usize = 1 << 11;

    /// The residue in `0..p` of a sum below `2^104`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn reduce(&self, sum: WideSum) -> __m512i {
        let Lanes { p, .. } = self.lanes;
        let zero = _mm512_setzero_si512();
        let high = _mm512_add_epi64(sum.high, _mm512_srli_epi64::<52>(sum.low));
        // Barrett: 0 <= high - q p < 2p.
        let quotient = _mm512_madd52hi_epu64(zero, high, self.unit);
        let high = _mm512_sub_epi64(high, _mm512_madd52lo_epu64(zero, quotient, p));
        reduce_once(self.join(high, sum.low), p)
    }

    /// The residue in `0..2p` of a sum of up to [`Self::LONG_CAPACITY`] products: what the high half has above `2^52` is folded first.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn reduce_long(&self, sum: WideSum) -> __m512i {
        let high = _mm512_add_epi64(sum.high, _mm512_srli_epi64::<52>(sum.low));
        let top = self.lanes.multiply_lazy(_mm512_srli_epi64::<52>(high), self.carry);
        // Below 4p, hence below 2^52.
        self.join(_mm512_add_epi64(top, self.reduce_word_lazy(high)), sum.low)
    }

    /// `high 2^52 + low` in `0..2p` for `high < 2^52`. Bits of `low` above the 52nd are ignored.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn join(&self, high: __m512i, low: __m512i) -> __m512i {
        let Lanes { double, negated, mask, .. } = self.lanes;
        let zero = _mm512_setzero_si512();
        let low = _mm512_and_si512(low, mask);
        // One Shoup product and one Barrett reduction with a common correction: each estimate of a quotient is too
        // small by less than 1 + x/2^52, so the remainder is below 4p < 2^52.
        let quotient = _mm512_madd52hi_epu64(_mm512_madd52hi_epu64(zero, high, self.carry.quotient), low, self.unit);
        let remainder = _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(low, high, self.carry.value), quotient, negated);
        reduce_once(_mm512_and_si512(remainder, mask), double)
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

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn long_sum_of_products(modulus: &Modulus, [a, b]: [u64; 2], count: usize) -> u64 {
        let mut sum = WideSum::zero();
        (0..count).for_each(|_| sum.add_product(_mm512_set1_epi64(a as i64), _mm512_set1_epi64(b as i64)));
        _mm_cvtsi128_si64(_mm512_castsi512_si128(WideReduction::new(modulus).reduce_long(sum))) as u64
    }

    #[test]
    fn long_sums_hold_products_of_any_factors() {
        if InstructionSet::detect() != InstructionSet::Avx512Ifma {
            return;
        }
        let largest = (1 << 52) - 1;
        for bits in [50, 49, 43, 30, 20] {
            let modulus = Modulus::new(primes_below(1 << bits, 8).next().unwrap()).unwrap();
            let p = modulus.value();
            for factors in [[largest, largest], [largest, 1], [1 << 26, 1 << 51], [p - 1, p - 1], [0, 0]] {
                for count in [0, 1, 15, 17, 1000, WideReduction::LONG_CAPACITY] {
                    let sum = factors[0] as u128 * factors[1] as u128 * count as u128;
                    // SAFETY: the instructions are there.
                    let found = unsafe { long_sum_of_products(&modulus, factors, count) };
                    assert!(found < 2 * p, "{count} products modulo {modulus}");
                    assert_eq!(found % p, modulus.reduce_u128(sum), "{count} products modulo {modulus}");
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
