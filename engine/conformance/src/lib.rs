//! One suite that every [`Backend`] must pass. Test-only: failures panic with the case, the kernel and
//! the first word that differs.
//!
//! Two questions, two answers:
//!
//! * *Do two backends agree bit for bit?* [`run`] puts both through [`exercise`], which calls every kernel with random
//!   and extreme inputs, on both ring kinds, at many degrees, for sets of primes with and without gaps, and compares
//!   whatever can be downloaded. A backend without data takes part too: its downloads are empty, its counts are not.
//! * *Does a backend compute what the kernels are defined to compute?* [`laws`] checks the definitions with schoolbook
//!   products and big integers, at small degrees.

mod case;
mod exercise;
pub mod laws;
mod transcript;

pub use case::{Case, Pattern, cases};
pub use exercise::{exercise, exercise_modules};
pub use transcript::Transcript;

use fhe_ring::Backend;

/// Requires that the candidate agrees with the reference bit for bit, for every case of [`cases`].
///
/// # Panics
/// If they differ, or do not share their primes.
pub fn run<R: Backend, C: Backend>(reference: &R, candidate: &C) {
    assert_eq!(reference.primes(), candidate.primes(), "the backends were made for different primes");
    for case in cases(reference.primes()) {
        exercise(reference, &case).assert_equals(&exercise(candidate, &case), &format!("{case}"));
    }
    for pattern in Pattern::ALL {
        let context = format!("module rows, {pattern:?}");
        exercise_modules(reference, pattern).assert_equals(&exercise_modules(candidate, pattern), &context);
    }
}
