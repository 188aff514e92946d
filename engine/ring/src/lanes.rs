//! Eight residues in a vector: the AVX-512 IFMA vocabulary of the transforms and the limb kernels.
//!
//! Multiply-add works on the low 52 bits of each lane and adds either half of the 104-bit product to 64 bits. Primes have
//! at most 50 bits, so `4p < 2^52`: lazily reduced values may reach `4p` and still be multiplied.

use std::arch::x86_64::*;

use crate::{Modulus, modulus::HalvesReduction};

/// A constant factor with its Shoup quotient `floor(w 2^52 / p)`, as scalars.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Factor {
    pub(crate) value: u64,
    pub(crate) quotient: u64,
}

impl Factor {
    pub(crate) fn new(modulus: &Modulus, value: u64) -> Self {
        Self { value, quotient: (((value as u128) << 52) / modulus.value() as u128) as u64 }
    }
}

/// Broadcast constants of one prime.
#[derive(Clone, Copy)]
pub(crate) struct Lanes {
    /// `p`.
    pub(crate) p: __m512i,
    /// `2p`.
    pub(crate) double: __m512i,
    /// `2^52 - p`: adding a multiple of it subtracts that multiple of `p` modulo `2^52`.
    pub(crate) negated: __m512i,
    /// `2^52 - 1`.
    pub(crate) mask: __m512i,
}

/// A factor in every lane; lanes may differ.
#[derive(Clone, Copy)]
pub(crate) struct LaneFactor {
    pub(crate) value: __m512i,
    pub(crate) quotient: __m512i,
}

impl LaneFactor {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn broadcast(factor: &Factor) -> Self {
        Self { value: _mm512_set1_epi64(factor.value as i64), quotient: _mm512_set1_epi64(factor.quotient as i64) }
    }
}

/// # Safety
/// 64 bytes at `source` are readable.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn load(source: *const u64) -> __m512i {
    // SAFETY: promised by the caller; the load is unaligned.
    unsafe { _mm512_loadu_si512(source.cast()) }
}

/// # Safety
/// 64 bytes at `target` are writable.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn store(target: *mut u64, x: __m512i) {
    // SAFETY: promised by the caller; the store is unaligned.
    unsafe { _mm512_storeu_si512(target.cast(), x) }
}

/// Asks for the cache line of a word, to be read soon; nothing happens beyond the end.
#[inline(always)]
pub(crate) fn prefetch_line(words: &[u64], index: usize) {
    // SAFETY: prefetching has no effect but on time, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(words.as_ptr().wrapping_add(index).cast()) };
}

/// `x - bound` if that is not negative, else `x`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn reduce_once(x: __m512i, bound: __m512i) -> __m512i {
    _mm512_min_epu64(x, _mm512_sub_epi64(x, bound))
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn new(modulus: &Modulus) -> Self {
        let p = modulus.value() as i64;
        Self {
            p: _mm512_set1_epi64(p),
            double: _mm512_set1_epi64(2 * p),
            negated: _mm512_set1_epi64((1 << 52) - p),
            mask: _mm512_set1_epi64((1 << 52) - 1),
        }
    }

    /// `x w` in `0..2p` for `x < 2^52`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn multiply_lazy(&self, x: __m512i, w: LaneFactor) -> __m512i {
        let zero = _mm512_setzero_si512();
        let quotient = _mm512_madd52hi_epu64(zero, x, w.quotient);
        let product = _mm512_madd52lo_epu64(zero, x, w.value);
        _mm512_and_si512(_mm512_madd52lo_epu64(product, quotient, self.negated), self.mask)
    }

    /// `x w` in `0..p` for `x < 2^52`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn multiply_constant(&self, x: __m512i, w: LaneFactor) -> __m512i {
        reduce_once(self.multiply_lazy(x, w), self.p)
    }

    /// `a + b` of reduced residues.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn add(&self, a: __m512i, b: __m512i) -> __m512i {
        reduce_once(_mm512_add_epi64(a, b), self.p)
    }

    /// `a - b` of reduced residues.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn sub(&self, a: __m512i, b: __m512i) -> __m512i {
        // a - b wraps when it is negative, and then adding p makes it the smaller of the two.
        let difference = _mm512_sub_epi64(a, b);
        _mm512_min_epu64(difference, _mm512_add_epi64(difference, self.p))
    }
}

/// Products of residues that are unknown beforehand, in Montgomery form: `x` is represented by `x 2^52 mod p`.
#[derive(Clone, Copy)]
pub(crate) struct Montgomery {
    p: __m512i,
    /// `p^-1 mod 2^52`.
    inverse: __m512i,
}

impl Montgomery {
    /// The representation of a residue.
    pub(crate) fn represent(modulus: &Modulus, x: u64) -> u64 {
        modulus.reduce_u128((x as u128) << 52)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn new(modulus: &Modulus) -> Self {
        let p = modulus.value();
        // Newton: p is its own inverse modulo 8, and each round doubles the bits.
        let inverse = (0..5).fold(p, |x, _| x.wrapping_mul(2u64.wrapping_sub(p.wrapping_mul(x))));
        Self { p: _mm512_set1_epi64(p as i64), inverse: _mm512_set1_epi64((inverse & ((1 << 52) - 1)) as i64) }
    }

    /// `start + a b / 2^52`, with an error of a multiple of `p` that leaves it above `start - p` and, for `a < 2^52` and
    /// `b < p`, below `start + p`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn add_product(&self, start: __m512i, a: __m512i, b: __m512i) -> __m512i {
        let zero = _mm512_setzero_si512();
        // The multiple of p with the low half of a b: subtracting it leaves the high halves.
        let multiple = _mm512_madd52lo_epu64(zero, _mm512_madd52lo_epu64(zero, a, b), self.inverse);
        _mm512_sub_epi64(_mm512_madd52hi_epu64(start, a, b), _mm512_madd52hi_epu64(zero, multiple, self.p))
    }

    /// `a b / 2^52` in `0..p`, for `a < 2^52` and `b < p`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn multiply(&self, a: __m512i, b: __m512i) -> __m512i {
        let product = self.add_product(_mm512_setzero_si512(), a, b);
        _mm512_min_epu64(product, _mm512_add_epi64(product, self.p))
    }
}

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
    /// Products of reduced residues that one sum holds: each adds less than `2^48` to the high half, which
    /// [`WideReduction::reduce`] needs below `2^52`.
    pub(crate) const MAX_PRODUCTS: usize = 15;

    /// Starts from a value of 64 bits.
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

    /// From its two halves.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn joined(low: __m512i, high: __m512i) -> Self {
        Self { low, high }
    }

    /// The low half; all of a sum that was just made from a word.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn low(&self) -> __m512i {
        self.low
    }

    /// Adds a reduced residue.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn add_word(&mut self, x: __m512i) {
        self.low = _mm512_add_epi64(self.low, x);
    }

    /// Adds `a b` for factors below `2^52`: up to 4000 times before the low half can overflow.
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

    /// The residue in `0..p` of a sum whose high half, carries of the low half included, is below `2^52`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn reduce(&self, sum: WideSum) -> __m512i {
        let Lanes { p, double, negated, mask } = self.lanes;
        let zero = _mm512_setzero_si512();
        let high = _mm512_add_epi64(sum.high, _mm512_srli_epi64::<52>(sum.low));
        let low = _mm512_and_si512(sum.low, mask);
        // Barrett: 0 <= high - q p < 2p.
        let quotient = _mm512_madd52hi_epu64(zero, high, self.unit);
        let high = _mm512_sub_epi64(high, _mm512_madd52lo_epu64(zero, quotient, p));
        // high 2^52 + low as one Shoup product and one Barrett reduction with a common correction: each estimate of
        // a quotient is too small by less than 1 + x/2^52, so the remainder is below (3/2 + 2) p < 2^52.
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

/// Transposes an 8 x 8 matrix of words.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn transpose(x: [__m512i; 8]) -> [__m512i; 8] {
    // Words within pairs of rows, then 128-bit pieces within fours of rows, twice.
    let even = transpose_quarters([
        _mm512_unpacklo_epi64(x[0], x[1]),
        _mm512_unpacklo_epi64(x[2], x[3]),
        _mm512_unpacklo_epi64(x[4], x[5]),
        _mm512_unpacklo_epi64(x[6], x[7]),
    ]);
    let odd = transpose_quarters([
        _mm512_unpackhi_epi64(x[0], x[1]),
        _mm512_unpackhi_epi64(x[2], x[3]),
        _mm512_unpackhi_epi64(x[4], x[5]),
        _mm512_unpackhi_epi64(x[6], x[7]),
    ]);
    [even[0], odd[0], even[1], odd[1], even[2], odd[2], even[3], odd[3]]
}

/// Transposes a 4 x 4 matrix of 128-bit pieces.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_quarters([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let (ab_even, ab_odd) = (_mm512_shuffle_i64x2::<EVEN>(a, b), _mm512_shuffle_i64x2::<ODD>(a, b));
    let (cd_even, cd_odd) = (_mm512_shuffle_i64x2::<EVEN>(c, d), _mm512_shuffle_i64x2::<ODD>(c, d));
    [
        _mm512_shuffle_i64x2::<EVEN>(ab_even, cd_even),
        _mm512_shuffle_i64x2::<EVEN>(ab_odd, cd_odd),
        _mm512_shuffle_i64x2::<ODD>(ab_even, cd_even),
        _mm512_shuffle_i64x2::<ODD>(ab_odd, cd_odd),
    ]
}
