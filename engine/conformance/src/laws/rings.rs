//! The maps between the two rings, as statements about coefficients and about each other.

use fhe_ring::{Backend, Poly, RingKind, Shape};

use super::{arithmetic::expand, coefficients, compare, values};
use crate::{Case, Pattern};

const ACCEPTED: &str = "the operands fit";

pub(super) fn check<B: Backend>(backend: &B, case: &Case) {
    match case.ring.kind {
        RingKind::Cyclotomic => traces(backend, case),
        RingKind::ConjugateInvariant => splits(backend, case),
    }
}

/// The trace of `f = A(X^2) + X B(X^2)`, or of `X^N` times that, is `f + f(1/X)`: with `X^-k = -X^(2N-k)` it has the coefficients `2 f_0` and
/// `f_k - f_(2N-k)`.
fn traces<B: Backend>(backend: &B, case: &Case) {
    let shape = Shape::evaluation(case.ring, case.basis.with_special(case.special));
    let even = values(backend, case.pattern, shape, 0);
    for odd in [Pattern::Random, Pattern::Largest].map(|pattern| values(backend, pattern, shape, 1)) {
        for turned in [false, true] {
            let trace = Poly::trace(backend, [&even, &odd], turned).expect(ACCEPTED);
            let context = format!("{case}: trace, turned: {turned}");
            compare(backend, &context, &trace, &[&even, &odd], |modulus, parts| {
                let mut f: Vec<u64> = parts[0].iter().zip(&parts[1]).flat_map(|(&a, &b)| [a, b]).collect();
                let shift = if turned { f.len() / 2 } else { 0 };
                f.rotate_right(shift);
                f[..shift].iter_mut().for_each(|c| *c = modulus.neg(*c));
                let mirrored = f[1..].iter().rev().map(|&c| modulus.neg(c));
                let inverse = [f[0]].into_iter().chain(mirrored);
                f.iter().zip(inverse).map(|(&c, mirrored)| modulus.add(c, mirrored)).take(f.len() / 2).collect()
            });
        }
    }
}

/// The parts have every second coefficient modulo `X^2N + 1`, and their traces are `2 p` and, turned, `(X^N + X^-N) p = 0`.
fn splits<B: Backend>(backend: &B, case: &Case) {
    let shape = Shape::evaluation(case.ring, case.basis.with_special(case.special));
    let poly = values(backend, case.pattern, shape, 0);
    let parts = poly.parity_split(backend).expect(ACCEPTED);
    for (parity, part) in parts.iter().enumerate() {
        compare(backend, &format!("{case}: parity_split {parity}"), part, &[&poly], |modulus, source| {
            expand(case.ring, modulus, &source[0]).into_iter().skip(parity).step_by(2).collect()
        });
    }
    let mut doubled = poly.duplicate(backend);
    doubled.scale_integer(backend, 2);
    let products = [(false, doubled), (true, Poly::zeros(backend, shape).expect(ACCEPTED))];
    for (turned, expected) in &products {
        let trace = Poly::trace(backend, parts.each_ref(), *turned).expect(ACCEPTED);
        let (found, expected) = (coefficients(backend, &trace), coefficients(backend, expected));
        assert_eq!(found, expected, "{case}: trace of parity_split, turned: {turned}");
    }
}
