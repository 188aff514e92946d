//! What a run keeps after every layer, so that a killed one goes on from there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fhe_circuits::KeyValueCache;
use fhe_ckks::Evaluator;
use fhe_model::encrypted::LayerOutput;
use serde::{Deserialize, Serialize};

use super::circuit::Circuit;
use super::generation::{load_cache, save_cache};

use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::record::{LayerError, PhaseSeconds};

/// What a run has shown so far, summed over all processes that worked on it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Observations {
    pub(super) seconds: PhaseSeconds,
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) kernels: BTreeMap<String, u64>,
    pub(super) layer_errors: Vec<LayerError>,
    pub(super) peak_memory_bytes: u64,
    /// How often an earlier process was taken over from.
    pub(super) resumptions: u32,
}

/// Where a run stands between two layers.
pub(super) struct State<E: Evaluator> {
    /// Layers done.
    pub(super) layers: usize,
    pub(super) observations: Observations,
    pub(super) residual: Vec<E::Coefficients>,
    /// Of these layers, where a generation follows.
    pub(super) caches: Vec<KeyValueCache<E::Slots>>,
}

impl<E: Evaluator> State<E> {
    /// The newest state in a run folder, if there is one.
    ///
    /// # Errors
    /// [`HarnessError::CheckpointDamaged`] for a file that was altered or is missing.
    pub(super) fn load(e: &E, circuit: &Circuit, folder: &RunFolder) -> Result<Option<Self>, HarnessError> {
        let model = &circuit.model;
        let damaged =
            |name: &str, problem: String| HarnessError::CheckpointDamaged { path: file(folder, name), problem };
        for layers in (1..=model.layers()).rev() {
            let name = observations_name(layers);
            let Some(bytes) = folder.load(&name)? else { continue };
            let mut observations: Observations =
                serde_json::from_slice(&bytes).map_err(|error| damaged(&name, error.to_string()))?;
            observations.resumptions += 1;
            let residual = (0..model.input_ciphertexts()).map(|index| {
                let name = residual_name(layers, index);
                let bytes = folder.load(&name)?.ok_or_else(|| damaged(&name, "it is missing".into()))?;
                e.restore(&bytes).map_err(|error| damaged(&name, error.to_string()))
            });
            let residual = residual.collect::<Result<_, _>>()?;
            let caches = circuit.generation.iter().flat_map(|generation| {
                (0..layers).map(|layer| load_cache(e, generation, folder, &cache_name(layer), 0))
            });
            return Ok(Some(Self { layers, observations, residual, caches: caches.collect::<Result<_, _>>()? }));
        }
        Ok(None)
    }
}

/// Stores a state. The observations come last: where they are, the state is complete.
///
/// # Errors
/// [`HarnessError::DiskFull`], [`HarnessError::Io`].
pub(super) fn save<E: Evaluator>(
    e: &E,
    folder: &RunFolder,
    layers: usize,
    LayerOutput { residual, cache }: &LayerOutput<E>,
    observations: &Observations,
) -> Result<(), HarnessError> {
    let failed = |error| HarnessError::execution(format!("save the residual after layer {}", layers - 1), error);
    for (index, ciphertext) in residual.iter().enumerate() {
        folder.save(&residual_name(layers, index), &e.save(ciphertext).map_err(failed)?)?;
    }
    if let Some(cache) = cache {
        save_cache(e, folder, &cache_name(layers - 1), cache)?;
    }
    let bytes =
        serde_json::to_vec(observations).map_err(|error| HarnessError::execution("encode what was observed", error))?;
    folder.save(&observations_name(layers), &bytes)
}

fn observations_name(layers: usize) -> String {
    format!("observations-{layers}")
}

fn cache_name(layer: usize) -> String {
    format!("cache-{layer}")
}

fn residual_name(layers: usize, ciphertext: usize) -> String {
    format!("residual-{layers}-{ciphertext}")
}

fn file(folder: &RunFolder, name: &str) -> PathBuf {
    folder.path().join(name)
}
