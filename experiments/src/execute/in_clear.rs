//! The same circuit without cryptography.

use fhe_ckks::{BootstrapCost, Clear, Evaluator, NoiseModel, OperationCounts};
use fhe_model::Matrix;

use super::attendant::{Attendant, Observations};
use super::prepared::Prepared;
use super::reference::{Tensors, agreement};
use super::{decoder, metered};
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::record::{CellRecord, FLOAT};

/// Counts of one bootstrap, as metering the parameter set finds them.
struct Metered<F>(F);

impl<F: Fn(Option<usize>) -> OperationCounts + Send + Sync> BootstrapCost for Metered<F> {
    fn half_bootstrap(&self, levels: usize) -> OperationCounts {
        (self.0)(Some(levels))
    }

    fn slots_to_coefficients(&self) -> OperationCounts {
        (self.0)(None)
    }
}

/// An evaluator without noise: its errors are those of integer weights and polynomials alone.
pub(super) fn evaluator(prepared: &Prepared) -> Result<Clear, HarnessError> {
    let cost = Metered(metered::bootstrap_operations(prepared)?);
    Clear::new(prepared.parameters.shape().clone(), cost, NoiseModel::default(), 0)
        .map_err(|error| HarnessError::execution("set up the clear circuit", error))
}

/// Tensors and logits of the clear circuit.
pub(super) fn tensors(prepared: &Prepared, progress: &dyn ProgressSink) -> Result<(Tensors, Matrix), HarnessError> {
    let clear = evaluator(prepared)?;
    let mut kept = Tensors::empty(&prepared.block);
    let mut attendant = Attendant::new(&clear, Vec::new(), Observations::default()).keeping(&mut kept);
    let logits = decoder::run(&prepared.model, &clear, &mut attendant, &clear, None, None, progress)?;
    drop(attendant);
    Ok((kept, logits.ok_or(HarnessError::NoData)?))
}

/// The clear mode of a cell.
pub(super) fn run(
    prepared: &Prepared,
    progress: &dyn ProgressSink,
    record: &mut CellRecord,
) -> Result<(), HarnessError> {
    let reference = prepared.reference()?;
    let clear = evaluator(prepared)?;
    let before = clear.counts();
    let mut attendant = Attendant::new(&clear, vec![(FLOAT, reference.tensors())], Observations::default());
    let logits = decoder::run(&prepared.model, &clear, &mut attendant, &clear, None, None, progress)?
        .ok_or(HarnessError::NoData)?;
    let observations = attendant.observations;
    let set_up = record.seconds.set_up;
    record.seconds = observations.seconds;
    record.seconds.set_up = set_up;
    record.layer_errors = observations.layer_errors;
    record.counts.extend((clear.counts() - before).entries().map(|(name, value)| (name.to_owned(), value)));
    record.agreement.push(agreement(FLOAT, &prepared.block, &reference.logits, &logits)?);
    record.prompts = prepared.outcomes(&reference.logits, &logits)?;
    Ok(())
}
