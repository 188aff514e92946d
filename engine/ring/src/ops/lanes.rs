//! Matrix products of ciphertexts over a subring: what a product of two encrypted matrices in every lane consists of, beside
//! transpositions and key switches.

use super::{checks::Check, modules::strided};
use crate::{Backend, Poly, RingError};

/// The matrix products of ciphertexts `(b, a)` over the subring `R_k = Z_q[Y]/(Y^k + 1)`, `Y = X^rows`, `k = N / rows`.
///
/// A polynomial is `sum_i X^i p[i](Y)` with `rows` rows `p[i]` in `R_k`. Entry `i` of the result, one of `rows`, holds at `[x][y]`,
/// for the halves `x` of the left and `y` of the right ciphertexts (0 for `b`, 1 for `a`), the polynomial
///
/// ```text
/// sum_j X^j C_ij(X^rows)        C_ij = sum_c left_c[x][i] * right_c[y][j]
/// ```
///
/// in coefficient domain. If the left ciphertexts hold the columns and the right ones the rows of two matrices over `R_k`, these are the
/// four parts of the product of the matrices, row by row. Cyclotomic ring, coefficient domain, no special primes, as many right as left
/// ciphertexts, all of one shape; exact, and no key is used.
pub fn lane_products<B: Backend>(
    backend: &B,
    left: &[[&Poly<B>; 2]],
    right: &[[&Poly<B>; 2]],
    rows: usize,
) -> Result<Vec<[[Poly<B>; 2]; 2]>, RingError> {
    /// What a sum of products in a double word holds, and more than fits in a memory.
    const MOST_PAIRS: usize = 1 << 24;
    let check = Check("lane_products");
    check.number(
        "the number of left ciphertexts",
        left.len(),
        1..=MOST_PAIRS,
        "add up products of fewer ciphertexts",
    )?;
    let remedy = "give a right ciphertext for each left one";
    check.length("the list of right ciphertexts", right.len(), left.len(), remedy)?;
    let shape = left[0][0].shape();
    strided(check, "the first left ciphertext", shape)?;
    for half in left.as_flattened() {
        check.same_shape("a half of a left ciphertext", half.shape(), shape)?;
    }
    for half in right.as_flattened() {
        check.same_shape("a half of a right ciphertext", half.shape(), shape)?;
    }
    check.power_of_two("the number of rows", rows, 1..=shape.ring.degree(), "a row has at least one coefficient")?;
    let [left, right] = [left, right].map(|pairs| pairs.iter().map(|pair| pair.map(Poly::operand)).collect::<Vec<_>>());
    let products = backend.lane_products(&left, &right, rows);
    let poly = |buffer| Poly::from_parts(buffer, shape);
    Ok(products.into_iter().map(|parts| parts.map(|halves| halves.map(poly))).collect())
}
