//! ModUp, ModDown, rescaling, raising and extension against exact integers.

mod support;

use fhe_ring::{Backend, Basis, Cpu, Domain, PrimeChain, PrimeIndex, Ring, Shape, primes::primes_below};
use num_bigint::BigInt;
use num_traits::Signed;
use support::*;

const LOG_DEGREE: u32 = 7;

fn rings() -> [Ring; 2] {
    [Ring::cyclotomic(LOG_DEGREE), Ring::conjugate_invariant(LOG_DEGREE)]
}

fn to_values(backend: &Cpu, shape: Shape, coefficients: &[u64]) -> <Cpu as Backend>::Buffer {
    let mut buffer = upload(backend, shape.with_domain(Domain::Coefficient), coefficients);
    backend.forward(&mut buffer, shape.with_domain(Domain::Coefficient));
    buffer
}

fn to_coefficients(backend: &Cpu, shape: Shape, mut values: <Cpu as Backend>::Buffer) -> Vec<u64> {
    backend.inverse(&mut values, shape.with_domain(Domain::Evaluation));
    values.to_vec()
}

fn coefficient(chain: &PrimeChain, words: &[u64], shape: Shape, basis: Basis, k: usize) -> BigInt {
    centred(chain, basis, |prime| limb(words, shape, prime)[k])
}

/// Asserts that `found` are the residues of `expected`, or of its other representative modulo `period` if it lies at
/// the boundary `period / 2`.
fn assert_residues(chain: &PrimeChain, found: &[u64], shape: Shape, k: usize, expected: &BigInt, period: &BigInt) {
    let matches = |value: &BigInt| {
        shape.basis.indices().all(|prime| limb(found, shape, prime)[k] == residue(chain.modulus(prime), value))
    };
    let at_boundary = (expected.abs() * 2i32 - period).abs() < period >> 30;
    let other = if expected.is_negative() { expected + period } else { expected - period };
    assert!(matches(expected) || at_boundary && matches(&other), "coefficient {k}: {expected} modulo {period}");
}

#[test]
fn mod_up_lifts_centred_digits() {
    let chain = chain(LOG_DEGREE, 8, 3);
    // Even groups, groups of different widths, groups whose primes are not neighbours.
    let uneven = [0..1, 1..4, 4..5, 5..8].map(Basis::of).to_vec();
    let scattered = [[0, 5].as_slice(), &[2], &[1, 3, 4], &[6, 7]].map(|primes| Basis::of(primes.to_vec())).to_vec();
    let even = [1, 2, 3, 8].map(|width| Basis::prefix(8).groups_of(width));
    for ring in rings() {
        // A full chain, a basis with gaps, and a single prime.
        for basis in [Basis::prefix(8), Basis::of([0, 1, 5, 6]), Basis::of([4])] {
            for groups in even.iter().chain([&uneven, &scattered]) {
                let shape = Shape::evaluation(ring, basis);
                let words = random_residues(&chain, shape, &mut rng(1));
                let results = backends(&chain).map(|backend| {
                    let source = to_values(&backend, shape, &words);
                    let target = shape.extended(2);
                    let digits = backend.mod_up(operand(&source, shape), groups, 2);
                    let numbers: Vec<usize> = digits.iter().map(|(number, _)| *number).collect();
                    let present = |d: &usize| !basis.intersection(groups[*d]).is_empty();
                    assert_eq!(numbers, (0..groups.len()).filter(present).collect::<Vec<_>>());
                    let found = digits.into_iter().map(|(number, digit)| {
                        let primes = basis.intersection(groups[number]);
                        let found = to_coefficients(&backend, target, digit);
                        for k in 0..ring.degree() {
                            let expected = coefficient(&chain, &words, shape, primes, k);
                            assert_residues(&chain, &found, target, k, &expected, &product(&chain, primes));
                        }
                        found
                    });
                    found.collect::<Vec<_>>()
                });
                assert_eq!(results[0], results[1], "both instruction sets agree");
            }
        }
    }
}

#[test]
fn digits_of_many_primes_are_lifted() {
    // More primes of 50 bits than a lazy sum has room for, with the largest words that the conversion can meet: the coefficient
    // that is `-D/p_i` modulo every `p_i` is scaled to `p_i - 1`.
    const COUNT: usize = 40;
    let primes: Vec<u64> = primes_below(1 << 50, 4 << LOG_DEGREE).take(COUNT + 2).collect();
    let chain = PrimeChain::new(primes[..COUNT].to_vec(), primes[COUNT..].to_vec(), LOG_DEGREE).unwrap();
    let shape = Shape::evaluation(Ring::cyclotomic(LOG_DEGREE), Basis::prefix(COUNT));
    let mut words = random_residues(&chain, shape, &mut rng(7));
    for (limb, prime) in words.chunks_exact_mut(shape.ring.degree()).zip(chain.ciphertext_primes()) {
        let cofactor = product(&chain, shape.basis) / prime.value();
        limb[..64].fill(prime.neg(residue(prime, &cofactor)));
    }
    let results = backends(&chain).map(|backend| {
        let source = to_values(&backend, shape, &words);
        let (_, digit) = backend.mod_up(operand(&source, shape), &[shape.basis], 2).remove(0);
        let found = to_coefficients(&backend, shape.extended(2), digit);
        for k in 0..shape.ring.degree() {
            let expected = coefficient(&chain, &words, shape, shape.basis, k);
            assert_residues(&chain, &found, shape.extended(2), k, &expected, &product(&chain, shape.basis));
        }
        found
    });
    assert_eq!(results[0], results[1], "both instruction sets agree");
}

#[test]
fn mod_down_divides_with_centred_rounding() {
    let chain = chain(LOG_DEGREE, 5, 8);
    for ring in rings() {
        for (basis, rescale) in [
            (Basis::prefix(5).with_special(8), false),
            (Basis::prefix(5).with_special(8), true),
            (Basis::of([0, 2, 3]).with_special(1), false),
            (Basis::of([0, 2, 3]).with_special(1), true),
            (Basis::prefix(3).with_special(3), true),
        ] {
            let shape = Shape::evaluation(ring, basis);
            let words = random_residues(&chain, shape, &mut rng(2));
            let kept = if rescale { basis.without_special().without_last() } else { basis.without_special() };
            let dropped = Basis::of(basis.ciphertext_indices().filter(|&i| !kept.has_ciphertext_prime(i)))
                .with_special(basis.special_count());
            let divisor = product(&chain, dropped);
            let results = backends(&chain).map(|backend| {
                let source = to_values(&backend, shape, &words);
                let target = shape.with_basis(kept);
                let found = to_coefficients(&backend, target, backend.mod_down(operand(&source, shape), rescale));
                for k in 0..ring.degree() {
                    let value = coefficient(&chain, &words, shape, basis, k);
                    let remainder = coefficient(&chain, &words, shape, dropped, k);
                    let expected = (&value - &remainder) / &divisor;
                    let matches = |quotient: &BigInt| {
                        kept.indices().all(|p| limb(&found, target, p)[k] == residue(chain.modulus(p), quotient))
                    };
                    let at_boundary = (remainder.abs() * 2i32 - &divisor).abs() < &divisor >> 30;
                    let other = if remainder.is_negative() { &expected - 1i32 } else { &expected + 1i32 };
                    assert!(matches(&expected) || at_boundary && matches(&other));
                }
                found
            });
            assert_eq!(results[0], results[1], "both instruction sets agree");
        }
    }
}

#[test]
fn rescaling_is_exact_in_both_domains() {
    let chain = chain(LOG_DEGREE, 4, 0);
    for ring in rings() {
        let shape = Shape::coefficient(ring, Basis::prefix(4));
        let words = random_residues(&chain, shape, &mut rng(3));
        let kept = shape.with_basis(Basis::prefix(3));
        let last = BigInt::from(chain.ciphertext_primes()[3].value());
        for backend in backends(&chain) {
            let source = upload(&backend, shape, &words);
            let found = backend.rescale(operand(&source, shape)).to_vec();
            let evaluation = shape.with_domain(Domain::Evaluation);
            let values = to_values(&backend, evaluation, &words);
            let also = to_coefficients(&backend, kept, backend.rescale(operand(&values, evaluation)));
            assert_eq!(found, also);
            for k in 0..ring.degree() {
                let value = coefficient(&chain, &words, shape, shape.basis, k);
                let remainder = coefficient(&chain, &words, shape, Basis::of([3]), k);
                let quotient = (value - remainder) / &last;
                for prime in kept.basis.indices() {
                    assert_eq!(limb(&found, kept, prime)[k], residue(chain.modulus(prime), &quotient));
                }
            }
        }
    }
}

#[test]
fn raising_from_one_prime_is_exact() {
    let chain = chain(LOG_DEGREE, 6, 2);
    for ring in rings() {
        let shape = Shape::coefficient(ring, Basis::prefix(1));
        let words = random_residues(&chain, shape, &mut rng(4));
        for basis in [Basis::prefix(6), Basis::of([0, 1, 4, 5]).with_special(2), Basis::of([2, 3])] {
            let target = Shape::evaluation(ring, basis);
            for backend in backends(&chain) {
                let source = upload(&backend, shape, &words);
                let found = to_coefficients(&backend, target, backend.raise(operand(&source, shape), target));
                for (k, &word) in words.iter().enumerate() {
                    let value = BigInt::from(chain.ciphertext_primes()[0].centred(word));
                    for prime in basis.indices() {
                        assert_eq!(limb(&found, target, prime)[k], residue(chain.modulus(prime), &value));
                    }
                }
            }
        }
    }
}

#[test]
fn raising_from_several_primes_keeps_the_centred_integer() {
    let chain = chain(LOG_DEGREE, 6, 2);
    for ring in rings() {
        for source in [Basis::prefix(2), Basis::prefix(3), Basis::of([1, 4])] {
            let shape = Shape::coefficient(ring, source);
            let words = random_residues(&chain, shape, &mut rng(6));
            // Targets that contain the source, that overlap with it, and that do not.
            for basis in [Basis::prefix(6).with_special(2), Basis::of([1, 2, 5]), Basis::of([5]).with_special(1)] {
                let target = Shape::evaluation(ring, basis);
                let results = backends(&chain).map(|backend| {
                    let buffer = upload(&backend, shape, &words);
                    let found = to_coefficients(&backend, target, backend.raise(operand(&buffer, shape), target));
                    for k in 0..ring.degree() {
                        let expected = coefficient(&chain, &words, shape, source, k);
                        assert_residues(&chain, &found, target, k, &expected, &product(&chain, source));
                    }
                    found
                });
                assert_eq!(results[0], results[1], "both instruction sets agree");
            }
        }
    }
}

#[test]
fn mod_down_undoes_extension() {
    let chain = chain(LOG_DEGREE, 4, 3);
    let ring = Ring::cyclotomic(LOG_DEGREE);
    let shape = Shape::evaluation(ring, Basis::of([0, 1, 3]));
    let words = random_residues(&chain, shape, &mut rng(5));
    for backend in backends(&chain) {
        let source = upload(&backend, shape, &words);
        let extended = backend.extend(operand(&source, shape), 2);
        let target = shape.with_basis(shape.basis.with_special(2));
        let factor = product(&chain, Basis::of([]).with_special(2));
        for prime in shape.basis.indices() {
            let modulus = chain.modulus(prime);
            for (&x, &y) in limb(&words, shape, prime).iter().zip(limb(&extended, target, prime)) {
                assert_eq!(y, modulus.mul(x, residue(modulus, &factor)));
            }
        }
        for special in 0..2 {
            assert!(limb(&extended, target, PrimeIndex::Special(special)).iter().all(|&x| x == 0));
        }
        assert_eq!(backend.mod_down(operand(&extended, target), false).to_vec(), words);
    }
}
