//! Base conversion and gadget products.

use fhe_ring::{Backend, Basis, Digits, GaloisElement, Poly, Shape, gadget_product};

use crate::{Case, Pattern, Transcript};

const ACCEPTED: &str = "the operands fit";

/// Patterns have a meaning for base conversion as coefficients: they are transformed, not reinterpreted.
fn values<B: Backend>(backend: &B, case: &Case, basis: Basis) -> Poly<B> {
    case.pattern.poly(backend, Shape::coefficient(case.ring, basis), 0).into_evaluation(backend)
}

pub(super) fn decomposition<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    let poly = values(backend, case, case.basis);
    let full = Shape::evaluation(case.ring, backend.primes().full_basis());
    for width in [1, 2, 3, 63] {
        let digits = poly.mod_up(backend, width, case.special).expect(ACCEPTED);
        let indices: Vec<usize> = digits.iter().map(|(index, _)| index).collect();
        let expected: Vec<usize> = case.basis.digits(width).map(|(index, _)| index).collect();
        assert_eq!(indices, expected, "{case}: mod_up returned other digits");
        for (index, digit) in digits.iter() {
            let name = format!("mod_up, width {width}, digit {index}");
            transcript.note(backend, &name, digit.duplicate(backend));
        }
        let rotated = digits.automorphism(backend, GaloisElement::rotation(case.ring, 1)).expect(ACCEPTED);
        for pattern in [Pattern::Random, Pattern::Largest] {
            let last = indices.last().map_or(0, |last| last + 1);
            let rows: Vec<_> =
                (0..last as u64).map(|d| [20, 40].map(|salt| pattern.poly(backend, full, salt + d))).collect();
            products(backend, &digits, &rows, pattern, transcript);
            products(backend, &rotated, &rows, Pattern::Zero, transcript);
        }
    }
    let single = Digits::single(poly).expect(ACCEPTED);
    let row = [[60, 61].map(|salt| Pattern::Random.poly(backend, full, salt))];
    products(backend, &single, &row, Pattern::Largest, transcript);
}

fn products<B: Backend>(
    backend: &B,
    digits: &Digits<B>,
    rows: &[[Poly<B>; 2]],
    start: Pattern,
    transcript: &mut Transcript,
) {
    let mut target = [11, 12].map(|salt| start.poly(backend, digits.shape(), salt));
    gadget_product(backend, &mut target, digits, rows).expect(ACCEPTED);
    let [b, a] = target;
    transcript.note(backend, "gadget_product, b", b);
    transcript.note(backend, "gadget_product, a", a);
}

pub(super) fn divisions<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    let poly = values(backend, case, case.basis);
    let extended = poly.extend_by_special(backend, case.special).expect(ACCEPTED);
    let undone = extended.mod_down(backend, false).expect(ACCEPTED);
    transcript.note(backend, "extend", extended);
    transcript.note(backend, "mod_down of extend", undone);

    let product = values(backend, case, case.basis.with_special(case.special));
    transcript.note(backend, "mod_down", product.mod_down(backend, false).expect(ACCEPTED));
    if case.basis.ciphertext_count() >= 2 {
        transcript.note(backend, "mod_down with rescale", product.mod_down(backend, true).expect(ACCEPTED));
        transcript.note(backend, "rescale", poly.rescale(backend).expect(ACCEPTED));
        let coefficients = poly.duplicate(backend).into_coefficient(backend);
        transcript.note(backend, "rescale", coefficients.rescale(backend).expect(ACCEPTED));
    }
    // From the lowest and from the highest prime present; to the case's primes and to all.
    let lowest = case.basis.ciphertext_indices().next().map(|lowest| Basis::of([lowest]));
    let highest = case.basis.last().map(|highest| Basis::of([highest]));
    for source in lowest.into_iter().chain(highest) {
        let small = case.pattern.poly(backend, Shape::coefficient(case.ring, source), 5);
        for target in [case.basis, case.basis.with_special(case.special), backend.primes().full_basis()] {
            transcript.note(backend, "raise", small.raise(backend, target).expect(ACCEPTED));
        }
    }
}
