//! Transforms, automorphisms and monomials of both ring kinds against their definitions.

mod support;

use fhe_ring::{
    Backend, Basis, Cpu, Domain, GaloisElement, InstructionSet, Modulus, Ring, RingKind, Shape,
    ntt::{NumberTheoreticTransform, root_exponent},
    primes::{primes_below, primitive_root},
};
use proptest::prelude::*;
use rand::Rng;
use support::*;

const LOG_DEGREES: std::ops::RangeInclusive<u32> = 1..=8;

fn rings(log_degree: u32) -> [Ring; 2] {
    [Ring::cyclotomic(log_degree), Ring::conjugate_invariant(log_degree)]
}

fn modulus(bits: u32) -> Modulus {
    Modulus::new(primes_below(1 << bits, 1 << 18).next().unwrap()).unwrap()
}

#[test]
fn values_are_taken_at_the_documented_roots() {
    for ring in LOG_DEGREES.flat_map(rings) {
        for modulus in [modulus(50), modulus(42), modulus(30)] {
            let degree = ring.degree();
            let root = primitive_root(&modulus, 4 * degree as u64).unwrap();
            let mut rng = rng(1);
            let coefficients: Vec<u64> = (0..degree).map(|_| rng.random_range(0..modulus.value())).collect();
            let expected: Vec<u64> = (0..degree)
                .map(|i| {
                    let x = modulus.pow(root, root_exponent(ring, i));
                    let inverse = modulus.inverse(x).unwrap();
                    (coefficients.iter().enumerate()).fold(0, |sum, (k, &c)| {
                        let basis = match ring.kind {
                            RingKind::ConjugateInvariant if k > 0 => {
                                modulus.add(modulus.pow(x, k as u64), modulus.pow(inverse, k as u64))
                            }
                            _ => modulus.pow(x, k as u64),
                        };
                        modulus.add(sum, modulus.mul(c, basis))
                    })
                })
                .collect();
            for instructions in InstructionSet::available() {
                let transform = NumberTheoreticTransform::new(ring, &modulus, instructions).unwrap();
                let mut words = coefficients.clone();
                transform.forward(&mut words);
                assert_eq!(words, expected, "{ring}, {instructions}");
                transform.inverse(&mut words);
                assert_eq!(words, coefficients, "{ring}, {instructions}");
            }
        }
    }
}

/// The product of two elements, computed in `Z_p[X]/(X^2N + 1)` for the conjugate-invariant ring.
fn schoolbook(ring: Ring, m: &Modulus, a: &[u64], b: &[u64]) -> Vec<u64> {
    let degree = ring.degree();
    let expand = |c: &[u64]| match ring.kind {
        RingKind::Cyclotomic => c.to_vec(),
        RingKind::ConjugateInvariant => {
            // X^k + X^-k = X^k - X^(2N-k)
            let mut full = vec![0; 2 * degree];
            full[0] = c[0];
            for k in 1..degree {
                full[k] = c[k];
                full[2 * degree - k] = m.neg(c[k]);
            }
            full
        }
    };
    let (a, b) = (expand(a), expand(b));
    let mut out = vec![0; a.len()];
    for (i, &x) in a.iter().enumerate() {
        for (j, &y) in b.iter().enumerate() {
            let (index, term) = ((i + j) % a.len(), m.mul(x, y));
            out[index] = if i + j < a.len() { m.add(out[index], term) } else { m.sub(out[index], term) };
        }
    }
    out.truncate(degree);
    out
}

#[test]
fn products_of_values_are_products_of_polynomials() {
    let chain = chain(6, 3, 1);
    for ring in rings(6) {
        let shape = Shape::coefficient(ring, chain.full_basis());
        let mut rng = rng(2);
        let (a, b) = (random_residues(&chain, shape, &mut rng), random_residues(&chain, shape, &mut rng));
        for backend in backends(&chain) {
            let evaluation = shape.with_domain(Domain::Evaluation);
            let [x, y] = [&a, &b].map(|words| {
                let mut buffer = upload(&backend, shape, words);
                backend.forward(&mut buffer, shape);
                buffer
            });
            let mut product = backend.multiply(operand(&x, evaluation), operand(&y, evaluation));
            backend.inverse(&mut product, evaluation);
            for (prime, m) in shape.basis.indices().zip(chain.moduli(shape.basis)) {
                let expected = schoolbook(ring, m, limb(&a, shape, prime), limb(&b, shape, prime));
                assert_eq!(limb(&product, shape, prime), expected, "{ring}");
            }
        }
    }
}

#[test]
fn automorphisms_and_monomials_commute_with_the_transform() {
    for log_degree in [2, 5, 8] {
        let chain = chain(log_degree, 2, 1);
        for ring in rings(log_degree) {
            let shape = Shape::coefficient(ring, chain.full_basis());
            let evaluation = shape.with_domain(Domain::Evaluation);
            let words = random_residues(&chain, shape, &mut rng(3));
            for backend in backends(&chain) {
                let coefficients = upload(&backend, shape, &words);
                let mut values = upload(&backend, shape, &words);
                backend.forward(&mut values, shape);
                let agree = |mut mapped: <Cpu as Backend>::Buffer, expected: <Cpu as Backend>::Buffer, what: &str| {
                    backend.inverse(&mut mapped, evaluation);
                    assert_eq!(&mapped[..], &expected[..], "{ring} {what}");
                };
                let degree = ring.degree() as u64;
                for exponent in (1..4 * degree).step_by(if degree > 64 { 26 } else { 2 }) {
                    let element = GaloisElement::from_exponent(ring, exponent).unwrap();
                    let mapped = backend.automorphism(operand(&values, evaluation), element);
                    let expected = backend.automorphism(operand(&coefficients, shape), element);
                    agree(mapped, expected, &format!("automorphism {exponent}"));
                }
                if ring.kind == RingKind::Cyclotomic {
                    for exponent in [0, 1, 2, degree / 2, degree - 1, degree, degree + 1, 2 * degree - 1] {
                        let mapped = backend.multiply_monomial(operand(&values, evaluation), exponent as usize);
                        let expected = backend.multiply_monomial(operand(&coefficients, shape), exponent as usize);
                        agree(mapped, expected, &format!("monomial {exponent}"));
                    }
                }
            }
        }
    }
}

#[test]
fn automorphisms_in_coefficients_substitute_the_variable() {
    // X^k -> X^(g k) in the ring above, expanded for the conjugate-invariant ring: V_k -> V_(g k).
    let chain = chain(4, 1, 0);
    let modulus = &chain.ciphertext_primes()[0];
    for ring in rings(4) {
        let shape = Shape::coefficient(ring, Basis::prefix(1));
        let degree = ring.degree();
        let full = if ring.kind == RingKind::Cyclotomic { degree } else { 2 * degree };
        let words = random_residues(&chain, shape, &mut rng(4));
        let backend = Cpu::new(chain.clone());
        let source = upload(&backend, shape, &words);
        for g in (1..2 * full).step_by(2) {
            let element = GaloisElement::from_exponent(ring, g as u64).unwrap();
            let found = backend.automorphism(operand(&source, shape), element);
            let mut expected = vec![0; full];
            let mut add = |power: usize, value: u64| {
                let (index, wraps) = (power % full, power / full % 2 == 1);
                expected[index] =
                    if wraps { modulus.sub(expected[index], value) } else { modulus.add(expected[index], value) };
            };
            for (k, &c) in words.iter().enumerate() {
                add(k * g, c);
                if ring.kind == RingKind::ConjugateInvariant && k > 0 {
                    add((2 * full - k) * g, c);
                }
            }
            assert_eq!(&found[..], &expected[..degree], "{ring} {g}");
        }
    }
}

#[test]
fn multiplying_by_a_monomial_shifts_with_a_sign() {
    let chain = chain(3, 1, 0);
    let modulus = &chain.ciphertext_primes()[0];
    let shape = Shape::coefficient(Ring::cyclotomic(3), Basis::prefix(1));
    let words = random_residues(&chain, shape, &mut rng(5));
    let backend = Cpu::new(chain.clone());
    let source = upload(&backend, shape, &words);
    for exponent in 0..16 {
        let found = backend.multiply_monomial(operand(&source, shape), exponent);
        for (k, &c) in words.iter().enumerate() {
            let power = k + exponent;
            let expected = if power / 8 % 2 == 1 { modulus.neg(c) } else { c };
            assert_eq!(found[power % 8], expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn all_instruction_sets_agree_bit_for_bit(
        log_degree in 6u32..=14, kind: bool, bits in prop::sample::select(vec![30u32, 42, 45, 46, 47, 49, 50]), seed: u64,
    ) {
        let ring = rings(log_degree)[kind as usize];
        let modulus = modulus(bits);
        let mut rng = rng(seed);
        let extremes = [0, 1, modulus.value() - 1];
        let words: Vec<u64> = match seed % 4 {
            0 => vec![modulus.value() - 1; ring.degree()],
            1 => (0..ring.degree()).map(|_| extremes[rng.random_range(0..3)]).collect(),
            _ => (0..ring.degree()).map(|_| rng.random_range(0..modulus.value())).collect(),
        };
        let portable = NumberTheoreticTransform::new(ring, &modulus, InstructionSet::Portable).unwrap();
        let (mut values, mut coefficients) = (words.clone(), words.clone());
        portable.forward(&mut values);
        prop_assert!(values.iter().all(|&value| value < modulus.value()));
        // Extremes as values, too.
        portable.inverse(&mut coefficients);
        for instructions in InstructionSet::available() {
            let transform = NumberTheoreticTransform::new(ring, &modulus, instructions).unwrap();
            let (mut x, mut y) = (words.clone(), words.clone());
            transform.forward(&mut x);
            prop_assert_eq!(&x, &values, "forward, {}", instructions);
            transform.inverse(&mut x);
            prop_assert_eq!(&x, &words, "there and back, {}", instructions);
            transform.inverse(&mut y);
            prop_assert_eq!(&y, &coefficients, "inverse, {}", instructions);
        }
    }
}

#[test]
fn the_largest_degree_round_trips() {
    for ring in rings(16) {
        for modulus in [modulus(50), modulus(42)] {
            let mut rng = rng(6);
            let coefficients: Vec<u64> = (0..ring.degree()).map(|_| rng.random_range(0..modulus.value())).collect();
            let mut all = InstructionSet::available().map(|instructions| {
                let transform = NumberTheoreticTransform::new(ring, &modulus, instructions).unwrap();
                let mut words = coefficients.clone();
                transform.forward(&mut words);
                let values = words.clone();
                transform.inverse(&mut words);
                assert_eq!(words, coefficients, "{ring}");
                values
            });
            let portable = all.next().unwrap();
            assert!(all.all(|values| values == portable), "{ring}");
        }
    }
}

#[test]
fn rejects_primes_without_the_roots() {
    let ring = Ring::cyclotomic(10);
    let modulus = Modulus::new(12289).unwrap(); // 1 modulo 2^12, which degree 2^10 needs
    assert!(NumberTheoreticTransform::new(ring, &modulus, InstructionSet::Portable).is_some());
    let larger = Ring::cyclotomic(11);
    assert!(NumberTheoreticTransform::new(larger, &modulus, InstructionSet::Portable).is_none());
}
