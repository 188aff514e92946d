//! The reciprocal of a sum over keys, by a polynomial in the copies in which the sum returns.

use fhe_ckks::{CircuitShape, Evaluator, PlainVector};

use super::Crossing;
use super::key_sums::{KeyCopies, KeySums};
use crate::approximation::{Approximation, DEGREES, FittedPolynomial, Target};
use crate::crossing::{Distortion, Passage};
use crate::error::Result;
use crate::interval::Interval;
use crate::score_layout::{ScoreLayout, Selection};
use crate::slim::{Blocks, FewValues, SlimApproximation};

/// Worst error of a half bootstrap as a fraction of its range; at the lower end of a window it is as many times larger, relative to the value, as the window
/// is wide.
const BOOTSTRAP_NOISE: f64 = 1.0 / 65536.0;

/// A sum over keys and its reciprocal.
#[derive(Clone, Debug)]
pub struct SumReciprocal {
    window: Interval,
    reciprocal: FewValues,
    sums: KeySums,
}

impl SumReciprocal {
    /// Fits the reciprocal of sums in a window, to meet terms that wait at so many levels above what the sums' half bootstrap leaves at least.
    pub(super) fn fit(
        name: &'static str,
        window: Interval,
        target: Target,
        keys: KeyCopies,
        shape: &CircuitShape,
        waiting: usize,
    ) -> Result<Self> {
        Self::fit_among(&DEGREES, name, window, target, keys, shape, waiting)
    }

    /// The same with other degrees to choose from, where it is not slim.
    pub(super) fn fit_among(
        degrees: &[usize],
        name: &'static str,
        window: Interval,
        target: Target,
        keys: KeyCopies,
        shape: &CircuitShape,
        waiting: usize,
    ) -> Result<Self> {
        let reciprocal = fit(degrees, name, window, target, keys.blocks, shape, waiting)?;
        let sums = KeySums::of_window(keys, window, waiting + reciprocal.joined_levels());
        Ok(Self { window, reciprocal, sums })
    }

    /// The window of the sum.
    pub fn window(&self) -> Interval {
        self.window
    }

    /// Whether the reciprocal is evaluated slimly.
    pub fn is_slim(&self) -> bool {
        matches!(self.reciprocal, FewValues::Slim(_))
    }

    /// How the sum crosses.
    pub fn passage(&self) -> Passage {
        self.sums.passage()
    }

    /// The polynomial as data.
    pub fn fitted(&self) -> FittedPolynomial {
        self.reciprocal.fitted()
    }

    /// Degree of the polynomial.
    pub fn degree(&self) -> usize {
        self.reciprocal.degree()
    }

    /// Its relative error.
    pub fn error(&self) -> f64 {
        self.reciprocal.error()
    }

    /// The most that the reciprocal is off, relative to it: the polynomial, and the noise of the sum's half bootstrap.
    pub(super) fn largest_error(&self) -> f64 {
        self.error() + BOOTSTRAP_NOISE * self.window.half_width() / self.window.low
    }

    /// The reciprocals of sums that others have made, one a set, so many levels below their half bootstrap that terms may wait where
    /// [`SumReciprocal::fit`] was told.
    pub(super) fn of_sums<E: Evaluator>(
        &self,
        e: &E,
        sums: &[E::Slots],
        arrivals: &[PlainVector],
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        let returned = self.sums.cross(e, sums, arrivals, crossing)?;
        returned.iter().map(|sum| self.reciprocal.apply_joined(e, sum)).collect()
    }

    /// Selections of terms over their sums over keys, the factor a level above where the terms wait.
    pub(super) fn divide_selected<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        place: (&L, &[PlainVector]),
        terms: (&[E::Slots], &[Selection]),
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        self.sums.times_selected(e, place, terms, crossing, |sum| self.reciprocal.apply_joined(e, sum))
    }

    /// Terms over their sums over keys.
    pub(super) fn divide<E: Evaluator, L: ScoreLayout>(
        &self,
        e: &E,
        place: (&L, &[PlainVector]),
        terms: &[E::Slots],
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        self.sums.times(e, place, terms, crossing, |sum| self.reciprocal.apply_joined(e, sum))
    }
}

/// The slim one if it meets the tolerance within the levels above those where the terms wait; the more accurate one otherwise.
fn fit(
    degrees: &[usize],
    name: &'static str,
    window: Interval,
    target: Target,
    blocks: Option<Blocks>,
    shape: &CircuitShape,
    waiting: usize,
) -> Result<FewValues> {
    let distortion = Distortion::of(shape);
    let (centre, half_width) = (window.centre(), window.half_width());
    let reciprocal = move |y: f64| 1.0 / (centre + half_width * distortion.undo(y));
    let most = shape.compute_levels.saturating_sub(waiting);
    let place = window.to_string();
    let slim = [most, most.saturating_sub(1)].into_iter().find_map(|levels| {
        // The higher degree may leave no level to join its sides.
        let fit = SlimApproximation::fit(name, &place, target, blocks?, levels, reciprocal).ok()?;
        (fit.joined_levels() <= most).then_some(fit)
    });
    if let Some(slim) = slim.as_ref().filter(|slim| slim.error() <= target.tolerance) {
        return Ok(FewValues::Slim(Box::new(slim.clone())));
    }
    match (slim, Approximation::fit_among(degrees, name, &place, target, most, reciprocal)) {
        (Some(slim), Ok(usual)) if slim.error() <= usual.error() => Ok(FewValues::Slim(Box::new(slim))),
        (_, Ok(usual)) => Ok(FewValues::PatersonStockmeyer(usual)),
        (Some(slim), Err(_)) => Ok(FewValues::Slim(Box::new(slim))),
        (None, Err(refusal)) => Err(refusal),
    }
}
