//! Full bootstrapping: slots at the bottom of the compute region back to slots near its top.

use crate::{CkksError, Copies, Evaluator, Packing, correct_sine};

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
    sparse_bootstrap(e, inputs, Copies::ONE, levels)
}

/// The same for slots in copies: cheaper, and copies that have drifted apart return as their average.
///
/// # Errors
/// As [`bootstrap`], or if there are no such copies.
pub fn sparse_bootstrap<E: Evaluator + ?Sized>(
    e: &E,
    inputs: &[&E::Slots],
    copies: Copies,
    levels: usize,
) -> Result<Vec<E::Slots>, CkksError> {
    let unit = e.shape().full_scale;
    let descend = |x: &&E::Slots| e.sparse_slots_to_coefficients(x, copies, unit);
    let coefficients = inputs.iter().map(descend).collect::<Result<Vec<_>, CkksError>>()?;
    let raised = e.sparse_half_bootstrap(&coefficients.iter().collect::<Vec<_>>(), copies, levels)?;
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
