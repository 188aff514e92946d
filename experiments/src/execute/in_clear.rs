//! The same circuit without cryptography.

use std::time::Instant;

use fhe_circuits::{Functions, KeyValueCache};
use fhe_ckks::{BootstrapCost, Clear, ClearSlots, NoiseModel, Parameters, SlotArithmetic};
use fhe_model::Matrix;

use super::attendant::Attendant;
use super::circuit::Circuit;
use super::decoder::Decoder;
use super::generation::{self, Continuation, Generated, Generation, Generator};
use super::metered::BootstrapOperations;
use super::pace::Pace;
use super::plan::Plan;
use super::prepared::Prepared;
use super::reference::{Tensors, agreement};
use super::state::Observations;
use crate::error::HarnessError;
use crate::event::{ProgressSink, Quiet};
use crate::record::{CLEAR_CIRCUIT, CellRecord, FLOAT};
use crate::spec::{EngineSection, Noise};

/// The errors of a cell's evaluators in the clear, for blocks of so many tokens.
pub(super) fn noise_model(engine: &EngineSection, noise: Noise, parameters: &Parameters, tokens: usize) -> NoiseModel {
    match noise {
        Noise::None => NoiseModel::default(),
        Noise::Modelled => {
            let noise = NoiseModel::of(parameters, tokens);
            engine.bootstrap_bits.map_or(noise, |bits| noise.with_bootstrap_bits(bits))
        }
    }
}

/// The evaluator of a whole run.
fn evaluator(prepared: &Prepared, noise: Noise) -> Result<Clear, HarnessError> {
    let cost = BootstrapOperations::new(&prepared.circuit)?;
    evaluator_of(prepared, noise, cost, prepared.noise_seed)
}

/// An evaluator; without noise its errors are those of integer weights and, unless functions are exact, polynomials alone.
pub(super) fn evaluator_of(
    prepared: &Prepared,
    noise: Noise,
    cost: impl BootstrapCost + 'static,
    seed: u64,
) -> Result<Clear, HarnessError> {
    let Circuit { parameters, block, .. } = &prepared.circuit;
    let noise = noise_model(&prepared.engine, noise, parameters, block.size());
    let clear = Clear::new(parameters.shape().clone(), cost, noise, seed)
        .map_err(|error| HarnessError::execution("set up the clear circuit", error))?;
    Ok(match prepared.engine.functions {
        Functions::Polynomial => clear,
        Functions::Exact => clear.with_exact_functions(),
    })
}

/// The clear circuit without noise on a cell's prompts: what encryption alone is told from.
pub(super) struct WithoutNoise {
    clear: Clear,
    tensors: Tensors,
    logits: Matrix,
    caches: Vec<KeyValueCache<ClearSlots>>,
}

/// What it generates behind them.
pub(super) struct Continued {
    logits: Matrix,
    generated: Vec<Generated>,
}

impl Continued {
    pub(super) fn as_continuation(&self) -> Continuation<'_> {
        Continuation { logits: &self.logits, generated: &self.generated }
    }
}

impl WithoutNoise {
    pub(super) fn run(prepared: &Prepared) -> Result<Self, HarnessError> {
        let clear = evaluator(prepared, Noise::None)?;
        let mut tensors = Tensors::empty(&prepared.circuit.block);
        let decoder = Decoder { model: &prepared.circuit.model, evaluator: &clear, client: &clear, progress: &Quiet };
        let mut attendant = Attendant::new(&clear, Observations::default()).keeping(&mut tensors);
        let decoded = decoder.resume(&mut attendant, None, |_, _, _| Ok(()))?;
        drop(attendant);
        let logits = decoded.logits.ok_or(HarnessError::NoData)?;
        Ok(Self { clear, tensors, logits, caches: decoded.caches })
    }

    pub(super) fn tensors(&self) -> &Tensors {
        &self.tensors
    }

    pub(super) fn logits(&self) -> &Matrix {
        &self.logits
    }

    /// Its logits after the tokens that another run chose, and the seconds that took.
    pub(super) fn continued(
        self,
        generation: &Generation,
        chosen: &[Generated],
    ) -> Result<(Continued, f64), HarnessError> {
        let start = Instant::now();
        let Self { clear, logits, mut caches, .. } = self;
        let forced: Vec<u32> = chosen.iter().map(|token| token.token).collect();
        let generator = Generator { generation, evaluator: &clear, client: &clear, progress: &Quiet };
        let first = vec![generation.first(&logits)?];
        let generated = generator.go_on(first, &mut caches, Some(&forced), &|| Ok(()), |_, _, _| Ok(()))?;
        Ok((Continued { logits, generated }, start.elapsed().as_secs_f64()))
    }
}

/// How many half bootstraps a run takes, to tell how far it has come. With exact functions a circuit that the scheme would refuse runs
/// all the same, for its index maps and weights: then none, after a word about why.
pub(super) fn half_bootstraps(prepared: &Prepared, progress: &dyn ProgressSink) -> Result<Option<u64>, HarnessError> {
    match (Plan::new(&prepared.circuit), prepared.engine.functions) {
        (Ok(plan), _) => Ok(Some(plan.operations.half_bootstraps)),
        (Err(reason), Functions::Exact) => {
            progress
                .message(format!("the scheme would refuse this circuit, which runs with exact functions: {reason}"));
            Ok(None)
        }
        (Err(reason), Functions::Polynomial) => Err(reason),
    }
}

/// The clear mode of a cell.
pub(super) fn run(
    prepared: &Prepared,
    progress: &dyn ProgressSink,
    record: &mut CellRecord,
) -> Result<(), HarnessError> {
    let (reference, seconds) = progress.phase("float reference", || prepared.reference());
    let reference = reference?;
    record.seconds.comparison = seconds;
    record.extremes = Some(reference.extremes);
    let (planned, seconds) = progress.phase("plan", || {
        Ok::<_, HarnessError>((half_bootstraps(prepared, progress)?, evaluator(prepared, prepared.engine.noise)?))
    });
    let (half_bootstraps, clear) = planned?;
    record.seconds.plan = seconds;
    // What noise alone does, to be held against what encryption does.
    let without_noise = match prepared.engine.noise {
        Noise::None => None,
        Noise::Modelled => {
            let (without_noise, seconds) = progress.phase("the circuit without noise", || WithoutNoise::run(prepared));
            record.seconds.comparison += seconds;
            Some(without_noise?)
        }
    };
    let before = clear.counts();
    let mut attendant = Attendant::new(&clear, Observations::default()).comparing(FLOAT, reference.tensors());
    if let Some(without_noise) = &without_noise {
        attendant = attendant.comparing(CLEAR_CIRCUIT, without_noise.tensors());
    }
    if let Some(total) = half_bootstraps {
        attendant = attendant.reporting(Pace::new(&clear, total, progress));
    }
    let decoder = Decoder { model: &prepared.circuit.model, evaluator: &clear, client: &clear, progress };
    let decoded = decoder.resume(&mut attendant, None, |_, _, _| Ok(()))?;
    let logits = decoded.logits.ok_or(HarnessError::NoData)?;
    let mut prompt = std::mem::take(&mut attendant.observations);
    drop(attendant);
    prompt.counts.insert("half_bootstraps".into(), (clear.counts() - before).half_bootstraps);
    record.seconds += prompt.seconds;
    record.layer_errors = std::mem::take(&mut prompt.layer_errors);
    record.agreement.push(agreement(FLOAT, &prepared.circuit.block, &reference.logits, &logits)?);
    if let Some(without_noise) = &without_noise {
        let expected = without_noise.logits();
        record.agreement.push(agreement(CLEAR_CIRCUIT, &prepared.circuit.block, expected, &logits)?);
    }
    record.prompts = prepared.outcomes(&reference.logits, &logits)?;
    if let Some(generation) = &prepared.circuit.generation {
        let generator = Generator { generation, evaluator: &clear, client: &clear, progress };
        let (first, mut caches) = (vec![generation.first(&logits)?], decoded.caches);
        let generated = generator.go_on(first, &mut caches, None, &|| Ok(()), |_, _, seconds| {
            record.seconds += *seconds;
            Ok(())
        })?;
        let without_noise = without_noise.map(|without_noise| without_noise.continued(generation, &generated));
        let (without_noise, seconds) = without_noise.transpose()?.unzip();
        record.seconds.comparison += seconds.unwrap_or(0.0);
        let beside = without_noise.as_ref().map(Continued::as_continuation);
        let found = Continuation { logits: &logits, generated: &generated };
        generation::describe(prepared, generation, &prompt, &found, beside.as_ref(), record)?;
    }
    record.counts = (clear.counts() - before).entries().map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(())
}
