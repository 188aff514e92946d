//! Decompositions, gadget products and sums of rotations, of one ciphertext and of batches.

use fhe_ring::{
    Backend, Digits, GadgetFactor, GaloisElement, HoistedFactor, KeyedRotation, Poly, Shape, gadget_product,
    hoisted_sums,
};

use super::{ACCEPTED, values};
use crate::{Case, Pattern, Transcript, case::partitions};

pub(super) fn gadget_products<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    let poly = values(backend, case, case.basis, 0);
    for groups in partitions(backend.primes()) {
        for special in [0, case.special] {
            let digits = poly.mod_up(backend, &groups, special).expect(ACCEPTED);
            let indices: Vec<usize> = digits.iter().map(|(index, _)| index).collect();
            let expected: Vec<usize> = case.basis.digits(&groups).map(|(index, _)| index).collect();
            assert_eq!(indices, expected, "{case}: mod_up returned other digits");
            for (index, digit) in digits.iter() {
                let name = format!("mod_up, digit {index} of {}", groups.len());
                transcript.note(backend, &name, digit.duplicate(backend));
            }
            let rotated = digits.automorphism(backend, GaloisElement::rotation(case.ring, 1)).expect(ACCEPTED);
            for pattern in [Pattern::Random, Pattern::Largest] {
                batch(backend, [&digits, &rotated, &digits], &key(backend, case, pattern, groups.len()), transcript);
            }
        }
    }
    for count in [1, 6, 20] {
        let many = many_digits(backend, case, count);
        batch(backend, [&many; 3], &key(backend, case, Pattern::Largest, count), transcript);
    }
}

/// A batch without addends, with one that lacks the special primes, with both.
fn batch<B: Backend>(backend: &B, digits: [&Digits<B>; 3], key: &[[Poly<B>; 2]], transcript: &mut Transcript) {
    let shape = digits[0].shape();
    let unextended = shape.with_basis(shape.basis.without_special());
    let [first, second] = [11, 12].map(|salt| Pattern::Largest.poly(backend, unextended, salt));
    let third = Pattern::Random.poly(backend, shape, 13);
    let addends = [[None, None], [Some(&first), None], [Some(&third), Some(&second)]];
    let factors = [0, 1, 2].map(|i| GadgetFactor { digits: digits[i], addends: addends[i] });
    for product in gadget_product(backend, &factors, &key.iter().collect::<Vec<_>>()).expect(ACCEPTED) {
        for half in product {
            transcript.note(backend, "gadget_product", half);
        }
    }
}

pub(super) fn sums_of_rotations<B: Backend>(backend: &B, case: &Case, transcript: &mut Transcript) {
    let partition = &partitions(backend.primes())[1];
    for special in [0, case.special] {
        let digits = values(backend, case, case.basis, 1).mod_up(backend, partition, special).expect(ACCEPTED);
        sums(backend, case, &digits, &key(backend, case, Pattern::Random, partition.len()), transcript);
    }
    for count in [1, 6, 8] {
        let many = many_digits(backend, case, count);
        sums(backend, case, &many, &key(backend, case, Pattern::Largest, count), transcript);
    }
}

/// Sums with and without the identity, without terms, with a repeated rotation, with more terms than a sum of products holds
/// before it must be reduced.
fn sums<B: Backend>(backend: &B, case: &Case, digits: &Digits<B>, key: &[[Poly<B>; 2]], transcript: &mut Transcript) {
    let shape = digits.shape();
    let ciphertexts = [Pattern::Random, Pattern::Largest]
        .map(|pattern| [21, 22].map(|salt| pattern.poly(backend, shape.with_basis(case.basis), salt)));
    let batch = ciphertexts.each_ref().map(|halves| HoistedFactor { digits, ciphertext: halves.each_ref() });
    let conjugation = GaloisElement::conjugation(case.ring);
    let elements = (0..20).map(|steps| GaloisElement::rotation(case.ring, steps)).chain([conjugation]);
    let rotations: Vec<_> = elements.map(|element| KeyedRotation { element, rows: key.iter().collect() }).collect();
    let full = shape.with_basis(backend.primes().full_basis());
    let factors = [Pattern::Largest, Pattern::Random].map(|pattern| pattern.poly(backend, full, 23));
    let sums: [Vec<usize>; 5] = [vec![0, 1], vec![20, 2], vec![], vec![3, 3, 0, 3], (0..20).collect()];
    let sums = sums.map(|indices| {
        indices.into_iter().enumerate().map(|(i, index)| (index, &factors[i % 3 / 2])).collect::<Vec<_>>()
    });
    for results in hoisted_sums(backend, &batch, &rotations, &sums).expect(ACCEPTED) {
        for half in results.into_iter().flatten() {
            transcript.note(backend, "hoisted_sums", half);
        }
    }
}

/// Digits that are no decomposition: as many as wanted, of the largest words.
fn many_digits<B: Backend>(backend: &B, case: &Case, count: usize) -> Digits<B> {
    let shape = Shape::evaluation(case.ring, case.basis.with_special(case.special));
    Digits::separate((0..count).map(|_| Pattern::Largest.poly(backend, shape, 0)).collect()).expect(ACCEPTED)
}

/// A key with so many rows, over all primes of the chain.
fn key<B: Backend>(backend: &B, case: &Case, pattern: Pattern, rows: usize) -> Vec<[Poly<B>; 2]> {
    let full = Shape::evaluation(case.ring, backend.primes().full_basis());
    (0..rows as u64).map(|row| [40, 70].map(|salt| pattern.poly(backend, full, salt + row))).collect()
}
