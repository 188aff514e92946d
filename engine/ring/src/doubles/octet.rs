//! Eight doubles, as one vector of AVX-512 or two of AVX2.

use std::arch::x86_64::*;

use crate::lanes::transpose;

/// Doubles of an octet, and words beside them.
pub(crate) const WIDTH: usize = 8;

/// Eight doubles.
///
/// Its methods are always inlined into functions that enable the instructions of the type, which
/// [`instances`](super::instances) makes: nothing else may name [`Avx2`] and [`Avx512`].
pub(crate) trait Octet: Copy {
    fn splat(x: f64) -> Self;
    /// Doubles from their bits.
    fn from_bits(bits: &[u64; WIDTH]) -> Self;
    fn to_bits(self) -> [u64; WIDTH];
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self factor + addend`, rounded once, like those that follow.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// `self factor - subtrahend`.
    fn mul_sub(self, factor: Self, subtrahend: Self) -> Self;
    /// `addend - self factor`.
    fn negated_mul_add(self, factor: Self, addend: Self) -> Self;
    /// Of the bits.
    fn or(self, other: Self) -> Self;
    /// Of the bits.
    fn xor(self, other: Self) -> Self;
    /// Adds in the lanes that are negative.
    fn add_where_negative(self, other: Self) -> Self;
    /// The last lane first.
    fn reverse(self) -> Self;
    /// Lane `order[i]` becomes lane `i`; numbers are below eight.
    fn permute(self, order: &[u64; WIDTH]) -> Self;
    /// Lane `i` of octet `j` becomes lane `j` of octet `i`.
    fn transpose(octets: [Self; WIDTH]) -> [Self; WIDTH];
}

/// One vector of AVX-512.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512d);

/// Two vectors of AVX2.
#[derive(Clone, Copy)]
pub(crate) struct Avx2([__m256d; 2]);

/// Methods that are one intrinsic, in which the instructions of the type are enabled.
macro_rules! one_vector {
    ($($name:ident($this:ident $(, $argument:ident)*) $intrinsic:ident($($operand:ident),*);)*) => {$(
        #[inline(always)]
        fn $name($this $(, $argument: Self)*) -> Self {
            // SAFETY: inlined where AVX-512 is enabled, as the trait says.
            Self(unsafe { $intrinsic($($operand.0),*) })
        }
    )*};
}

/// The same for both vectors.
macro_rules! two_vectors {
    ($($name:ident($this:ident $(, $argument:ident)*) $intrinsic:ident($($operand:ident),*);)*) => {$(
        #[inline(always)]
        fn $name($this $(, $argument: Self)*) -> Self {
            // SAFETY: inlined where AVX2 and FMA are enabled, as the trait says.
            unsafe { Self([$intrinsic($($operand.0[0]),*), $intrinsic($($operand.0[1]),*)]) }
        }
    )*};
}

impl Octet for Avx512 {
    #[inline(always)]
    fn splat(x: f64) -> Self {
        // SAFETY: inlined where AVX-512 is enabled, as the trait says; so are all that follow.
        Self(unsafe { _mm512_set1_pd(x) })
    }

    #[inline(always)]
    fn from_bits(bits: &[u64; WIDTH]) -> Self {
        // SAFETY: as above; eight words are 64 bytes.
        Self(unsafe { _mm512_loadu_pd(bits.as_ptr().cast()) })
    }

    #[inline(always)]
    fn to_bits(self) -> [u64; WIDTH] {
        let mut bits = [0; WIDTH];
        // SAFETY: as above.
        unsafe { _mm512_storeu_pd(bits.as_mut_ptr().cast(), self.0) };
        bits
    }

    one_vector! {
        add(self, other) _mm512_add_pd(self, other);
        sub(self, other) _mm512_sub_pd(self, other);
        mul(self, other) _mm512_mul_pd(self, other);
        mul_add(self, factor, addend) _mm512_fmadd_pd(self, factor, addend);
        mul_sub(self, factor, subtrahend) _mm512_fmsub_pd(self, factor, subtrahend);
        negated_mul_add(self, factor, addend) _mm512_fnmadd_pd(self, factor, addend);
        or(self, other) _mm512_or_pd(self, other);
        xor(self, other) _mm512_xor_pd(self, other);
    }

    #[inline(always)]
    fn add_where_negative(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_mask_add_pd(self.0, _mm512_movepi64_mask(_mm512_castpd_si512(self.0)), self.0, other.0)) }
    }

    #[inline(always)]
    fn reverse(self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_permutexvar_pd(_mm512_set_epi64(0, 1, 2, 3, 4, 5, 6, 7), self.0)) }
    }

    #[inline(always)]
    fn permute(self, order: &[u64; WIDTH]) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_permutexvar_pd(_mm512_loadu_si512(order.as_ptr().cast()), self.0)) }
    }

    #[inline(always)]
    fn transpose(octets: [Self; WIDTH]) -> [Self; WIDTH] {
        // SAFETY: as above.
        unsafe {
            let words = transpose(octets.map(|octet| _mm512_castpd_si512(octet.0)));
            words.map(|words| Self(_mm512_castsi512_pd(words)))
        }
    }
}

impl Octet for Avx2 {
    #[inline(always)]
    fn splat(x: f64) -> Self {
        // SAFETY: inlined where AVX2 and FMA are enabled, as the trait says; so are all that follow.
        Self([unsafe { _mm256_set1_pd(x) }; 2])
    }

    #[inline(always)]
    fn from_bits(bits: &[u64; WIDTH]) -> Self {
        // SAFETY: as above; half of eight words are 32 bytes.
        unsafe { Self([_mm256_loadu_pd(bits.as_ptr().cast()), _mm256_loadu_pd(bits.as_ptr().add(WIDTH / 2).cast())]) }
    }

    #[inline(always)]
    fn to_bits(self) -> [u64; WIDTH] {
        let mut bits = [0u64; WIDTH];
        // SAFETY: as above.
        unsafe {
            _mm256_storeu_pd(bits.as_mut_ptr().cast(), self.0[0]);
            _mm256_storeu_pd(bits.as_mut_ptr().add(WIDTH / 2).cast(), self.0[1]);
        }
        bits
    }

    two_vectors! {
        add(self, other) _mm256_add_pd(self, other);
        sub(self, other) _mm256_sub_pd(self, other);
        mul(self, other) _mm256_mul_pd(self, other);
        mul_add(self, factor, addend) _mm256_fmadd_pd(self, factor, addend);
        mul_sub(self, factor, subtrahend) _mm256_fmsub_pd(self, factor, subtrahend);
        negated_mul_add(self, factor, addend) _mm256_fnmadd_pd(self, factor, addend);
        or(self, other) _mm256_or_pd(self, other);
        xor(self, other) _mm256_xor_pd(self, other);
    }

    #[inline(always)]
    fn add_where_negative(self, other: Self) -> Self {
        // The blend looks at signs alone.
        let sum = self.add(other);
        // SAFETY: as above.
        unsafe { Self([0, 1].map(|i| _mm256_blendv_pd(self.0[i], sum.0[i], self.0[i]))) }
    }

    #[inline(always)]
    fn reverse(self) -> Self {
        const REVERSED: i32 = 0b00_01_10_11;
        let [low, high] = self.0;
        // SAFETY: as above.
        unsafe { Self([_mm256_permute4x64_pd::<REVERSED>(high), _mm256_permute4x64_pd::<REVERSED>(low)]) }
    }

    #[inline(always)]
    fn permute(self, order: &[u64; WIDTH]) -> Self {
        let bits = self.to_bits();
        Self::from_bits(&order.map(|lane| bits[lane as usize % WIDTH]))
    }

    #[inline(always)]
    fn transpose(octets: [Self; WIDTH]) -> [Self; WIDTH] {
        // Quarters of the matrix change places and are transposed.
        let mut transposed = octets;
        for row in 0..2 {
            for column in 0..2 {
                let quarter = [0, 1, 2, 3].map(|i| octets[4 * row + i].0[column]);
                // SAFETY: as above.
                let quarter = unsafe { transpose_quarter(quarter) };
                for i in 0..4 {
                    transposed[4 * column + i].0[row] = quarter[i];
                }
            }
        }
        transposed
    }
}

/// Transposes a 4 x 4 matrix of doubles.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose_quarter([a, b, c, d]: [__m256d; 4]) -> [__m256d; 4] {
    const LOW: i32 = 0x20;
    const HIGH: i32 = 0x31;
    let (ab_even, ab_odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
    let (cd_even, cd_odd) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
    [
        _mm256_permute2f128_pd::<LOW>(ab_even, cd_even),
        _mm256_permute2f128_pd::<LOW>(ab_odd, cd_odd),
        _mm256_permute2f128_pd::<HIGH>(ab_even, cd_even),
        _mm256_permute2f128_pd::<HIGH>(ab_odd, cd_odd),
    ]
}
