//! The encrypted run: plan, keys, layers, logits, and what they are compared with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use fhe_ckks::{CkksClient, CkksServer, OperationCounts, SlotArithmetic};
use fhe_ring::{Counting, Counts, Cpu, Seed};

use super::attendant::Attendant;
use super::decoder::Decoder;
use super::in_clear;
use super::metered;
use super::pace::Pace;
use super::plan::Plan;
use super::prepared::Prepared;
use super::reference::agreement;
use super::state::{self, Observations, State};
use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::machine;
use crate::record::{CLEAR_CIRCUIT, CellRecord, FLOAT, Footprint};

type Server = CkksServer<Counting<Cpu>>;
type DataOwner = CkksClient<Counting<Cpu>>;

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> HarnessError {
    HarnessError::execution("set up the encrypted run", error)
}

/// Runs the cell on the CPU, resuming from the run folder where there is something to resume from. `start` is when this
/// process began to work on it.
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
    let (reference, (clear_tensors, clear_logits)) = references?;
    record.seconds.comparison = seconds;
    let (plan, seconds) = progress.phase("plan", || Plan::new(&prepared.circuit));
    let plan = plan?;
    record.seconds.plan = seconds;
    record.predicted = Some(plan.prediction());

    let (client, server) = parties(prepared, folder, &plan, progress, record)?;
    let state = State::load(&server, &prepared.circuit.model, folder)?;
    let mut observations = state.as_ref().map(|state| state.observations.clone()).unwrap_or_default();
    if let Some(state) = &state {
        progress.message(format!("resuming after layer {} of {}", state.layers, prepared.circuit.model.layers()));
    }
    observations.seconds += std::mem::take(&mut record.seconds);
    let done = observations.counts.get("half_bootstraps").copied().unwrap_or_default();
    let account = Account::open(&server, start);
    let mut attendant = Attendant::new(&client, observations)
        .comparing(FLOAT, reference.tensors())
        .comparing(CLEAR_CIRCUIT, &clear_tensors)
        .reporting(Pace::new(&server, plan.operations.half_bootstraps.saturating_sub(done), progress));
    let decoder = Decoder { model: &prepared.circuit.model, evaluator: &server, client: &client, progress };
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
        ..plan.traffic(&prepared.circuit)?
    };
    record.seconds.total = earlier;
    record.agreement.push(agreement(FLOAT, &prepared.circuit.block, &reference.logits, &logits)?);
    record.agreement.push(agreement(CLEAR_CIRCUIT, &prepared.circuit.block, &clear_logits, &logits)?);
    record.prompts = prepared.outcomes(&reference.logits, &logits)?;
    Ok(())
}

/// The data owner with the secrets of this cell, and a server with the keys that the plan asks for. Each has a backend of
/// its own, so that the server's counts are the server's alone.
fn parties(
    prepared: &Prepared,
    folder: &RunFolder,
    plan: &Plan,
    progress: &dyn ProgressSink,
    record: &mut CellRecord,
) -> Result<(DataOwner, Server), HarnessError> {
    const KEYS: &str = "keys";
    let backend = || Arc::new(Counting::new(Cpu::new(prepared.circuit.parameters.rlwe().chain().clone())));
    let seed = Seed::from_bytes(folder.seed()?);
    let client = CkksClient::new(backend(), prepared.circuit.parameters.clone(), &seed).map_err(failed)?;
    let (keys, seconds) = progress.phase(KEYS, || {
        let clock = Instant::now();
        client.evaluation_keys(&plan.requests, |done| {
            progress.step(KEYS, done as u64, plan.requests.len() as u64, clock);
        })
    });
    record.seconds.keys = seconds;
    record.seconds.client += seconds;
    let keys = keys.map_err(|error| HarnessError::execution("generate the evaluation keys", error))?;
    let (server, seconds) =
        progress.phase("encode tables", || CkksServer::new(backend(), prepared.circuit.parameters.clone(), keys));
    record.seconds.set_up += seconds;
    Ok((client, server.map_err(failed)?))
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
struct Account<'a> {
    server: &'a Server,
    operations: OperationCounts,
    kernels: Counts,
    key_switches: u64,
    start: Instant,
}

impl<'a> Account<'a> {
    fn open(server: &'a Server, start: Instant) -> Self {
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
