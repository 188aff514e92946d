//! The same circuit without cryptography.
//!
//! [`Clear`] keeps every representation that a circuit passes through (slots with their level, coefficients as integers
//! at the lowest modulus, module rows, parts of a vector) in `f64`. It refuses what the encrypted evaluator refuses, counts what that one
//! counts, and replaces its errors by Gaussian noise of stated size ([`NoiseModel`]). Beyond that it sees what no
//! server can: a message outside the range of a half bootstrap, or an integer that wraps around modulo `q_0`, is an
//! error here and a silent failure there.
//!
//! Alignment is explicit in the counts. Where operands of a sum or product stand at different levels the higher one is
//! lowered, which is one product with a constant and one rescaling; a linear or plain combination encodes its factors
//! at the scale each term needs, so its terms are aligned for free.

mod bootstrapping;
mod client;
mod cost;
mod evaluator;
mod lanes;
mod noise;
mod rows;
mod slot_arithmetic;
mod values;
mod vectors;

use std::sync::Mutex;

use fhe_ring::IntegerMatrix;

pub use cost::BootstrapCost;
pub use noise::NoiseModel;
pub use values::{ClearCoefficients, ClearLanes, ClearRows, ClearSlots, ClearVector};

use crate::{CircuitShape, CkksError, Level, OperationCounts, Plaintext};
use noise::NoiseSource;

/// Units agree if their ratio differs from 1 by no more than this.
const UNIT_TOLERANCE: f64 = 1.0 / (1_u64 << 30) as f64;

/// Evaluator and client over plain numbers.
pub struct Clear {
    shape: CircuitShape,
    cost: Box<dyn BootstrapCost>,
    noise: NoiseModel,
    exact_functions: bool,
    source: Mutex<NoiseSource>,
    counts: Mutex<OperationCounts>,
    /// The largest argument of a polynomial since somebody last asked.
    excursion: Mutex<f64>,
}

impl Clear {
    /// An evaluator of this shape whose bootstraps count as `cost` says. Equal seeds and equal circuits give equal
    /// results.
    ///
    /// # Errors
    /// [`CkksError::Precondition`] unless the degree is a power of two, at least 4, and the scales are
    /// positive.
    pub fn new(
        shape: CircuitShape,
        cost: impl BootstrapCost + 'static,
        noise: NoiseModel,
        seed: u64,
    ) -> Result<Self, CkksError> {
        if !shape.small_degree.is_power_of_two() || shape.small_degree > shape.degree {
            let required = format!("a power of two up to {}", shape.degree);
            return Err(refuse("Clear::new", "small degree", shape.small_degree, required, "use another shape"));
        }
        if !shape.degree.is_power_of_two() || shape.degree < 4 {
            return Err(refuse(
                "Clear::new",
                "degree",
                shape.degree,
                "a power of two, at least 4",
                "use another shape",
            ));
        }
        let scales = [shape.full_scale, shape.message_ratio];
        if !scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
            let found = format!("{scales:?}");
            return Err(refuse("Clear::new", "full scale, message ratio", found, "positive", "use another shape"));
        }
        noise.check()?;
        Ok(Self {
            shape,
            cost: Box::new(cost),
            noise,
            exact_functions: false,
            source: Mutex::new(NoiseSource::new(seed)),
            counts: Mutex::default(),
            excursion: Mutex::default(),
        })
    }

    /// The same evaluator with functions in place of their polynomials ([`crate::SlotArithmetic::apply_function`]); levels and counts
    /// stay those of the polynomials, and the noise is that of their last rescaling.
    #[must_use]
    pub fn with_exact_functions(self) -> Self {
        Self { exact_functions: true, ..self }
    }

    /// The largest magnitude that an argument of a polynomial had since this was last asked, if it lay outside the interval `[-1, 1]` on which
    /// polynomials follow their functions: from there on, the run says nothing true. Slots that idle count, since a polynomial of what lies far
    /// outside does not stay there.
    pub fn take_excursion(&self) -> Option<f64> {
        let largest = std::mem::take(&mut *self.excursion.lock().expect("comparing numbers does not panic"));
        (largest > 1.0).then_some(largest)
    }

    /// An integer that stands at `q_0` must lie strictly inside `(-q_0/2, q_0/2)`.
    fn largest_integer(&self) -> f64 {
        0.5 * self.shape.full_scale / self.shape.message_ratio
    }

    fn count(&self, change: impl FnOnce(&mut OperationCounts)) {
        change(&mut self.counts.lock().expect("counting does not panic"));
    }

    fn disturb<'a>(&self, sigma: f64, values: impl Iterator<Item = &'a mut f64>) {
        if sigma > 0.0 {
            let mut source = self.source.lock().expect("drawing noise does not panic");
            values.for_each(|value| *value += sigma * source.gaussian());
        }
    }

    /// The level that is left after one rescaling.
    fn below(&self, operation: &'static str, level: Level) -> Result<Level, CkksError> {
        level.0.checked_sub(1).map(Level).ok_or_else(|| {
            refuse(operation, "level", 0, "at least 1", "request more levels from the half bootstrap before")
        })
    }

    fn check_plain(&self, operation: &'static str, slots: &ClearSlots, plain: Plaintext<'_>) -> Result<(), CkksError> {
        if plain.slots() != slots.values.len() {
            let required = format!("{} values, one per slot", slots.values.len());
            return Err(refuse(operation, "length of the plaintext", plain.slots(), required, "pad it with zeros"));
        }
        match (0..plain.slots()).find(|&slot| !plain.at(slot).is_finite()) {
            None => Ok(()),
            Some(slot) => {
                let found = format!("{} in slot {slot}", plain.at(slot));
                Err(refuse(operation, "plaintext", found, "finite numbers", "check the range it was made for"))
            }
        }
    }

    fn check_constant(&self, operation: &'static str, constant: f64) -> Result<(), CkksError> {
        if constant.is_finite() {
            return Ok(());
        }
        Err(refuse(operation, "constant", constant, "a finite number", "check the range it was made for"))
    }

    fn check_unit(&self, operation: &'static str, unit: f64) -> Result<(), CkksError> {
        if unit.is_finite() && unit > 0.0 {
            return Ok(());
        }
        Err(refuse(operation, "unit", unit, "a positive number", "choose the unit from the calibrated range"))
    }

    /// Joins integers and unit, refusing what would wrap around.
    fn coefficients(
        &self,
        operation: &'static str,
        integers: Vec<f64>,
        unit: f64,
    ) -> Result<ClearCoefficients, CkksError> {
        let limit = self.largest_integer();
        match integers.iter().position(|integer| integer.is_nan() || integer.abs() >= limit) {
            None => Ok(ClearCoefficients { integers, unit }),
            Some(index) => {
                let found = format!("{:.4e} in coefficient {index}", integers[index]);
                let required = format!("below q_0 / 2 = {limit:.4e}");
                Err(refuse(operation, "integer coefficient", found, required, "lower the unit"))
            }
        }
    }
}

/// Weights of which only the shape is known make no numbers.
fn check_filled(operation: &'static str, weights: &IntegerMatrix) -> Result<(), CkksError> {
    if weights.is_filled() {
        return Ok(());
    }
    let remedy = "fill the weights, or run on a backend without data";
    Err(refuse(operation, "weights", "a shape without entries", "filled weights", remedy))
}

/// A refused operation.
fn refuse(
    operation: &'static str,
    operand: &'static str,
    found: impl ToString,
    required: impl ToString,
    remedy: &'static str,
) -> CkksError {
    CkksError::Precondition { operation, operand, found: found.to_string(), required: required.to_string(), remedy }
}

#[cfg(test)]
mod tests;
