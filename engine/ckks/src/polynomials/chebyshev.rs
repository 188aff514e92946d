//! Polynomials in the Chebyshev basis on an interval, and fits by interpolation.
//!
//! On `[lo, hi]` a polynomial is `sum_k c_k T_k(u)` with `u = (2x - lo - hi) / (hi - lo)`. The basis keeps coefficients and
//! intermediate values of homomorphic evaluation bounded by the function itself, which monomials do not (Trefethen:
//! *Approximation Theory and Approximation Practice*, SIAM 2013, chapters 3 and 18). [`crate::polynomials::minimax`] has the best fits in
//! relative error, [`crate::polynomials::evaluation`] the homomorphic evaluation.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::CkksError;

/// A polynomial in the Chebyshev basis of an interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chebyshev {
    interval: (f64, f64),
    coefficients: Vec<f64>,
}

/// Symmetry about the middle of the interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    /// Only even coefficients.
    Even,
    /// Only odd coefficients.
    Odd,
}

/// Largest deviations of a polynomial from a function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitError {
    /// Largest `|p - f|`.
    pub absolute: f64,
    /// Largest `|p - f| / |f|` (infinite where `f` vanishes and `p` does not).
    pub relative: f64,
}

impl Chebyshev {
    /// Joins an interval with at least one coefficient, that of `T_0` first (not halved).
    pub fn new(interval: (f64, f64), coefficients: Vec<f64>) -> Result<Self, CkksError> {
        check_interval("Chebyshev::new", interval)?;
        if coefficients.is_empty() || coefficients.iter().any(|coefficient| !coefficient.is_finite()) {
            return Err(CkksError::Precondition {
                operation: "Chebyshev::new",
                operand: "coefficients",
                found: format!("{coefficients:?}"),
                required: "at least one, all finite".into(),
                remedy: "check that the function is finite on the whole interval",
            });
        }
        Ok(Self { interval, coefficients })
    }

    /// Interpolates `function` at the `degree + 1` Chebyshev nodes of the interval.
    pub fn interpolate(function: impl Fn(f64) -> f64, interval: (f64, f64), degree: usize) -> Result<Self, CkksError> {
        check_interval("Chebyshev::interpolate", interval)?;
        let nodes = degree + 1;
        // cos(pi (2k + 1) j / 2n) over all integers, by exact reduction of the numerator.
        let cosine = |numerator: usize| (PI * (numerator % (4 * nodes)) as f64 / (2 * nodes) as f64).cos();
        let values: Vec<f64> = (0..nodes).map(|k| function(denormalised(interval, cosine(2 * k + 1)))).collect();
        let coefficients = (0..nodes).map(|j| {
            let sum: f64 = values.iter().enumerate().map(|(k, value)| value * cosine((2 * k + 1) * j)).sum();
            sum * if j == 0 { 1.0 } else { 2.0 } / nodes as f64
        });
        Self::new(interval, coefficients.collect())
    }

    /// The first fit of ascending `degrees` whose error is at most `tolerance`.
    ///
    /// Refused, with the best error seen, if no candidate meets the tolerance.
    pub fn smallest_degree(
        degrees: &[usize],
        tolerance: f64,
        fit: impl Fn(usize) -> Result<Self, CkksError>,
        error: impl Fn(&Self) -> f64,
    ) -> Result<Self, CkksError> {
        let mut best = f64::INFINITY;
        for &degree in degrees {
            let polynomial = fit(degree)?;
            let found = error(&polynomial);
            if found <= tolerance {
                return Ok(polynomial);
            }
            best = best.min(found);
        }
        Err(CkksError::Precondition {
            operation: "Chebyshev::smallest_degree",
            operand: "fit error",
            found: format!("{best:.2e} at best over degrees {degrees:?}"),
            required: format!("at most {tolerance:.2e}"),
            remedy: "allow higher degrees, a narrower interval or a larger error",
        })
    }

    /// The interval.
    pub fn interval(&self) -> (f64, f64) {
        self.interval
    }

    /// Coefficients, that of `T_0` first.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// Degree as stored (the last coefficient may be zero).
    pub fn degree(&self) -> usize {
        self.coefficients.len() - 1
    }

    /// The point of `[-1, 1]` that stands for `x`.
    pub fn normalise(&self, x: f64) -> f64 {
        let (lo, hi) = self.interval;
        ((x - lo) - (hi - x)) / (hi - lo)
    }

    /// Value at `x`, inside the interval or not, by Clenshaw's recurrence.
    pub fn evaluate(&self, x: f64) -> f64 {
        clenshaw(&self.coefficients, self.normalise(x))
    }

    /// The symmetry that the coefficients have exactly.
    pub fn parity(&self) -> Option<Parity> {
        let vanish = |first: usize| self.coefficients.iter().skip(first).step_by(2).all(|&c| c == 0.0);
        if vanish(1) {
            Some(Parity::Even)
        } else if vanish(0) {
            Some(Parity::Odd)
        } else {
            None
        }
    }

    /// Makes a symmetry exact that holds up to `tolerance` in the sum of the offending coefficients.
    pub fn snapped_to_parity(mut self, tolerance: f64) -> Self {
        for first in [1, 0] {
            let offending = || self.coefficients.iter().skip(first).step_by(2);
            if offending().map(|c| c.abs()).sum::<f64>() <= tolerance {
                self.coefficients.iter_mut().skip(first).step_by(2).for_each(|c| *c = 0.0);
                break;
            }
        }
        self
    }

    /// Drops trailing coefficients of total magnitude at most `tolerance`, hence at most so much error inside the interval.
    pub fn trimmed(mut self, tolerance: f64) -> Self {
        let mut dropped = 0.0;
        while let [_, .., last] = self.coefficients[..] {
            dropped += last.abs();
            if dropped > tolerance {
                break;
            }
            self.coefficients.pop();
        }
        self
    }

    /// Largest errors over `samples` points that are dense towards both ends.
    pub fn fit_error(&self, function: impl Fn(f64) -> f64, samples: usize) -> FitError {
        let mut error = FitError { absolute: 0.0, relative: 0.0 };
        for u in cosine_grid(samples) {
            let x = denormalised(self.interval, u);
            let value = function(x);
            let deviation = (clenshaw(&self.coefficients, u) - value).abs();
            let relative = if deviation == 0.0 { 0.0 } else { deviation / value.abs() };
            error.absolute = larger_or_nan(error.absolute, deviation);
            error.relative = larger_or_nan(error.relative, relative);
        }
        error
    }
}

/// The maximum, except that what is not a number wins: it must not look like a good fit.
pub(crate) fn larger_or_nan(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// `sum_k c_k T_k(u)`.
pub(crate) fn clenshaw(coefficients: &[f64], u: f64) -> f64 {
    let (first, rest) = coefficients.split_first().unwrap_or((&0.0, &[]));
    let (b1, b2) = rest.iter().rev().fold((0.0, 0.0), |(b1, b2), c| (c + 2.0 * u * b1 - b2, b1));
    first + u * b1 - b2
}

/// `samples` points from -1 to 1, equidistant in angle.
pub(crate) fn cosine_grid(samples: usize) -> impl Iterator<Item = f64> {
    let last = samples.max(2) - 1;
    (0..=last).map(move |k| -(PI * k as f64 / last as f64).cos())
}

/// The point of the interval at `u` in `[-1, 1]`.
pub(crate) fn denormalised((lo, hi): (f64, f64), u: f64) -> f64 {
    0.5 * ((1.0 - u) * lo + (1.0 + u) * hi)
}

pub(crate) fn check_interval(operation: &'static str, (lo, hi): (f64, f64)) -> Result<(), CkksError> {
    if lo.is_finite() && hi.is_finite() && lo < hi {
        return Ok(());
    }
    Err(CkksError::Precondition {
        operation,
        operand: "interval",
        found: format!("[{lo}, {hi}]"),
        required: "finite ends, the lower one smaller".into(),
        remedy: "widen the interval",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolation_reproduces_polynomials() {
        let cubic = |x: f64| 2.0 - x + 0.5 * x * x * x;
        let fit = Chebyshev::interpolate(cubic, (-3.0, 5.0), 7).unwrap();
        assert!(fit.fit_error(cubic, 1000).absolute < 1e-12);
        assert_eq!(fit.trimmed(1e-10).degree(), 3);
    }

    #[test]
    fn interpolation_of_analytic_functions_converges_geometrically() {
        let errors = [4, 8, 16].map(|degree| {
            let fit = Chebyshev::interpolate(f64::exp, (-2.0, 2.0), degree).unwrap();
            fit.fit_error(f64::exp, 2000).absolute
        });
        assert!(errors[0] < 0.05 && errors[1] < 1e-5 && errors[2] < 1e-13, "{errors:?}");
    }

    #[test]
    fn basis_polynomials_are_cosines_of_multiples() {
        for degree in 0..40 {
            let mut coefficients = vec![0.0; degree + 1];
            coefficients[degree] = 1.0;
            let basis = Chebyshev::new((-1.0, 1.0), coefficients).unwrap();
            for angle in [0.0f64, 0.3, 1.0, 2.5, 3.1] {
                assert!((basis.evaluate(angle.cos()) - (degree as f64 * angle).cos()).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn parity_is_found_after_snapping_rounding_errors() {
        let even = Chebyshev::interpolate(f64::cos, (-4.0, 4.0), 20).unwrap();
        assert_eq!(even.snapped_to_parity(1e-12).parity(), Some(Parity::Even));
        let odd = Chebyshev::interpolate(f64::sin, (-4.0, 4.0), 20).unwrap();
        assert_eq!(odd.snapped_to_parity(1e-12).parity(), Some(Parity::Odd));
        let neither = Chebyshev::interpolate(f64::exp, (-4.0, 4.0), 20).unwrap();
        assert_eq!(neither.snapped_to_parity(1e-12).parity(), None);
    }

    #[test]
    fn smallest_sufficient_degree_is_chosen() {
        let silu = |x: f64| x / (1.0 + (-x).exp());
        let fit = |degree| Chebyshev::interpolate(silu, (-16.0, 16.0), degree);
        let error = |p: &Chebyshev| p.fit_error(silu, 2000).absolute;
        let chosen = Chebyshev::smallest_degree(&[15, 31, 63, 127], 1e-4, fit, error).unwrap();
        assert_eq!(chosen.degree(), 63);
        let refusal = Chebyshev::smallest_degree(&[15, 31], 1e-4, fit, error).unwrap_err();
        assert!(refusal.to_string().contains("higher degrees"), "{refusal}");
    }

    #[test]
    fn rejects_empty_intervals_and_singular_functions() {
        assert!(Chebyshev::interpolate(f64::exp, (1.0, 1.0), 3).is_err());
        assert!(Chebyshev::interpolate(|_| f64::NAN, (-1.0, 1.0), 2).is_err());
        assert!(Chebyshev::new((0.0, 1.0), vec![]).is_err());
        assert!(Chebyshev::new((0.0, f64::INFINITY), vec![1.0]).is_err());
    }
}
