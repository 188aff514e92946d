//! The sample of heads under the scheme.

use std::time::Instant;

use fhe_ckks::{Client, SlotArithmetic};
use fhe_ring::Seed;

use super::summary::Outcome;
use super::{Metered, Study};
use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::execute::metered;
use crate::execute::parties::{Compute, Parties, Program, Server, Setting};
use crate::record::{CellRecord, PhaseSeconds};
use crate::spec::ComputeDevice;

const PHASE: &str = "SoftMax encrypted (heads)";

/// Runs every head that ran in the clear, whose errors it replaces, on the device; returns the seconds of each.
///
/// # Errors
/// Those of the device, keys and evaluator.
pub(super) fn run(
    study: &Study<'_>,
    metered: &Metered,
    device: ComputeDevice,
    folder: &RunFolder,
    outcomes: &mut [Outcome],
    record: &mut CellRecord,
) -> Result<Vec<f64>, HarnessError> {
    let Metered { requests, server_bytes } = metered;
    let (parameters, progress) = (&study.subject.parameters, study.progress);
    let seed = Seed::from_bytes(folder.seed()?);
    let setting = Setting { parameters, requests, server_bytes: *server_bytes, seed, progress };
    let spent = std::mem::take(&mut record.seconds);
    let mut seconds = Vec::new();
    setting.run(device, spent, Heads { study, outcomes, record, seconds: &mut seconds })?;
    Ok(seconds)
}

struct Heads<'a> {
    study: &'a Study<'a>,
    outcomes: &'a mut [Outcome],
    record: &'a mut CellRecord,
    seconds: &'a mut Vec<f64>,
}

impl Program for Heads<'_> {
    fn run<B: Compute, C: Client<Server<B>>>(
        self,
        Parties { client, server }: Parties<B, C>,
        spent: PhaseSeconds,
    ) -> Result<(), HarnessError> {
        let Self { study, outcomes, record, seconds } = self;
        let failed = |error| HarnessError::execution("run SoftMax of a head", error);
        let settle = || server.backend().inner().settle();
        record.seconds = spent;
        let running = study.tried.iter().zip(outcomes).filter_map(|(head, outcome)| match outcome {
            Outcome::Refused(_) => None,
            Outcome::Ran(_, errors) => Some((head, errors)),
        });
        let running: Vec<_> = running.collect();
        let (start, total) = (Instant::now(), running.len() as u64);
        for (done, (head, errors)) in running.into_iter().enumerate() {
            study.progress.step(PHASE, done as u64, total, start);
            let circuit = study.prepared(head)?;
            let clock = Instant::now();
            let scores = circuit.open(&server, &client).map_err(failed)?;
            settle()?;
            record.seconds.bootstrapping += clock.elapsed().as_secs_f64();
            let clock = Instant::now();
            let probabilities = circuit.apply(&server, &scores).map_err(failed)?;
            settle()?;
            seconds.push(clock.elapsed().as_secs_f64());
            drop(scores);
            let clock = Instant::now();
            if let Some(found) = circuit.compare(&server, &client, &probabilities).map_err(failed)? {
                *errors = found;
            }
            record.seconds.comparison += clock.elapsed().as_secs_f64();
        }
        record.seconds.nonlinear = seconds.iter().sum();
        record.counts = metered::operations(server.counts(), server.key_switches());
        record.kernels = metered::kernels(&server.backend().counts());
        record.footprint.key_bytes = server.key_bytes() as u64;
        record.footprint.device_memory_bytes = server.backend().inner().device_bytes()?;
        let bootstraps = server.counts().half_bootstraps;
        record.failure_probability_log2 = Some(study.subject.parameters.failure_log2(bootstraps));
        Ok(())
    }
}
