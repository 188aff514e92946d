//! Residues as doubles: modular products by fused multiply-add, where there is no 52-bit multiply-add of integers.
//!
//! Integers below `2^53` in absolute value are exact. The product `a b` is `high + low`: its rounded value and, by one fused
//! multiply-add, what rounding lost. With `q` the integer next to `high / p`, the residue `(high - q p) + low` is exact again, for it
//! is an integer of less than 53 bits, and so is the difference in its brackets, which is fused as well. Representatives are *centred*:
//! between `-p` and `p`, mostly nearer to zero. (T. J. Dekker, *A floating-point technique for extending the available precision*,
//! Numer. Math. 18, 1971; J. van der Hoeven, G. Lecerf, G. Quintin, *Modular SIMD arithmetic in Mathemagix*, ACM TOMS 43, 2016,
//! section 3.)
//!
//! Kernels are written once, for any [`Octet`], as functions that are always inlined; [`instances`] makes of each an instance for AVX2 and
//! one for AVX-512.

mod octet;

pub(crate) use octet::{Avx2, Avx512, Octet, WIDTH};

use crate::Modulus;

/// A double of this exponent has the unit as its last place: an integer below `2^52` is or'ed to its bits.
const UNIT: f64 = (1u64 << 52) as f64;
/// What is added and taken away to round to an integer, for both signs.
const ROUNDING: f64 = 1.5 * UNIT;

/// The centred representative of a residue: a factor that is used again and again.
pub(crate) fn centred(modulus: &Modulus, residue: u64) -> f64 {
    modulus.centred(residue) as f64
}

/// Arithmetic modulo one prime, in every lane.
#[derive(Clone, Copy)]
pub(crate) struct Doubles<V> {
    p: V,
    /// `1/p`, rounded.
    inverse: V,
}

impl<V: Octet> Doubles<V> {
    #[inline(always)]
    pub(crate) fn new(modulus: &Modulus) -> Self {
        let p = modulus.value() as f64;
        Self { p: V::splat(p), inverse: V::splat(p.recip()) }
    }

    /// `a b`, for `|a b| < 2^50 p`: less than `3/4 p` away from zero. The quotient is below `2^50`: the rounded factors put it off by
    /// less than a quarter, the last rounding by a half.
    #[inline(always)]
    pub(crate) fn product(self, a: V, b: V) -> V {
        let high = a.mul(b);
        let low = a.mul_sub(b, high);
        self.remainder(high).add(low)
    }

    /// The representative next to zero of an integer of at most 53 bits, but for one or two units: `|x| <= p/2 + 2`.
    #[inline(always)]
    pub(crate) fn reduce(self, x: V) -> V {
        self.remainder(x)
    }

    /// `x` less the multiple of `p` that is next to it.
    #[inline(always)]
    fn remainder(self, x: V) -> V {
        let rounding = V::splat(ROUNDING);
        let quotient = x.mul_add(self.inverse, rounding).sub(rounding);
        quotient.negated_mul_add(self.p, x)
    }

    /// From `-p < x < p` to residues.
    #[inline(always)]
    pub(crate) fn residues(self, x: V) -> [u64; WIDTH] {
        x.add_where_negative(self.p).add(V::splat(UNIT)).xor(V::splat(UNIT)).to_bits()
    }
}

/// Words below `2^52`.
#[inline(always)]
pub(crate) fn doubles<V: Octet>(words: &[u64; WIDTH]) -> V {
    V::from_bits(words).or(V::splat(UNIT)).sub(V::splat(UNIT))
}

/// Makes modules `avx2` and `avx512` with an instance of each named kernel, which takes an [`Octet`] as its first parameter and is
/// `#[inline(always)]`. An instance may be called where its instructions were detected.
macro_rules! instances {
    ($($name:ident($($argument:ident: $type:ty),* $(,)?);)*) => {
        $crate::doubles::instances!(avx2 Avx2 "avx2,fma" $($name($($argument: $type),*))*);
        $crate::doubles::instances!(avx512 Avx512 "avx512f,avx512dq,avx512vl,avx2,fma" $($name($($argument: $type),*))*);
    };
    ($module:ident $octet:ident $features:literal $($name:ident($($argument:ident: $type:ty),*))*) => {
        pub(super) mod $module {
            use super::*;
            $(
                #[target_feature(enable = $features)]
                pub(in super::super) fn $name($($argument: $type),*) {
                    super::$name::<$crate::doubles::$octet>($($argument),*)
                }
            )*
        }
    };
}
pub(crate) use instances;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::WIDTH;
    use crate::{InstructionSet, Modulus, primes::primes_below};

    type Lanes = [u64; WIDTH];

    mod kernels {
        use super::{super::*, Lanes};

        instances! {
            products(m: &Modulus, a: &[i64; WIDTH], b: &[i64; WIDTH], out: &mut [i64; WIDTH]);
            reduced(m: &Modulus, x: &[i64; WIDTH], out: &mut [i64; WIDTH]);
            residues(m: &Modulus, x: &[i64; WIDTH], out: &mut Lanes);
            words(words: &Lanes, out: &mut Lanes);
            moved(words: &[Lanes; WIDTH], order: &Lanes, out: &mut [[Lanes; WIDTH]; 3]);
        }

        #[inline(always)]
        fn from<V: Octet>(integers: &[i64; WIDTH]) -> V {
            V::from_bits(&integers.map(|x| (x as f64).to_bits()))
        }

        #[inline(always)]
        fn to<V: Octet>(x: V) -> [i64; WIDTH] {
            x.to_bits().map(|bits| f64::from_bits(bits) as i64)
        }

        #[inline(always)]
        fn products<V: Octet>(m: &Modulus, a: &[i64; WIDTH], b: &[i64; WIDTH], out: &mut [i64; WIDTH]) {
            *out = to(Doubles::<V>::new(m).product(from(a), from(b)));
        }

        #[inline(always)]
        fn reduced<V: Octet>(m: &Modulus, x: &[i64; WIDTH], out: &mut [i64; WIDTH]) {
            *out = to(Doubles::<V>::new(m).reduce(from(x)));
        }

        #[inline(always)]
        fn residues<V: Octet>(m: &Modulus, x: &[i64; WIDTH], out: &mut Lanes) {
            *out = Doubles::<V>::new(m).residues(from(x));
        }

        #[inline(always)]
        fn words<V: Octet>(words: &Lanes, out: &mut Lanes) {
            *out = to(doubles::<V>(words)).map(|x| x as u64);
        }

        #[inline(always)]
        fn moved<V: Octet>(words: &[Lanes; WIDTH], order: &Lanes, out: &mut [[Lanes; WIDTH]; 3]) {
            let octets = words.each_ref().map(|words| V::from_bits(words));
            let [reversed, permuted, transposed] = out;
            *reversed = octets.map(|octet| octet.reverse().to_bits());
            *permuted = octets.map(|octet| octet.permute(order).to_bits());
            *transposed = V::transpose(octets).map(|octet| octet.to_bits());
        }
    }

    /// What a kernel leaves in its last argument, on each instruction set of doubles that this machine has.
    macro_rules! on_each {
        ($kernel:ident($($argument:expr),*), $start:expr) => {{
            let mut results = Vec::new();
            if InstructionSet::Avx2.is_available() {
                let mut out = $start;
                // SAFETY: detected.
                unsafe { kernels::avx2::$kernel($($argument,)* &mut out) };
                results.push(out);
            }
            if InstructionSet::Avx512.is_available() {
                let mut out = $start;
                // SAFETY: detected.
                unsafe { kernels::avx512::$kernel($($argument,)* &mut out) };
                results.push(out);
            }
            results
        }};
    }

    fn modulus() -> impl Strategy<Value = Modulus> {
        let primes = [50, 46, 42, 30, 20].map(|bits| primes_below(1 << bits, 2).next().unwrap());
        prop::sample::select(primes.map(|p| Modulus::new(p).unwrap()).to_vec())
    }

    /// Integers from `-bound` to `bound`, half of them next to either end.
    fn up_to(bound: i64) -> impl Strategy<Value = i64> {
        prop_oneof![-bound..=bound, (0..8i64).prop_map(move |x| bound - x), (0..8i64).prop_map(move |x| x - bound)]
    }

    proptest! {
        #[test]
        fn products_are_exact_up_to_their_bound(
            (m, a, b) in modulus().prop_flat_map(|m| {
                let half = m.value() as i64 / 2;
                (Just(m), prop::array::uniform8(up_to((1 << 51) - 1)), prop::array::uniform8(up_to(half)))
            }),
        ) {
            let p = m.value() as i128;
            for out in on_each!(products(&m, &a, &b), [0; WIDTH]) {
                for ((&x, &y), &found) in a.iter().zip(&b).zip(&out) {
                    prop_assert_eq!((x as i128 * y as i128 - found as i128).rem_euclid(p), 0);
                    prop_assert!(4 * (found as i128).abs() < 3 * p, "{} {} gives {}", x, y, found);
                }
            }
        }

        #[test]
        fn sums_are_reduced_to_the_nearest_representative(m in modulus(), x in prop::array::uniform8(up_to((1 << 53) - 1))) {
            let p = m.value() as i64;
            for out in on_each!(reduced(&m, &x), [0; WIDTH]) {
                for (&x, &found) in x.iter().zip(&out) {
                    prop_assert_eq!((x - found).rem_euclid(p), 0);
                    prop_assert!(found.abs() <= p / 2 + 2, "{} gives {}", x, found);
                }
            }
        }

        #[test]
        fn residues_are_words_below_the_prime(
            (m, x) in modulus().prop_flat_map(|m| (Just(m), prop::array::uniform8(up_to(m.value() as i64 - 1)))),
        ) {
            let expected = x.map(|x| x.rem_euclid(m.value() as i64) as u64);
            for out in on_each!(residues(&m, &x), [0; WIDTH]) {
                prop_assert_eq!(out, expected);
            }
        }

        #[test]
        fn words_become_the_doubles_of_their_value(words in prop::array::uniform8(0u64..1 << 52)) {
            for out in on_each!(words(&words), [0; WIDTH]) {
                prop_assert_eq!(out, words);
            }
        }
    }

    #[test]
    fn lanes_are_moved_as_said() {
        let words: [Lanes; WIDTH] = std::array::from_fn(|i| std::array::from_fn(|j| (10 * i + j) as u64));
        let order = [3, 0, 7, 7, 1, 2, 6, 5];
        let expected = [
            words.map(|words| std::array::from_fn(|i| words[WIDTH - 1 - i])),
            words.map(|words| order.map(|lane| words[lane as usize])),
            std::array::from_fn(|i| words.map(|words| words[i])),
        ];
        for found in on_each!(moved(&words, &order), [[[0; WIDTH]; WIDTH]; 3]) {
            assert_eq!(found, expected);
        }
    }
}
