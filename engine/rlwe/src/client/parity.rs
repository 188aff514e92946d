//! Secrets split by the parity of exponents: the sources of the keys between the two rings.

use zeroize::Zeroizing;

use crate::Parity;

/// `s_even` or `s_odd` in the symmetric basis `1, V_k = X^k + X^-k`, with `s(X^2) = s_even + X s_odd` and both invariant under
/// `X -> 1/X`.
///
/// `X^2i - X^-2i = (X - 1/X) (V_1 + V_3 + .. + V_(2i-1))`, hence `s_odd = sum_i s_i sum_(k odd, k < 2i) V_k`, where `V_k = -V_(2N-k)`
/// beyond the degree `N`. Its coefficients grow to about `sqrt(N)`, which is harmless: it is the message of a key.
pub(super) fn real_part(secret: &[i8], parity: Parity) -> Zeroizing<Vec<i64>> {
    let degree = secret.len();
    // above[i] = s_i + s_(i+1) + ..: the coefficient of V_(2i-1) before folding.
    let mut above = Zeroizing::new(vec![0i64; degree + 1]);
    for i in (0..degree).rev() {
        above[i] = above[i + 1] + i64::from(secret[i]);
    }
    let mut odd = Zeroizing::new(vec![0i64; degree]);
    for k in (1..degree).step_by(2) {
        odd[k] = above[k.div_ceil(2)] - above[(2 * degree - k).div_ceil(2)];
    }
    if parity == Parity::Odd {
        return odd;
    }
    // s_even = s(X^2) - X s_odd, read off at X^0 and the even X^k below the degree: X V_j = X^(j+1) + X^(1-j) reaches X^k from
    // j = k - 1, and X^0 from j = 1.
    let mut even = Zeroizing::new(vec![0i64; degree]);
    for k in (0..degree).step_by(2) {
        even[k] = i64::from(secret[k / 2]) - odd[if k == 0 { 1 } else { k - 1 }];
    }
    even
}

/// `t_even` or `Y t_odd` of the cyclotomic ring, with `t = t_even(X^2) + X t_odd(X^2)` given in the symmetric basis.
pub(super) fn complex_part(secret: &[i8], parity: Parity) -> Zeroizing<Vec<i64>> {
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
        Parity::Odd => std::iter::once(-coefficient(2 * degree - 1))
            .chain((1..degree).map(|i| coefficient(2 * i - 1)))
            .collect(),
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
    fn real_parts_make_up_the_secret() {
        let mut expected = vec![0; 16];
        SECRET.iter().enumerate().for_each(|(i, &s)| add(&mut expected, 2 * i as i64, s.into()));
        let even = expand(&real_part(&SECRET, Parity::Even), 0);
        let odd = expand(&real_part(&SECRET, Parity::Odd), 1);
        let sum: Vec<i64> = even.iter().zip(&odd).map(|(a, b)| a + b).collect();
        assert_eq!(sum, expected);
    }

    #[test]
    fn complex_parts_make_up_the_secret() {
        let wide: Vec<i64> = SECRET.iter().map(|&s| s.into()).collect();
        let mut sum = vec![0; 16];
        for (i, &c) in complex_part(&SECRET, Parity::Even).iter().enumerate() {
            add(&mut sum, 2 * i as i64, c);
        }
        // X t_odd(X^2) is X^-1 times (Y t_odd)(X^2).
        for (i, &c) in complex_part(&SECRET, Parity::Odd).iter().enumerate() {
            add(&mut sum, 2 * i as i64 - 1, c);
        }
        assert_eq!(sum, expand(&wide, 0));
    }
}
