//! The operations of a turn with their phase and their place in the model.

use fhe_circuits::softmax::Crossing;
use fhe_circuits::{
    CircuitError, Landing, Passage, RowModule, ScoreLayout, Selection, Softmax, VectorLayout, crossing, descend_vector,
    split_rows,
};
use fhe_ckks::{Evaluator, PlainVector};

use super::harness::{Harness, Phase, Sight};
use super::location::At;
use super::reading::Reading;
use crate::error::Result;
use crate::float::Location;

/// An evaluator at work, attended by a harness.
pub(super) struct Execution<'a, E: Evaluator, H: Harness<E> + ?Sized> {
    pub(super) e: &'a E,
    harness: &'a mut H,
}

impl<'a, E: Evaluator, H: Harness<E> + ?Sized> Execution<'a, E, H> {
    pub(super) fn new(e: &'a E, harness: &'a mut H) -> Self {
        Self { e, harness }
    }

    /// Work of one kind at one place.
    pub(super) fn work<T>(
        &mut self,
        phase: Phase,
        location: Location,
        work: impl FnOnce(&E) -> Result<T, CircuitError>,
    ) -> Result<T> {
        self.harness.place(location);
        self.harness.phase(phase);
        work(self.e).at(location)
    }

    /// SlotsToCoeffs of every ciphertext.
    pub(super) fn descend(
        &mut self,
        location: Location,
        tensor: &[E::Slots],
        unit: f64,
    ) -> Result<Vec<E::Coefficients>> {
        self.work(Phase::Bootstrapping, location, |e| crossing::descend(e, tensor, unit))
    }

    /// SlotsToCoeffs of the vector of one token.
    pub(super) fn descend_vector(
        &mut self,
        location: Location,
        (layout, vector): (&VectorLayout, &[E::Slots]),
        unit: f64,
    ) -> Result<Vec<E::Coefficients>> {
        self.work(Phase::Bootstrapping, location, |e| descend_vector(e, layout, vector, unit))
    }

    /// Half bootstrapping; distorted.
    pub(super) fn climb(
        &mut self,
        location: Location,
        tensor: &[E::Coefficients],
        landing: impl Into<Landing>,
    ) -> Result<Vec<E::Slots>> {
        self.work(Phase::Bootstrapping, location, |e| crossing::climb(e, tensor, landing))
    }

    /// Half bootstrapping and correction of the sine, with the levels of `landing` left after both.
    pub(super) fn climb_corrected(
        &mut self,
        location: Location,
        tensor: &[E::Coefficients],
        landing: impl Into<Landing>,
    ) -> Result<Vec<E::Slots>> {
        let distorted = self.climb(location, tensor, landing.into().above_correction())?;
        self.work(Phase::NonLinear, location, |e| crossing::correct(e, &distorted))
    }

    /// As [`Execution::climb_corrected`], with a factor for every slot on the way.
    pub(super) fn climb_scaled(
        &mut self,
        location: Location,
        tensor: &[E::Coefficients],
        landing: impl Into<Landing>,
        factors: Vec<Vec<f64>>,
    ) -> Result<Vec<E::Slots>> {
        let distorted = self.climb(location, tensor, landing.into().above_correction())?;
        let factors: Vec<PlainVector> = factors.into_iter().map(PlainVector::from).collect();
        self.work(Phase::NonLinear, location, |e| crossing::correct_scaled(e, &distorted, &factors))
    }

    /// Slot ciphertexts through coefficients and a half bootstrap; distorted. The coefficients are shown on the way if they are
    /// something to look at.
    pub(super) fn cross(
        &mut self,
        location: Location,
        slots: &[E::Slots],
        passage: Passage,
        reading: Option<Reading<'_>>,
    ) -> Result<Vec<E::Slots>, CircuitError> {
        self.harness.place(location);
        self.harness.phase(Phase::Bootstrapping);
        let coefficients = passage.descend(self.e, slots)?;
        if let Some(reading) = reading {
            self.observe(location, &coefficients, reading);
        }
        passage.climb(self.e, &coefficients)
    }

    /// SoftMax of scores in slots, sums over keys crossing on the way; denominators are shown.
    pub(super) fn probabilities<L: ScoreLayout>(
        &mut self,
        location: Location,
        (softmax, layout): (&Softmax, &L),
        scores: &[E::Slots],
        denominators: Option<Reading<'_>>,
    ) -> Result<Vec<E::Slots>> {
        let denominators = denominators.filter(|_| softmax.exp_inverse().is_some());
        self.crossing_sums(location, denominators, |e, crossing| softmax.apply(e, layout, scores, crossing))
    }

    /// Selections of such probabilities.
    pub(super) fn selected_probabilities<L: ScoreLayout>(
        &mut self,
        location: Location,
        (softmax, layout): (&Softmax, &L),
        scores: (&[E::Slots], &[Selection]),
    ) -> Result<Vec<E::Slots>> {
        self.crossing_sums(location, None, |e, crossing| softmax.apply_selected(e, layout, scores, crossing))
    }

    /// Non-linear work whose sums cross on the way, shown if they are something to look at.
    pub(super) fn crossing_sums<T>(
        &mut self,
        location: Location,
        reading: Option<Reading<'_>>,
        work: impl FnOnce(&E, &mut Crossing<'_, E::Slots>) -> Result<T, CircuitError>,
    ) -> Result<T> {
        self.harness.place(location);
        self.harness.phase(Phase::NonLinear);
        let e = self.e;
        let mut crossing = |sums: Vec<E::Slots>, passage: Passage| {
            let crossed = self.cross(location, &sums, passage, reading);
            self.harness.phase(Phase::NonLinear);
            crossed
        };
        work(e, &mut crossing).at(location)
    }

    /// Rows of a tensor, for products with weights.
    pub(super) fn split_rows(
        &mut self,
        location: Location,
        module: RowModule,
        tensor: &[E::Coefficients],
    ) -> Result<E::Rows> {
        self.work(Phase::Linear, location, |e| split_rows(e, module, tensor))
    }

    pub(super) fn observe(&mut self, location: Location, tensor: &[E::Coefficients], reading: Reading<'_>) {
        self.harness.observe(Sight::new(location, tensor, reading));
    }
}
