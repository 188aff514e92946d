//! Plaintext vectors, and what of their encoding can be kept.
//!
//! Encoding a vector embeds it, which takes two complex transforms of half the slots and no account of scale or primes; then it is scaled, rounded, and
//! transformed for each prime. A [`PlainVector`] keeps its embedding, real numbers as many as it has slots: a mask or a map that meets ciphertexts in
//! every layer is embedded once for all levels, scales and factors, at 512 KiB for 2^16 slots, where its polynomials would take as much for every
//! prime of every level.

use std::sync::{Arc, OnceLock};

use num_complex::Complex64;

use crate::{CkksError, Packing, transforms::embedding::Embedding};

/// A real number for every slot, times a factor, that is used again and again: its embedding is made when first needed, and kept. Clones and multiples
/// share it.
#[derive(Clone, Debug)]
pub struct PlainVector {
    shared: Arc<Shared>,
    factor: f64,
}

#[derive(Debug, Default)]
struct Shared {
    numbers: Vec<f64>,
    /// Coefficients before the factor, of real slots and of complex ones.
    real: OnceLock<Vec<f64>>,
    complex: OnceLock<Vec<f64>>,
}

impl From<Vec<f64>> for PlainVector {
    fn from(numbers: Vec<f64>) -> Self {
        Self { shared: Arc::new(Shared { numbers, ..Shared::default() }), factor: 1.0 }
    }
}

impl PlainVector {
    /// The vector times a number.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self { shared: Arc::clone(&self.shared), factor: self.factor * factor }
    }

    /// The numbers of all slots.
    pub fn numbers(&self) -> impl ExactSizeIterator<Item = f64> {
        self.shared.numbers.iter().map(|number| self.factor * number)
    }

    /// The nearest integers to `scale` times the coefficients of the polynomial with these slots.
    fn encoded(&self, embedding: &Embedding, packing: Packing, scale: f64) -> Result<Vec<i64>, CkksError> {
        let Shared { numbers, real, complex } = self.shared.as_ref();
        let known = match packing {
            Packing::Real => real,
            Packing::Complex => complex,
        };
        let coefficients = match known.get() {
            Some(coefficients) => coefficients,
            None => {
                let embedded =
                    embedding.embed(packing, numbers.iter().map(|&number| Complex64::from(number)).collect())?;
                known.get_or_init(|| embedded)
            }
        };
        Embedding::scaled(coefficients, scale * self.factor)
    }
}

/// A real number for every slot as an operand: one that is encoded for this operation alone, or one whose embedding is kept.
#[derive(Clone, Copy, Debug)]
pub enum Plaintext<'a> {
    /// Numbers of one operation.
    Once(&'a [f64]),
    /// A vector of many.
    Kept(&'a PlainVector),
}

impl<'a> From<&'a [f64]> for Plaintext<'a> {
    fn from(numbers: &'a [f64]) -> Self {
        Self::Once(numbers)
    }
}

impl<'a> From<&'a Vec<f64>> for Plaintext<'a> {
    fn from(numbers: &'a Vec<f64>) -> Self {
        Self::Once(numbers)
    }
}

impl<'a, const SLOTS: usize> From<&'a [f64; SLOTS]> for Plaintext<'a> {
    fn from(numbers: &'a [f64; SLOTS]) -> Self {
        Self::Once(numbers)
    }
}

impl<'a> From<&'a PlainVector> for Plaintext<'a> {
    fn from(vector: &'a PlainVector) -> Self {
        Self::Kept(vector)
    }
}

impl Plaintext<'_> {
    /// Number of slots.
    pub fn slots(&self) -> usize {
        match self {
            Self::Once(numbers) => numbers.len(),
            Self::Kept(vector) => vector.numbers().len(),
        }
    }

    /// The number of a slot.
    pub(crate) fn at(&self, slot: usize) -> f64 {
        match self {
            Self::Once(numbers) => numbers[slot],
            Self::Kept(PlainVector { shared, factor }) => factor * shared.numbers[slot],
        }
    }

    /// The nearest integers to `scale` times the coefficients of the polynomial with these slots.
    pub(crate) fn encoded(&self, embedding: &Embedding, packing: Packing, scale: f64) -> Result<Vec<i64>, CkksError> {
        match (self, packing) {
            (Self::Once(numbers), Packing::Real) => embedding.encode_conjugate_invariant(numbers, scale),
            (Self::Once(numbers), Packing::Complex) => embedding.encode_real(numbers, scale),
            (Self::Kept(vector), _) => vector.encoded(embedding, packing, scale),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEGREE: usize = 1 << 6;

    fn numbers(slots: usize) -> Vec<f64> {
        (0..slots).map(|slot| (slot as f64 * 0.7).sin()).collect()
    }

    /// A kept vector and its multiples are encoded as the same numbers given once, up to a last bit of the embedding.
    #[test]
    fn kept_vectors_are_encoded_like_their_numbers() {
        let (embedding, scale) = (Embedding::new(DEGREE.trailing_zeros()).unwrap(), 2f64.powi(40));
        for (packing, slots) in [(Packing::Real, DEGREE), (Packing::Complex, DEGREE / 2)] {
            let kept = PlainVector::from(numbers(slots));
            for factor in [1.0, -0.37] {
                let once: Vec<f64> = numbers(slots).into_iter().map(|number| factor * number).collect();
                let expected = Plaintext::from(&once).encoded(&embedding, packing, scale).unwrap();
                let found = Plaintext::from(&kept.scaled(factor)).encoded(&embedding, packing, scale).unwrap();
                assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1), "{packing:?}, times {factor}");
                assert!(kept.scaled(factor).numbers().zip(once).all(|(a, b)| a == b));
            }
        }
    }

    #[test]
    fn multiples_share_one_embedding() {
        let embedding = Embedding::new(DEGREE.trailing_zeros()).unwrap();
        let (kept, scale) = (PlainVector::from(numbers(DEGREE)), 2f64.powi(40));
        let half = kept.scaled(0.5);
        Plaintext::from(&half).encoded(&embedding, Packing::Real, scale).unwrap();
        assert!(kept.shared.real.get().is_some() && kept.shared.complex.get().is_none());
        assert!(Plaintext::from(&half).encoded(&embedding, Packing::Complex, scale).is_err(), "too many slots");
    }
}
