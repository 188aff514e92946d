//! Attends a run of the decoder: times its phases, compares the tensors that pass by, tells how far it is.

use std::time::Instant;

use fhe_ckks::{Client, Evaluator};
use fhe_model::encrypted::{Harness, Phase, Sight};

use super::pace::Pace;
use super::reference::Tensors;
use super::state::Observations;
use crate::error::HarnessError;

/// A [`Harness`] that may hold the client: it looks where no server can, for the record only.
///
/// A harness cannot stop the run it attends; what goes wrong in it is kept until [`Attendant::check`].
pub(super) struct Attendant<'a, C> {
    client: &'a C,
    references: Vec<(&'static str, &'a Tensors)>,
    kept: Option<&'a mut Tensors>,
    pace: Option<Pace<'a>>,
    settle: Option<Box<dyn Fn() -> Result<(), HarnessError> + 'a>>,
    pub(super) observations: Observations,
    running: Option<(Phase, Instant)>,
    failure: Option<HarnessError>,
}

impl<'a, C> Attendant<'a, C> {
    /// An attendant that only takes the time, and goes on from earlier observations.
    pub(super) fn new(client: &'a C, observations: Observations) -> Self {
        let (references, kept, pace, settle, running, failure) = (Vec::new(), None, None, None, None, None);
        Self { client, references, kept, pace, settle, observations, running, failure }
    }

    /// Waits for the work of a phase before it takes the time: a device may be behind what it is asked for.
    pub(super) fn settling(mut self, settle: impl Fn() -> Result<(), HarnessError> + 'a) -> Self {
        self.settle = Some(Box::new(settle));
        self
    }

    /// Compares every tensor with those of a reference, too.
    pub(super) fn comparing(mut self, against: &'static str, reference: &'a Tensors) -> Self {
        self.references.push((against, reference));
        self
    }

    /// Keeps every tensor, to serve as a reference later.
    pub(super) fn keeping(mut self, tensors: &'a mut Tensors) -> Self {
        self.kept = Some(tensors);
        self
    }

    /// Reports progress.
    pub(super) fn reporting(mut self, pace: Pace<'a>) -> Self {
        self.pace = Some(pace);
        self
    }

    /// Ends the phase under way, and says what went wrong while attending, if anything did.
    ///
    /// # Errors
    /// The first failure to decrypt or to compare a tensor.
    pub(super) fn check(&mut self) -> Result<(), HarnessError> {
        self.pause();
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Ends the phase under way.
    fn pause(&mut self) {
        if let Some((phase, start)) = self.running.take() {
            if let Some(Err(error)) = self.settle.as_ref().map(|settle| settle()) {
                self.failure.get_or_insert(error);
            }
            let seconds = start.elapsed().as_secs_f64();
            let total = &mut self.observations.seconds;
            match phase {
                Phase::Linear => total.linear += seconds,
                Phase::Bootstrapping => total.bootstrapping += seconds,
                Phase::NonLinear => total.nonlinear += seconds,
            }
        }
        if let Some(pace) = &mut self.pace {
            pace.look();
        }
    }

    fn look<E: Evaluator>(&mut self, sight: &Sight<'_, E>) -> Result<(), HarnessError>
    where
        C: Client<E>,
    {
        let revealed = sight.reveal(self.client);
        let failed = |error| HarnessError::execution("decrypt an intermediate tensor", error);
        let Some(tensor) = revealed.map_err(failed)? else { return Ok(()) };
        let location = sight.location();
        for (against, reference) in &self.references {
            self.observations.layer_errors.push(reference.error(against, location, &tensor)?);
        }
        if let Some(kept) = &mut self.kept {
            kept.insert(location, tensor);
        }
        Ok(())
    }
}

impl<E: Evaluator, C: Client<E>> Harness<E> for Attendant<'_, C> {
    fn phase(&mut self, phase: Phase) {
        self.pause();
        self.running = Some((phase, Instant::now()));
    }

    fn observe(&mut self, sight: Sight<'_, E>) {
        if self.failure.is_some() || (self.references.is_empty() && self.kept.is_none()) {
            return;
        }
        // The look belongs to no phase of the server.
        let interrupted = self.running.map(|(phase, _)| phase);
        self.pause();
        let start = Instant::now();
        if let Err(error) = self.look(&sight) {
            self.failure.get_or_insert(error);
        }
        self.observations.seconds.comparison += start.elapsed().as_secs_f64();
        self.running = interrupted.map(|phase| (phase, Instant::now()));
    }
}
