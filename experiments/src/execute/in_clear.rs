//! The same circuit without cryptography.

use fhe_circuits::Functions;
use fhe_ckks::{BootstrapCost, Clear, NoiseModel, Parameters, SlotArithmetic};
use fhe_model::Matrix;

use super::attendant::Attendant;
use super::circuit::Circuit;
use super::decoder::Decoder;
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

/// Tensors and logits of the clear circuit without noise.
pub(super) fn tensors(prepared: &Prepared) -> Result<(Tensors, Matrix), HarnessError> {
    let clear = evaluator(prepared, Noise::None)?;
    let mut kept = Tensors::empty(&prepared.circuit.block);
    let decoder = Decoder { model: &prepared.circuit.model, evaluator: &clear, client: &clear, progress: &Quiet };
    let logits = decoder.run(&mut Attendant::new(&clear, Observations::default()).keeping(&mut kept))?;
    Ok((kept, logits.ok_or(HarnessError::NoData)?))
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
            let (without_noise, seconds) = progress.phase("the circuit without noise", || tensors(prepared));
            record.seconds.comparison += seconds;
            Some(without_noise?)
        }
    };
    let before = clear.counts();
    let mut attendant = Attendant::new(&clear, Observations::default()).comparing(FLOAT, reference.tensors());
    if let Some((tensors, _)) = &without_noise {
        attendant = attendant.comparing(CLEAR_CIRCUIT, tensors);
    }
    if let Some(total) = half_bootstraps {
        attendant = attendant.reporting(Pace::new(&clear, total, progress));
    }
    let decoder = Decoder { model: &prepared.circuit.model, evaluator: &clear, client: &clear, progress };
    let logits = decoder.run(&mut attendant)?.ok_or(HarnessError::NoData)?;
    record.seconds += attendant.observations.seconds;
    record.layer_errors = attendant.observations.layer_errors;
    record.counts = (clear.counts() - before).entries().map(|(name, value)| (name.to_owned(), value)).collect();
    record.agreement.push(agreement(FLOAT, &prepared.circuit.block, &reference.logits, &logits)?);
    if let Some((_, expected)) = &without_noise {
        record.agreement.push(agreement(CLEAR_CIRCUIT, &prepared.circuit.block, expected, &logits)?);
    }
    record.prompts = prepared.outcomes(&reference.logits, &logits)?;
    Ok(())
}
