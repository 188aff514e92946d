//! Storage, transforms, element-wise kernels and permutations.

use fhe_ring::{Backend, Domain, GaloisElement, Modulus, Poly, RingKind, Shape};

use crate::{Case, Pattern, Transcript};

const ACCEPTED: &str = "the operands fit";

/// The case's polynomial, with and without special primes, in both domains; the words are the pattern in either.
fn operands<B: Backend>(backend: &B, case: &Case) -> impl Iterator<Item = Poly<B>> {
    [case.basis, case.basis.with_special(case.special)].into_iter().flat_map(move |basis| {
        [Domain::Coefficient, Domain::Evaluation]
            .map(|domain| case.pattern.poly(backend, Shape { ring: case.ring, basis, domain }, 0))
    })
}

pub(super) fn storage_and_transforms<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    for poly in operands(backend, case) {
        transcript.note(backend, "zeros", Poly::zeros(backend, poly.shape()).expect(ACCEPTED));
        transcript.note(backend, "upload", poly.duplicate(backend));
        for basis in [case.basis, case.basis.without_last(), case.basis.range(1, 63)] {
            if !basis.is_empty() {
                transcript.note(backend, "restrict", poly.restrict(backend, basis).expect(ACCEPTED));
            }
        }
        let copy = poly.duplicate(backend);
        match poly.shape().domain {
            Domain::Coefficient => {
                let values = transcript.note(backend, "forward", copy.into_evaluation(backend));
                transcript.note(backend, "inverse of forward", values.into_coefficient(backend));
            }
            Domain::Evaluation => {
                let coefficients = transcript.note(backend, "inverse", copy.into_coefficient(backend));
                transcript.note(backend, "forward of inverse", coefficients.into_evaluation(backend));
            }
        }
    }
    let signed: Vec<i64> =
        (0..case.ring.degree() as i64).map(|i| (i - 3).wrapping_mul(i64::MAX / 5) >> (i % 60)).collect();
    let wide: Vec<i128> = signed.iter().map(|&c| i128::from(c) << 60).collect();
    let shape = Shape::evaluation(case.ring, case.basis.with_special(case.special));
    transcript.note(backend, "from_signed", Poly::from_signed(backend, shape, &signed).expect(ACCEPTED));
    transcript.note(backend, "from_signed_wide", Poly::from_signed_wide(backend, shape, &wide).expect(ACCEPTED));
}

pub(super) fn element_wise<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    for poly in operands(backend, case) {
        let shape = poly.shape();
        for (salt, pattern) in [Pattern::Random, Pattern::Largest, case.pattern].into_iter().enumerate() {
            let other = pattern.poly(backend, shape, 1 + salt as u64);
            let mut sum = poly.duplicate(backend);
            sum.add_assign(backend, &other).expect(ACCEPTED);
            transcript.note(backend, "add_assign", sum);
            let mut difference = poly.duplicate(backend);
            difference.subtract_assign(backend, &other).expect(ACCEPTED);
            transcript.note(backend, "subtract_assign", difference);
            if shape.domain == Domain::Evaluation {
                transcript.note(backend, "multiply", poly.multiply(backend, &other).expect(ACCEPTED));
                // The second factor may have primes that the first has not, its limbs then lie elsewhere.
                let full = shape.with_basis(backend.primes().full_basis());
                let stored = pattern.poly(backend, full, 9 + salt as u64);
                let mut accumulator = other.duplicate(backend);
                accumulator.multiply_accumulate(backend, &poly, &stored).expect(ACCEPTED);
                transcript.note(backend, "multiply_accumulate", accumulator);
            }
        }
        let mut negated = poly.duplicate(backend);
        negated.negate(backend);
        transcript.note(backend, "negate", negated);
        for factor in [0, 1, -1, i128::MAX, i128::MIN] {
            let mut scaled = poly.duplicate(backend);
            scaled.scale_integer(backend, factor);
            transcript.note(backend, "scale", scaled);
        }
        let largest: Vec<u64> = backend.primes().moduli(shape.basis).map(|modulus| modulus.value() - 1).collect();
        let distinct: Vec<u64> = backend.primes().moduli(shape.basis).map(Modulus::value).map(|p| p / 3).collect();
        for constants in [largest, distinct] {
            let mut scaled = poly.duplicate(backend);
            scaled.scale_residues(backend, &constants).expect(ACCEPTED);
            transcript.note(backend, "scale by residues", scaled);
        }
        if shape.domain == Domain::Evaluation {
            for constant in [0, 1, -1, 1 << 100] {
                let mut shifted = poly.duplicate(backend);
                shifted.add_constant(backend, constant).expect(ACCEPTED);
                transcript.note(backend, "add_constant", shifted);
            }
        }
    }
}

pub(super) fn permutations<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    let ring = case.ring;
    let degree = ring.degree();
    let conjugation = GaloisElement::conjugation(ring);
    let rotations = [0, 1, -1, 3, degree as i64 / 2 - 1].map(|steps| GaloisElement::rotation(ring, steps));
    for poly in operands(backend, case) {
        for element in rotations.into_iter().chain([conjugation, conjugation.compose(rotations[1], ring)]) {
            let image = poly.automorphism(backend, element).expect(ACCEPTED);
            transcript.note(backend, &format!("automorphism {}", element.exponent()), image);
        }
        if ring.kind == RingKind::Cyclotomic {
            for exponent in [0, 1, degree / 2, degree - 1, degree, degree + 1, 2 * degree - 1, 7 * degree + 5] {
                let product = poly.multiply_monomial(backend, exponent).expect(ACCEPTED);
                transcript.note(backend, &format!("multiply_monomial {exponent}"), product);
            }
        }
    }
}
