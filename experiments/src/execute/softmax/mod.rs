//! SoftMax alone, head by head: what a variant carries of a model's scores, how well, and for how much.
//!
//! [`heads`] runs the float model over the prompts and takes the scores of every head beside the windows that were calibrated for that head;
//! [`head`] is the circuit of one. Every head that is tried counts, also one that the variant refuses, that leaves its windows or that is
//! off by more than the bound: coverage is a share of all of them. In the clear each head runs on its own evaluator, without and with the scheme's noise
//! as the cell says; [`encrypted`] runs a sample under the scheme. Costs are counted in the clear, where nothing inside of a bootstrap is, and
//! metered for the time that a device would take.

mod encrypted;
mod head;
mod heads;
mod summary;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use fhe_circuits::Accuracy;
use fhe_ckks::{Clear, NoiseModel, OperationCounts, SlotArithmetic};
use fhe_model::encrypted::CircuitOptions;
use fhe_ring::{Counts, DeviceProfile};
use fhe_rlwe::KeyRequests;
use rayon::prelude::*;

use head::{Errors, HeadCircuit, Place, Refusal};
use heads::{HeadScores, Subject};
use summary::{Cost, Kind, Outcome};

use super::in_clear::noise_model;
use super::plan::{failed, metered_pair};
use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::identity::ResolvedCell;
use crate::randomness::noise_seed;
use crate::record::{CellRecord, PredictedSeconds};
use crate::spec::{Cell, Mode};

const PHASE: &str = "SoftMax in the clear (heads)";

/// Checks what only the engine can check of a cell of this circuit.
///
/// # Errors
/// As [`Subject::read`].
pub(super) fn preflight(cell: &Cell, root: &Path, progress: &dyn ProgressSink) -> Result<(), HarnessError> {
    Subject::read(cell, root, progress).map(drop)
}

/// Runs a cell of this circuit.
///
/// # Errors
/// What is wrong with its inputs, or stopped it; a head that is refused is no error.
pub(super) fn run(
    cell: &ResolvedCell,
    folder: &RunFolder,
    progress: &dyn ProgressSink,
    record: &mut CellRecord,
) -> Result<(), HarnessError> {
    let config = &cell.cell.config;
    let (subject, seconds) = progress.phase("set-up", || Subject::read(&cell.cell, &cell.root, progress));
    let subject = subject?;
    record.seconds.set_up = seconds;
    subject.describe(record);
    let (heads, seconds) = progress.phase("float reference", || subject.heads());
    let heads = heads?;
    record.seconds.comparison = seconds;

    let tolerance = CircuitOptions::default().tolerance;
    let accuracy = Accuracy { tolerance, functions: config.engine.functions };
    let (shape, head_dim) = (subject.parameters.shape(), subject.config().head_dim);
    let place = Place::new(shape, &subject.block, head_dim, config.softmax.circuit(), accuracy)?;
    let sample = spread(config.softmax.heads.unwrap_or(heads.len()).min(heads.len()), heads.len());
    let tried: Vec<&HeadScores> = sample.map(|index| &heads[index]).collect();
    let study = Study { subject: &subject, place: &place, tried: &tried, progress };

    let noise = noise_model(&config.engine, config.engine.noise, &subject.parameters, subject.block.size());
    let (mut outcomes, seconds) = progress.phase(PHASE, || study.in_the_clear(noise, noise_seed(&cell.cell)));
    record.seconds.comparison += seconds;
    let (metered, seconds) = progress.phase("plan", || study.metered(&mut outcomes));
    let metered = metered?;
    record.seconds.plan = seconds;
    let measured = match config.mode {
        Mode::Encrypted => Some(encrypted::run(&study, &metered, config.engine.device, folder, &mut outcomes, record)?),
        Mode::Clear | Mode::Metered => None,
    };
    record.softmax = Some(summary::of(&study, heads.len(), config.softmax.error_bound(), &outcomes, measured));
    Ok(())
}

/// So many of `all`, spread evenly.
fn spread(count: usize, all: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |index| (2 * index + 1) * all / (2 * count))
}

/// The heads under study.
struct Study<'a> {
    subject: &'a Subject,
    place: &'a Place,
    tried: &'a [&'a HeadScores],
    progress: &'a dyn ProgressSink,
}

/// What metering tells of the heads that run.
struct Metered {
    requests: KeyRequests,
    /// Most bytes alive at once, keys included.
    server_bytes: u64,
}

impl Study<'_> {
    /// Every head on a clear evaluator of its own, so that its noise does not depend on what runs beside it.
    fn in_the_clear(&self, noise: NoiseModel, seed: u64) -> Vec<Outcome> {
        let (start, done, total) = (Instant::now(), AtomicU64::new(0), self.tried.len() as u64);
        let run = |(index, head): (usize, &&HeadScores)| {
            let outcome = self.head_in_the_clear(head, noise, seed.wrapping_add(index as u64));
            self.progress.step(PHASE, done.fetch_add(1, Ordering::Relaxed) + 1, total, start);
            outcome.unwrap_or_else(Outcome::refused)
        };
        self.tried.par_iter().enumerate().map(run).collect()
    }

    fn head_in_the_clear(&self, head: &HeadScores, noise: NoiseModel, seed: u64) -> Result<Outcome, Refusal> {
        let circuit = self.place.prepare(head)?;
        let refused = |error: fhe_circuits::CircuitError| Refusal::of(&error);
        // Bootstraps count as themselves: what is inside of them is no part of the comparison.
        let clear = Clear::new(self.subject.parameters.shape().clone(), (), noise, seed);
        let clear = clear.map_err(|error| refused(error.into()))?;
        let scores = circuit.open(&clear, &clear).map_err(refused)?;
        let before = clear.counts();
        let probabilities = circuit.apply(&clear, &scores).map_err(refused)?;
        let cost = Cost::of(&circuit, clear.counts() - before);
        let errors = circuit.compare(&clear, &clear, &probabilities).map_err(refused)?;
        Ok(Outcome::ran(cost, errors.unwrap_or(Errors { max: f64::INFINITY, mean: f64::INFINITY })))
    }

    /// Meters every head that ran: heads whose polynomials and levels are the same cost the same.
    fn metered(&self, outcomes: &mut [Outcome]) -> Result<Metered, HarnessError> {
        let (server, client) = metered_pair(&self.subject.parameters)?;
        let mut known: HashMap<Kind, Vec<PredictedSeconds>> = HashMap::new();
        for (head, outcome) in self.tried.iter().zip(outcomes) {
            let Some(cost) = outcome.cost_mut() else { continue };
            let predicted = match known.get(&cost.kind()) {
                Some(predicted) => predicted.clone(),
                None => {
                    let circuit = self.prepared(head)?;
                    let scores = circuit.open(&server, &client).map_err(failed)?;
                    let before = server.backend().counts();
                    let probabilities = circuit.apply(&server, &scores).map_err(failed)?;
                    let kernels = server.backend().counts() - before;
                    circuit.compare(&server, &client, &probabilities).map_err(failed)?;
                    known.entry(cost.kind()).or_insert(predicted_seconds(&kernels)).clone()
                }
            };
            cost.predicted = predicted;
        }
        Ok(Metered { requests: server.key_requests(), server_bytes: server.backend().peak_bytes() })
    }

    /// A head that was prepared before.
    fn prepared(&self, head: &HeadScores) -> Result<HeadCircuit<'_>, HarnessError> {
        self.place
            .prepare(head)
            .map_err(|Refusal(reason)| HarnessError::execution("prepare a head again", std::io::Error::other(reason)))
    }
}

fn predicted_seconds(kernels: &Counts) -> Vec<PredictedSeconds> {
    let of =
        |profile: DeviceProfile| PredictedSeconds { device: profile.name.into(), seconds: profile.predict(kernels) };
    DeviceProfile::ALL.map(of).into()
}

/// Products of two ciphertexts, and with plaintexts.
fn products(counts: OperationCounts) -> [u64; 2] {
    [counts.products, counts.plaintext_products]
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_sample_is_spread_over_all() {
        let sample = |count, all| super::spread(count, all).collect::<Vec<_>>();
        assert_eq!(sample(4, 270), [33, 101, 168, 236]);
        assert_eq!(sample(3, 3), [0, 1, 2]);
        assert!(sample(0, 3).is_empty());
    }
}
