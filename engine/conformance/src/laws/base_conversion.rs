//! Decompositions, divisions and raises as statements about integers.

use fhe_ring::{Backend, Basis, Poly, Shape};
use num_bigint::BigInt;

use super::{assert_centred, centred, integers, product, values};
use crate::{Case, case::partitions};

pub(super) fn check<B: Backend>(backend: &B, case: &Case) {
    decompositions(backend, case);
    divisions(backend, case);
    raises(backend, case);
}

/// Each digit is one small integer polynomial, congruent to the source modulo the digit's primes.
fn decompositions<B: Backend>(backend: &B, case: &Case) {
    let poly = values(backend, case.pattern, Shape::evaluation(case.ring, case.basis), 0);
    for groups in partitions(backend.primes()) {
        let digits = poly.mod_up(backend, &groups, case.special).expect("the case is well formed");
        for (index, digit) in digits.iter() {
            let own = case.basis.intersection(groups[index]);
            let context = format!("{case}: mod_up, digit {own}");
            let modulus = product(backend, own);
            let source = poly.restrict(backend, own).expect("a subset");
            for (lifted, residue) in integers(backend, digit).iter().zip(integers(backend, &source)) {
                assert_centred(lifted, &modulus, &context);
                assert_eq!(centred(lifted - residue, &modulus), BigInt::ZERO, "{context}: another residue");
            }
        }
    }
}

/// `D y - x` is at most half of `D` for the quotient `y` of `x` by the product `D` of the dropped primes.
fn divisions<B: Backend>(backend: &B, case: &Case) {
    let check = |source: &Poly<B>, quotient: &Poly<B>, context: &str| {
        let modulus = product(backend, source.shape().basis);
        let divisor = &modulus / product(backend, quotient.shape().basis);
        for (x, y) in integers(backend, source).iter().zip(integers(backend, quotient)) {
            let remainder = centred(y * &divisor - x, &modulus);
            assert_centred(&remainder, &divisor, &format!("{case}: {context}"));
        }
    };
    let extended = Shape::evaluation(case.ring, case.basis.with_special(case.special));
    let poly = values(backend, case.pattern, extended, 0);
    check(&poly, &poly.mod_down(backend, false).expect("the case is well formed"), "mod_down");
    let plain = poly.restrict(backend, case.basis).expect("a subset");
    if case.basis.ciphertext_count() >= 2 {
        check(&poly, &poly.mod_down(backend, true).expect("the case is well formed"), "mod_down with rescale");
        check(&plain, &plain.rescale(backend).expect("the case is well formed"), "rescale of values");
        let coefficients = plain.duplicate(backend).into_coefficient(backend);
        check(&coefficients, &coefficients.rescale(backend).expect("well formed"), "rescale of coefficients");
    }
    let multiplied = plain.extend_by_special(backend, case.special).expect("the case is well formed");
    let factor = product(backend, Basis::prefix(0).with_special(case.special));
    for (x, y) in integers(backend, &plain).iter().zip(integers(backend, &multiplied)) {
        assert_eq!(y, x * &factor, "{case}: extend");
    }
}

/// A raise keeps the integer: exactly from one prime, and from several up to one unit of their product next to the boundary of the
/// centred range.
fn raises<B: Backend>(backend: &B, case: &Case) {
    let indices: Vec<usize> = case.basis.ciphertext_indices().collect();
    let singles = indices.iter().map(|&index| Basis::of([index]));
    let several = [2, 3].into_iter().flat_map(|count| indices.windows(count)).map(|window| Basis::of(window.to_vec()));
    for source in singles.chain(several) {
        let small = case.pattern.poly(backend, Shape::coefficient(case.ring, source), 3);
        let raised = small.raise(backend, case.basis.with_special(case.special)).expect("the case is well formed");
        let (unit, modulus) = (product(backend, source), product(backend, raised.shape().basis));
        for (before, after) in integers(backend, &small).into_iter().zip(integers(backend, &raised)) {
            // Fewer bits than the source's primes cannot hold the integer.
            let difference = centred(&after - &before, &modulus);
            let at_boundary = before.magnitude() * 100u32 >= unit.magnitude() * 49u32;
            let wrapped = source.len() > 1 && at_boundary && difference.magnitude() == unit.magnitude();
            assert!(difference == BigInt::ZERO || wrapped, "{case}: raise from {source}");
        }
    }
}
