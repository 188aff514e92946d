//! Gadget products are sums of products, sums of rotations are compositions of gadget products and automorphisms, and a batch is
//! its inputs.

use std::slice::from_ref;

use fhe_ring::{
    Backend, Digits, GadgetFactor, GaloisElement, HoistedFactor, KeyedRotation, Poly, Shape, gadget_product,
    hoisted_sums,
};

use super::{coefficients, values};
use crate::{Case, Pattern, case::partitions};

const ACCEPTED: &str = "the case is well formed";

pub(super) fn check<B: Backend>(backend: &B, case: &Case) {
    let plain = Shape::evaluation(case.ring, case.basis);
    let groups = &partitions(backend.primes())[1];
    let decomposed = [case.pattern, Pattern::Random]
        .map(|pattern| values(backend, pattern, plain, 0).mod_up(backend, groups, case.special).expect(ACCEPTED));
    gadget_products(backend, case, &decomposed, Pattern::Random);
    sums_of_rotations(backend, case, &decomposed, Pattern::Random);
    // Many digits of the largest words: more than registers hold, and more than a sum of products holds unreduced.
    for count in [8, 20] {
        let many = [0, 1].map(|_| {
            let digit = |_| Pattern::Largest.poly(backend, plain.extended(case.special), 0);
            Digits::separate((0..count).map(digit).collect()).expect(ACCEPTED)
        });
        gadget_products(backend, case, &many, Pattern::Largest);
        sums_of_rotations(backend, case, &many, Pattern::Largest);
    }
}

/// Rows for every digit, over all primes of the chain.
fn key<B: Backend>(backend: &B, case: &Case, digits: &Digits<B>, pattern: Pattern, salt: u64) -> Vec<[Poly<B>; 2]> {
    let full = Shape::evaluation(case.ring, backend.primes().full_basis());
    let rows = digits.iter().last().map_or(0, |(last, _)| last as u64 + 1);
    (0..rows).map(|row| [0, 1].map(|half| pattern.poly(backend, full, salt + 2 * row + half))).collect()
}

fn assert_equal<B: Backend>(backend: &B, found: &[Poly<B>; 2], expected: &[Poly<B>; 2], context: &str) {
    for (half, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(coefficients(backend, found), coefficients(backend, expected), "{context}, half {half}");
    }
}

fn gadget_products<B: Backend>(backend: &B, case: &Case, digits: &[Digits<B>; 2], pattern: Pattern) {
    let key = key(backend, case, &digits[0], pattern, 30);
    let rows: Vec<_> = key.iter().collect();
    let shape = digits[0].shape();
    let extended = pattern.poly(backend, shape, 7);
    let plain = pattern.poly(backend, shape.with_basis(case.basis), 8);
    let multiplied = plain.extend_by_special(backend, case.special).expect(ACCEPTED);
    let batch = [
        GadgetFactor { digits: &digits[0], addends: [Some(&extended), Some(&plain)] },
        GadgetFactor { digits: &digits[1], addends: [None, Some(&extended)] },
    ];
    let starts = [[Some(&extended), Some(&multiplied)], [None, Some(&extended)]];
    let products = gadget_product(backend, &batch, &rows).expect(ACCEPTED);
    for ((found, factor), start) in products.iter().zip(&batch).zip(starts) {
        let expected = [0, 1].map(|half| {
            let start = start[half].map(|addend| addend.duplicate(backend));
            let mut sum = start.unwrap_or_else(|| Poly::zeros(backend, shape).expect(ACCEPTED));
            for (index, digit) in factor.digits.iter() {
                sum.multiply_accumulate(backend, digit, &rows[index][half]).expect(ACCEPTED);
            }
            sum
        });
        assert_equal(backend, found, &expected, &format!("{case}: gadget_product of {} digits", digits[0].len()));
        let alone = gadget_product(backend, from_ref(factor), &rows).expect(ACCEPTED);
        assert_equal(backend, found, &alone[0], &format!("{case}: gadget_product of a batch"));
    }
}

fn sums_of_rotations<B: Backend>(backend: &B, case: &Case, digits: &[Digits<B>; 2], pattern: Pattern) {
    let shape = digits[0].shape();
    let plain = shape.with_basis(case.basis);
    let halves = [60, 61].map(|salt| pattern.poly(backend, plain, salt));
    let batch = digits.each_ref().map(|digits| HoistedFactor { digits, ciphertext: halves.each_ref() });
    let elements: Vec<_> = (0..5)
        .map(|steps| GaloisElement::rotation(case.ring, steps))
        .chain([GaloisElement::conjugation(case.ring)])
        .collect();
    let keys: Vec<_> = (1..).zip(&elements).map(|(i, _)| key(backend, case, &digits[0], pattern, 1000 * i)).collect();
    let rotations: Vec<_> = (elements.iter().zip(&keys))
        .map(|(&element, key)| KeyedRotation { element, rows: key.iter().collect() })
        .collect();
    let full = shape.with_basis(backend.primes().full_basis());
    let factors = [70, 71].map(|salt| pattern.poly(backend, full, salt));
    let every_rotation_thrice = elements.iter().enumerate().cycle().take(3 * elements.len());
    let sums = [
        vec![(0, &factors[0])],
        vec![(1, &factors[1]), (5, &factors[0]), (0, &factors[1])],
        vec![],
        every_rotation_thrice.map(|(index, _)| (index, &factors[index % 2])).collect(),
    ];
    let results = hoisted_sums(backend, &batch, &rotations, &sums).expect(ACCEPTED);
    for (results, factor) in results.iter().zip(&batch) {
        let alone = hoisted_sums(backend, from_ref(factor), &rotations, &sums).expect(ACCEPTED);
        let rotated: Vec<_> = rotations.iter().map(|rotation| rotate(backend, case, factor, rotation)).collect();
        for ((found, alone), terms) in results.iter().zip(&alone[0]).zip(&sums) {
            let mut expected = [0, 1].map(|_| Poly::zeros(backend, shape).expect(ACCEPTED));
            for &(index, plaintext) in terms {
                for (sum, half) in expected.iter_mut().zip(&rotated[index]) {
                    sum.multiply_accumulate(backend, half, plaintext).expect(ACCEPTED);
                }
            }
            assert_equal(backend, found, &expected, &format!("{case}: hoisted_sums of {} terms", terms.len()));
            assert_equal(backend, found, alone, &format!("{case}: hoisted_sums of a batch"));
        }
    }
}

/// One rotated ciphertext, times the product of the special primes.
fn rotate<B: Backend>(
    backend: &B,
    case: &Case,
    factor: &HoistedFactor<'_, B>,
    rotation: &KeyedRotation<'_, B>,
) -> [Poly<B>; 2] {
    let extended = factor.ciphertext.map(|half| half.extend_by_special(backend, case.special).expect(ACCEPTED));
    if rotation.element == GaloisElement::IDENTITY {
        return extended;
    }
    let input = GadgetFactor { digits: factor.digits, addends: [Some(&extended[0]), None] };
    let mut products = gadget_product(backend, &[input], &rotation.rows).expect(ACCEPTED);
    products.remove(0).map(|half| half.automorphism(backend, rotation.element).expect(ACCEPTED))
}
