//! [`Client`] of [`Clear`].

use super::{Clear, ClearCoefficients, refuse};
use crate::{CkksError, Client};

impl Client<Clear> for Clear {
    fn encrypt(&self, coefficients: &[f64], unit: f64) -> Result<ClearCoefficients, CkksError> {
        const OPERATION: &str = "encrypt";
        self.check_unit(OPERATION, unit)?;
        let required = self.shape.degree;
        if coefficients.len() != required {
            return Err(refuse(OPERATION, "coefficients", coefficients.len(), required, "pad them with zeros"));
        }
        let mut integers: Vec<f64> = coefficients.iter().map(|value| value * unit).collect();
        self.disturb(self.noise.encryption, integers.iter_mut());
        integers.iter_mut().for_each(|integer| *integer = integer.round());
        self.coefficients(OPERATION, integers, unit)
    }

    fn decrypt(&self, ciphertext: &ClearCoefficients) -> Result<Option<Vec<f64>>, CkksError> {
        Ok(Some(ciphertext.integers.iter().map(|integer| integer / ciphertext.unit).collect()))
    }
}
