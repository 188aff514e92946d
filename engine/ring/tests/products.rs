//! Point-wise kernels, gadget products, integer products and module rows against direct computation.

mod support;

use fhe_ring::{Backend, Basis, Cpu, IntegerMatrix, MatrixShape, Modulus, PrimeIndex, Ring, Shape};
use num_bigint::BigInt;
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
fn gadget_products_accumulate_every_digit() {
    for log_degree in LOG_DEGREES {
        let chain = chain(log_degree, 6, 4);
        let shape = Shape::evaluation(Ring::cyclotomic(log_degree), Basis::of([0, 1, 2, 5]).with_special(2));
        let key_shape = shape.with_basis(chain.full_basis());
        let mut rng = rng(2);
        for count in [1, 2, 5, 20] {
            let digits: Vec<Vec<u64>> = (0..count).map(|_| random_residues(&chain, shape, &mut rng)).collect();
            let rows: Vec<[Vec<u64>; 2]> =
                (0..count).map(|_| [(); 2].map(|()| random_residues(&chain, key_shape, &mut rng))).collect();
            let targets = [(); 2].map(|()| random_residues(&chain, shape, &mut rng));
            for backend in backends(&chain) {
                let digit_buffers: Vec<_> = digits.iter().map(|words| upload(&backend, shape, words)).collect();
                let row_buffers: Vec<_> =
                    rows.iter().map(|row| row.each_ref().map(|words| upload(&backend, key_shape, words))).collect();
                let [mut b, mut a] = targets.each_ref().map(|words| upload(&backend, shape, words));
                backend.gadget_product(
                    [&mut b, &mut a],
                    &digit_buffers.iter().map(|buffer| operand(buffer, shape)).collect::<Vec<_>>(),
                    &row_buffers
                        .iter()
                        .map(|row| row.each_ref().map(|buffer| operand(buffer, key_shape)))
                        .collect::<Vec<_>>(),
                );
                for (half, found) in [b, a].iter().enumerate() {
                    for prime in shape.basis.indices() {
                        let m = chain.modulus(prime);
                        for k in 0..shape.ring.degree() {
                            let start = limb(&targets[half], shape, prime)[k];
                            let expected = digits.iter().zip(&rows).fold(start, |sum, (digit, row)| {
                                let (x, y) = (limb(digit, shape, prime)[k], limb(&row[half], key_shape, prime)[k]);
                                m.add(sum, m.mul(x, y))
                            });
                            assert_eq!(limb(found, shape, prime)[k], expected);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn integer_products_are_exact() {
    let chain = chain(4, 1, 0);
    let modulus = &chain.ciphertext_primes()[0];
    let mut rng = rng(3);
    for (rows, inner, columns) in [(1, 1, 1), (3, 7, 5), (20, 100, 130), (300, 33, 9), (2, 5000, 3)] {
        for extreme in [false, true] {
            let weights: Vec<i16> = (0..rows * inner)
                .map(|_| if extreme { i16::MIN } else { rng.random_range(i16::MIN..=i16::MAX) })
                .collect();
            let p = modulus.value();
            let residues: Vec<u64> =
                (0..inner * columns).map(|_| if extreme { p - 1 } else { rng.random_range(0..p) }).collect();
            let shape = MatrixShape { rows: inner, columns };
            let matrix = IntegerMatrix::new(MatrixShape { rows, columns: inner }, weights.clone()).unwrap();
            for backend in backends(&chain) {
                // A matrix is stored like a polynomial of as many words.
                let mut buffer = backend.zeros(Shape::coefficient(
                    Ring::cyclotomic((inner * columns).next_power_of_two().trailing_zeros()),
                    Basis::prefix(1),
                ));
                buffer[..residues.len()].copy_from_slice(&residues);
                let found = backend.integer_product(&matrix, &buffer, shape);
                assert_eq!(found.len(), rows * columns);
                for row in 0..rows {
                    for column in 0..columns {
                        let expected: BigInt = (0..inner)
                            .map(|k| BigInt::from(weights[row * inner + k]) * residues[k * columns + column])
                            .sum();
                        assert_eq!(found[row * columns + column], residue(modulus, &expected));
                    }
                }
            }
        }
    }
}

/// `a * s` in `Z_p[X]/(X^n + 1)`.
fn negacyclic(m: &Modulus, a: &[u64], s: &[u64]) -> Vec<u64> {
    let n = a.len();
    let mut out = vec![0; n];
    for (i, &x) in a.iter().enumerate() {
        for (j, &y) in s.iter().enumerate() {
            let (index, term) = ((i + j) % n, m.mul(x, y));
            out[index] = if i + j < n { m.add(out[index], term) } else { m.sub(out[index], term) };
        }
    }
    out
}

#[test]
fn strides_and_module_rows_preserve_the_phase() {
    const LOG_BIG: u32 = 7;
    const GROUP: usize = 4;
    const TOKENS: usize = 8;
    let chain = chain(LOG_BIG, 1, 0);
    let m = &chain.ciphertext_primes()[0];
    let backend = Cpu::new(chain.clone());
    let ring = Ring::cyclotomic(LOG_BIG);
    let shape = Shape::coefficient(ring, Basis::prefix(1));
    let small = shape_of(ring.subring(GROUP));
    let n = small.ring.degree();
    let rank = n / TOKENS;
    let mut rng = rng(4);
    // Two big ciphertexts, split into GROUP small ones each, which are taken to be under one small secret.
    let secret: Vec<u64> = (0..n).map(|_| m.reduce_i64(rng.random_range(-1..=1))).collect();
    let big: Vec<[_; 2]> =
        (0..2).map(|_| [(); 2].map(|()| upload(&backend, shape, &random_residues(&chain, shape, &mut rng)))).collect();
    let split: Vec<[Vec<_>; 2]> =
        big.iter().map(|ct| ct.each_ref().map(|half| backend.stride_split(operand(half, shape), GROUP))).collect();
    for (ciphertext, halves) in big.iter().zip(&split) {
        for (half, parts) in ciphertext.iter().zip(halves) {
            for (j, part) in parts.iter().enumerate() {
                assert!(part.iter().enumerate().all(|(i, &x)| x == half[j + GROUP * i]));
            }
            let operands: Vec<_> = parts.iter().map(|part| operand(part, small)).collect();
            assert_eq!(backend.stride_merge(&operands).to_vec(), half.to_vec());
        }
    }
    let ciphertexts: Vec<_> = (split.iter())
        .flat_map(|[b, a]| b.iter().zip(a).map(|(b, a)| [operand(b, small), operand(a, small)]))
        .collect();
    let [b_rows, a_rows] = backend.module_rows(&ciphertexts, GROUP, TOKENS);
    let secret_part = |j: usize| -> Vec<u64> { secret.iter().skip(j).step_by(rank).copied().collect() };
    let rows = 2 * GROUP * rank;
    let phase_of_row = |row: usize| {
        let a_row = &a_rows[row * n..][..n];
        a_row.chunks_exact(TOKENS).enumerate().fold(b_rows[row * TOKENS..][..TOKENS].to_vec(), |phase, (j, block)| {
            let product = negacyclic(m, block, &secret_part(j));
            phase.iter().zip(product).map(|(&x, y)| m.add(x, y)).collect()
        })
    };
    for (c, [b, a]) in ciphertexts.iter().enumerate() {
        let product = negacyclic(m, a.buffer, &secret);
        let phase: Vec<u64> = b.buffer.iter().zip(product).map(|(&x, y)| m.add(x, y)).collect();
        for i in 0..rank {
            let row = c / GROUP * GROUP * rank + c % GROUP + GROUP * i;
            let expected: Vec<u64> = phase.iter().skip(i).step_by(rank).copied().collect();
            assert_eq!(phase_of_row(row), expected, "row {row}");
        }
    }

    // Gathering: row r of the polynomial starting at `first` is matrix row `first + r`, zero past the end.
    let stride = ring.degree() / TOKENS;
    let (b_shape, a_shape) = (MatrixShape { rows, columns: TOKENS }, MatrixShape { rows, columns: n });
    for first in [0, stride, rows - 3, rows + 5] {
        let (b, blocks) = backend.gather_rows((&b_rows, b_shape), (&a_rows, a_shape), first, ring);
        assert_eq!(blocks.len(), rank);
        for r in 0..stride {
            for token in 0..TOKENS {
                let entry = |matrix: &[u64], columns: usize, column: usize| {
                    if first + r < rows { matrix[(first + r) * columns + column] } else { 0 }
                };
                assert_eq!(b[r + stride * token], entry(&b_rows, TOKENS, token));
                for (j, block) in blocks.iter().enumerate() {
                    assert_eq!(block[r + stride * token], entry(&a_rows, n, j * TOKENS + token));
                }
            }
        }
    }
}

fn shape_of(ring: Ring) -> Shape {
    Shape::coefficient(ring, Basis::prefix(1))
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
