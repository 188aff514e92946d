//! Products with weight polynomials by their formula.

use fhe_ring::{Backend, Basis, IntegerMatrix, MatrixShape, Modulus, Ring, Shape, weight_products};

use super::coefficients;
use crate::Pattern;

pub(super) fn check<B: Backend>(backend: &B, pattern: Pattern) {
    // Binary logarithm of the degree, block, rows, columns.
    for (log_degree, block, rows, columns) in [(1, 2, 1, 2), (2, 1, 6, 3), (3, 4, 5, 9), (4, 4, 16, 8), (4, 16, 3, 5)] {
        if log_degree > backend.primes().max_log_degree() {
            continue;
        }
        let context = format!("{pattern:?}, weight_products of {rows} x {columns} by {block} in degree 2^{log_degree}");
        let shape = Shape::evaluation(Ring::cyclotomic(log_degree), Basis::prefix(1));
        let degree = shape.ring.degree();
        let entries: Vec<i16> = (0..rows * columns).map(|i| [i16::MIN, 1, -2, i16::MAX, 77][(i * i + 3) % 5]).collect();
        let weights =
            IntegerMatrix::new(MatrixShape { rows, columns }, entries.clone()).expect("as many as the shape has");
        let inputs: Vec<_> = (0..columns.div_ceil(block) as u64)
            .map(|input| [0, 1].map(|half| pattern.poly(backend, shape, 60 + 2 * input + half)))
            .collect();
        let found = weight_products(backend, &weights, &inputs, block).expect("the operands fit");

        let modulus = &backend.primes().ciphertext_primes()[0];
        let results = rows.div_ceil(degree / block);
        assert_eq!(found.len(), results, "{context}");
        for (number, halves) in found.iter().enumerate() {
            for (half, found) in halves.iter().enumerate() {
                let mut expected = vec![0; degree];
                for (input, halves) in inputs.iter().enumerate() {
                    let source = coefficients(backend, &halves[half]).remove(0);
                    for i in 0..degree / block {
                        for c in 0..block {
                            let (row, column) = (number + results * i, input * block + c);
                            if row < rows && column < columns {
                                let weight = entries[row * columns + column];
                                add_shifted(
                                    modulus,
                                    &mut expected,
                                    &source,
                                    weight,
                                    block as i64 * i as i64 - c as i64,
                                );
                            }
                        }
                    }
                }
                assert_eq!(coefficients(backend, found)[0], expected, "{context}, result {number}, half {half}");
            }
        }
    }
}

/// `target += weight X^exponent source`.
fn add_shifted(modulus: &Modulus, target: &mut [u64], source: &[u64], weight: i16, exponent: i64) {
    let degree = source.len() as i64;
    for (k, &x) in source.iter().enumerate() {
        let power = (k as i64 + exponent).rem_euclid(2 * degree);
        let term = modulus.mul(x, modulus.reduce_i64(weight.into()));
        let place = &mut target[(power % degree) as usize];
        *place = if power < degree { modulus.add(*place, term) } else { modulus.sub(*place, term) };
    }
}
