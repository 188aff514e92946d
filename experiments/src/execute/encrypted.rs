//! The encrypted run: plan, keys, layers, logits, and what they are compared with.

use std::collections::BTreeMap;
use std::time::Instant;

use fhe_ckks::{Client, OperationCounts, SlotArithmetic, TransformRequests};
use fhe_model::Matrix;
use fhe_ring::{Counts, Seed};
use fhe_shards::Traffic;

use super::attendant::Attendant;
use super::circuit::Circuit;
use super::decoder::Decoder;
use super::generation::{self, Continuation, Generation, Generator, Stage, Standing};
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

    let seed = Seed::from_bytes(folder.seed()?);
    let setting = |requests, server_bytes| Setting {
        parameters: &prepared.circuit.parameters,
        requests,
        server_bytes,
        seed: seed.clone(),
        progress,
    };
    let device = prepared.engine.device;
    let mut run = Run { prepared, folder, start, earlier: None, progress, plan: &plan, float, clear, record };
    let generation = prepared.circuit.generation.as_ref();
    let prompt_is_done = generation.is_some_and(|generation| Stage::exists(generation, folder));
    if !prompt_is_done {
        let spent = std::mem::take(&mut run.record.seconds);
        setting(&plan.requests, plan.server_bytes).run(device, spent, PromptRun(&mut run))?;
    }
    if let (Some(generation), Some(steps)) = (generation, &plan.steps) {
        let spent = std::mem::take(&mut run.record.seconds);
        setting(&steps.requests, steps.server_bytes).run(
            device,
            spent,
            Steps { run, generation, transforms: &steps.transforms },
        )?;
    }
    Ok(())
}

/// An encrypted run whose parties are yet to be made.
struct Run<'a> {
    prepared: &'a Prepared,
    folder: &'a RunFolder,
    start: Instant,
    /// Seconds of earlier processes, where this one has run the prompt.
    earlier: Option<f64>,
    progress: &'a dyn ProgressSink,
    plan: &'a Plan,
    float: Reference,
    clear: WithoutNoise,
    record: &'a mut CellRecord,
}

/// Layers and head of the prompts, from where an earlier process left off.
struct PromptRun<'a, 'b>(&'a mut Run<'b>);

impl Program for PromptRun<'_, '_> {
    fn run<B: Compute, C: Client<Server<B>>>(
        self,
        Parties { client, server }: Parties<B, C>,
        spent: PhaseSeconds,
    ) -> Result<(), HarnessError> {
        let Self(run) = self;
        let Run { prepared, folder, progress, plan, float, clear, .. } = &*run;
        let Circuit { model, generation, .. } = &prepared.circuit;
        let state = State::load(&server, &prepared.circuit, folder)?;
        let mut observations = state.as_ref().map(|state| state.observations.clone()).unwrap_or_default();
        if let Some(state) = &state {
            progress.message(format!("resuming after layer {} of {}", state.layers, model.layers()));
        }
        observations.seconds += spent;
        let done = observations.counts.get("half_bootstraps").copied().unwrap_or_default();
        let account = Account::open(&server, run.start);
        let mut attendant = Attendant::new(&client, observations)
            .settling(|| server.backend().inner().settle())
            .comparing(FLOAT, float.tensors())
            .comparing(CLEAR_CIRCUIT, clear.tensors())
            .reporting(Pace::new(&server, plan.operations.half_bootstraps.saturating_sub(done), *progress));
        let decoder = Decoder { model, evaluator: &server, client: &client, progress: *progress };
        let decoded = decoder.resume(&mut attendant, state, |layers, left, observations| {
            state::save(&server, folder, layers, left, &account.balance(observations))
        })?;
        let logits = decoded.logits.ok_or(HarnessError::NoData)?;
        let observations = std::mem::take(&mut attendant.observations);
        drop(attendant);
        match generation {
            None => run.report(&server, &account, &observations, &logits),
            Some(generation) => {
                let prompt = account.balance(&observations);
                let generated = vec![generation.first(&logits)?];
                let stage = Stage { observations: prompt.clone(), prompt, logits, generated };
                stage.save(&server, &decoded.caches, folder)?;
                run.earlier = Some(observations.seconds.total);
                Ok(())
            }
        }
    }
}

/// What is generated behind the prompt, from where an earlier process left off.
struct Steps<'a> {
    run: Run<'a>,
    generation: &'a Generation,
    transforms: &'a TransformRequests,
}

impl Program for Steps<'_> {
    fn run<B: Compute, C: Client<Server<B>>>(
        self,
        Parties { client, server }: Parties<B, C>,
        mut spent: PhaseSeconds,
    ) -> Result<(), HarnessError> {
        let Self { mut run, generation, transforms } = self;
        let (folder, start, progress) = (run.folder, run.start, run.progress);
        let (encoded, seconds) = progress.phase("encode tables", || server.encode_transforms(transforms));
        encoded.map_err(|error| HarnessError::execution("encode the transforms of steps", error))?;
        spent.set_up += seconds;
        let Standing { mut stage, mut caches } = Stage::load(&server, generation, folder)?;
        let account = Account::open(&server, start);
        match run.earlier {
            // The clock of this process has been running since before the prompt.
            Some(earlier) => stage.observations.seconds.total = earlier,
            None => {
                stage.observations.resumptions += 1;
                progress.message(format!("resuming after generated token {}", stage.generated.len()));
            }
        }
        stage.observations.seconds += spent;
        let generator = Generator { generation, evaluator: &server, client: &client, progress };
        generator.catch_up(&stage.generated)?;
        let settle = || server.backend().inner().settle();
        let generated = std::mem::take(&mut stage.generated);
        let generated = generator.go_on(generated, &mut caches, None, &settle, |generated, caches, seconds| {
            stage.observations.seconds += *seconds;
            let observations = account.balance(&stage.observations);
            Stage { observations, generated: generated.to_vec(), ..stage.clone() }.save(&server, caches, folder)
        })?;
        run.report(&server, &account, &stage.observations, &stage.logits)?;
        let encrypted = Continuation { logits: &stage.logits, generated: &generated };
        let (clear, seconds) = run.clear.continued(generation, &generated)?;
        run.record.seconds.comparison += seconds;
        let clear = clear.as_continuation();
        generation::describe(run.prepared, generation, &stage.prompt, &encrypted, Some(&clear), run.record)
    }
}

impl Run<'_> {
    /// Writes down what was observed, and how the prompts' logits agree with others.
    fn report<B: Compute>(
        &mut self,
        server: &Server<B>,
        account: &Account<'_, B>,
        observations: &Observations,
        logits: &Matrix,
    ) -> Result<(), HarnessError> {
        let Self { prepared, plan, float, clear, record, .. } = self;
        // The total runs on until the record is complete; only earlier processes' is final.
        let earlier = observations.seconds.total;
        report(prepared, account.balance(observations), record);
        let traffic = plan.traffic(&prepared.circuit)?;
        record.footprint = Footprint {
            peak_memory_bytes: record.footprint.peak_memory_bytes,
            key_bytes: traffic.key_bytes.max(server.key_bytes() as u64),
            device_memory_bytes: server.backend().inner().device_bytes()?,
            ..traffic
        };
        record.seconds.total = earlier;
        let block = &prepared.circuit.block;
        record.agreement.push(agreement(FLOAT, block, &float.logits, logits)?);
        record.agreement.push(agreement(CLEAR_CIRCUIT, block, clear.logits(), logits)?);
        record.prompts = prepared.outcomes(&float.logits, logits)?;
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
struct Account<'a, B: Compute> {
    server: &'a Server<B>,
    operations: OperationCounts,
    kernels: Counts,
    key_switches: u64,
    traffic: Traffic,
    start: Instant,
}

impl<'a, B: Compute> Account<'a, B> {
    fn open(server: &'a Server<B>, start: Instant) -> Self {
        let (operations, kernels) = (server.counts(), server.backend().counts());
        let traffic = server.backend().inner().traffic().unwrap_or_default();
        Self { server, operations, kernels, key_switches: server.key_switches(), traffic, start }
    }

    /// Observations of all processes so far, this one's share included.
    fn balance(&self, observations: &Observations) -> Observations {
        let mut balance = observations.clone();
        let switches = self.server.key_switches() - self.key_switches;
        add(&mut balance.counts, metered::operations(self.server.counts() - self.operations, switches));
        if let Some(traffic) = self.server.backend().inner().traffic() {
            let moved = traffic.since(&self.traffic).total();
            add(&mut balance.counts, [("peer_copies".into(), moved.copies), ("peer_bytes".into(), moved.bytes)].into());
        }
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
