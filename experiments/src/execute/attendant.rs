//! Attends a run of the decoder: times its phases and compares the tensors that pass by.

use std::collections::BTreeMap;
use std::time::Instant;

use fhe_ckks::{Client, Evaluator};
use fhe_model::encrypted::{Harness, Phase, Sight};
use fhe_model::{Location, Matrix};
use serde::{Deserialize, Serialize};

use super::reference::Tensors;
use crate::record::{LayerError, PhaseSeconds};

/// What a run has shown so far; saved with every checkpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Observations {
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) seconds: PhaseSeconds,
    pub(super) layer_errors: Vec<LayerError>,
}

/// A [`Harness`] that may hold the client: it looks where no server can, for the record only.
pub(super) struct Attendant<'a, C> {
    client: &'a C,
    references: Vec<(&'static str, &'a Tensors)>,
    kept: Option<&'a mut Tensors>,
    pub(super) observations: Observations,
    running: Option<(Phase, Instant)>,
}

impl<'a, C> Attendant<'a, C> {
    pub(super) fn new(client: &'a C, references: Vec<(&'static str, &'a Tensors)>, observations: Observations) -> Self {
        Self { client, references, kept: None, observations, running: None }
    }

    /// Keeps every tensor too, to serve as a reference later.
    pub(super) fn keeping(mut self, tensors: &'a mut Tensors) -> Self {
        self.kept = Some(tensors);
        self
    }

    /// Ends the phase under way.
    pub(super) fn pause(&mut self) {
        if let Some((phase, start)) = self.running.take() {
            let seconds = start.elapsed().as_secs_f64();
            let total = &mut self.observations.seconds;
            match phase {
                Phase::Linear => total.linear += seconds,
                Phase::Bootstrapping => total.bootstrapping += seconds,
                Phase::NonLinear => total.nonlinear += seconds,
            }
        }
    }

    fn compare(&mut self, location: Location, tensor: Matrix) {
        for (against, reference) in &self.references {
            self.observations.layer_errors.extend(reference.error(against, location, &tensor));
        }
        if let Some(kept) = &mut self.kept {
            kept.insert(location, tensor);
        }
    }
}

impl<E: Evaluator, C: Client<E>> Harness<E> for Attendant<'_, C> {
    fn phase(&mut self, phase: Phase) {
        self.pause();
        self.running = Some((phase, Instant::now()));
    }

    fn observe(&mut self, sight: Sight<'_, E>) {
        // The look is the harness's own and belongs to no phase of the server.
        let interrupted = self.running.map(|(phase, _)| phase);
        self.pause();
        if !self.references.is_empty() || self.kept.is_some() {
            if let Ok(Some(tensor)) = sight.reveal(self.client) {
                self.compare(sight.location(), tensor);
            }
        }
        self.running = interrupted.map(|phase| (phase, Instant::now()));
    }
}
