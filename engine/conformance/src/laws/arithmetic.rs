//! Transforms, sums, products, automorphisms: both rings are seen as subsets of `Z_p[X]/(X^M + 1)`.

use fhe_ring::{
    Backend, GaloisElement, Modulus, Poly, Ring, RingKind, Shape, linear_combination, subring_sums, tensor,
};

use super::{coefficients, compare, values};
use crate::{Case, Pattern};

pub(super) fn check<B: Backend>(backend: &B, case: &Case) {
    let shape = Shape::coefficient(case.ring, case.basis.with_special(case.special));
    let left = case.pattern.poly(backend, shape, 0);
    for right in [Pattern::Random, Pattern::Largest] {
        let right = right.poly(backend, shape, 1);
        products(backend, case, &left, &right);
    }
    automorphisms(backend, case, &left);
    constants(backend, case, &left);
    combinations(backend, case, &left);
    ciphertext_products(backend, case);
    sums_over_subrings(backend, case);
}

fn products<B: Backend>(backend: &B, case: &Case, left: &Poly<B>, right: &Poly<B>) {
    let ring = case.ring;
    let [left_values, right_values] = [left, right].map(|poly| poly.duplicate(backend).into_evaluation(backend));
    let product = left_values.multiply(backend, &right_values).expect("same shape");
    compare(backend, &format!("{case}: multiply"), &product, &[left, right], |modulus, factors| {
        shrink(ring, &negacyclic(modulus, &expand(ring, modulus, &factors[0]), &expand(ring, modulus, &factors[1])))
    });
    let mut accumulated = right_values.duplicate(backend);
    accumulated.multiply_accumulate(backend, &left_values, &right_values).expect("same shape");
    accumulated.subtract_assign(backend, &product).expect("same shape");
    compare(backend, &format!("{case}: multiply_accumulate"), &accumulated, &[right], |_, right| right[0].clone());
}

fn automorphisms<B: Backend>(backend: &B, case: &Case, poly: &Poly<B>) {
    let ring = case.ring;
    let values = poly.duplicate(backend).into_evaluation(backend);
    for element in [1, -1, 2]
        .map(|steps| GaloisElement::rotation(ring, steps))
        .into_iter()
        .chain([GaloisElement::conjugation(ring)])
    {
        let law = |modulus: &Modulus, source: &[Vec<u64>]| {
            let source = expand(ring, modulus, &source[0]);
            let mut image = vec![0; source.len()];
            for (exponent, &coefficient) in source.iter().enumerate() {
                add_monomial(modulus, &mut image, exponent * element.exponent() as usize, coefficient);
            }
            shrink(ring, &image)
        };
        for source in [poly, &values] {
            let image = source.automorphism(backend, element).expect("made for this ring");
            let context = format!("{case}: automorphism {} in the {}", element.exponent(), source.shape().domain);
            compare(backend, &context, &image, &[poly], law);
        }
        let mut sum = values.duplicate(backend);
        sum.automorphism_accumulate(backend, &values, element).expect("made for this ring");
        sum.subtract_assign(backend, &values).expect("same shape");
        let context = format!("{case}: automorphism_accumulate {}", element.exponent());
        compare(backend, &context, &sum, &[poly], law);
    }
    if ring.kind == RingKind::Cyclotomic {
        for exponent in [1, ring.degree() - 1, ring.degree() + 1] {
            for source in [poly, &values] {
                let product = source.multiply_monomial(backend, exponent).expect("cyclotomic");
                let context = format!("{case}: multiply_monomial {exponent} in the {}", source.shape().domain);
                compare(backend, &context, &product, &[poly], |modulus, source| {
                    let mut image = vec![0; source[0].len()];
                    for (i, &coefficient) in source[0].iter().enumerate() {
                        add_monomial(modulus, &mut image, i + exponent, coefficient);
                    }
                    image
                });
            }
        }
    }
}

fn constants<B: Backend>(backend: &B, case: &Case, poly: &Poly<B>) {
    let constant = -(1i128 << 99) - 12345;
    let mut shifted = poly.duplicate(backend).into_evaluation(backend);
    shifted.add_constant(backend, constant).expect("evaluation domain");
    compare(backend, &format!("{case}: add_constant"), &shifted, &[poly], |modulus, source| {
        let mut sum = source[0].clone();
        sum[0] = modulus.add(sum[0], modulus.reduce_i128(constant));
        sum
    });
    let mut scaled = poly.duplicate(backend);
    scaled.scale_integer(backend, constant);
    scaled.negate(backend);
    compare(backend, &format!("{case}: scale, negate"), &scaled, &[poly], |modulus, source| {
        source[0].iter().map(|&c| modulus.neg(modulus.mul(c, modulus.reduce_i128(constant)))).collect()
    });
    scaled.add_assign(backend, poly).expect("same shape");
    compare(backend, &format!("{case}: add_assign"), &scaled, &[poly], |modulus, source| {
        source[0].iter().map(|&c| modulus.mul(c, modulus.reduce_i128(1 - constant))).collect()
    });
}

fn combinations<B: Backend>(backend: &B, case: &Case, poly: &Poly<B>) {
    let others = [Pattern::Random, Pattern::Largest]
        .map(|pattern| pattern.poly(backend, poly.shape().with_basis(backend.primes().full_basis()), 2));
    let factors = [-1, i128::MIN, 1 << 90, 0];
    for count in [1, 2, 3, 7, 100] {
        let terms: Vec<_> =
            [poly, &others[0], &others[1]].into_iter().cycle().zip(factors.into_iter().cycle()).take(count).collect();
        let sum = linear_combination(backend, &terms, case.basis).expect("the terms have the primes");
        let restricted: Vec<_> =
            terms.iter().map(|(term, _)| term.restrict(backend, case.basis).expect("a subset")).collect();
        let context = format!("{case}: linear_combination of {count}");
        compare(backend, &context, &sum, &restricted.iter().collect::<Vec<_>>(), |modulus, sources| {
            let mut sum = vec![0; sources[0].len()];
            for (source, (_, factor)) in sources.iter().zip(&terms) {
                let factor = modulus.reduce_i128(*factor);
                sum.iter_mut().zip(source).for_each(|(sum, &c)| *sum = modulus.add(*sum, modulus.mul(c, factor)));
            }
            sum
        });
    }
}

/// The three parts are products and a sum of two products.
fn ciphertext_products<B: Backend>(backend: &B, case: &Case) {
    let shape = Shape::evaluation(case.ring, case.basis);
    let full = shape.with_basis(backend.primes().full_basis());
    let left = [values(backend, case.pattern, shape, 0), values(backend, Pattern::Largest, shape, 1)];
    let right = [Pattern::Random, Pattern::Largest].map(|pattern| pattern.poly(backend, full, 2));
    let parts = tensor(backend, left.each_ref(), right.each_ref()).expect("the right one has the primes");
    let pairs: [&[(usize, usize)]; 3] = [&[(0, 0)], &[(0, 1), (1, 0)], &[(1, 1)]];
    for (part, pairs) in parts.iter().zip(pairs) {
        let mut expected = Poly::zeros(backend, shape).expect("well formed");
        for &(l, r) in pairs {
            expected.multiply_accumulate(backend, &left[l], &right[r]).expect("the right one has the primes");
        }
        compare(backend, &format!("{case}: tensor"), part, &[&expected], |_, expected| expected[0].clone());
    }
}

/// A factor `f` of the subring of degree `n` is `f(X^(N/n))`: its coefficients stand at the multiples of `N/n`.
fn sums_over_subrings<B: Backend>(backend: &B, case: &Case) {
    let shape = Shape::evaluation(case.ring, case.basis);
    let inputs = [0, 1]
        .map(|salt| [values(backend, case.pattern, shape, salt), values(backend, Pattern::Largest, shape, 2 + salt)]);
    for log_degree in 1..=case.ring.log_degree {
        let subring = Shape { ring: Ring { log_degree, ..case.ring }, ..shape };
        let factors = [Pattern::Random, Pattern::Largest].map(|pattern| values(backend, pattern, subring, 4));
        let [first, second] = &factors;
        let matrix = [vec![first, second], vec![second, first], vec![first, first]];
        let sums = subring_sums(backend, &inputs.each_ref().map(|input| input.each_ref()), &matrix).expect("they fit");
        assert_eq!(sums.len(), matrix.len(), "{case}: subring_sums");
        for (sum, factors) in sums.iter().zip(&matrix) {
            for (half, found) in sum.iter().enumerate() {
                let mut expected = Poly::zeros(backend, shape).expect("well formed");
                for (input, factor) in inputs.iter().zip(factors) {
                    let spread = spread(backend, factor, shape);
                    expected.multiply_accumulate(backend, &input[half], &spread).expect("same shape");
                }
                let context = format!("{case}: subring_sums of degree 2^{log_degree}");
                compare(backend, &context, found, &[&expected], |_, expected| expected[0].clone());
            }
        }
    }
}

/// `f(X^(N/n))` for `f` of degree `n`.
fn spread<B: Backend>(backend: &B, factor: &Poly<B>, shape: Shape) -> Poly<B> {
    let degree = shape.ring.degree();
    let stride = degree / factor.shape().ring.degree();
    let limbs = coefficients(backend, factor);
    let fill = |words: &mut [u64]| {
        words.fill(0);
        for (words, limb) in words.chunks_mut(degree).zip(&limbs) {
            words.iter_mut().step_by(stride).zip(limb).for_each(|(word, &c)| *word = c);
        }
    };
    let spread = Poly::upload(backend, shape.with_domain(fhe_ring::Domain::Coefficient), fill);
    spread.expect("reduced").into_evaluation(backend)
}

/// Adds `coefficient * X^exponent` modulo `X^M + 1`.
fn add_monomial(modulus: &Modulus, image: &mut [u64], exponent: usize, coefficient: u64) {
    let (turns, position) = (exponent / image.len(), exponent % image.len());
    let term = if turns % 2 == 0 { coefficient } else { modulus.neg(coefficient) };
    image[position] = modulus.add(image[position], term);
}

fn negacyclic(modulus: &Modulus, left: &[u64], right: &[u64]) -> Vec<u64> {
    let mut product = vec![0; left.len()];
    for (i, &l) in left.iter().enumerate() {
        for (j, &r) in right.iter().enumerate() {
            add_monomial(modulus, &mut product, i + j, modulus.mul(l, r));
        }
    }
    product
}

/// An element of the conjugate-invariant ring of degree `N` as a polynomial modulo `X^2N + 1`, where
/// `X^-k = -X^(2N - k)`; an element of the cyclotomic ring as it is.
pub(super) fn expand(ring: Ring, modulus: &Modulus, element: &[u64]) -> Vec<u64> {
    let mut expanded = element.to_vec();
    if ring.kind == RingKind::ConjugateInvariant {
        expanded.push(0);
        expanded.extend(element[1..].iter().rev().map(|&c| modulus.neg(c)));
    }
    expanded
}

fn shrink(ring: Ring, expanded: &[u64]) -> Vec<u64> {
    expanded[..ring.degree()].to_vec()
}
