//! Sums of ciphertexts.

use fhe_ckks::SlotArithmetic;

use crate::error::Result;

/// The sum of terms that are made one by one, so that no more than two of them are held; none without terms.
///
/// # Errors
/// Those of the terms and the evaluator.
pub(crate) fn total<E: SlotArithmetic + ?Sized>(
    e: &E,
    terms: impl IntoIterator<Item = Result<E::Slots>>,
) -> Result<Option<E::Slots>> {
    terms.into_iter().reduce(|sum, term| Ok(e.add(&sum?, &term?)?)).transpose()
}

/// The sum of terms that are there.
///
/// # Errors
/// Those of the evaluator.
pub(crate) fn total_of<E: SlotArithmetic + ?Sized>(e: &E, terms: &[E::Slots]) -> Result<Option<E::Slots>> {
    let Some((first, others)) = terms.split_first() else { return Ok(None) };
    Ok(Some(others.iter().try_fold(first.clone(), |sum, term| e.add(&sum, term))?))
}
