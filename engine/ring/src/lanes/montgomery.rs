//! Products of residues in Montgomery form.

use std::arch::x86_64::*;

use crate::Modulus;

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
