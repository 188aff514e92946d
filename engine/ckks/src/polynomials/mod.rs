//! Polynomials in the Chebyshev basis: fitting them, planning their evaluation, evaluating them on ciphertexts.

pub mod chebyshev;
pub mod evaluation;
pub mod minimax;
pub mod plan;
pub mod slim;
pub mod slot_polynomials;
