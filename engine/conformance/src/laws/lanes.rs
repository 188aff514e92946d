//! Strided maps by their index formula, and matrix products over a subring by schoolbook products of rows.

use fhe_ring::{Backend, Modulus, Poly, RingKind, Shape, lane_products};

use super::coefficients;
use crate::Case;

const ACCEPTED: &str = "the operands fit";

pub(super) fn check<B: Backend>(backend: &B, case: &Case) {
    if case.ring.kind == RingKind::ConjugateInvariant {
        return;
    }
    let shape = Shape::coefficient(case.ring, case.basis);
    let poly = case.pattern.poly(backend, shape, 90);
    for log_parts in 0..case.ring.log_degree {
        strided_maps(backend, case, &poly, 1 << log_parts);
    }
    let halves: Vec<_> = (91..91 + 4 * 2).map(|salt| case.pattern.poly(backend, shape, salt)).collect();
    let pairs: Vec<[&Poly<B>; 2]> = halves.chunks(2).map(|pair| [&pair[0], &pair[1]]).collect();
    for log_rows in 0..=case.ring.log_degree {
        for count in [1, 2] {
            matrix_products(backend, case, &pairs[..count], &pairs[2..2 + count], 1 << log_rows);
        }
    }
}

/// `p_j` has the coefficients `p[j], p[j + parts], ..` of every limb.
fn strided_maps<B: Backend>(backend: &B, case: &Case, poly: &Poly<B>, parts: usize) {
    let split = poly.stride_split(backend, parts).expect(ACCEPTED);
    let whole = coefficients(backend, poly);
    assert_eq!(split.len(), parts, "{case}: stride_split");
    for (j, part) in split.iter().enumerate() {
        let expected: Vec<Vec<u64>> =
            whole.iter().map(|limb| limb.iter().skip(j).step_by(parts).copied().collect()).collect();
        assert_eq!(coefficients(backend, part), expected, "{case}: stride_split");
    }
    let merged = Poly::stride_merge(backend, &split).expect(ACCEPTED);
    assert_eq!(coefficients(backend, &merged), whole, "{case}: stride_merge");
}

/// `C_ij = sum_c left_c[x][i] right_c[y][j]` is row `j` of the polynomial `[x][y]` of entry `i`.
fn matrix_products<B: Backend>(backend: &B, case: &Case, left: &[[&Poly<B>; 2]], right: &[[&Poly<B>; 2]], rows: usize) {
    let products = lane_products(backend, left, right, rows).expect(ACCEPTED);
    assert_eq!(products.len(), rows, "{case}: lane_products");
    let words = |pairs: &[[&Poly<B>; 2]]| -> Vec<[Vec<Vec<u64>>; 2]> {
        pairs.iter().map(|pair| pair.map(|half| coefficients(backend, half))).collect()
    };
    let (left, right) = (words(left), words(right));
    for (limb, modulus) in backend.primes().moduli(case.basis).enumerate() {
        for (i, parts) in products.iter().enumerate() {
            for (x, y) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let found = &coefficients(backend, &parts[x][y])[limb];
                for j in 0..rows {
                    let row = |words: &[u64], row: usize| words.iter().skip(row).step_by(rows).copied().collect();
                    let factors: Vec<[Vec<u64>; 2]> =
                        (left.iter().zip(&right)).map(|(l, r)| [row(&l[x][limb], i), row(&r[y][limb], j)]).collect();
                    let expected = sum_of_products(modulus, &factors);
                    let context = format!("{case}: lane_products, {rows} rows, entry {i}{j} of [{x}][{y}]");
                    assert_eq!(row(found, j), expected, "{context}, modulo {modulus}");
                }
            }
        }
    }
}

/// In `Z_q[Y]/(Y^k + 1)`.
fn sum_of_products(modulus: &Modulus, factors: &[[Vec<u64>; 2]]) -> Vec<u64> {
    let points = factors[0][0].len();
    let mut sum = vec![0; points];
    for [x, y] in factors {
        for (s, &x) in x.iter().enumerate() {
            for (t, &y) in y.iter().enumerate() {
                let (index, term) = ((s + t) % points, modulus.mul(x, y));
                sum[index] = if s + t < points { modulus.add(sum[index], term) } else { modulus.sub(sum[index], term) };
            }
        }
    }
    sum
}
