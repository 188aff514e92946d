//! The exponential by squarings, the division by Goldschmidt's iteration.
//!
//! **Exponential.** A polynomial of `score / 2^j`, masked by its coefficients, then `j` squarings. A root spans `2^-j` of the logarithms, so that a small
//! degree follows it, and what it is off by counts relative to the root of a small exponential, which is much larger than that.
//!
//! **Division.** With `d` the sum over keys over the middle of its window, in (0, 2), and `a = 1`, the iteration `(a, d) -> (a (2 - d), d (2 - d))` takes
//! `1 - d` to its square and leaves `a / d` as it is: `a` becomes `1 / d` up to `(1 - d)^(2^m)` after `m` iterations. It runs on the auxiliary track, once
//! for all keys, and `a` alone meets the exponentials, which have been scaled by the middle of the window. Normalised by the window's top, `d` would stay
//! in (0, 1] and the same error would take one iteration more. The sum crosses in the copies of its keys ([`KeySums`]); the sine of its half bootstrap is
//! corrected for two levels, since there is no polynomial to compose its inverse into.
//!
//! **Source.** R. E. Goldschmidt, *Applications of division by convergence* (master's thesis, MIT, 1964); on CKKS Cheon, Kim, Kim, Lee and Lee, *Numerical method
//! for comparison on homomorphically encrypted numbers* (ASIACRYPT 2019). SoftMax of squarings and such a division is that of NEXUS (Zhang et al., *Secure
//! transformer inference made non-interactive*, NDSS 2025), whose exponential is `(1 + score / 64)^64`.
//!
//! **Error.** After `m` iterations every probability of a row is off by the factor `1 - e^(2^m)`, `e = (R - 1) / (R + 1)` for a window of ratio `R`: `2^m` must exceed
//! `R log(1 / error) / 2`, where a polynomial of that degree needs only its root. An iteration is a polynomial of degree `2^m - 1` after all, but the
//! truncated geometric series, not the best one. The noise of the sum's half bootstrap counts as in [`ExpSlimInverse`](super::ExpSlimInverse).
//!
//! **Depth** from scores in slots: that of the polynomial, `j`, and 1. On the auxiliary track 2 for the sine and `m` (none for one iteration), with
//! `2 (m - 1)` products. One half bootstrap for each set of ciphertexts.

use fhe_ckks::{CircuitShape, Evaluator, correct_sine};

use super::exponential::{Exponent, MaskedExponential, NormalisedScores};
use super::key_sums::{KeyCopies, KeySums, arrivals};
use super::{Crossing, SoftmaxArgument, SoftmaxPolynomial, SoftmaxWindows, check_polynomials};
use crate::approximation::{Accuracy, FittedPolynomial};
use crate::crossing::SINE_LEVELS;
use crate::error::{CircuitError, Result, refuse};
use crate::interval::Interval;
use crate::score_layout::ScoreLayout;

/// Relative error of the division beyond which it is refused.
const DIVISION_LIMIT: f64 = 1.0 / 64.0;
const DIVISION: &str = "Goldschmidt's division by a sum of exponentials in SoftMax";

/// The division of [`SoftmaxVariant::ExpGoldschmidt`](super::SoftmaxVariant::ExpGoldschmidt).
#[derive(Clone, Debug)]
pub struct ExpGoldschmidt {
    /// A root of the exponential.
    root: MaskedExponential,
    squarings: usize,
    iterations: usize,
    /// Relative error after the iterations.
    error: f64,
    sums: KeySums,
    output_levels: usize,
}

impl ExpGoldschmidt {
    /// Fits the exponential and counts the iterations that the windows need, which it returns tightened.
    pub(super) fn new<L: ScoreLayout>(
        windows: &SoftmaxWindows,
        shape: &CircuitShape,
        accuracy: Accuracy,
        layout: &L,
    ) -> Result<(SoftmaxWindows, Self)> {
        check_polynomials(accuracy)?;
        let contract = L::CONTRACT;
        let tight = windows.tightened(contract.scores_of_all_pairs)?;
        let (tolerance, denominator) = (accuracy.tolerance, tight.denominator);
        let waiting = contract.output_levels + 1;
        let left = |taken: usize| shape.compute_levels.saturating_sub(taken + waiting);
        let scores = NormalisedScores::new(tight.half_width, contract, shape);
        let (root, squarings) = fit_root(scores, denominator, tolerance, left(contract.opening_levels))?;
        let (iterations, error) = count_iterations(denominator, tolerance, left(SINE_LEVELS))?;
        let levels = waiting + iteration_levels(iterations) + SINE_LEVELS;
        // Scaled to a middle of 1: what returns is d - 1.
        let sums = KeySums::new(KeyCopies::of(layout, shape)?, 1.0, 1.0, levels);
        Ok((tight, Self { root, squarings, iterations, error, sums, output_levels: contract.output_levels }))
    }

    /// The polynomial of the root, with the error that the exponential has after the squarings, and the one that the iterations amount to.
    pub(super) fn polynomials(&self) -> Vec<SoftmaxPolynomial> {
        let argument = SoftmaxArgument::Denominator;
        vec![
            self.root.polynomial(),
            SoftmaxPolynomial {
                argument,
                fitted: FittedPolynomial {
                    function: DIVISION,
                    degree: iteration_degree(self.iterations),
                    error: self.error,
                    levels: iteration_levels(self.iterations),
                    coefficients: Vec::new(),
                },
            },
        ]
    }

    /// How often the root of the exponential is squared.
    pub fn squarings(&self) -> usize {
        self.squarings
    }

    /// Iterations of the division.
    pub fn iterations(&self) -> usize {
        self.iterations
    }

    /// Levels from the scores in slots to the end of what follows SoftMax.
    pub(super) fn score_levels(&self) -> usize {
        self.root.levels() + self.squarings + 1 + self.output_levels
    }

    /// Levels that the half bootstrap of the sums must leave.
    pub(super) fn crossing_levels(&self) -> usize {
        self.sums.passage().levels
    }

    /// Probabilities of scores in slots.
    pub(super) fn apply<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        layout: &L,
        scores: &[E::Slots],
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        let mut exponentials = self.root.apply(e, layout, scores)?;
        for _ in 0..self.squarings {
            for x in &mut exponentials {
                *x = e.square(x)?;
            }
        }
        self.sums.times(e, (layout, &arrivals(layout)), &exponentials, crossing, |sum| self.reciprocal(e, sum))
    }

    /// `1 / d` of `d - 1` as a half bootstrap returns it.
    fn reciprocal<E: Evaluator>(&self, e: &E, crossed: &E::Slots) -> Result<E::Slots> {
        let mut excess = e.multiply_integer(&correct_sine(e, crossed)?, -1)?;
        let mut quotient = e.add_constant(&excess, 1.0)?;
        for _ in 1..self.iterations {
            // 1 - d (2 - d) = (1 - d)^2, and 2 - d is one more than that.
            excess = e.square(&excess)?;
            quotient = e.multiply(&quotient, &e.add_constant(&excess, 1.0)?)?;
        }
        Ok(quotient)
    }
}

/// The root and the number of squarings that meet the tolerance at the fewest levels, or come nearest to it.
fn fit_root(
    scores: NormalisedScores,
    denominator: Interval,
    tolerance: f64,
    most_levels: usize,
) -> Result<(MaskedExponential, usize)> {
    let (mut best, mut refusal): (Option<(MaskedExponential, usize)>, Option<CircuitError>) = (None, None);
    for squarings in 1..most_levels {
        let power = f64::from(1_u32 << squarings);
        let factor = denominator.centre().powf(-1.0 / power);
        let asked = Exponent { fraction: 1.0 / power, factor, tolerance, most_levels: most_levels - squarings };
        // The largest exponential of a row is at most its denominator, and of those the smallest fares worst.
        let smallest = (denominator.low / denominator.centre()).powf(1.0 / power);
        match MaskedExponential::fit(scores, asked, |error| ((error / smallest).ln_1p() * power).exp_m1()) {
            Ok(root) => {
                let cost = |root: &MaskedExponential, squarings: usize| {
                    let polynomial = root.polynomial();
                    (polynomial.fitted.error.max(tolerance), root.levels() + squarings, polynomial.fitted.degree)
                };
                if best.as_ref().is_none_or(|(other, taken)| cost(&root, squarings) < cost(other, *taken)) {
                    best = Some((root, squarings));
                }
            }
            Err(error) => refusal = Some(error),
        }
    }
    best.ok_or_else(|| {
        let required = "at least 5: a polynomial of degree 15 and a squaring";
        let too_few = || refuse("Softmax::new", "levels", most_levels, required, "use a larger parameter set");
        refusal.unwrap_or_else(too_few)
    })
}

/// The fewest iterations that meet the tolerance, or as many as there are levels for, and their error.
fn count_iterations(window: Interval, tolerance: f64, most_levels: usize) -> Result<(usize, f64)> {
    let excess = window.half_width() / window.centre();
    let error = |iterations: usize| excess.powf((iteration_degree(iterations) + 1) as f64);
    let most = most_levels.clamp(1, usize::BITS as usize - 2);
    let iterations = (1..=most).find(|iterations| error(*iterations) <= tolerance).unwrap_or(most);
    let found = error(iterations);
    if found <= DIVISION_LIMIT {
        return Ok((iterations, found));
    }
    Err(CircuitError::Approximation {
        function: DIVISION,
        degree: iteration_degree(iterations),
        window: window.to_string(),
        found,
        required: DIVISION_LIMIT,
    })
}

/// Degree in `d` of what so many iterations compute.
fn iteration_degree(iterations: usize) -> usize {
    (1 << iterations) - 1
}

/// Levels of so many iterations. The first is a difference.
fn iteration_levels(iterations: usize) -> usize {
    if iterations == 1 { 0 } else { iterations }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_follow_from_the_ratio_of_the_window() {
        let iterations = |ratio: f64| count_iterations(Interval::new(1.0, ratio), 1e-6, 10);
        let counts = [1.001, 3.0, 100.0].map(|ratio| iterations(ratio).unwrap());
        assert_eq!(counts.map(|(iterations, _)| iterations), [1, 5, 10]);
        assert!(counts.iter().all(|(_, error)| *error <= 1e-6));
        // What the levels leave is of use as long as it is below the limit.
        let (most, error) = iterations(400.0).unwrap();
        assert!(most == 10 && error > 1e-6 && error <= DIVISION_LIMIT);
    }

    #[test]
    fn rejects_windows_that_the_iterations_do_not_carry() {
        let refusal = count_iterations(Interval::new(1.0, 1000.0), 1e-6, 10).unwrap_err();
        assert!(matches!(refusal, CircuitError::Approximation { degree: 1023, required: DIVISION_LIMIT, .. }));
        let refusal = refusal.to_string();
        assert!(refusal.contains("[1.0000e0, 1.0000e3]") && refusal.contains("1.29e-1"), "{refusal}");
        // Without a level there is one iteration, which carries next to nothing.
        assert!(count_iterations(Interval::new(1.0, 1.001), 1e-6, 0).is_ok());
        assert!(count_iterations(Interval::new(1.0, 2.0), 1e-6, 0).is_err());
    }
}
