//! Coefficient ciphertexts between client and server: the unit, then the message of [`fhe_rlwe::wire`].

use std::io::{Read, Write};

use fhe_ring::{Backend, Basis, Domain, Shape};
use fhe_rlwe::wire::{CiphertextForm, ciphertext_wire_bytes};
use fhe_rlwe::{Ciphertext, RlweError};

use super::CoefficientCiphertext;
use super::ciphertext::Halves;
use crate::{CkksError, Parameters};

const UNIT_BYTES: u64 = 8;

/// Of every coefficient ciphertext under these parameters.
fn shape(parameters: &Parameters) -> Shape {
    Shape { ring: parameters.rlwe().ring(), basis: Basis::prefix(1), domain: Domain::Evaluation }
}

fn refused<T>(what: &'static str, found: String, required: String) -> Result<T, CkksError> {
    let remedy = "send what a client encrypted or a server computed, by this crate and under the same parameters";
    Err(RlweError::Wire { what, found, required, remedy }.into())
}

impl<B: Backend> CoefficientCiphertext<B> {
    /// Bytes of the message: 8 of the unit and those of the ciphertext, in the form of a fresh encryption or in that of anything else.
    ///
    /// # Errors
    /// If there is no such ciphertext under these parameters.
    pub fn wire_bytes(form: CiphertextForm, parameters: &Parameters) -> Result<u64, CkksError> {
        Ok(UNIT_BYTES + ciphertext_wire_bytes(shape(parameters), form, parameters.rlwe())?)
    }

    /// Writes the unit and the ciphertext; by the seed of one half if a client encrypted it and nothing was done to it since.
    ///
    /// # Errors
    /// For a backend without data or of another chain; if the output fails.
    pub fn write(&self, backend: &B, parameters: &Parameters, out: &mut impl Write) -> Result<(), CkksError> {
        out.write_all(&self.unit.to_le_bytes()).or_else(|error| {
            refused("output", format!("\"{error}\""), format!("to take the {UNIT_BYTES} bytes of a unit"))
        })?;
        match &self.halves {
            Halves::Fresh(seeded) => seeded.write(backend, parameters.rlwe(), out)?,
            Halves::Both(ciphertext) => ciphertext.write(backend, parameters.rlwe(), out)?,
        }
        Ok(())
    }

    /// Reads either form.
    ///
    /// # Errors
    /// [`RlweError::Wire`] naming the field that does not fit, under these parameters or at all.
    pub fn read(backend: &B, parameters: &Parameters, input: &mut impl Read) -> Result<Self, CkksError> {
        let mut unit = [0; UNIT_BYTES as usize];
        input
            .read_exact(&mut unit)
            .or_else(|error| refused("unit", format!("unreadable (\"{error}\")"), format!("{UNIT_BYTES} bytes")))?;
        let unit = f64::from_le_bytes(unit);
        if !(unit.is_finite() && unit > 0.0) {
            return refused("unit", unit.to_string(), "a positive number".into());
        }
        let ciphertext = Ciphertext::read(backend, parameters.rlwe(), input)?;
        let (found, required) = (ciphertext.shape(), shape(parameters));
        if found != required {
            return refused("ciphertext", format!("{found:?}"), format!("{required:?}, that of coefficients"));
        }
        Ok(Self::new(ciphertext, unit))
    }
}
