//! Full bootstrapping: slots at the bottom of the compute region back to slots near its top.

use crate::{CkksError, Evaluator, correct_sine};

/// SlotsToCoeffs, then a half bootstrap to `levels` compute levels, the cubic correction and the recombination of real and
/// imaginary parts. Complex slots with parts in [-1, 1]; ends two levels below where the half bootstrap does.
///
/// # Errors
/// If `x` has fewer levels than SlotsToCoeffs takes, or `levels` exceeds the parameter set's.
pub fn bootstrap<E: Evaluator + ?Sized>(e: &E, x: &E::Slots, levels: usize) -> Result<E::Slots, CkksError> {
    let coefficients = e.slots_to_coefficients(x, None, e.shape().full_scale)?;
    let halves = e.half_bootstrap(&[&coefficients], levels)?;
    let [real, imaginary] = halves.first().ok_or_else(|| CkksError::Precondition {
        operation: "bootstrap",
        operand: "result of the half bootstrap",
        found: "nothing".into(),
        required: "one pair per input".into(),
        remedy: "report this: the evaluator broke its contract",
    })?;
    let (real, imaginary) = (correct_sine(e, real)?, correct_sine(e, imaginary)?);
    e.add(&real, &e.multiply_imaginary(&imaginary)?)
}
