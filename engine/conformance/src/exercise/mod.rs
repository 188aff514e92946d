//! A program that calls every kernel and notes every result.

mod arithmetic;
mod key_switching;
mod lanes;
mod modules;
mod moduli;
mod rings;
mod storage;
mod weights;

use fhe_ring::{Backend, Basis, Domain, Poly, Shape};
pub use modules::exercise_modules;

use crate::{Case, Transcript};

/// Calls every kernel on polynomials of the case.
pub fn exercise<B: Backend>(backend: &B, case: &Case) -> Transcript {
    let mut transcript = Transcript::default();
    storage::storage_and_transforms(backend, case, &mut transcript);
    arithmetic::element_wise(backend, case, &mut transcript);
    arithmetic::ciphertext_products(backend, case, &mut transcript);
    arithmetic::subring_sums_of(backend, case, &mut transcript);
    arithmetic::permutations(backend, case, &mut transcript);
    rings::between_the_rings(backend, case, &mut transcript);
    key_switching::gadget_products(backend, case, &mut transcript);
    key_switching::sums_of_rotations(backend, case, &mut transcript);
    moduli::divisions(backend, case, &mut transcript);
    moduli::raises(backend, case, &mut transcript);
    lanes::strided_maps(backend, case, &mut transcript);
    lanes::matrix_products(backend, case, &mut transcript);
    transcript
}

/// What the checked operations answer to the suite's calls.
const ACCEPTED: &str = "the operands fit";

/// The case's polynomial, with and without special primes, in both domains; the words are the pattern in either.
fn operands<B: Backend>(backend: &B, case: &Case) -> impl Iterator<Item = Poly<B>> {
    [case.basis, case.basis.with_special(case.special)].into_iter().flat_map(move |basis| {
        [Domain::Coefficient, Domain::Evaluation]
            .map(|domain| case.pattern.poly(backend, Shape { ring: case.ring, basis, domain }, 0))
    })
}

/// Values of the polynomial whose coefficients are the pattern: for base conversion patterns have a meaning as coefficients.
fn values<B: Backend>(backend: &B, case: &Case, basis: Basis, salt: u64) -> Poly<B> {
    case.pattern.poly(backend, Shape::coefficient(case.ring, basis), salt).into_evaluation(backend)
}
