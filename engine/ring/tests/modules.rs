//! Integer products, strided maps and module rows against direct computation.

mod support;

use fhe_ring::{Backend, Basis, Cpu, IntegerMatrix, MatrixShape, Modulus, Ring, Shape};
use num_bigint::BigInt;
use rand::Rng;
use support::*;

#[test]
fn integer_products_are_exact() {
    let chain = chain(4, 1, 0);
    let modulus = &chain.ciphertext_primes()[0];
    let mut rng = rng(3);
    for (rows, inner, columns) in
        [(1, 1, 1_usize), (3, 7, 5), (20, 100, 130), (300, 33, 9), (2, 5000, 3), (13, 253, 16)]
    {
        // Weights of all sizes, and of the sizes that have a kernel of their own up to 2^12; uniform ones and the extremes.
        for (least, largest, extreme) in [
            (i16::MIN, i16::MAX, None),
            (i16::MIN, i16::MAX, Some(i16::MIN)),
            (-(1 << 12), 1 << 12, None),
            (-(1 << 12), 1 << 12, Some(-(1 << 12))),
            (-(1 << 12), 1 << 12, Some(1 << 12)),
            (-(1 << 12) - 1, 1 << 12, Some(-(1 << 12) - 1)),
        ] {
            let weights: Vec<i16> =
                (0..rows * inner).map(|_| extreme.unwrap_or_else(|| rng.random_range(least..=largest))).collect();
            let p = modulus.value();
            // The largest residue, or one whose signed 13-bit digits are the largest.
            let digits = (1 << 49) - (1 << 12) * (1 + (1 << 13) + (1 << 26));
            let residue_of = |rng: &mut rand::rngs::StdRng, i: usize| match extreme {
                Some(_) if i.is_multiple_of(2) => p - 1,
                Some(_) => digits,
                None => rng.random_range(0..p),
            };
            let residues: Vec<u64> = (0..inner * columns).map(|i| residue_of(&mut rng, i % columns)).collect();
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
