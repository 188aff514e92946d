//! Eight residues in a vector: the AVX-512 IFMA vocabulary of the transforms and the limb kernels.
//!
//! Multiply-add works on the low 52 bits of each lane and adds either half of the 104-bit product to 64 bits. Primes have
//! at most 50 bits, so `4p < 2^52`: lazily reduced values may reach `4p` and still be multiplied.

mod montgomery;
mod wide_sum;

use std::arch::x86_64::*;

pub(crate) use montgomery::Montgomery;
pub(crate) use wide_sum::{WideReduction, WideSum};

use crate::Modulus;

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

/// Eight words.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn read(source: &[u64; 8]) -> __m512i {
    // SAFETY: eight words are 64 bytes.
    unsafe { load(source.as_ptr()) }
}

/// Into eight words.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn write(target: &mut [u64; 8], x: __m512i) {
    // SAFETY: eight words are 64 bytes.
    unsafe { store(target.as_mut_ptr(), x) }
}

/// Asks for the cache line of a word, to be read soon; beyond the words' end it asks for something useless.
#[inline(always)]
pub(crate) fn prefetch_line(words: &[u64], index: usize) {
    // SAFETY: prefetching has no effect but on time, whatever the address, and wrapping arithmetic may leave the words.
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
