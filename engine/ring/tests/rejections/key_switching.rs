//! Digits, gadget products, sums of rotations.

use fhe_ring::{
    Backend, Basis, Digits, GadgetFactor, GaloisElement, HoistedFactor, KeyedRotation, Meter, Poly, Ring,
    gadget_product, hoisted_sums,
};

use super::{RING, coefficients, meter, real_values, values};

const LIMBS: Basis = Basis::prefix(3);

/// The digits of a polynomial by groups of so many primes, with one special prime.
fn digits(meter: &Meter, width: usize) -> Digits<Meter> {
    values(meter, LIMBS).mod_up(meter, &LIMBS.groups_of(width), 1).unwrap()
}

/// A key with so many rows.
fn key(meter: &Meter, rows: usize, basis: Basis) -> Vec<[Poly<Meter>; 2]> {
    (0..rows).map(|_| [0, 1].map(|_| values(meter, basis))).collect()
}

#[test]
fn rejects_digits_of_unlike_shapes() {
    let meter = meter();
    let (poly, other) = (values(&meter, LIMBS), values(&meter, Basis::prefix(2)));
    refused!(OutOfRange, "separate digits", Digits::<Meter>::separate(vec![]));
    refused!(BasisMismatch, "separate digits", Digits::separate(vec![poly.duplicate(&meter), other]));
    refused!(DomainMismatch, "separate digits", Digits::separate(vec![coefficients(&meter, LIMBS)]));
    refused!(DomainMismatch, "separate digits", Digits::single(coefficients(&meter, LIMBS)));
    assert!(Digits::separate(vec![poly.duplicate(&meter), poly]).is_ok());
}

#[test]
fn rejects_keys_that_do_not_fit_the_digits() {
    let meter = meter();
    let digits = digits(&meter, 2);
    let product = |key: &[[Poly<Meter>; 2]]| {
        let factor = GadgetFactor { digits: &digits, addends: [None, None] };
        gadget_product(&meter, &[factor], &key.iter().collect::<Vec<_>>())
    };
    let full = meter.primes().full_basis();
    assert!(product(&key(&meter, 3, full)).is_ok());
    refused!(LengthMismatch, "gadget_product", product(&key(&meter, 1, full)));
    refused!(BasisNotContained, "gadget_product", product(&key(&meter, 2, LIMBS)));
    let real: Vec<_> = (0..2).map(|_| [real_values(&meter, full), real_values(&meter, full)]).collect();
    refused!(RingMismatch, "gadget_product", product(&real));
    let untransformed: Vec<_> = (0..2).map(|_| [coefficients(&meter, full), coefficients(&meter, full)]).collect();
    refused!(DomainMismatch, "gadget_product", product(&untransformed));
}

#[test]
fn rejects_addends_that_do_not_join_the_product() {
    let meter = meter();
    let digits = digits(&meter, 2);
    let key = key(&meter, 2, meter.primes().full_basis());
    let rows: Vec<_> = key.iter().collect();
    let product = |addend: &Poly<Meter>| {
        gadget_product(&meter, &[GadgetFactor { digits: &digits, addends: [None, Some(addend)] }], &rows)
    };
    assert!(product(&values(&meter, LIMBS)).is_ok());
    assert!(product(&values(&meter, LIMBS.with_special(1))).is_ok());
    refused!(BasisMismatch, "gadget_product", product(&values(&meter, LIMBS.with_special(2))));
    refused!(BasisMismatch, "gadget_product", product(&values(&meter, Basis::prefix(2))));
    refused!(DomainMismatch, "gadget_product", product(&coefficients(&meter, LIMBS)));
    refused!(RingMismatch, "gadget_product", product(&real_values(&meter, LIMBS)));
}

#[test]
fn rejects_batches_of_unlike_decompositions() {
    let meter = meter();
    let key = key(&meter, 4, meter.primes().full_basis());
    let rows: Vec<_> = key.iter().collect();
    let product = |others: &Digits<Meter>| {
        let digits = digits(&meter, 2);
        let factors = [&digits, others].map(|digits| GadgetFactor { digits, addends: [None, None] });
        gadget_product(&meter, &factors, &rows)
    };
    assert!(product(&digits(&meter, 2)).is_ok());
    refused!(LengthMismatch, "gadget_product", product(&digits(&meter, 1)));
    let more_special = values(&meter, LIMBS).mod_up(&meter, &LIMBS.groups_of(2), 2).unwrap();
    refused!(BasisMismatch, "gadget_product", product(&more_special));
    // As many digits, but the second one meets another row of the key.
    let groups = [Basis::of([0]), Basis::default(), Basis::of([1, 2])];
    let other_rows = values(&meter, LIMBS).mod_up(&meter, &groups, 1).unwrap();
    refused!(OutOfRange, "gadget_product", product(&other_rows));
}

#[test]
fn rejects_sums_of_rotations_whose_parts_do_not_fit() {
    let meter = meter();
    let digits = digits(&meter, 2);
    let full = meter.primes().full_basis();
    let (half, plaintext, key, short) =
        (values(&meter, LIMBS), values(&meter, full), key(&meter, 2, full), key(&meter, 1, full));
    let sums = |half: &Poly<Meter>, element, key: &[[Poly<Meter>; 2]], index, plaintext: &Poly<Meter>| {
        let factor = HoistedFactor { digits: &digits, ciphertext: [half, half] };
        let rotation = KeyedRotation { element, rows: key.iter().collect() };
        hoisted_sums(&meter, &[factor], &[rotation], &[vec![(index, plaintext)]])
    };
    let element = GaloisElement::rotation(RING, 1);
    assert!(sums(&half, element, &key, 0, &plaintext).is_ok());
    assert!(sums(&half, GaloisElement::IDENTITY, &[], 0, &plaintext).is_ok(), "the identity needs no key");

    let other = values(&meter, LIMBS.with_special(1));
    refused!(BasisMismatch, "hoisted_sums", sums(&other, element, &key, 0, &plaintext));
    refused!(DomainMismatch, "hoisted_sums", sums(&coefficients(&meter, LIMBS), element, &key, 0, &plaintext));
    let foreign = GaloisElement::conjugation(Ring::cyclotomic(9));
    refused!(OutOfRange, "hoisted_sums", sums(&half, foreign, &key, 0, &plaintext));
    refused!(LengthMismatch, "hoisted_sums", sums(&half, element, &short, 0, &plaintext));
    refused!(LengthMismatch, "hoisted_sums", sums(&half, element, &[], 0, &plaintext));
    refused!(OutOfRange, "hoisted_sums", sums(&half, element, &key, 1, &plaintext));
    refused!(BasisNotContained, "hoisted_sums", sums(&half, element, &key, 0, &half));
    refused!(DomainMismatch, "hoisted_sums", sums(&half, element, &key, 0, &coefficients(&meter, full)));
    refused!(RingMismatch, "hoisted_sums", sums(&half, element, &key, 0, &real_values(&meter, full)));

    let factor = HoistedFactor { digits: &digits, ciphertext: [&half, &half] };
    let without_rotations = hoisted_sums(&meter, &[factor], &[], &[vec![(0, &plaintext)]]);
    refused!(OutOfRange, "hoisted_sums", without_rotations);
}
