//! Products with and divisions by primes, raises.

use fhe_ring::{Backend, Basis, Shape};

use super::{ACCEPTED, values};
use crate::{Case, Transcript};

pub(super) fn divisions<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    let poly = values(backend, case, case.basis, 0);
    let extended = poly.extend_by_special(backend, case.special).expect(ACCEPTED);
    let undone = extended.mod_down(backend, false).expect(ACCEPTED);
    transcript.note(backend, "extend", extended);
    transcript.note(backend, "mod_down of extend", undone);

    let product = values(backend, case, case.basis.with_special(case.special), 0);
    transcript.note(backend, "mod_down", product.mod_down(backend, false).expect(ACCEPTED));
    if case.basis.ciphertext_count() >= 2 {
        transcript.note(backend, "mod_down with rescale", product.mod_down(backend, true).expect(ACCEPTED));
        transcript.note(backend, "rescale", poly.rescale(backend).expect(ACCEPTED));
        let coefficients = poly.duplicate(backend).into_coefficient(backend);
        transcript.note(backend, "rescale", coefficients.rescale(backend).expect(ACCEPTED));
    }
}

/// From the lowest prime present, from the highest, from several; to the case's primes and to all.
pub(super) fn raises<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    let indices: Vec<usize> = case.basis.ciphertext_indices().collect();
    let lowest = Basis::of(indices.first().copied());
    let highest = Basis::of(indices.last().copied());
    let two = Basis::of(indices.iter().copied().take(2));
    for source in [lowest, highest, two, case.basis] {
        let small = case.pattern.poly(backend, Shape::coefficient(case.ring, source), 5);
        for target in [case.basis, case.basis.with_special(case.special), backend.primes().full_basis()] {
            transcript.note(backend, "raise", small.raise(backend, target).expect(ACCEPTED));
        }
    }
}
