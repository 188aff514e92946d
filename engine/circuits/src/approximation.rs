//! Polynomials for the non-linear functions.
//!
//! Every approximated function is first written as a function of a normalised variable in [-1, 1], which is what a half
//! bootstrap returns, and then interpolated at Chebyshev nodes, or fitted in the largest relative error where that is
//! what counts and interpolation misses it. The degree is the smallest of [`DEGREES`] that meets a tolerance: degree
//! `2^k - 1` is what `k` levels carry.
//!
//! A circuit may also be prepared with [`Functions::Exact`]: an evaluator in the clear then applies the functions themselves, at the
//! levels and counts of the polynomials, and a function that no polynomial follows is not refused. That tells what index maps and
//! quantised weights cost from what polynomials cost.

use std::fmt;
use std::sync::Arc;

use fhe_ckks::polynomials::chebyshev::{Chebyshev, FitError};
use fhe_ckks::polynomials::minimax::minimax_relative;
use fhe_ckks::polynomials::plan::ChebyshevPlan;
use fhe_ckks::{CkksError, SlotArithmetic};

use crate::error::{CircuitError, Result, refuse};

/// The degrees tried, each the largest for its number of levels.
pub const DEGREES: [usize; 5] = [15, 31, 63, 127, 255];

/// The same and one more, for functions of few values: a polynomial of one ciphertext may be as long as its levels allow.
pub(crate) const LONG_DEGREES: [usize; 6] = [15, 31, 63, 127, 255, 511];

/// The largest degree that is fitted by the exchange algorithm.
const LONGEST_LEVELLED: usize = 255;

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

impl Criterion {
    /// An error by this criterion.
    pub(crate) fn measure(self, error: FitError) -> f64 {
        match self {
            Self::Relative => error.relative,
            Self::Absolute(unit) => error.absolute / unit,
        }
    }
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

/// Whether a circuit needs polynomials that follow its functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Functions {
    /// They do; a function that none follows is refused.
    #[default]
    Polynomial,
    /// They need not: only an evaluator with exact functions (or without data) can run the circuit.
    Exact,
}

/// What is asked of the functions of a circuit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// The error asked of every polynomial.
    pub tolerance: f64,
    /// What if it cannot be met.
    pub functions: Functions,
}

impl From<f64> for Accuracy {
    /// Polynomials of this tolerance.
    fn from(tolerance: f64) -> Self {
        Self { tolerance, functions: Functions::Polynomial }
    }
}

impl Accuracy {
    /// [`Approximation::fit_within`] where functions need polynomials; otherwise the fit only decides the degree, of at most
    /// `most_levels`.
    ///
    /// # Errors
    /// As [`Approximation::fit_within`].
    pub(crate) fn approximate(
        self,
        function: &'static str,
        window: &str,
        target: Target,
        most_levels: usize,
        f: impl Fn(f64) -> f64 + Send + Sync + 'static,
    ) -> Result<Approximation> {
        match self.functions {
            Functions::Polynomial => Approximation::fit_within(function, window, target, most_levels, f),
            Functions::Exact => Approximation::exact(function, target, most_levels, f),
        }
    }
}

/// A polynomial of a circuit as data.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedPolynomial {
    /// The function that it follows, of an argument normalised to [-1, 1].
    pub function: &'static str,
    /// Its degree.
    pub degree: usize,
    /// Its error by the criterion it was fitted with; infinite where no polynomial is of use.
    pub error: f64,
    /// Levels that its evaluation takes.
    pub levels: usize,
    /// `sum_k coefficients[k] T_k`; empty of an iteration, which has none, and of a function that is to be exact.
    pub coefficients: Vec<f64>,
}

/// A polynomial on [-1, 1] with the error it was measured to have, and the function that it follows.
#[derive(Clone)]
pub struct Approximation {
    name: &'static str,
    plan: ChebyshevPlan,
    coefficients: Vec<f64>,
    degree: usize,
    error: f64,
    /// The largest error at which it is of use.
    limit: f64,
    function: Arc<dyn Fn(f64) -> f64 + Send + Sync>,
}

/// The smallest degree `2^k - 1` at which interpolation of `f` on [-1, 1] meets a target's tolerance, whatever levels it takes; none up to
/// `largest`. What a window asks for, where a circuit refuses it.
pub fn needed_degree(target: Target, largest: usize, f: impl Fn(f64) -> f64) -> Option<usize> {
    let meets = |degree: &usize| {
        let fit = Chebyshev::interpolate(&f, INTERVAL, *degree).ok();
        let error = fit.map(|fit| target.criterion.measure(fit.fit_error(&f, POINTS_PER_DEGREE * degree)));
        error.is_some_and(|error| error <= target.tolerance)
    };
    (4..).map(|levels| (1 << levels) - 1).take_while(|degree| *degree <= largest).find(meets)
}

impl fmt::Debug for Approximation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by degree {}, error {:.2e}", self.name, self.degree, self.error)
    }
}

impl Approximation {
    /// Fits `f` on [-1, 1]. `function` and `window` (the interval that [-1, 1] stands for) are only named in a refusal.
    ///
    /// # Errors
    /// [`CircuitError::Approximation`] if even the largest degree misses the target's limit.
    pub fn fit(
        function: &'static str,
        window: &str,
        target: Target,
        f: impl Fn(f64) -> f64 + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::fit_within(function, window, target, usize::MAX, f)
    }

    /// The same with a degree that at most so many levels carry.
    ///
    /// # Errors
    /// [`CircuitError::Approximation`] if no such degree meets the target's limit; [`CircuitError::Precondition`] if there is none.
    pub fn fit_within(
        function: &'static str,
        window: &str,
        target: Target,
        most_levels: usize,
        f: impl Fn(f64) -> f64 + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::fit_among(&DEGREES, function, window, target, most_levels, f)
    }

    /// The same with other degrees to choose from.
    ///
    /// # Errors
    /// As [`Approximation::fit_within`].
    pub(crate) fn fit_among(
        degrees: &[usize],
        function: &'static str,
        window: &str,
        target: Target,
        most_levels: usize,
        f: impl Fn(f64) -> f64 + Send + Sync + 'static,
    ) -> Result<Self> {
        let largest = largest_degree(function, most_levels, "use a parameter set with more levels")?;
        match Self::best(&f, degrees, target, most_levels) {
            Some(Fit { plan, coefficients, degree, error }) if error <= target.limit => {
                let (limit, function_of) = (target.limit, Arc::new(f));
                Ok(Self { name: function, plan, coefficients, degree, error, limit, function: function_of })
            }
            best => Err(CircuitError::Approximation {
                function,
                degree: largest,
                window: window.to_owned(),
                found: best.map_or(f64::INFINITY, |best| best.error),
                required: target.limit,
            }),
        }
    }

    /// `f` on [-1, 1] for evaluators with exact functions, as if by the polynomial that [`Approximation::fit`] finds; by one of the largest
    /// degree that so many levels carry where it finds none.
    ///
    /// # Errors
    /// If fewer levels are there than the smallest degree takes.
    pub fn exact(
        function: &'static str,
        target: Target,
        most_levels: usize,
        f: impl Fn(f64) -> f64 + Send + Sync + 'static,
    ) -> Result<Self> {
        let largest = largest_degree(function, most_levels, "use a parameter set with more levels")?;
        let fit = match Self::best(&f, &DEGREES, target, most_levels) {
            Some(fit) if fit.error <= target.limit => fit,
            _ => Fit {
                plan: ChebyshevPlan::dense(largest)?,
                coefficients: Vec::new(),
                degree: largest,
                error: f64::INFINITY,
            },
        };
        let Fit { plan, coefficients, degree, error } = fit;
        let (limit, function_of) = (target.limit, Arc::new(f));
        Ok(Self { name: function, plan, coefficients, degree, error, limit, function: function_of })
    }

    /// Another function by the plan of this one, for evaluators with exact functions alone: no polynomial follows it.
    pub(crate) fn of(self, f: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Self {
        Self { error: f64::INFINITY, coefficients: Vec::new(), function: Arc::new(f), ..self }
    }

    /// The smallest degree that meets the tolerance, or the one that comes nearest.
    fn best(f: impl Fn(f64) -> f64, degrees: &[usize], target: Target, most_levels: usize) -> Option<Fit> {
        let mut best: Option<Fit> = None;
        for degree in degrees.iter().copied().filter(|degree| levels_of(*degree) <= most_levels) {
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
        best
    }

    fn of_degree(f: impl Fn(f64) -> f64, degree: usize, target: Target) -> Option<Fit> {
        let measured = |fit: Result<Chebyshev, CkksError>| {
            let polynomial = fit.ok()?;
            let error = target.criterion.measure(polynomial.fit_error(&f, POINTS_PER_DEGREE * degree));
            let plan = ChebyshevPlan::new(polynomial.coefficients()).ok()?;
            let coefficients = polynomial.coefficients().to_vec();
            (!error.is_nan()).then_some(Fit { plan, coefficients, degree, error })
        };
        let interpolated = measured(Chebyshev::interpolate(&f, INTERVAL, degree));
        let enough = interpolated.as_ref().is_some_and(|fit| fit.error <= target.tolerance);
        // Of a reciprocal interpolation is the best fit already: the relative error at Chebyshev nodes is a multiple of the Chebyshev polynomial
        // that vanishes there. So long polynomials, which are those of reciprocals, are spared the exchange algorithm.
        if enough || target.criterion != Criterion::Relative || degree > LONGEST_LEVELLED {
            return interpolated;
        }
        let levelled = measured(minimax_relative(&f, INTERVAL, degree));
        interpolated.into_iter().chain(levelled).min_by(|a, b| a.error.total_cmp(&b.error))
    }

    /// The polynomial as data.
    pub fn fitted(&self) -> FittedPolynomial {
        let (function, levels, coefficients) = (self.name, self.levels(), self.coefficients.clone());
        FittedPolynomial { function, degree: self.degree, error: self.error, levels, coefficients }
    }

    /// Degree of the polynomial.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// Error by the criterion it was fitted with; infinite where no polynomial is of use.
    pub fn error(&self) -> f64 {
        self.error
    }

    /// Levels that an evaluation takes.
    pub fn levels(&self) -> usize {
        self.plan.levels()
    }

    /// Ciphertext-ciphertext products of an evaluation.
    pub fn products(&self) -> usize {
        self.plan.products()
    }

    /// The function in every slot of `x`; [`Approximation::levels`] levels.
    ///
    /// # Errors
    /// If no polynomial follows the function and the evaluator computes by polynomials; those of the evaluator.
    pub fn apply<E: SlotArithmetic>(&self, e: &E, x: &E::Slots) -> Result<E::Slots> {
        if self.error > self.limit && !e.functions_are_exact() {
            let found = format!("{:.2e}", self.error);
            let required = format!("at most {:.2e}, or an evaluator with exact functions", self.limit);
            return Err(refuse(self.name, "error of the polynomial", found, required, "prepare with polynomials"));
        }
        Ok(e.apply_function(x, &self.plan, &*self.function)?)
    }
}

/// A polynomial and its error.
struct Fit {
    plan: ChebyshevPlan,
    coefficients: Vec<f64>,
    degree: usize,
    error: f64,
}

/// The largest of [`DEGREES`] that so many levels carry, or a refusal with this remedy.
pub(crate) fn largest_degree(function: &'static str, most_levels: usize, remedy: &'static str) -> Result<usize> {
    let largest = DEGREES.into_iter().rev().find(|degree| levels_of(*degree) <= most_levels);
    largest.ok_or_else(|| refuse(function, "levels", most_levels, levels_of(DEGREES[0]), remedy))
}

/// Levels that a degree of [`DEGREES`] takes.
pub(crate) fn levels_of(degree: usize) -> usize {
    (degree + 1).ilog2() as usize
}
