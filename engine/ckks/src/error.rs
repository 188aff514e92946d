//! What can go wrong in CKKS, said with operation, operand, found, required and remedy.

use thiserror::Error;

/// Errors of this crate.
#[derive(Debug, Error)]
pub enum CkksError {
    /// An operand or parameter does not fit the operation.
    #[error("{operation}: {operand} is {found}, required {required}; {remedy}")]
    Precondition {
        /// Operation refused.
        operation: &'static str,
        /// Which operand.
        operand: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        required: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Polynomial arithmetic refused.
    #[error(transparent)]
    Ring(#[from] fhe_ring::RingError),
    /// Key switching or parameters refused.
    #[error(transparent)]
    Rlwe(#[from] fhe_rlwe::RlweError),
}
