//! Storage and point-wise kernels against residue arithmetic.

mod support;

use fhe_ring::{Backend, Basis, Cpu, GaloisElement, Modulus, PrimeIndex, Ring, Shape};
use rand::Rng;
use support::*;

/// Degrees around the vector kernels' block sizes, and one with several parallel blocks.
const LOG_DEGREES: [u32; 5] = [1, 3, 4, 7, 13];

#[test]
fn element_wise_kernels_agree_with_residue_arithmetic() {
    for log_degree in LOG_DEGREES {
        let chain = chain(log_degree, 5, 2);
        let shape = Shape::evaluation(Ring::cyclotomic(log_degree), Basis::of([0, 1, 3, 4]).with_special(1));
        let wide = shape.with_basis(chain.full_basis());
        let mut rng = rng(1);
        let [a, b] = [(); 2].map(|()| random_residues(&chain, shape, &mut rng));
        let right = random_residues(&chain, wide, &mut rng);
        let constants: Vec<u64> = chain.moduli(shape.basis).map(|m| rng.random_range(0..m.value())).collect();
        let reference = |kernel: &dyn Fn(&Modulus, usize, usize) -> u64| -> Vec<u64> {
            let degree = shape.ring.degree();
            let moduli: Vec<_> = chain.moduli(shape.basis).collect();
            (0..shape.words()).map(|i| kernel(moduli[i / degree], i, i / degree)).collect()
        };
        for backend in backends(&chain) {
            let (x, y) = (upload(&backend, shape, &a), upload(&backend, shape, &b));
            let changed = |kernel: &dyn Fn(&mut <Cpu as Backend>::Buffer)| {
                let mut target = upload(&backend, shape, &a);
                kernel(&mut target);
                target.to_vec()
            };
            let sum = changed(&|target| backend.add_assign(target, operand(&y, shape)));
            assert_eq!(sum, reference(&|m, i, _| m.add(a[i], b[i])));
            let difference = changed(&|target| backend.subtract_assign(target, operand(&y, shape)));
            assert_eq!(difference, reference(&|m, i, _| m.sub(a[i], b[i])));
            assert_eq!(changed(&|target| backend.negate(target, shape)), reference(&|m, i, _| m.neg(a[i])));
            let product = backend.multiply(operand(&x, shape), operand(&y, shape));
            assert_eq!(product.to_vec(), reference(&|m, i, _| m.mul(a[i], b[i])));
            let scaled = changed(&|target| backend.scale(target, shape, &constants));
            assert_eq!(scaled, reference(&|m, i, limb| m.mul(a[i], constants[limb])));
            let shifted = changed(&|target| backend.add_constant(target, shape, &constants));
            assert_eq!(shifted, reference(&|m, i, limb| m.add(a[i], constants[limb])));
            let z = upload(&backend, wide, &right);
            let accumulated =
                changed(&|target| backend.multiply_accumulate(target, operand(&y, shape), operand(&z, wide)));
            let primes: Vec<_> = shape.basis.indices().collect();
            let expected = reference(&|m, i, l| {
                let factor = limb(&right, wide, primes[l])[i % shape.ring.degree()];
                m.add(a[i], m.mul(b[i], factor))
            });
            assert_eq!(accumulated, expected);
            let restricted = backend.restrict(operand(&z, wide), shape);
            for &prime in &primes {
                assert_eq!(limb(&restricted, shape, prime), limb(&right, wide, prime));
            }
        }
    }
}

#[test]
fn tensors_are_three_products_of_ciphertexts() {
    for log_degree in LOG_DEGREES {
        let chain = chain(log_degree, 5, 2);
        let shape = Shape::evaluation(Ring::conjugate_invariant(log_degree), Basis::of([0, 1, 4]).with_special(1));
        let wide = shape.with_basis(chain.full_basis());
        let mut rng = rng(2);
        let shapes = [shape, shape, wide, wide];
        let random = shapes.map(|shape| random_residues(&chain, shape, &mut rng));
        for words in [random, shapes.map(|shape| largest_residues(&chain, shape))] {
            let [xb, xa, yb, ya] = &words;
            let factors = |prime, k: usize| {
                let [xb, xa] = [xb, xa].map(|words| limb(words, shape, prime)[k]);
                let [yb, ya] = [yb, ya].map(|words| limb(words, wide, prime)[k]);
                [xb, xa, yb, ya]
            };
            let expected = [
                residues(&chain, shape, |m, prime, k| {
                    let [xb, _, yb, _] = factors(prime, k);
                    m.mul(xb, yb)
                }),
                residues(&chain, shape, |m, prime, k| {
                    let [xb, xa, yb, ya] = factors(prime, k);
                    m.add(m.mul(xb, ya), m.mul(xa, yb))
                }),
                residues(&chain, shape, |m, prime, k| {
                    let [_, xa, _, ya] = factors(prime, k);
                    m.mul(xa, ya)
                }),
            ];
            for backend in backends(&chain) {
                let left = [xb, xa].map(|words| upload(&backend, shape, words));
                let right = [yb, ya].map(|words| upload(&backend, wide, words));
                let left = left.each_ref().map(|buffer| operand(buffer, shape));
                let right = right.each_ref().map(|buffer| operand(buffer, wide));
                assert_eq!(backend.tensor(left, right).map(|part| part.to_vec()), expected);
            }
        }
    }
}

/// A factor's word `i / run` multiplies word `i`: few inputs and more than a lazy sum holds, sums in and out of groups, all runs.
#[test]
fn sums_over_subrings_are_sums_of_products_with_repeated_words() {
    for (log_degree, inputs, sums) in [(1, 1, 1), (4, 3, 5), (7, 17, 4), (9, 40, 3)] {
        let chain = chain(log_degree, 5, 2);
        let shape = Shape::evaluation(Ring::conjugate_invariant(log_degree), Basis::of([0, 1, 3]).with_special(1));
        for log_points in [1, log_degree / 2 + 1, log_degree] {
            let subring = Shape::evaluation(Ring::conjugate_invariant(log_points), shape.basis);
            let run = 1 << (log_degree - log_points);
            let mut rng = rng(6);
            for largest in [false, true] {
                let mut words = |shape| match largest {
                    true => largest_residues(&chain, shape),
                    false => random_residues(&chain, shape, &mut rng),
                };
                let ciphertexts: Vec<[Vec<u64>; 2]> = (0..inputs).map(|_| [0, 1].map(|_| words(shape))).collect();
                let factors: Vec<Vec<Vec<u64>>> =
                    (0..sums).map(|_| (0..inputs).map(|_| words(subring)).collect()).collect();
                let expected = |sum: usize, half: usize| {
                    residues(&chain, shape, |m, prime, k| {
                        ciphertexts.iter().zip(&factors[sum]).fold(0, |total, (input, factor)| {
                            let factor = limb(factor, subring, prime)[k / run];
                            m.add(total, m.mul(limb(&input[half], shape, prime)[k], factor))
                        })
                    })
                };
                for backend in backends(&chain) {
                    let ciphertexts: Vec<_> = ciphertexts
                        .iter()
                        .map(|halves| halves.each_ref().map(|half| upload(&backend, shape, half)))
                        .collect();
                    let factors: Vec<Vec<_>> = (factors.iter())
                        .map(|factors| factors.iter().map(|factor| upload(&backend, subring, factor)).collect())
                        .collect();
                    let ciphertexts: Vec<_> =
                        ciphertexts.iter().map(|halves| halves.each_ref().map(|half| operand(half, shape))).collect();
                    let factors: Vec<Vec<_>> = (factors.iter())
                        .map(|factors| factors.iter().map(|factor| operand(factor, subring)).collect())
                        .collect();
                    let found = backend.subring_sums(&ciphertexts, &factors);
                    assert_eq!(found.len(), sums);
                    for (sum, halves) in found.iter().enumerate() {
                        for (half, found) in halves.iter().enumerate() {
                            assert_eq!(
                                found.to_vec(),
                                expected(sum, half),
                                "degree 2^{log_degree} over 2^{log_points}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn linear_combinations_hold_the_largest_terms() {
    for (log_degree, count) in [(1, 3), (4, 16), (5, 17), (6, 127), (13, 5)] {
        let chain = chain(log_degree, 5, 2);
        let shape = Shape::coefficient(Ring::cyclotomic(log_degree), Basis::of([1, 2, 4]).with_special(2));
        let wide = shape.with_basis(chain.full_basis());
        let mut rng = rng(3);
        for largest in [true, false] {
            let terms: Vec<(Shape, Vec<u64>, Vec<u64>)> = (0..count)
                .map(|i| {
                    let term = if i % 2 == 0 { shape } else { wide };
                    let constants = chain.moduli(shape.basis).map(Modulus::value);
                    if largest {
                        (term, largest_residues(&chain, term), constants.map(|p| p - 1).collect())
                    } else {
                        let constants = constants.map(|p| rng.random_range(0..p)).collect();
                        (term, random_residues(&chain, term, &mut rng), constants)
                    }
                })
                .collect();
            let expected = residues(&chain, shape, |m, prime, k| {
                let position = shape.basis.position(prime).unwrap();
                terms.iter().fold(0, |sum, (term, words, constants)| {
                    m.add(sum, m.mul(limb(words, *term, prime)[k], constants[position]))
                })
            });
            for backend in backends(&chain) {
                let buffers: Vec<_> = terms.iter().map(|(shape, words, _)| upload(&backend, *shape, words)).collect();
                let terms: Vec<_> = (buffers.iter().zip(&terms))
                    .map(|(buffer, (shape, _, constants))| (operand(buffer, *shape), constants.clone()))
                    .collect();
                assert_eq!(backend.linear_combination(&terms, shape).to_vec(), expected, "{count} terms");
            }
        }
    }
}

#[test]
fn accumulated_automorphisms_are_automorphisms_and_sums() {
    for log_degree in LOG_DEGREES {
        let chain = chain(log_degree, 3, 1);
        for ring in [Ring::cyclotomic(log_degree), Ring::conjugate_invariant(log_degree)] {
            let shape = Shape::evaluation(ring, chain.full_basis());
            let mut rng = rng(4);
            let [target, source] = [(); 2].map(|()| random_residues(&chain, shape, &mut rng));
            for backend in backends(&chain) {
                for exponent in [1, 5, 4 * ring.degree() as u64 - 1, 2 * ring.degree() as u64 - 5] {
                    let element = GaloisElement::from_exponent(ring, exponent).unwrap();
                    let source = upload(&backend, shape, &source);
                    let mut expected = backend.automorphism(operand(&source, shape), element);
                    backend.add_assign(&mut expected, operand(&upload(&backend, shape, &target), shape));
                    let mut found = upload(&backend, shape, &target);
                    backend.automorphism_accumulate(&mut found, operand(&source, shape), element);
                    assert_eq!(found.to_vec(), expected.to_vec(), "{ring} {exponent}");
                }
            }
        }
    }
}

#[test]
fn downloads_return_what_was_uploaded() {
    let chain = chain(3, 2, 1);
    let shape = Shape::evaluation(Ring::conjugate_invariant(3), chain.full_basis());
    let words = random_residues(&chain, shape, &mut rng(5));
    for backend in backends(&chain) {
        let buffer = upload(&backend, shape, &words);
        assert_eq!(backend.download(operand(&buffer, shape)).unwrap(), words);
        assert!(backend.zeros(shape).iter().all(|&word| word == 0));
        let position = shape.basis.position(PrimeIndex::Special(0)).unwrap();
        assert_eq!(limb(&buffer, shape, PrimeIndex::Special(0)), &words[position * 8..]);
    }
}
