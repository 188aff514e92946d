//! What can go wrong below the scheme, said with operation, operand, found, required and remedy.

use thiserror::Error;

/// Errors of this crate.
#[derive(Debug, Error)]
pub enum RlweError {
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
    /// A key would be weaker than 128 bits and insecure parameters were not asked for by name.
    #[error(
        "security: {key} has log2 modulus {found:.1} under a {secret} of degree 2^{log_degree}, at most {allowed:.1} \
         gives 128 bits; use fewer or smaller primes, or say `insecure = true`"
    )]
    Insecure {
        /// Which key.
        key: String,
        /// Under which secret it is encrypted.
        secret: &'static str,
        /// Degree that counts for the attack.
        log_degree: u32,
        /// Its modulus, special primes included.
        found: f64,
        /// The table's bound.
        allowed: f64,
    },
    /// A circuit used a key that was not requested.
    #[error("key switching: {key} is {found}, required {required}; generate the keys that the circuit's plan requests")]
    MissingKey {
        /// Which key.
        key: String,
        /// "absent" or its basis.
        found: String,
        /// The basis needed.
        required: String,
    },
    /// Bytes that are not what they claim to be.
    #[error("wire format: {what} is {found}, required {required}; {remedy}")]
    Wire {
        /// Which field.
        what: &'static str,
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
}
