//! Arithmetic modulo one prime.

use std::fmt;

use crate::primes::is_prime;

/// An odd prime below `2^50` with the constants of its reductions.
///
/// Operands of [`Modulus::add`] and the like are reduced residues in `0..p`, and so are the results.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Modulus {
    value: u64,
    /// `2^(bits-1) < p < 2^bits`.
    bits: u32,
    /// `floor(2^(2 bits) / p)`, for products of two residues.
    barrett: u64,
    /// `floor(2^64 / p)`, for single words.
    word_quotient: u64,
    /// `2^64 mod p`.
    word_residue: u64,
    /// For sums of products in 52-bit halves.
    halves: HalvesReduction,
}

/// What reduces `high 2^52 + low`: the layout of 52-bit multiply-add, which not every machine has.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct HalvesReduction {
    /// `floor(2^52 / p)`.
    pub(crate) unit: u64,
    /// `2^52 mod p`.
    pub(crate) carry: u64,
    /// `floor(carry 2^52 / p)`.
    pub(crate) carry_quotient: u64,
}

impl Modulus {
    /// Number of bits that a prime may have: 52-bit multiplier lanes with two bits of slack for lazy reduction.
    pub const MAX_BITS: u32 = 50;

    /// The arithmetic of an odd prime below `2^50`; `None` for any other number.
    pub fn new(value: u64) -> Option<Self> {
        if value >> Self::MAX_BITS != 0 || value & 1 == 0 || !is_prime(value) {
            return None;
        }
        let bits = u64::BITS - value.leading_zeros();
        let carry = (1 << 52) % value;
        Some(Self {
            value,
            bits,
            barrett: ((1u128 << (2 * bits)) / value as u128) as u64,
            word_quotient: ((1u128 << 64) / value as u128) as u64,
            word_residue: ((1u128 << 64) % value as u128) as u64,
            halves: HalvesReduction {
                unit: (1 << 52) / value,
                carry,
                carry_quotient: (((carry as u128) << 52) / value as u128) as u64,
            },
        })
    }

    /// The prime.
    pub const fn value(&self) -> u64 {
        self.value
    }

    /// Its number of bits.
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    /// The constants of 52-bit multiply-add.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn halves(&self) -> &HalvesReduction {
        &self.halves
    }

    /// `a + b`.
    #[inline(always)]
    pub const fn add(&self, a: u64, b: u64) -> u64 {
        self.reduce_once(a + b)
    }

    /// `a - b`.
    #[inline(always)]
    pub const fn sub(&self, a: u64, b: u64) -> u64 {
        self.reduce_once(a + self.value - b)
    }

    /// `-a`.
    #[inline(always)]
    pub const fn neg(&self, a: u64) -> u64 {
        if a == 0 { 0 } else { self.value - a }
    }

    /// `a * b`.
    #[inline(always)]
    pub const fn mul(&self, a: u64, b: u64) -> u64 {
        // Barrett: with x < 2^(2 bits) the estimated quotient is at most 2 too small.
        let product = a as u128 * b as u128;
        let high = (product >> (self.bits - 1)) as u64;
        let quotient = ((high as u128 * self.barrett as u128) >> (self.bits + 1)) as u64;
        let remainder = (product as u64).wrapping_sub(quotient.wrapping_mul(self.value));
        self.reduce_once(self.reduce_once(remainder))
    }

    /// The quotient `floor(w 2^64 / p)` that speeds up products with the fixed residue `w` (Shoup).
    pub const fn shoup_quotient(&self, w: u64) -> u64 {
        (((w as u128) << 64) / self.value as u128) as u64
    }

    /// `x * w` for any word `x` and a residue `w` with its [`Modulus::shoup_quotient`].
    #[inline(always)]
    pub const fn mul_shoup(&self, x: u64, w: u64, quotient: u64) -> u64 {
        self.reduce_once(self.mul_shoup_lazy(x, w, quotient))
    }

    /// As [`Modulus::mul_shoup`], with the result in `0..2p`.
    #[inline(always)]
    pub const fn mul_shoup_lazy(&self, x: u64, w: u64, quotient: u64) -> u64 {
        let estimate = ((x as u128 * quotient as u128) >> 64) as u64;
        x.wrapping_mul(w).wrapping_sub(estimate.wrapping_mul(self.value))
    }

    /// `base^exponent`.
    pub const fn pow(&self, base: u64, mut exponent: u64) -> u64 {
        let (mut power, mut square) = (1, base);
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = self.mul(power, square);
            }
            square = self.mul(square, square);
            exponent >>= 1;
        }
        power
    }

    /// `1/a`; `None` for zero.
    pub fn inverse(&self, a: u64) -> Option<u64> {
        (a != 0).then(|| self.pow(a, self.value - 2))
    }

    /// Any word.
    #[inline(always)]
    pub const fn reduce(&self, x: u64) -> u64 {
        let quotient = ((x as u128 * self.word_quotient as u128) >> 64) as u64;
        self.reduce_once(x.wrapping_sub(quotient.wrapping_mul(self.value)))
    }

    /// Any double word.
    #[inline(always)]
    pub const fn reduce_u128(&self, x: u128) -> u64 {
        let high = self.reduce((x >> 64) as u64);
        self.add(self.mul(high, self.word_residue), self.reduce(x as u64))
    }

    /// A signed word.
    pub const fn reduce_i64(&self, x: i64) -> u64 {
        let magnitude = self.reduce(x.unsigned_abs());
        if x < 0 { self.neg(magnitude) } else { magnitude }
    }

    /// A signed double word.
    pub const fn reduce_i128(&self, x: i128) -> u64 {
        let magnitude = self.reduce_u128(x.unsigned_abs());
        if x < 0 { self.neg(magnitude) } else { magnitude }
    }

    /// The representative of least absolute value, in `-(p-1)/2 ..= (p-1)/2`.
    #[inline(always)]
    pub const fn centred(&self, a: u64) -> i64 {
        if a > self.value / 2 { a as i64 - self.value as i64 } else { a as i64 }
    }

    /// From `0..2p` to `0..p`.
    #[inline(always)]
    const fn reduce_once(&self, a: u64) -> u64 {
        // The smaller of a and a - p, the latter huge when it wraps: compiles to a branch-free minimum.
        let reduced = a.wrapping_sub(self.value);
        if reduced < a { reduced } else { a }
    }
}

impl fmt::Debug for Modulus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Modulus({})", self.value)
    }
}

impl fmt::Display for Modulus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRIMES: [u64; 6] = [3, 5, 257, 12289, (1 << 42) - 11, (1 << 50) - 27];

    fn modulus() -> impl Strategy<Value = Modulus> {
        prop::sample::select(PRIMES.map(|p| Modulus::new(p).unwrap()).to_vec())
    }

    #[test]
    fn rejects_what_is_no_odd_prime_below_2_to_50() {
        for value in [0, 1, 2, 9, 561, 1 << 49, (1 << 50) + 55, u64::MAX] {
            assert_eq!(Modulus::new(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_double_word_arithmetic(m in modulus(), x: u64, y: u64, wide: u128, signed: i128) {
            let p = m.value();
            let (a, b) = (x % p, y % p);
            prop_assert_eq!(m.add(a, b), (a + b) % p);
            prop_assert_eq!(m.sub(a, b), (a + p - b) % p);
            prop_assert_eq!(m.add(a, m.neg(a)), 0);
            prop_assert_eq!(m.mul(a, b), (a as u128 * b as u128 % p as u128) as u64);
            prop_assert_eq!(m.mul(p - 1, p - 1), 1);
            prop_assert_eq!(m.mul_shoup(x, b, m.shoup_quotient(b)), (x as u128 * b as u128 % p as u128) as u64);
            prop_assert_eq!(m.reduce(x), x % p);
            prop_assert_eq!(m.reduce_u128(wide), (wide % p as u128) as u64);
            prop_assert_eq!(m.reduce_i128(signed), signed.rem_euclid(p as i128) as u64);
            prop_assert_eq!(m.reduce_i64(signed as i64), (signed as i64).rem_euclid(p as i64) as u64);
            prop_assert_eq!(m.reduce_i64(m.centred(a)), a);
            prop_assert!(m.centred(a).unsigned_abs() <= (p - 1) / 2);
            if let Some(inverse) = m.inverse(a) {
                prop_assert_eq!(m.mul(a, inverse), 1);
            }
        }
    }
}
