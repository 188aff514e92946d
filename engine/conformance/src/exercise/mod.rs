//! A program that calls every kernel and notes every result.

mod arithmetic;
mod key_switching;
mod modules;

use fhe_ring::Backend;
pub use modules::exercise_modules;

use crate::{Case, Transcript};

/// Calls every kernel on polynomials of the case.
pub fn exercise<B: Backend>(backend: &B, case: &Case) -> Transcript {
    let mut transcript = Transcript::default();
    arithmetic::storage_and_transforms(backend, case, &mut transcript);
    arithmetic::element_wise(backend, case, &mut transcript);
    arithmetic::permutations(backend, case, &mut transcript);
    key_switching::decomposition(backend, case, &mut transcript);
    key_switching::divisions(backend, case, &mut transcript);
    transcript
}
