//! Sums, products, constants, automorphisms.

use fhe_ring::{Basis, GaloisElement, Meter, Poly, Ring, RingError, Shape, linear_combination, subring_sums, tensor};

use super::{chain, coefficients, meter, real_values, values};

#[test]
fn rejects_mismatched_summands_and_factors() {
    let meter = meter();
    let (two, three) = (Basis::prefix(2), Basis::prefix(3));
    let mut target = values(&meter, two);
    refused!(BasisMismatch, "add_assign", target.add_assign(&meter, &values(&meter, three)));
    refused!(DomainMismatch, "subtract_assign", target.subtract_assign(&meter, &coefficients(&meter, two)));
    refused!(RingMismatch, "add_assign", target.add_assign(&meter, &real_values(&meter, two)));
    refused!(BasisMismatch, "multiply", target.multiply(&meter, &values(&meter, three)));
    refused!(DomainMismatch, "multiply", coefficients(&meter, two).multiply(&meter, &coefficients(&meter, two)));
    let (left, right) = (values(&meter, two), values(&meter, three));
    assert!(target.multiply_accumulate(&meter, &left, &right).is_ok());
    refused!(BasisMismatch, "multiply_accumulate", target.multiply_accumulate(&meter, &right, &right));
    let fewer = values(&meter, Basis::of([0]));
    refused!(BasisNotContained, "multiply_accumulate", target.multiply_accumulate(&meter, &left, &fewer));
    let transformed = coefficients(&meter, two);
    refused!(DomainMismatch, "multiply_accumulate", target.multiply_accumulate(&meter, &left, &transformed));
    let foreign = real_values(&meter, two);
    refused!(RingMismatch, "multiply_accumulate", target.multiply_accumulate(&meter, &left, &foreign));
}

#[test]
fn rejects_combinations_of_unlike_terms() {
    let meter = meter();
    let (two, three) = (Basis::prefix(2), Basis::prefix(3));
    let (poly, more) = (values(&meter, two), values(&meter, three));
    assert!(linear_combination(&meter, &[(&poly, 1), (&more, i128::MIN)], two).is_ok());
    refused!(OutOfRange, "linear_combination", linear_combination::<Meter>(&meter, &[], two));
    refused!(OutOfRange, "linear_combination", linear_combination(&meter, &[(&poly, 1); 128], two));
    refused!(BasisUnsupported, "linear_combination", linear_combination(&meter, &[(&poly, 1)], Basis::prefix(0)));
    refused!(BasisNotContained, "linear_combination", linear_combination(&meter, &[(&more, 1), (&poly, 1)], three));
    let other = real_values(&meter, two);
    refused!(RingMismatch, "linear_combination", linear_combination(&meter, &[(&poly, 1), (&other, 1)], two));
    let other = coefficients(&meter, two);
    refused!(DomainMismatch, "linear_combination", linear_combination(&meter, &[(&poly, 1), (&other, 1)], two));
}

#[test]
fn rejects_sums_with_factors_from_elsewhere() {
    let meter = meter();
    let (two, three) = (Basis::prefix(2), Basis::prefix(3));
    let poly = values(&meter, two);
    let factor = |ring, basis| Poly::zeros(&meter, Shape::evaluation(ring, basis)).unwrap();
    let small = factor(Ring::cyclotomic(3), two);
    let sums = |inputs: &[[&Poly<Meter>; 2]], factors: &[Vec<&Poly<Meter>>]| subring_sums(&meter, inputs, factors);
    let input = [&poly, &poly];
    assert_eq!(sums(&[input, input], &[vec![&small, &small]]).unwrap().len(), 1);
    assert!(sums(&[], &[]).unwrap().is_empty() && sums(&[input], &[]).unwrap().is_empty());
    refused!(LengthMismatch, "subring_sums", sums(&[], &[vec![]]));
    refused!(LengthMismatch, "subring_sums", sums(&[input, input], &[vec![&small]]));
    let more = values(&meter, three);
    refused!(BasisMismatch, "subring_sums", sums(&[input, [&more, &more]], &[vec![&small, &small]]));
    refused!(BasisMismatch, "subring_sums", sums(&[input], &[vec![&factor(Ring::cyclotomic(3), three)]]));
    let untransformed = coefficients(&meter, two);
    refused!(DomainMismatch, "subring_sums", sums(&[[&untransformed, &untransformed]], &[vec![&small]]));
    let untransformed = Poly::zeros(&meter, Shape::coefficient(Ring::cyclotomic(3), two)).unwrap();
    refused!(DomainMismatch, "subring_sums", sums(&[input], &[vec![&untransformed]]));
    refused!(RingMismatch, "subring_sums", sums(&[input], &[vec![&factor(Ring::conjugate_invariant(3), two)]]));
    let other = factor(Ring::cyclotomic(4), two);
    refused!(RingMismatch, "subring_sums", sums(&[input, input], &[vec![&small, &other]]));
    let half = factor(Ring::cyclotomic(7), two);
    refused!(OutOfRange, "subring_sums", sums(&[[&half, &half]], &[vec![&poly]]));
}

#[test]
fn rejects_tensors_of_unlike_ciphertexts() {
    let meter = meter();
    let (two, three) = (Basis::prefix(2), Basis::prefix(3));
    let (poly, more) = (values(&meter, two), values(&meter, three));
    assert!(tensor(&meter, [&poly, &poly], [&more, &more]).is_ok());
    refused!(BasisNotContained, "tensor", tensor(&meter, [&more, &more], [&poly, &poly]));
    refused!(BasisMismatch, "tensor", tensor(&meter, [&poly, &more], [&more, &more]));
    refused!(BasisMismatch, "tensor", tensor(&meter, [&poly, &poly], [&more, &poly]));
    let other = coefficients(&meter, two);
    refused!(DomainMismatch, "tensor", tensor(&meter, [&other, &other], [&poly, &poly]));
    refused!(DomainMismatch, "tensor", tensor(&meter, [&poly, &poly], [&other, &other]));
    let other = real_values(&meter, two);
    refused!(RingMismatch, "tensor", tensor(&meter, [&poly, &poly], [&other, &other]));
}

#[test]
fn rejects_unsuitable_constants() {
    let meter = meter();
    let mut poly = values(&meter, Basis::prefix(2));
    refused!(LengthMismatch, "scale_residues", poly.scale_residues(&meter, &[1]));
    let prime = chain().ciphertext_primes()[1].value();
    assert!(poly.scale_residues(&meter, &[1, prime - 1]).is_ok());
    let outcome = poly.scale_residues(&meter, &[1, prime]);
    assert!(matches!(outcome, Err(RingError::UnreducedResidue { limb: 1, .. })));
    let mut poly = poly.into_coefficient(&meter);
    refused!(DomainMismatch, "add_constant", poly.add_constant(&meter, 1));
}

#[test]
fn rejects_foreign_automorphisms_and_monomials() {
    let meter = meter();
    let poly = values(&meter, Basis::prefix(2));
    let foreign = GaloisElement::conjugation(Ring::cyclotomic(9));
    refused!(OutOfRange, "automorphism", poly.automorphism(&meter, foreign));
    let mut target = poly.duplicate(&meter);
    refused!(OutOfRange, "automorphism_accumulate", target.automorphism_accumulate(&meter, &poly, foreign));
    let (identity, more) = (GaloisElement::IDENTITY, values(&meter, Basis::prefix(3)));
    refused!(BasisMismatch, "automorphism_accumulate", target.automorphism_accumulate(&meter, &more, identity));
    let untransformed = coefficients(&meter, Basis::prefix(2));
    refused!(
        DomainMismatch,
        "automorphism_accumulate",
        target.automorphism_accumulate(&meter, &untransformed, identity)
    );
    let mut target = untransformed.duplicate(&meter);
    refused!(
        DomainMismatch,
        "automorphism_accumulate",
        target.automorphism_accumulate(&meter, &untransformed, identity)
    );
    let digits = poly.mod_up(&meter, &Basis::prefix(2).groups_of(1), 1).unwrap();
    refused!(OutOfRange, "automorphism", digits.automorphism(&meter, foreign));
    let real = real_values(&meter, Basis::prefix(1));
    refused!(RingUnsupported, "multiply_monomial", real.multiply_monomial(&meter, 1));
    assert!(poly.multiply_monomial(&meter, 5 * 256 + 3).is_ok());
}
