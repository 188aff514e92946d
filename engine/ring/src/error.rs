//! What a checked operation can refuse.

use crate::{Basis, Domain, Ring};

/// A refused operation. Every variant names the operation, the operand, what was found, what is required and a remedy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RingError {
    /// Operands live in different rings.
    #[error("{operation}: {operand} lives in the {found}, but the {required} is required; {remedy}")]
    RingMismatch {
        /// The refused operation.
        operation: &'static str,
        /// The operand at fault.
        operand: &'static str,
        /// Its ring.
        found: Ring,
        /// The ring that was needed.
        required: Ring,
        /// What to do instead.
        remedy: &'static str,
    },
    /// The operation does not exist in this family of rings or at this degree.
    #[error("{operation}: {operand} lives in the {found}, but the operation needs {required}; {remedy}")]
    RingUnsupported {
        /// The refused operation.
        operation: &'static str,
        /// The operand at fault.
        operand: &'static str,
        /// Its ring.
        found: Ring,
        /// The rings that would do.
        required: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },
    /// An operand is in the wrong domain.
    #[error("{operation}: {operand} is in the {found}, but the {required} is required; transform it first")]
    DomainMismatch {
        /// The refused operation.
        operation: &'static str,
        /// The operand at fault.
        operand: &'static str,
        /// Its domain.
        found: Domain,
        /// The domain that was needed.
        required: Domain,
    },
    /// An operand is reduced by other primes than the operation needs.
    #[error("{operation}: {operand} has the primes {found}, but exactly {required} are required; {remedy}")]
    BasisMismatch {
        /// The refused operation.
        operation: &'static str,
        /// The operand at fault.
        operand: &'static str,
        /// Its primes.
        found: Basis,
        /// The primes that were needed.
        required: Basis,
        /// What to do instead.
        remedy: &'static str,
    },
    /// An operand lacks primes that the operation needs.
    #[error("{operation}: {operand} has the primes {found}, which do not include {required}; {remedy}")]
    BasisNotContained {
        /// The refused operation.
        operation: &'static str,
        /// The operand at fault.
        operand: &'static str,
        /// Its primes.
        found: Basis,
        /// The primes that must be among them.
        required: Basis,
        /// What to do instead.
        remedy: &'static str,
    },
    /// The primes of an operand do not suit the operation.
    #[error("{operation}: {operand} has the primes {found}, but the operation needs {required}; {remedy}")]
    BasisUnsupported {
        /// The refused operation.
        operation: &'static str,
        /// The operand at fault.
        operand: &'static str,
        /// Its primes.
        found: Basis,
        /// What the primes must satisfy.
        required: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },
    /// A list has the wrong number of entries.
    #[error("{operation}: {operand} has {found} entries, but {required} are required; {remedy}")]
    LengthMismatch {
        /// The refused operation.
        operation: &'static str,
        /// The list at fault.
        operand: &'static str,
        /// Its length.
        found: usize,
        /// The length that was needed.
        required: usize,
        /// What to do instead.
        remedy: &'static str,
    },
    /// A number is outside what the operation accepts.
    #[error("{operation}: {operand} is {found}, but {required} is required; {remedy}")]
    OutOfRange {
        /// The refused operation.
        operation: &'static str,
        /// The number at fault.
        operand: &'static str,
        /// Its value.
        found: String,
        /// The values that would do.
        required: String,
        /// What to do instead.
        remedy: &'static str,
    },
    /// Residues that were to be reduced are not. The values themselves may be secret and are not shown.
    #[error(
        "{operation}: {operand} holds an unreduced residue in limb {limb}; values below the limb's prime are required; reduce it or check the source's integrity"
    )]
    UnreducedResidue {
        /// The refused operation.
        operation: &'static str,
        /// The data at fault.
        operand: &'static str,
        /// The limb, counted from zero.
        limb: usize,
    },
    /// A number cannot serve as a prime of the chain.
    #[error(
        "prime chain: {operand} is {found}, but {required} is required; generate the chain with `fhe_ring::primes`"
    )]
    PrimeRejected {
        /// The prime's position, as in `q3` or `p0`.
        operand: String,
        /// The number.
        found: u64,
        /// What it violates.
        required: String,
    },
    /// The operating system gave no randomness.
    #[error(
        "seed: the operating system's random generator answered `{found}`, but 32 random bytes are required; check that the system provides getrandom or /dev/urandom"
    )]
    NoEntropy {
        /// The system's answer.
        found: String,
    },
}
