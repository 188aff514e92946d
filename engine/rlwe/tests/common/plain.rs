//! Both rings over the integers: in `Z[X]/(X^M + 1)`, with `M = N` for the cyclotomic ring and `M = 2N` for the
//! conjugate-invariant one, whose elements are given in the basis `1, X^k + X^-k`.

use fhe_ring::{GaloisElement, RingKind};

/// An element as a polynomial.
pub fn expanded<T: Copy + Into<i128>>(kind: RingKind, element: &[T]) -> Vec<i128> {
    let mut poly: Vec<i128> = element.iter().map(|&c| c.into()).collect();
    if kind == RingKind::ConjugateInvariant {
        let degree = poly.len();
        poly.resize(2 * degree, 0);
        for k in 1..degree {
            poly[2 * degree - k] = -poly[k];
        }
    }
    poly
}

/// The inverse of [`expanded`].
pub fn contracted(kind: RingKind, mut poly: Vec<i128>) -> Vec<i128> {
    if kind == RingKind::ConjugateInvariant {
        let degree = poly.len() / 2;
        assert!(poly[degree] == 0 && (1..degree).all(|k| poly[k] == -poly[2 * degree - k]), "not invariant");
        poly.truncate(degree);
    }
    poly
}

/// `p(X^exponent)` of a polynomial.
pub fn substituted(poly: &[i128], exponent: u64) -> Vec<i128> {
    let degree = poly.len();
    let mut image = vec![0; degree];
    for (i, &c) in poly.iter().enumerate() {
        let power = (i as u64 * exponent % (2 * degree as u64)) as usize;
        image[power % degree] = if power < degree { c } else { -c };
    }
    image
}

pub fn automorphism<T: Copy + Into<i128>>(kind: RingKind, element: &[T], by: GaloisElement) -> Vec<i128> {
    contracted(kind, substituted(&expanded(kind, element), by.exponent()))
}

pub fn product<L: Copy + Into<i128>, R: Copy + Into<i128>>(kind: RingKind, left: &[L], right: &[R]) -> Vec<i128> {
    let (left, right) = (expanded(kind, left), expanded(kind, right));
    let degree = left.len();
    let mut product = vec![0; degree];
    for (i, a) in left.iter().enumerate() {
        for (j, b) in right.iter().enumerate() {
            let sign = if i + j < degree { 1 } else { -1 };
            product[(i + j) % degree] += sign * a * b;
        }
    }
    contracted(kind, product)
}

pub fn sum(terms: impl IntoIterator<Item = Vec<i128>>) -> Vec<i128> {
    let add = |left: Vec<i128>, right: Vec<i128>| left.iter().zip(&right).map(|(a, b)| a + b).collect();
    terms.into_iter().reduce(add).unwrap_or_default()
}
