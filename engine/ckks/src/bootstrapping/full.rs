//! Full bootstrapping: slots at the bottom of the compute region back to slots near its top.

use crate::{CkksError, Evaluator, Packing, correct_sine};

/// SlotsToCoeffs, then half bootstraps to `levels` compute levels and the cubic correction, of all inputs together. Real slots in [-1, 1],
/// or complex slots with parts in [-1, 1]; ends two levels below where the half bootstrap does, three for complex slots, whose
/// parts are joined again.
///
/// # Errors
/// If an input has fewer levels than SlotsToCoeffs takes, or `levels` exceeds the parameter set's.
pub fn bootstrap<E: Evaluator + ?Sized>(
    e: &E,
    inputs: &[&E::Slots],
    levels: usize,
) -> Result<Vec<E::Slots>, CkksError> {
    let unit = e.shape().full_scale;
    let coefficients =
        inputs.iter().map(|x| e.slots_to_coefficients(x, unit)).collect::<Result<Vec<_>, CkksError>>()?;
    let raised = e.half_bootstrap(&coefficients.iter().collect::<Vec<_>>(), levels)?;
    (inputs.iter().zip(&raised))
        .map(|(input, raised)| {
            let corrected = correct_sine(e, raised)?;
            match e.packing(input) {
                Packing::Real => Ok(corrected),
                Packing::Complex => e.to_complex(&corrected),
            }
        })
        .collect()
}
