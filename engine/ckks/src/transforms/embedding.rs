//! The canonical embedding: values at the complex slots <-> real coefficients of `Z[X]/(X^N + 1)`.
//!
//! With `n = N/2` slots and `zeta = exp(i pi / N)`, slot `j` of a polynomial `m` is `m(zeta^(5^j))` (Cheon, Kim, Kim, Song:
//! *Homomorphic Encryption for Arithmetic of Approximate Numbers*, ASIACRYPT 2017, with the power-of-five order of Cheon,
//! Han, Kim, Kim, Song: *Bootstrapping for Approximate Homomorphic Encryption*, EUROCRYPT 2018, so that `X -> X^5` rotates
//! the slots to the left by one). The remaining roots are the conjugates, so `n` complex numbers determine the `N` real
//! coefficients; they travel as `n` complex numbers `m_p + i m_(p+n)`.
//!
//! The transform is `log2 n` stages of butterflies
//!
//! ```text
//! (x, y) -> (x + w y, x - w y)   on slots (j, j + 2^stage),   w = exp(2 pi i 5^j / (8 * 2^stage)),  j taken mod 2^stage
//! ```
//!
//! on bit-reversed coefficients. The same stages, without the bit reversal, are the factors of the homomorphic
//! SlotsToCoeffs and CoeffsToSlots ([`crate::transforms::coefficients_slots`]).

use num_complex::Complex64;

use crate::{CkksError, Packing, transforms::real_slots::trace_factors};

/// Largest magnitude of an encoded coefficient.
const LARGEST_COEFFICIENT: f64 = (1u64 << 62) as f64;

/// Tables of the canonical embedding of one ring.
#[derive(Clone, Debug)]
pub struct Embedding {
    slots: usize,
    /// Twiddles of stage `s` at `2^s - 1 .. 2^(s+1) - 1`.
    twiddles: Vec<Complex64>,
    /// `G` of [`crate::transforms::real_slots`], for the slots of the conjugate-invariant ring.
    trace_factors: Vec<Complex64>,
}

impl Embedding {
    /// Prepares the ring of degree `2^log_degree`, `2 <= log_degree <= 24`.
    pub fn new(log_degree: u32) -> Result<Self, CkksError> {
        if !(2..=24).contains(&log_degree) {
            return Err(CkksError::Precondition {
                operation: "Embedding::new",
                operand: "log_degree",
                found: log_degree.to_string(),
                required: "between 2 and 24".into(),
                remedy: "pass the binary logarithm of the ring degree",
            });
        }
        let twiddles = (0..log_degree - 1).flat_map(stage_twiddles).collect();
        let [_, trace_factors] = trace_factors(1 << log_degree);
        Ok(Self { slots: 1 << (log_degree - 1), twiddles, trace_factors })
    }

    /// The factors `G` of the odd part of the conjugate-invariant ring, one for each slot.
    pub(super) fn trace_factors(&self) -> &[Complex64] {
        &self.trace_factors
    }

    /// Complex slots `n = N/2`.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Decodes in place: entry `p` holds coefficients `m_p + i m_(p+n)` before and slot `p` after.
    pub fn coefficients_to_slots(&self, values: &mut [Complex64]) -> Result<(), CkksError> {
        self.check_length("Embedding::coefficients_to_slots", values.len())?;
        bit_reverse_permute(values);
        let mut half = 1;
        while half < self.slots {
            let twiddles = &self.twiddles[half - 1..2 * half - 1];
            for block in values.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                for ((x, y), w) in low.iter_mut().zip(high).zip(twiddles) {
                    let product = *y * w;
                    *y = *x - product;
                    *x += product;
                }
            }
            half *= 2;
        }
        Ok(())
    }

    /// Encodes in place, the inverse of [`Embedding::coefficients_to_slots`].
    pub fn slots_to_coefficients(&self, values: &mut [Complex64]) -> Result<(), CkksError> {
        self.check_length("Embedding::slots_to_coefficients", values.len())?;
        let mut half = self.slots / 2;
        while half > 0 {
            let twiddles = &self.twiddles[half - 1..2 * half - 1];
            for block in values.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                for ((x, y), w) in low.iter_mut().zip(high).zip(twiddles) {
                    let difference = *x - *y;
                    *x += *y;
                    *y = difference * w.conj();
                }
            }
            half /= 2;
        }
        bit_reverse_permute(values);
        let normalisation = 1.0 / self.slots as f64;
        values.iter_mut().for_each(|value| *value *= normalisation);
        Ok(())
    }

    /// The `N` real coefficients of the polynomial with these slots, real or complex ones as the packing says. Of real slots the
    /// imaginary parts are left out.
    pub(crate) fn embed(&self, packing: Packing, slots: Vec<Complex64>) -> Result<Vec<f64>, CkksError> {
        match packing {
            Packing::Complex => self.coefficients(slots),
            Packing::Real => {
                let slots: Vec<f64> = slots.iter().map(|slot| slot.re).collect();
                self.conjugate_invariant_coefficients(&slots)
            }
        }
    }

    /// The integers nearest to `scale` times coefficients that [`Embedding::embed`] gave.
    pub(crate) fn scaled(coefficients: &[f64], scale: f64) -> Result<Vec<i64>, CkksError> {
        coefficients.iter().map(|coefficient| Self::rounded(coefficient * scale)).collect()
    }

    /// The `N` integers nearest to `scale` times the coefficients of the polynomial with these slots.
    ///
    /// Refused if an integer would reach `2^62` in magnitude, or is not a number.
    pub fn encode_complex(&self, slots: &[Complex64], scale: f64) -> Result<Vec<i64>, CkksError> {
        self.encode(slots.to_vec(), scale)
    }

    /// As [`Embedding::encode_complex`] for real slots.
    pub fn encode_real(&self, slots: &[f64], scale: f64) -> Result<Vec<i64>, CkksError> {
        self.encode(slots.iter().map(|&slot| Complex64::new(slot, 0.0)).collect(), scale)
    }

    fn encode(&self, values: Vec<Complex64>, scale: f64) -> Result<Vec<i64>, CkksError> {
        Self::scaled(&self.coefficients(values)?, scale)
    }

    /// The `N` real coefficients of the polynomial with these slots.
    pub(super) fn coefficients(&self, mut slots: Vec<Complex64>) -> Result<Vec<f64>, CkksError> {
        self.slots_to_coefficients(&mut slots)?;
        Ok(slots.iter().map(|value| value.re).chain(slots.iter().map(|value| value.im)).collect())
    }

    /// The nearest integer, if it is small enough to be encoded.
    pub(super) fn rounded(coefficient: f64) -> Result<i64, CkksError> {
        // What the sum with 1.5 * 2^52 has room for is rounded by it, without a call of a library.
        const SHIFT: f64 = (3_u64 << 51) as f64;
        if coefficient.abs() < (1_u64 << 51) as f64 {
            return Ok((coefficient + SHIFT - SHIFT) as i64);
        }
        let integer = coefficient.round_ties_even();
        if integer.abs() < LARGEST_COEFFICIENT {
            return Ok(integer as i64);
        }
        Err(CkksError::Precondition {
            operation: "Embedding::encode",
            operand: "coefficient * scale",
            found: format!("{integer:e}"),
            required: "a number below 2^62 in magnitude".into(),
            remedy: "encode smaller values or at a smaller scale",
        })
    }

    /// Slots of the polynomial with `N` real coefficients, divided by `scale`.
    pub fn decode(&self, coefficients: &[f64], scale: f64) -> Result<Vec<Complex64>, CkksError> {
        if coefficients.len() != 2 * self.slots {
            return Err(length_error("Embedding::decode", "coefficients", coefficients.len(), 2 * self.slots));
        }
        let (real, imaginary) = coefficients.split_at(self.slots);
        let mut values: Vec<_> =
            real.iter().zip(imaginary).map(|(&re, &im)| Complex64::new(re / scale, im / scale)).collect();
        self.coefficients_to_slots(&mut values)?;
        Ok(values)
    }

    fn check_length(&self, operation: &'static str, found: usize) -> Result<(), CkksError> {
        if found == self.slots { Ok(()) } else { Err(length_error(operation, "slots", found, self.slots)) }
    }
}

fn length_error(operation: &'static str, operand: &'static str, found: usize, required: usize) -> CkksError {
    CkksError::Precondition {
        operation,
        operand,
        found: format!("{found} numbers"),
        required: format!("{required} numbers"),
        remedy: "pad the vector or use the ring that it was made for",
    }
}

/// `exp(2 pi i exponent / 2^log_order)`, the angle reduced exactly to an eighth of the circle before rounding.
pub(crate) fn unit_root(exponent: u64, log_order: u32) -> Complex64 {
    // An order of at least eight makes the eighths integers.
    let (exponent, log_order) = (exponent << 3, log_order + 3);
    let quarter = 1u64 << (log_order - 2);
    let exponent = exponent & (4 * quarter - 1);
    let within = exponent % quarter;
    let angle = |steps: u64| steps as f64 / quarter as f64 * std::f64::consts::FRAC_PI_2;
    let (sine, cosine) = if within <= quarter / 2 {
        angle(within).sin_cos()
    } else {
        let (sine, cosine) = angle(quarter - within).sin_cos();
        (cosine, sine)
    };
    match exponent / quarter {
        0 => Complex64::new(cosine, sine),
        1 => Complex64::new(-sine, cosine),
        2 => Complex64::new(-cosine, -sine),
        _ => Complex64::new(sine, -cosine),
    }
}

/// Twiddles `exp(2 pi i 5^j / (8 * 2^stage))`, `j < 2^stage`, of the butterflies of distance `2^stage`.
pub(crate) fn stage_twiddles(stage: u32) -> Vec<Complex64> {
    let mask = (8u64 << stage) - 1;
    let powers = std::iter::successors(Some(1u64), |power| Some((power * 5) & mask));
    powers.take(1 << stage).map(|power| unit_root(power, stage + 3)).collect()
}

fn bit_reverse_permute(values: &mut [Complex64]) {
    let shift = usize::BITS - values.len().trailing_zeros();
    for index in 0..values.len() {
        let partner = index.reverse_bits() >> shift;
        if index < partner {
            values.swap(index, partner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha12Rng;

    fn uniform(count: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    /// The definition: slot `j` is the sum of `m_p zeta^(p 5^j)`.
    fn evaluate_at_roots(coefficients: &[f64]) -> Vec<Complex64> {
        let degree = coefficients.len();
        let log_order = degree.trailing_zeros() + 1;
        let powers = std::iter::successors(Some(1u64), |power| Some(power * 5 % (2 * degree as u64)));
        powers
            .take(degree / 2)
            .map(|power| {
                let terms = coefficients.iter().enumerate();
                terms.map(|(p, &m)| unit_root(power * p as u64, log_order) * m).sum()
            })
            .collect()
    }

    fn distance(a: &[Complex64], b: &[Complex64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| (x - y).norm()).fold(0.0, f64::max)
    }

    #[test]
    fn unit_roots_match_library_functions_and_are_exact_on_the_axes() {
        for exponent in 0..64 {
            let angle = exponent as f64 * std::f64::consts::TAU / 64.0;
            assert!((unit_root(exponent, 6) - Complex64::cis(angle)).norm() < 1e-15);
        }
        assert_eq!(unit_root(3, 2), Complex64::new(0.0, -1.0));
        assert_eq!(unit_root(1, 1), Complex64::new(-1.0, 0.0));
    }

    #[test]
    fn transform_agrees_with_the_definition() {
        for log_degree in 2..9 {
            let embedding = Embedding::new(log_degree).unwrap();
            let coefficients = uniform(1 << log_degree, log_degree.into());
            let slots = embedding.decode(&coefficients, 1.0).unwrap();
            assert!(distance(&slots, &evaluate_at_roots(&coefficients)) < 1e-13);
        }
    }

    #[test]
    fn fifth_power_rotates_slots_to_the_left() {
        let embedding = Embedding::new(7).unwrap();
        let coefficients = uniform(128, 3);
        let mut mapped = vec![0.0; 128];
        for (p, &m) in coefficients.iter().enumerate() {
            let image = 5 * p % 256;
            mapped[image % 128] = if image < 128 { m } else { -m };
        }
        let mut slots = embedding.decode(&coefficients, 1.0).unwrap();
        slots.rotate_left(1);
        assert!(distance(&slots, &embedding.decode(&mapped, 1.0).unwrap()) < 1e-13);
    }

    #[test]
    fn round_trip_keeps_almost_all_bits_at_full_size() {
        let embedding = Embedding::new(16).unwrap();
        let parts = uniform(1 << 16, 5);
        let slots: Vec<_> = parts.chunks(2).map(|pair| Complex64::new(pair[0], pair[1])).collect();
        let mut values = slots.clone();
        embedding.slots_to_coefficients(&mut values).unwrap();
        embedding.coefficients_to_slots(&mut values).unwrap();
        let error = distance(&values, &slots);
        assert!(error < 8e-15, "round trip error {error:e}");
    }

    #[test]
    fn integers_round_to_the_precision_of_the_scale() {
        let embedding = Embedding::new(12).unwrap();
        let slots = uniform(1 << 11, 8);
        let scale = 2f64.powi(40);
        let integers: Vec<_> =
            embedding.encode_real(&slots, scale).unwrap().into_iter().map(|integer| integer as f64).collect();
        let decoded = embedding.decode(&integers, scale).unwrap();
        // Each of 2^12 roundings contributes at most half a unit; typically sqrt(2^12 / 12) units.
        let bound = 8.0 * (4096f64 / 12.0).sqrt() / scale;
        assert!(decoded.iter().zip(&slots).all(|(a, &b)| (a - b).norm() < bound));
    }

    #[test]
    fn rejects_wrong_lengths_and_too_large_values() {
        let embedding = Embedding::new(4).unwrap();
        assert!(Embedding::new(1).is_err());
        assert!(embedding.coefficients_to_slots(&mut [Complex64::ZERO; 4]).is_err());
        assert!(embedding.slots_to_coefficients(&mut [Complex64::ZERO; 16]).is_err());
        assert!(embedding.decode(&[0.0; 8], 1.0).is_err());
        assert!(embedding.encode_real(&[0.0; 16], 1.0).is_err());
        assert!(embedding.encode_real(&[f64::NAN; 8], 1.0).is_err());
        let error = embedding.encode_complex(&[Complex64::ONE; 8], 2f64.powi(62)).unwrap_err();
        assert!(error.to_string().contains("2^62"), "{error}");
        assert!(embedding.encode_complex(&[Complex64::ONE; 8], 2f64.powi(61)).is_ok());
    }
}
