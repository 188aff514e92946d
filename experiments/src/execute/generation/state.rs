//! What a generation keeps after every token, so that a killed one goes on from there.

use fhe_circuits::KeyValueCache;
use fhe_ckks::Evaluator;
use fhe_model::Matrix;
use serde::{Deserialize, Serialize};

use super::{Generated, Generation};
use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::execute::state::Observations;

const LOGITS: &str = "prompt-logits";

/// What the prompt took and left, and the tokens so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::execute) struct Stage {
    pub(in crate::execute) observations: Observations,
    /// What was observed when the prompt's logits were there.
    pub(in crate::execute) prompt: Observations,
    /// Logits of all block positions of the prompt, in a file of their own.
    #[serde(skip, default = "nothing")]
    pub(in crate::execute) logits: Matrix,
    pub(in crate::execute) generated: Vec<Generated>,
}

/// Where a generation stands.
pub(in crate::execute) struct Standing<E: Evaluator> {
    pub(in crate::execute) stage: Stage,
    /// Of every layer.
    pub(in crate::execute) caches: Vec<KeyValueCache<E::Slots>>,
}

impl Stage {
    /// Whether the prompt is done.
    pub(in crate::execute) fn exists(generation: &Generation, folder: &RunFolder) -> bool {
        (1..=generation.tokens).any(|tokens| folder.path().join(stage_name(tokens)).exists())
    }

    /// The newest stage in a run folder with its caches.
    ///
    /// # Errors
    /// [`HarnessError::CheckpointDamaged`] for a file that was altered or is missing.
    pub(in crate::execute) fn load<E: Evaluator>(
        e: &E,
        generation: &Generation,
        folder: &RunFolder,
    ) -> Result<Standing<E>, HarnessError> {
        for tokens in (1..=generation.tokens).rev() {
            let name = stage_name(tokens);
            let Some(bytes) = folder.load(&name)? else { continue };
            let damaged = |problem| HarnessError::CheckpointDamaged { path: folder.path().join(&name), problem };
            let mut stage: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
            stage.logits = load_logits(generation, folder)?;
            let caches = (0..generation.steps.layers())
                .map(|layer| load_cache(e, generation, folder, &cache_name(layer, tokens), tokens - 1));
            return Ok(Standing { stage, caches: caches.collect::<Result<_, _>>()? });
        }
        let path = folder.path().join(stage_name(1));
        Err(HarnessError::CheckpointDamaged { path, problem: "it is missing".into() })
    }

    /// Stores the stage. The stage itself comes last: where it is, its caches are.
    ///
    /// # Errors
    /// [`HarnessError::DiskFull`], [`HarnessError::Io`].
    pub(in crate::execute) fn save<E: Evaluator>(
        &self,
        e: &E,
        caches: &[KeyValueCache<E::Slots>],
        folder: &RunFolder,
    ) -> Result<(), HarnessError> {
        let tokens = self.generated.len();
        if tokens == 1 {
            let bytes: Vec<u8> = self.logits.data().iter().flat_map(|logit| logit.to_le_bytes()).collect();
            folder.save(LOGITS, &bytes)?;
        }
        for (layer, cache) in caches.iter().enumerate() {
            save_cache(e, folder, &cache_name(layer, tokens), cache)?;
        }
        let bytes = serde_json::to_vec(self).map_err(|error| HarnessError::execution("encode a stage", error))?;
        folder.save(&stage_name(tokens), &bytes)?;
        // Only the newest caches are ever read.
        folder.forget(&format!("-behind-{}-", tokens - 1))
    }
}

/// Stores the cache of a layer.
///
/// # Errors
/// [`HarnessError::DiskFull`], [`HarnessError::Io`].
pub(in crate::execute) fn save_cache<E: Evaluator>(
    e: &E,
    folder: &RunFolder,
    name: &str,
    cache: &KeyValueCache<E::Slots>,
) -> Result<(), HarnessError> {
    let failed = |error| HarnessError::execution("save keys and values", error);
    for (kind, ciphertexts) in [("keys", cache.keys()), ("values", cache.values())] {
        for (number, ciphertext) in ciphertexts.iter().enumerate() {
            folder.save(&format!("{name}-{kind}-{number}"), &e.save_slots(ciphertext).map_err(failed)?)?;
        }
    }
    Ok(())
}

/// A stored cache, of the prompt and so many tokens more.
///
/// # Errors
/// [`HarnessError::CheckpointDamaged`] for a file that was altered or is missing.
pub(in crate::execute) fn load_cache<E: Evaluator>(
    e: &E,
    generation: &Generation,
    folder: &RunFolder,
    name: &str,
    more: usize,
) -> Result<KeyValueCache<E::Slots>, HarnessError> {
    let layout = generation.steps.cache_layout();
    let (public, length) = (generation.steps.public_tokens(), generation.steps.prompt_length() + more);
    let ciphertexts = |kind: &str| {
        let one = |number: usize| {
            let name = format!("{name}-{kind}-{number}");
            let damaged = |problem| HarnessError::CheckpointDamaged { path: folder.path().join(&name), problem };
            let bytes = folder.load(&name)?.ok_or_else(|| damaged("it is missing".to_owned()))?;
            e.restore_slots(&bytes).map_err(|error| damaged(error.to_string()))
        };
        (0..layout.encrypted_pages(public, length)).map(one).collect::<Result<Vec<_>, HarnessError>>()
    };
    let failed = |error| HarnessError::execution("restore keys and values", error);
    layout.cache_behind(ciphertexts("keys")?, ciphertexts("values")?, public, length).map_err(failed)
}

fn load_logits(generation: &Generation, folder: &RunFolder) -> Result<Matrix, HarnessError> {
    let damaged =
        |problem: &str| HarnessError::CheckpointDamaged { path: folder.path().join(LOGITS), problem: problem.into() };
    let bytes = folder.load(LOGITS)?.ok_or_else(|| damaged("it is missing"))?;
    let rows = generation.steps.config().vocab_size;
    let (words, _) = bytes.as_chunks::<4>();
    let logits = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
    Matrix::new(rows, words.len() / rows, logits).map_err(|_| damaged("no logits of this vocabulary"))
}

fn nothing() -> Matrix {
    Matrix::zeros(0, 0)
}

fn stage_name(tokens: usize) -> String {
    format!("stage-{tokens}")
}

fn cache_name(layer: usize, tokens: usize) -> String {
    format!("cache-{layer}-behind-{tokens}")
}
