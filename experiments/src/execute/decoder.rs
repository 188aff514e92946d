//! The decoder from embedding to logits over any evaluator, layer by layer, resumable.

use std::collections::BTreeMap;
use std::time::Instant;

use fhe_ckks::{Client, Evaluator};
use fhe_model::Matrix;
use fhe_model::encrypted::EncryptedModel;

use super::attendant::{Attendant, Observations};
use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::event::ProgressSink;

const PHASE: &str = "layers";
const OBSERVATIONS: &str = "observations";

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> HarnessError {
    HarnessError::execution("run the decoder", error)
}

/// A saved state: layers done, their observations, the residual.
pub(super) struct Resume<E: Evaluator> {
    done: usize,
    pub(super) observations: Observations,
    residual: Vec<E::Coefficients>,
}

/// The newest state in a run folder, if there is one.
pub(super) fn resume<E: Evaluator>(
    e: &E,
    layers: usize,
    folder: &RunFolder,
) -> Result<Option<Resume<E>>, HarnessError> {
    for done in (1..=layers).rev() {
        let Some(observations) = folder.load(&format!("{OBSERVATIONS}-{done}"))? else { continue };
        let observations = serde_json::from_slice(&observations).map_err(failed)?;
        let mut residual = Vec::new();
        while let Some(bytes) = folder.load(&residual_name(done, residual.len()))? {
            residual.push(e.restore(&bytes).map_err(failed)?);
        }
        return Ok(Some(Resume { done, observations, residual }));
    }
    Ok(None)
}

fn residual_name(done: usize, ciphertext: usize) -> String {
    format!("residual-{done}-{ciphertext}")
}

/// Where a run saves its state, and what it has counted in this process.
pub(super) struct Checkpoints<'a> {
    pub(super) folder: &'a RunFolder,
    pub(super) census: &'a dyn Fn() -> BTreeMap<String, u64>,
}

/// Sums of both, name by name.
pub(super) fn add_counts(mut left: BTreeMap<String, u64>, right: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    for (name, value) in right {
        *left.entry(name).or_default() += value;
    }
    left
}

/// Runs what is missing and decrypts the logits; `None` without data. With checkpoints, saves the residual after every
/// layer (its observations last, so that a state is complete when they are there).
pub(super) fn run<E: Evaluator, C: Client<E>>(
    model: &EncryptedModel,
    e: &E,
    attendant: &mut Attendant<'_, C>,
    client: &C,
    start: Option<Resume<E>>,
    checkpoints: Option<Checkpoints<'_>>,
    progress: &dyn ProgressSink,
) -> Result<Option<Matrix>, HarnessError> {
    let clock = Instant::now();
    let first = start.as_ref().map_or(0, |state| state.done);
    let steps = (model.layers() + 1 - first) as u64;
    let mut residual = match start {
        Some(state) => state.residual,
        None => {
            let (embedded, seconds) = progress.phase("encrypt", || model.embed::<E, C>(client));
            attendant.observations.seconds.encrypt += seconds;
            attendant.observations.seconds.client += seconds;
            embedded.map_err(failed)?
        }
    };
    progress.step(PHASE, 0, steps, clock);
    for layer in first..model.layers() {
        residual = model.layer(e, layer, &residual, attendant).map_err(failed)?;
        attendant.pause();
        if let Some(Checkpoints { folder, census }) = &checkpoints {
            for (index, ciphertext) in residual.iter().enumerate() {
                folder.save(&residual_name(layer + 1, index), &e.save(ciphertext).map_err(failed)?)?;
            }
            let mut observations = attendant.observations.clone();
            observations.counts = add_counts(observations.counts, census());
            let observations = serde_json::to_vec(&observations).map_err(failed)?;
            folder.save(&format!("{OBSERVATIONS}-{}", layer + 1), &observations)?;
        }
        progress.step(PHASE, (layer + 1 - first) as u64, steps, clock);
    }
    let logits = model.head(e, &residual, attendant).map_err(failed)?;
    attendant.pause();
    progress.step(PHASE, steps, steps, clock);
    let (decrypted, seconds) = progress.phase("decrypt", || model.logits::<E, C>(client, &logits));
    attendant.observations.seconds.decrypt += seconds;
    attendant.observations.seconds.client += seconds;
    decrypted.map_err(failed)
}
