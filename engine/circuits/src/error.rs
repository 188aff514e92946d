//! What can go wrong in a circuit.

use fhe_ckks::CkksError;
use thiserror::Error;

/// Errors of this crate.
#[derive(Debug, Error)]
pub enum CircuitError {
    /// A size, layout or range does not fit the circuit.
    #[error("{operation}: {operand} is {found}, required {required}; {remedy}")]
    Precondition {
        /// Circuit refused.
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
    /// No polynomial of the allowed degrees follows the function on its window.
    #[error(
        "{function}: the best polynomial of degree {degree} on {window} has error {found:.2e}, \
         required at most {required:.2e}; narrow the window (outlier mitigation), choose another variant or a parameter set with more levels"
    )]
    Approximation {
        /// The function.
        function: &'static str,
        /// The largest degree tried.
        degree: usize,
        /// The window of its argument.
        window: String,
        /// Error reached.
        found: f64,
        /// Error that would still be of use.
        required: f64,
    },
    /// A homomorphic operation refused.
    #[error(transparent)]
    Ckks(#[from] CkksError),
}

/// Results of this crate.
pub type Result<T, E = CircuitError> = std::result::Result<T, E>;

/// A refused precondition.
pub(crate) fn refuse(
    operation: &'static str,
    operand: &'static str,
    found: impl ToString,
    required: impl ToString,
    remedy: &'static str,
) -> CircuitError {
    CircuitError::Precondition { operation, operand, found: found.to_string(), required: required.to_string(), remedy }
}
