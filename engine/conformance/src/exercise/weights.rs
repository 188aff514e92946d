//! Products with weight polynomials.

use fhe_ring::{Backend, Basis, IntegerMatrix, MatrixShape, Ring, Shape, weight_products as products};

use super::ACCEPTED;
use crate::{Pattern, Transcript};

/// Binary logarithm of the degree, block, rows, columns: a block of one and of everything, rows and columns that fill no block, many inputs.
const CASES: [(u32, usize, usize, usize); 9] = [
    (1, 1, 3, 2),
    (2, 4, 2, 7),
    (3, 2, 9, 1),
    (4, 1, 16, 3),
    (5, 8, 11, 20),
    (5, 32, 3, 64),
    (6, 16, 40, 33),
    (7, 32, 64, 640),
    (9, 64, 21, 130),
];

/// Multiplies ciphertexts with weights of both signs, the largest and the smallest among them.
pub(super) fn weight_products<B: Backend>(backend: &B, pattern: Pattern, transcript: &mut Transcript) {
    for (log_degree, block, rows, columns) in CASES {
        if log_degree > backend.primes().max_log_degree() {
            continue;
        }
        for prime in [Basis::prefix(1), Basis::of([2])] {
            let shape = Shape::evaluation(Ring::cyclotomic(log_degree), prime);
            let inputs: Vec<_> = (0..columns.div_ceil(block) as u64)
                .map(|input| [0, 1].map(|half| pattern.poly(backend, shape, 90 + 2 * input + half)))
                .collect();
            let entry = |i: usize| [i16::MIN, (i as i16).wrapping_mul(12345), -1, 0, i16::MAX][i * i % 5];
            let entries = (0..rows * columns).map(entry).collect();
            let weights = IntegerMatrix::new(MatrixShape { rows, columns }, entries).expect("as many as the shape has");
            for half in products(backend, &weights, &inputs, block).expect(ACCEPTED).into_iter().flatten() {
                transcript.note(backend, "weight_products", half);
            }
        }
    }
}
