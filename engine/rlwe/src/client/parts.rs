//! Secrets in parts: the sources of the keys between the two rings.

use zeroize::Zeroizing;

use crate::{Parity, Part};

/// `2 Re s` or `2 Im s` in the symmetric basis `1, V_k = X^k + X^-k`, with `s(X^2) = Re s + X^N Im s` and both invariant under
/// `X -> 1/X`.
///
/// `s(X^2) + s(X^-2)` has `s_i V_2i`, and `X^-N (s(X^2) - s(X^-2))` has `s_i V_|2i - N|`; beyond the degree `V_k = -V_(2N-k)`. In slots
/// both are no larger than `s` itself: rounding errors that meet them in a switch stay as small as those that meet `s`, which a
/// split by powers of `X` would not grant near `X = 1`.
pub(super) fn doubled_part(secret: &[i8], part: Part) -> Zeroizing<Vec<i64>> {
    let degree = secret.len();
    let s = |i: usize| i64::from(secret[i]);
    let mut symmetric = Zeroizing::new(vec![0i64; degree]);
    for k in (0..degree).step_by(2) {
        symmetric[k] = match (part, k) {
            (Part::Real, 0) => 2 * s(0),
            (Part::Imaginary, 0) => 2 * s(degree / 2),
            (Part::Real, _) => s(k / 2) - s(degree - k / 2),
            (Part::Imaginary, _) => s((degree + k) / 2) + s((degree - k) / 2),
        };
    }
    symmetric
}

/// `t_even` or `Y t_odd` of the cyclotomic ring, with `t = t_even(X^2) + X t_odd(X^2)` given in the symmetric basis.
pub(super) fn parity_part(secret: &[i8], parity: Parity) -> Zeroizing<Vec<i64>> {
    let degree = secret.len();
    // Coefficients of t itself: V_k = X^k - X^(2N-k).
    let coefficient = |k: usize| match k {
        k if k < degree => i64::from(secret[k]),
        k if k == degree => 0,
        k => -i64::from(secret[2 * degree - k]),
    };
    Zeroizing::new(match parity {
        Parity::Even => (0..degree).map(|i| coefficient(2 * i)).collect(),
        // Y^N = -1 brings the last coefficient to the front.
        Parity::Odd => {
            std::iter::once(-coefficient(2 * degree - 1)).chain((1..degree).map(|i| coefficient(2 * i - 1))).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [i8; 8] = [1, -1, 0, 1, 1, 0, -1, 1];

    /// Adds `factor X^exponent` in `Z[X]/(X^2N + 1)`.
    fn add(poly: &mut [i64], exponent: i64, factor: i64) {
        let order = poly.len() as i64;
        let exponent = exponent.rem_euclid(2 * order);
        let sign = if exponent < order { 1 } else { -1 };
        poly[(exponent % order) as usize] += sign * factor;
    }

    /// `X^shift` times an element of the symmetric basis.
    fn expand(symmetric: &[i64], shift: i64) -> Vec<i64> {
        let mut poly = vec![0; 2 * symmetric.len()];
        add(&mut poly, shift, symmetric[0]);
        for (k, &c) in symmetric.iter().enumerate().skip(1) {
            add(&mut poly, k as i64 + shift, c);
            add(&mut poly, shift - k as i64, c);
        }
        poly
    }

    #[test]
    fn doubled_parts_make_up_twice_the_secret() {
        let mut expected = vec![0; 16];
        SECRET.iter().enumerate().for_each(|(i, &s)| add(&mut expected, 2 * i as i64, 2 * i64::from(s)));
        let real = expand(&doubled_part(&SECRET, Part::Real), 0);
        let imaginary = expand(&doubled_part(&SECRET, Part::Imaginary), 8);
        let sum: Vec<i64> = real.iter().zip(&imaginary).map(|(a, b)| a + b).collect();
        assert_eq!(sum, expected);
    }

    #[test]
    fn parity_parts_make_up_the_secret() {
        let wide: Vec<i64> = SECRET.iter().map(|&s| s.into()).collect();
        let mut sum = vec![0; 16];
        for (i, &c) in parity_part(&SECRET, Parity::Even).iter().enumerate() {
            add(&mut sum, 2 * i as i64, c);
        }
        // X t_odd(X^2) is X^-1 times (Y t_odd)(X^2).
        for (i, &c) in parity_part(&SECRET, Parity::Odd).iter().enumerate() {
            add(&mut sum, 2 * i as i64 - 1, c);
        }
        assert_eq!(sum, expand(&wide, 0));
    }
}
