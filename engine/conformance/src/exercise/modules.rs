//! Strided maps, module rows and their integer products.

use fhe_ring::{Backend, Basis, IntegerMatrix, MatrixShape, Poly, Ring, Shape, module_product, module_rows};

use super::weights;
use crate::{Pattern, Transcript};

const ACCEPTED: &str = "the operands fit";

/// Calls the kernels of module rows: split of two big ciphertexts, an integer matrix, gathers into rings of several
/// degrees; and the products with weight polynomials.
pub fn exercise_modules<B: Backend>(backend: &B, pattern: Pattern) -> Transcript {
    let mut transcript = Transcript::default();
    let largest = backend.primes().max_log_degree();
    for (log_degree, parts, tokens) in [(3, 2, 1), (4, 1, 16), (5, 4, 2), (6, 4, 8), (9, 8, 16)] {
        if log_degree <= largest {
            round(backend, pattern, Ring::cyclotomic(log_degree), parts, tokens, &mut transcript);
        }
    }
    weights::weight_products(backend, pattern, &mut transcript);
    transcript
}

fn round<B: Backend>(
    backend: &B,
    pattern: Pattern,
    ring: Ring,
    parts: usize,
    tokens: usize,
    transcript: &mut Transcript,
) {
    let shape = Shape::coefficient(ring, Basis::prefix(1));
    let mut small = Vec::new();
    for ciphertext in 0..2 {
        let [b, a] = [0, 1].map(|half| pattern.poly(backend, shape, 70 + 2 * ciphertext + half));
        let [b, a] = [b, a].map(|half| {
            let split = half.stride_split(backend, parts).expect(ACCEPTED);
            let merged = Poly::stride_merge(backend, &split).expect(ACCEPTED);
            transcript.note(backend, "stride_merge", merged);
            split
        });
        for pair in b.into_iter().zip(a) {
            small.push([pair.0, pair.1].map(|half| transcript.note(backend, "stride_split", half)));
        }
    }
    let [b, a] = module_rows(backend, &small, parts, tokens).expect(ACCEPTED);
    let rows = b.shape().rows;
    let weights = [
        matrix(rows / 2 + 3, rows, |i| [i16::MIN, i16::MAX, -1, 0][i % 4]),
        matrix(rows, rows, |_| i16::MIN),
        matrix(1, rows, |i| (i as i16).wrapping_mul(12345)),
        // Weights of 13 bits may have a kernel of their own.
        matrix(5, rows, |i| (i * 37 % 8193) as i16 - 4096),
    ];
    let rank = a.shape().columns / tokens;
    for target in [ring, ring.subring(parts)] {
        let mut gather = |name: &str, b: &fhe_ring::ResidueMatrix<B>, a: &fhe_ring::ResidueMatrix<B>, first| {
            let (gathered_b, gathered_a) = b.gather_rows(backend, a, first, target).expect(ACCEPTED);
            assert_eq!(gathered_a.len(), rank, "gather_rows returned another number of blocks");
            transcript.note(backend, &format!("{name}, b"), gathered_b);
            for block in gathered_a {
                transcript.note(backend, &format!("{name}, a"), block);
            }
        };
        gather("gather_rows of module_rows", &b, &a, 0);
        gather("gather_rows past the end", &b, &a, rows - 1);
        for matrix in &weights {
            let [b, a] = [&b, &a].map(|rows| rows.integer_product(backend, matrix).expect(ACCEPTED));
            gather("gather_rows of integer_product", &b, &a, 0);
            gather("gather_rows of integer_product", &b, &a, matrix.shape().rows / 2);
            let [b, a] = module_product(backend, matrix, &small, parts, tokens).expect(ACCEPTED);
            gather("gather_rows of module_product", &b, &a, 0);
            gather("gather_rows of module_product", &b, &a, matrix.shape().rows / 2);
        }
    }
}

fn matrix(rows: usize, columns: usize, entry: impl Fn(usize) -> i16) -> IntegerMatrix {
    let entries = (0..rows * columns).map(entry).collect();
    IntegerMatrix::new(MatrixShape { rows, columns }, entries).expect("as many entries as the shape has")
}
