//! The encrypted run: plan, keys, layers, logits, and what they are compared with.

use std::collections::BTreeMap;
use std::time::Instant;

use fhe_ckks::{Client, OperationCounts, SlotArithmetic};
use fhe_model::Matrix;
use fhe_ring::{Backend, Counts, Seed};

use super::attendant::Attendant;
use super::decoder::Decoder;
use super::in_clear;
use super::metered;
use super::pace::Pace;
use super::parties::{Compute, Parties, Program, Server, Setting};
use super::plan::Plan;
use super::prepared::Prepared;
use super::reference::{Reference, Tensors, agreement};
use super::state::{self, Observations, State};
use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::machine;
use crate::record::{CLEAR_CIRCUIT, CellRecord, FLOAT, Footprint, PhaseSeconds};

/// Runs the cell on the device that it asks for, resuming from the run folder where there is something to resume from. `start` is when
/// this process began to work on it.
pub(super) fn run(
    prepared: &Prepared,
    folder: &RunFolder,
    start: Instant,
    progress: &dyn ProgressSink,
    record: &mut CellRecord,
) -> Result<(), HarnessError> {
    let (references, seconds) = progress.phase("float and clear references", || {
        Ok::<_, HarnessError>((prepared.reference()?, in_clear::tensors(prepared)?))
    });
    let (float, (clear_tensors, clear_logits)) = references?;
    record.seconds.comparison = seconds;
    let (plan, seconds) = progress.phase("plan", || Plan::new(&prepared.circuit));
    let plan = plan?;
    record.seconds.plan = seconds;
    record.predicted = Some(plan.prediction());
    record.extremes = Some(float.extremes);

    let (parameters, seed) = (&prepared.circuit.parameters, Seed::from_bytes(folder.seed()?));
    let (requests, server_bytes) = (&plan.requests, plan.server_bytes);
    let setting = Setting { parameters, requests, server_bytes, seed, progress };
    let spent = std::mem::take(&mut record.seconds);
    let run = Run { prepared, folder, start, progress, plan: &plan, float, clear_tensors, clear_logits, record };
    setting.run(prepared.engine.device, spent, run)
}

/// An encrypted run whose parties are yet to be made.
struct Run<'a> {
    prepared: &'a Prepared,
    folder: &'a RunFolder,
    start: Instant,
    progress: &'a dyn ProgressSink,
    plan: &'a Plan,
    float: Reference,
    clear_tensors: Tensors,
    clear_logits: Matrix,
    record: &'a mut CellRecord,
}

impl Program for Run<'_> {
    fn run<B: Compute, C: Client<Server<B>>>(
        self,
        Parties { client, server }: Parties<B, C>,
        spent: PhaseSeconds,
    ) -> Result<(), HarnessError> {
        let Self { prepared, folder, start, progress, plan, float, clear_tensors, clear_logits, record } = self;
        let model = &prepared.circuit.model;
        let state = State::load(&server, model, folder)?;
        let mut observations = state.as_ref().map(|state| state.observations.clone()).unwrap_or_default();
        if let Some(state) = &state {
            progress.message(format!("resuming after layer {} of {}", state.layers, model.layers()));
        }
        observations.seconds += spent;
        let done = observations.counts.get("half_bootstraps").copied().unwrap_or_default();
        let account = Account::open(&server, start);
        let mut attendant = Attendant::new(&client, observations)
            .settling(|| server.backend().inner().settle())
            .comparing(FLOAT, float.tensors())
            .comparing(CLEAR_CIRCUIT, &clear_tensors)
            .reporting(Pace::new(&server, plan.operations.half_bootstraps.saturating_sub(done), progress));
        let decoder = Decoder { model, evaluator: &server, client: &client, progress };
        let logits = decoder.resume(&mut attendant, state, |layers, residual, observations| {
            state::save(&server, folder, layers, residual, &account.balance(observations))
        });
        let logits = logits?.ok_or(HarnessError::NoData)?;

        // The total runs on until the record is complete; only earlier processes' is final.
        let earlier = attendant.observations.seconds.total;
        report(prepared, account.balance(&attendant.observations), record);
        record.footprint = Footprint {
            peak_memory_bytes: record.footprint.peak_memory_bytes,
            key_bytes: server.key_bytes() as u64,
            device_memory_bytes: server.backend().inner().device_bytes()?,
            ..plan.traffic(&prepared.circuit)?
        };
        record.seconds.total = earlier;
        record.agreement.push(agreement(FLOAT, &prepared.circuit.block, &float.logits, &logits)?);
        record.agreement.push(agreement(CLEAR_CIRCUIT, &prepared.circuit.block, &clear_logits, &logits)?);
        record.prompts = prepared.outcomes(&float.logits, &logits)?;
        Ok(())
    }
}

/// What the run has shown and what it takes.
fn report(prepared: &Prepared, observations: Observations, record: &mut CellRecord) {
    let bootstraps = observations.counts.get("half_bootstraps").copied().unwrap_or_default();
    record.failure_probability_log2 = Some(prepared.circuit.parameters.failure_log2(bootstraps));
    record.seconds = observations.seconds;
    record.counts = observations.counts;
    record.kernels = observations.kernels;
    record.layer_errors = observations.layer_errors;
    record.provenance.resumptions = observations.resumptions;
    record.footprint.peak_memory_bytes = observations.peak_memory_bytes;
}

/// What the server of this process has done since the account was opened, to be added to what earlier processes did.
struct Account<'a, B: Backend> {
    server: &'a Server<B>,
    operations: OperationCounts,
    kernels: Counts,
    key_switches: u64,
    start: Instant,
}

impl<'a, B: Backend> Account<'a, B> {
    fn open(server: &'a Server<B>, start: Instant) -> Self {
        let (operations, kernels) = (server.counts(), server.backend().counts());
        Self { server, operations, kernels, key_switches: server.key_switches(), start }
    }

    /// Observations of all processes so far, this one's share included.
    fn balance(&self, observations: &Observations) -> Observations {
        let mut balance = observations.clone();
        let switches = self.server.key_switches() - self.key_switches;
        add(&mut balance.counts, metered::operations(self.server.counts() - self.operations, switches));
        add(&mut balance.kernels, metered::kernels(&(self.server.backend().counts() - self.kernels)));
        balance.seconds.total += self.start.elapsed().as_secs_f64();
        balance.peak_memory_bytes = balance.peak_memory_bytes.max(machine::peak_memory_bytes());
        balance
    }
}

/// Adds counts name by name.
fn add(counts: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (name, value) in more {
        *counts.entry(name).or_default() += value;
    }
}
