//! The encrypted run: plan, keys, layers, logits, and what they are compared with.

use std::collections::BTreeMap;
use std::time::Instant;

use fhe_circuits::KeyValueCache;
use fhe_ckks::{Client, OperationCounts, SlotArithmetic};
use fhe_model::Matrix;
use fhe_ring::{Backend, Counts, Seed};

use super::attendant::Attendant;
use super::decoder::Decoder;
use super::generation::{self, Continuation, Generator, Stage};
use super::in_clear::WithoutNoise;
use super::metered;
use super::pace::Pace;
use super::parties::{Compute, Parties, Program, Server, Setting};
use super::plan::Plan;
use super::prepared::Prepared;
use super::reference::{Reference, agreement};
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
        Ok::<_, HarnessError>((prepared.reference()?, WithoutNoise::run(prepared)?))
    });
    let (float, clear) = references?;
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
    let run = Run { prepared, folder, start, progress, plan: &plan, float, clear, record };
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
    clear: WithoutNoise,
    record: &'a mut CellRecord,
}

/// What a prompt leaves: what was observed of this and earlier processes, its logits, and keys and values where they are kept.
struct Prompt<E: SlotArithmetic> {
    observations: Observations,
    logits: Matrix,
    caches: Vec<KeyValueCache<E::Slots>>,
}

impl Program for Run<'_> {
    fn run<B: Compute, C: Client<Server<B>>>(
        self,
        Parties { client, server }: Parties<B, C>,
        spent: PhaseSeconds,
    ) -> Result<(), HarnessError> {
        let account = Account::open(&server, self.start);
        let Self { prepared, folder, .. } = self;
        let generation = prepared.circuit.generation.as_ref();
        let standing = generation.map(|generation| Stage::load(&server, generation, folder)).transpose()?.flatten();
        let (mut stage, mut caches) = match standing {
            Some((mut stage, caches)) => {
                self.progress.message(format!("resuming after generated token {}", stage.generated.len()));
                stage.observations.seconds += spent;
                (stage, caches)
            }
            None => {
                let Prompt { observations, logits, caches } = self.prompt((&server, &client), spent, &account)?;
                let prompt = account.balance(&observations);
                let generated = generation.iter().map(|generation| generation.first(&logits)).collect();
                let stage = Stage { observations: prompt.clone(), prompt, logits, generated };
                if generation.is_some() {
                    stage.save(&server, &caches, folder)?;
                }
                (Stage { observations, ..stage }, caches)
            }
        };
        if let Some(generation) = generation {
            let generator = Generator { generation, evaluator: &server, client: &client, progress: self.progress };
            let settle = || server.backend().inner().settle();
            let generated = std::mem::take(&mut stage.generated);
            stage.generated =
                generator.go_on(generated, &mut caches, None, &settle, |generated, caches, seconds| {
                    stage.observations.seconds += *seconds;
                    let (prompt, logits) = (stage.prompt.clone(), stage.logits.clone());
                    let observations = account.balance(&stage.observations);
                    Stage { observations, prompt, logits, generated: generated.to_vec() }.save(&server, caches, folder)
                })?;
        }
        let Self { plan, float, clear, record, .. } = self;
        // The total runs on until the record is complete; only earlier processes' is final.
        let earlier = stage.observations.seconds.total;
        report(prepared, account.balance(&stage.observations), record);
        record.footprint = Footprint {
            peak_memory_bytes: record.footprint.peak_memory_bytes,
            key_bytes: server.key_bytes() as u64,
            device_memory_bytes: server.backend().inner().device_bytes()?,
            ..plan.traffic(&prepared.circuit)?
        };
        record.seconds.total = earlier;
        let logits = &stage.logits;
        record.agreement.push(agreement(FLOAT, &prepared.circuit.block, &float.logits, logits)?);
        record.agreement.push(agreement(CLEAR_CIRCUIT, &prepared.circuit.block, clear.logits(), logits)?);
        record.prompts = prepared.outcomes(&float.logits, logits)?;
        match generation {
            None => Ok(()),
            Some(generation) => {
                let encrypted = Continuation { logits, generated: &stage.generated };
                let (clear, seconds) = clear.continued(generation, &stage.generated)?;
                record.seconds.comparison += seconds;
                generation::describe(
                    prepared,
                    generation,
                    &stage.prompt,
                    &encrypted,
                    Some(&clear.as_continuation()),
                    record,
                )
            }
        }
    }
}

impl Run<'_> {
    /// Layers and head of the prompt, from where an earlier process left off.
    fn prompt<B: Compute, C: Client<Server<B>>>(
        &self,
        (server, client): (&Server<B>, &C),
        spent: PhaseSeconds,
        account: &Account<'_, B>,
    ) -> Result<Prompt<Server<B>>, HarnessError> {
        let Self { prepared, folder, progress, plan, float, clear, .. } = self;
        let model = &prepared.circuit.model;
        let state = State::load(server, &prepared.circuit, folder)?;
        let mut observations = state.as_ref().map(|state| state.observations.clone()).unwrap_or_default();
        if let Some(state) = &state {
            progress.message(format!("resuming after layer {} of {}", state.layers, model.layers()));
        }
        observations.seconds += spent;
        let done = observations.counts.get("half_bootstraps").copied().unwrap_or_default();
        let mut attendant = Attendant::new(client, observations)
            .settling(|| server.backend().inner().settle())
            .comparing(FLOAT, float.tensors())
            .comparing(CLEAR_CIRCUIT, clear.tensors())
            .reporting(Pace::new(server, plan.prompt_half_bootstraps.saturating_sub(done), *progress));
        let decoder = Decoder { model, evaluator: server, client, progress: *progress };
        let decoded = decoder.resume(&mut attendant, state, |layers, left, observations| {
            state::save(server, folder, layers, left, &account.balance(observations))
        })?;
        let observations = std::mem::take(&mut attendant.observations);
        Ok(Prompt { observations, logits: decoded.logits.ok_or(HarnessError::NoData)?, caches: decoded.caches })
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
