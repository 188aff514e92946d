//! Strided maps, module rows, integer products and gathers by their index formulas.

use fhe_ring::{Backend, Basis, IntegerMatrix, MatrixShape, Modulus, Poly, Ring, Shape, module_product, module_rows};

use super::coefficients;
use crate::Pattern;

const ACCEPTED: &str = "the operands fit";

/// A matrix of residues, row by row.
type Rows = Vec<Vec<u64>>;

pub(super) fn check<B: Backend>(backend: &B, pattern: Pattern) {
    for (log_degree, parts, tokens) in [(3, 2, 2), (3, 4, 1), (4, 1, 16), (5, 2, 4), (6, 4, 4)] {
        if log_degree <= backend.primes().max_log_degree() {
            round(backend, pattern, Ring::cyclotomic(log_degree), parts, tokens);
        }
    }
}

fn round<B: Backend>(backend: &B, pattern: Pattern, ring: Ring, parts: usize, tokens: usize) {
    let context = format!("{pattern:?}, {ring}, {parts} parts, {tokens} tokens");
    let modulus = &backend.primes().ciphertext_primes()[0];
    let shape = Shape::coefficient(ring, Basis::prefix(1));
    let mut small = Vec::new();
    for salt in [80, 82] {
        let [b, a] = [salt, salt + 1].map(|salt| split(backend, &pattern.poly(backend, shape, salt), parts, &context));
        small.extend(b.into_iter().zip(a).map(|(b, a)| [b, a]));
    }
    let words: Vec<[Vec<u64>; 2]> =
        small.iter().map(|pair| [&pair[0], &pair[1]].map(|half| coefficients(backend, half).remove(0))).collect();
    let (expected_b, expected_a) = expected_rows(modulus, &words, parts, tokens);

    let [b, a] = module_rows(backend, &small, parts, tokens).expect(ACCEPTED);
    assert_eq!((b.shape().rows, a.shape().rows), (expected_b.len(), expected_a.len()), "{context}");
    for first in (0..expected_b.len()).step_by(3) {
        compare(backend, &context, (&b, &expected_b), (&a, &expected_a), first, ring);
    }

    let shape = MatrixShape { rows: 5, columns: expected_b.len() };
    let entries = (0..shape.words()).map(|i| [i16::MIN, 1, -2, i16::MAX, 77][(i * i + 3) % 5]).collect();
    let weights = IntegerMatrix::new(shape, entries).expect("as many entries as the shape has");
    let [product_b, product_a] = [&b, &a].map(|rows| rows.integer_product(backend, &weights).expect(ACCEPTED));
    let [expected_b, expected_a] = [&expected_b, &expected_a].map(|rows| multiply(modulus, &weights, rows));
    compare(backend, &context, (&product_b, &expected_b), (&product_a, &expected_a), 0, ring);
    let [product_b, product_a] = module_product(backend, &weights, &small, parts, tokens).expect(ACCEPTED);
    compare(backend, &context, (&product_b, &expected_b), (&product_a, &expected_a), 0, ring);
}

/// `p_j` has the coefficients `p[j], p[j + parts], ..`.
fn split<B: Backend>(backend: &B, poly: &Poly<B>, parts: usize, context: &str) -> Vec<Poly<B>> {
    let split = poly.stride_split(backend, parts).expect(ACCEPTED);
    let whole = coefficients(backend, poly).remove(0);
    for (j, part) in split.iter().enumerate() {
        let expected: Vec<u64> = whole.iter().skip(j).step_by(parts).copied().collect();
        assert_eq!(coefficients(backend, part)[0], expected, "{context}: stride_split");
    }
    let merged = Poly::stride_merge(backend, &split).expect(ACCEPTED);
    assert_eq!(coefficients(backend, &merged)[0], whole, "{context}: stride_merge");
    split
}

fn expected_rows(modulus: &Modulus, ciphertexts: &[[Vec<u64>; 2]], group: usize, tokens: usize) -> (Rows, Rows) {
    let degree = ciphertexts[0][0].len();
    let rank = degree / tokens;
    let strided = |words: &[u64], i: usize| words.iter().skip(i).step_by(rank).copied().collect::<Vec<_>>();
    let mut b = vec![Vec::new(); ciphertexts.len() * rank];
    let mut a = b.clone();
    for (number, [words_b, words_a]) in ciphertexts.iter().enumerate() {
        for i in 0..rank {
            let row = number / group * group * rank + number % group + group * i;
            b[row] = strided(words_b, i);
            for j in 0..rank {
                if j <= i {
                    a[row].extend(strided(words_a, i - j));
                } else {
                    let mut block = strided(words_a, rank + i - j);
                    block.rotate_right(1); // times Y, with Y^tokens = -1
                    block[0] = modulus.neg(block[0]);
                    a[row].extend(block);
                }
            }
        }
    }
    (b, a)
}

fn multiply(modulus: &Modulus, weights: &IntegerMatrix, rows: &[Vec<u64>]) -> Rows {
    let product = |weights: &[i16], column: usize| {
        let sum: i128 = weights.iter().zip(rows).map(|(&w, row)| i128::from(w) * i128::from(row[column])).sum();
        modulus.reduce_i128(sum)
    };
    (weights.entries().chunks(weights.shape().columns))
        .map(|weights| (0..rows[0].len()).map(|column| product(weights, column)).collect())
        .collect()
}

/// Rows `first ..` lie in the gathered polynomials at `row + r * token`.
fn compare<B: Backend>(
    backend: &B,
    context: &str,
    (b, expected_b): (&fhe_ring::ResidueMatrix<B>, &[Vec<u64>]),
    (a, expected_a): (&fhe_ring::ResidueMatrix<B>, &[Vec<u64>]),
    first: usize,
    ring: Ring,
) {
    let tokens = expected_b[0].len();
    let stride = ring.degree() / tokens;
    let (gathered_b, gathered_a) = b.gather_rows(backend, a, first, ring).expect(ACCEPTED);
    let check = |poly: &Poly<B>, rows: &[Vec<u64>], block: usize, name: &str| {
        let mut expected = vec![0; ring.degree()];
        for (row, words) in rows.iter().skip(first).take(stride).enumerate() {
            for (token, &word) in words[block * tokens..(block + 1) * tokens].iter().enumerate() {
                expected[row + stride * token] = word;
            }
        }
        assert_eq!(coefficients(backend, poly)[0], expected, "{context}: rows from {first}, {name}");
    };
    check(&gathered_b, expected_b, 0, "b");
    assert_eq!(gathered_a.len(), expected_a[0].len() / tokens, "{context}: rank");
    for (block, poly) in gathered_a.iter().enumerate() {
        check(poly, expected_a, block, &format!("a, block {block}"));
    }
}
