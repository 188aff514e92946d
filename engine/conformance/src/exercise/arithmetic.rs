//! Element-wise kernels, products of ciphertexts, permutations.

use fhe_ring::{
    Backend, Domain, GaloisElement, Modulus, Ring, RingKind, Shape, linear_combination, subring_sums, tensor,
};

use super::{ACCEPTED, operands};
use crate::{Case, Pattern, Transcript};

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

pub(super) fn ciphertext_products<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    for poly in operands(backend, case) {
        let shape = poly.shape();
        // Operands may have primes that the result has not.
        let full = shape.with_basis(backend.primes().full_basis());
        for pattern in [Pattern::Random, Pattern::Largest] {
            let others = [1, 2, 3].map(|salt| pattern.poly(backend, full, salt));
            let second = pattern.poly(backend, shape, 4);
            if shape.domain == Domain::Evaluation {
                let product = tensor(backend, [&poly, &second], [&others[0], &others[1]]).expect(ACCEPTED);
                for part in product {
                    transcript.note(backend, "tensor", part);
                }
            }
            // Few terms, and more than a sum of products holds before it must be reduced.
            for count in [1, 3, 40] {
                let factors = [-1, i128::MAX, -2, -1, i128::MIN, 12345].into_iter().cycle();
                let terms: Vec<_> =
                    [&poly, &second].into_iter().chain(&others).cycle().zip(factors).take(count).collect();
                let sum = linear_combination(backend, &terms, shape.basis).expect(ACCEPTED);
                transcript.note(backend, &format!("linear_combination of {count}"), sum);
            }
        }
    }
}

pub(super) fn subring_sums_of<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    for poly in operands(backend, case).filter(|poly| poly.shape().domain == Domain::Evaluation) {
        let shape = poly.shape();
        let other = Pattern::Largest.poly(backend, shape, 1);
        // The smallest subring, one with runs of eight words where there is one, the ring itself.
        let degrees = [1, shape.ring.log_degree.saturating_sub(3).max(1), shape.ring.log_degree];
        for log_degree in degrees {
            let subring = Shape { ring: Ring { log_degree, ..shape.ring }, ..shape };
            let factors = [Pattern::Random, Pattern::Largest, case.pattern];
            let factors = [2, 3, 4].map(|salt| factors[salt % 3].poly(backend, subring, salt as u64));
            // Fewer inputs and sums than go together, and more.
            for (inputs, sums) in [(1, 1), (3, 6), (40, 5)] {
                let inputs: Vec<_> = [[&poly, &other], [&other, &poly]].into_iter().cycle().take(inputs).collect();
                let factors: Vec<Vec<_>> =
                    (0..sums).map(|sum| factors.iter().cycle().skip(sum % 3).take(inputs.len()).collect()).collect();
                for half in subring_sums(backend, &inputs, &factors).expect(ACCEPTED).into_iter().flatten() {
                    transcript.note(backend, &format!("subring_sums of degree 2^{log_degree}"), half);
                }
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
            if poly.shape().domain == Domain::Evaluation {
                let mut sum = Pattern::Largest.poly(backend, poly.shape(), 0);
                sum.automorphism_accumulate(backend, &poly, element).expect(ACCEPTED);
                transcript.note(backend, &format!("automorphism_accumulate {}", element.exponent()), sum);
            }
        }
        if ring.kind == RingKind::Cyclotomic {
            for exponent in [0, 1, degree / 2, degree - 1, degree, degree + 1, 2 * degree - 1, 7 * degree + 5] {
                let product = poly.multiply_monomial(backend, exponent).expect(ACCEPTED);
                transcript.note(backend, &format!("multiply_monomial {exponent}"), product);
            }
        }
    }
}
