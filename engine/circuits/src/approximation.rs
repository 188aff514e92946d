//! Polynomials for the non-linear functions.
//!
//! Every approximated function is first written as a function of a normalised variable in [-1, 1], which is what a half
//! bootstrap returns, and then interpolated at Chebyshev nodes, or fitted in the largest relative error where that is
//! what counts and interpolation misses it. The degree is the smallest of [`DEGREES`] that meets a tolerance: degree
//! `2^k - 1` is what `k` levels carry.

use fhe_ckks::polynomials::chebyshev::Chebyshev;
use fhe_ckks::polynomials::evaluation::evaluate_plan;
use fhe_ckks::polynomials::minimax::minimax_relative;
use fhe_ckks::polynomials::plan::ChebyshevPlan;
use fhe_ckks::{CkksError, SlotArithmetic};

use crate::error::{CircuitError, Result};

/// The degrees tried, each the largest for its number of levels.
pub const DEGREES: [usize; 4] = [15, 31, 63, 127];

/// Points per degree at which an error is measured.
const POINTS_PER_DEGREE: usize = 16;
/// The normalised variable.
const INTERVAL: (f64, f64) = (-1.0, 1.0);

/// How the error of a polynomial is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Criterion {
    /// `|p - f| / |f|`, for functions that stay away from zero.
    Relative,
    /// `|p - f|` divided by this.
    Absolute(f64),
}

/// What a fit has to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// How the error is measured.
    pub criterion: Criterion,
    /// The error asked for; the largest degree is taken where none reaches it.
    pub tolerance: f64,
    /// The error that is still of use; beyond it the fit is refused.
    pub limit: f64,
}

/// A polynomial on [-1, 1] with the error it was measured to have.
#[derive(Clone, Debug)]
pub struct Approximation {
    plan: ChebyshevPlan,
    degree: usize,
    error: f64,
}

impl Approximation {
    /// Fits `f` on [-1, 1]. `function` and `window` (the interval that [-1, 1] stands for) are only named in a refusal.
    ///
    /// # Errors
    /// [`CircuitError::Approximation`] if even the largest degree misses the target's limit.
    pub fn fit(function: &'static str, window: &str, target: Target, f: impl Fn(f64) -> f64) -> Result<Self> {
        let mut best: Option<Self> = None;
        for degree in DEGREES {
            // A function that is singular in the window is refused like one that no polynomial follows.
            if let Some(found) = Self::of_degree(&f, degree, target)
                && best.as_ref().is_none_or(|best| found.error < best.error)
            {
                best = Some(found);
            }
            if best.as_ref().is_some_and(|best| best.error <= target.tolerance) {
                break;
            }
        }
        match best {
            Some(best) if best.error <= target.limit => Ok(best),
            best => Err(CircuitError::Approximation {
                function,
                degree: DEGREES[DEGREES.len() - 1],
                window: window.to_owned(),
                found: best.map_or(f64::INFINITY, |best| best.error),
                required: target.limit,
            }),
        }
    }

    fn of_degree(f: impl Fn(f64) -> f64, degree: usize, target: Target) -> Option<Self> {
        let measured = |fit: Result<Chebyshev, CkksError>| {
            let polynomial = fit.ok()?;
            let fit_error = polynomial.fit_error(&f, POINTS_PER_DEGREE * degree);
            let error = match target.criterion {
                Criterion::Relative => fit_error.relative,
                Criterion::Absolute(unit) => fit_error.absolute / unit,
            };
            let plan = ChebyshevPlan::new(polynomial.coefficients()).ok()?;
            (!error.is_nan()).then_some(Self { plan, degree, error })
        };
        let interpolated = measured(Chebyshev::interpolate(&f, INTERVAL, degree));
        let enough = interpolated.as_ref().is_some_and(|fit| fit.error <= target.tolerance);
        if enough || target.criterion != Criterion::Relative {
            return interpolated;
        }
        let levelled = measured(minimax_relative(&f, INTERVAL, degree));
        interpolated.into_iter().chain(levelled).min_by(|a, b| a.error.total_cmp(&b.error))
    }

    /// Degree of the polynomial.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// Error by the criterion it was fitted with.
    pub fn error(&self) -> f64 {
        self.error
    }

    /// Levels that an evaluation takes.
    pub fn levels(&self) -> usize {
        self.plan.levels()
    }

    /// The polynomial in every slot of `x`; [`Approximation::levels`] levels.
    ///
    /// # Errors
    /// Those of the evaluator.
    pub fn apply<E: SlotArithmetic>(&self, e: &E, x: &E::Slots) -> Result<E::Slots> {
        Ok(evaluate_plan(e, x, &self.plan)?)
    }
}
