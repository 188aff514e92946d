//! All complex roots of a polynomial in the Chebyshev basis.
//!
//! The simultaneous iteration of Ehrlich (Comm. ACM 1967) and Aberth (Math. Comp. 1973): Newton's method for every root, with the
//! others taken out. It needs values and derivatives only, which Clenshaw's recurrence gives in the Chebyshev basis; degrees are at most
//! 128, so that its quadratic work per step does not matter.

use std::f64::consts::TAU;

use num_complex::Complex64;

/// Steps; convergence is cubic for simple roots.
const MOST_STEPS: usize = 300;
/// Steps are over when no root moves by more than this fraction of its size.
const STILL: f64 = 1e-14;
/// A root that did not come to rest is accepted if its last step was at most this.
const ACCEPTED: f64 = 1e-9;
/// Newton steps that polish every root by itself.
const POLISHING: usize = 3;

/// `sum_k c_k T_k(z)`.
pub(super) fn value(coefficients: &[f64], z: Complex64) -> Complex64 {
    let Some((first, rest)) = coefficients.split_first() else { return Complex64::ZERO };
    let zero = (Complex64::ZERO, Complex64::ZERO);
    let (b1, b2) = rest.iter().rev().fold(zero, |(b1, b2), c| (2.0 * z * b1 - b2 + c, b1));
    z * b1 - b2 + first
}

/// Coefficients of the derivative.
pub(super) fn derivative(coefficients: &[f64]) -> Vec<f64> {
    let degree = coefficients.len().saturating_sub(1);
    let mut derived = vec![0.0; degree.max(1)];
    for k in (1..=degree).rev() {
        let above = derived.get(k + 1).copied().unwrap_or(0.0);
        derived[k - 1] = above + 2.0 * k as f64 * coefficients[k];
    }
    derived[0] *= 0.5;
    derived
}

/// The roots, as many as the degree, in no order; `None` if the iteration does not come to rest. The last coefficient must not vanish.
pub(super) fn roots(coefficients: &[f64]) -> Option<Vec<Complex64>> {
    let degree = coefficients.len().checked_sub(1)?;
    let derived = derivative(coefficients);
    let newton = |z: Complex64| value(coefficients, z) / value(&derived, z);
    let mut roots = starts(coefficients);
    let mut largest = f64::INFINITY;
    for _ in 0..MOST_STEPS {
        let before = largest;
        largest = 0.0;
        for index in 0..degree {
            let z = roots[index];
            let step = newton(z);
            if step == Complex64::ZERO {
                continue;
            }
            let others = roots.iter().enumerate().filter(|(other, _)| *other != index);
            let repulsion: Complex64 = others.map(|(_, other)| (z - other).inv()).sum();
            let step = step / (1.0 - step * repulsion);
            if !step.is_finite() {
                return None;
            }
            roots[index] = z - step;
            largest = largest.max(step.norm() / (1.0 + z.norm()));
        }
        // At rounding errors steps do not shrink any more.
        if largest <= STILL || (largest <= ACCEPTED && largest > 0.5 * before) {
            break;
        }
    }
    if largest > ACCEPTED {
        return None;
    }
    for root in &mut roots {
        for _ in 0..POLISHING {
            let step = newton(*root);
            if step.is_finite() && step.norm() < ACCEPTED * (1.0 + root.norm()) {
                *root -= step;
            }
        }
    }
    Some(roots)
}

/// Points on an ellipse around [-1, 1], where the roots of a truncated series gather. No point is another's conjugate: two such
/// points could never part to become two real roots.
fn starts(coefficients: &[f64]) -> Vec<Complex64> {
    let degree = coefficients.len() - 1;
    let largest = coefficients.iter().fold(0.0_f64, |largest, c| largest.max(c.abs()));
    let radius = (largest / coefficients[degree].abs()).powf(1.0 / degree as f64).clamp(1.05, 4.0);
    let point = |k: usize| {
        let turned = Complex64::from_polar(radius, TAU * (k as f64 + 0.29) / degree as f64);
        0.5 * (turned + turned.inv())
    };
    (0..degree).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polynomials::chebyshev::clenshaw;

    fn basis(degree: usize) -> Vec<f64> {
        let mut coefficients = vec![0.0; degree + 1];
        coefficients[degree] = 1.0;
        coefficients
    }

    #[test]
    fn roots_of_chebyshev_polynomials_are_cosines() {
        for degree in [1, 2, 5, 16, 64, 127] {
            let mut found: Vec<f64> = roots(&basis(degree)).unwrap().iter().map(|root| root.re).collect();
            found.sort_by(f64::total_cmp);
            for (k, found) in found.iter().rev().enumerate() {
                let expected = (TAU * (2 * k + 1) as f64 / (4 * degree) as f64).cos();
                assert!((found - expected).abs() < 1e-12, "degree {degree}: {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn complex_roots_come_in_pairs_that_annihilate() {
        // T_16 + 2 has no real root.
        let mut coefficients = basis(16);
        coefficients[0] = 2.0;
        let found = roots(&coefficients).unwrap();
        assert_eq!(found.len(), 16);
        for root in &found {
            assert!(root.im.abs() > 1e-3 && value(&coefficients, *root).norm() < 1e-11);
            assert!(found.iter().any(|other| (other - root.conj()).norm() < 1e-12));
        }
    }

    #[test]
    fn the_derivative_is_the_limit_of_differences() {
        let coefficients: Vec<f64> = (0..12).map(|k| (k as f64 + 1.0).sin()).collect();
        let derived = derivative(&coefficients);
        for x in [-0.9, -0.2, 0.4, 0.8] {
            let step = 1e-5;
            let difference = (clenshaw(&coefficients, x + step) - clenshaw(&coefficients, x - step)) / (2.0 * step);
            assert!((clenshaw(&derived, x) - difference).abs() < 1e-6);
        }
        assert_eq!(derivative(&[3.0]), [0.0]);
    }
}
