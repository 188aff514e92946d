//! Token after token behind a prompt: the client chooses, the server takes a step over its caches.

mod outcome;
mod sampler;
mod state;

use std::time::Instant;

use fhe_circuits::KeyValueCache;
use fhe_ckks::{Client, LaneProducts, SlotArithmetic};
use fhe_model::Matrix;
use fhe_model::encrypted::DecodingModel;
use serde::{Deserialize, Serialize};

use super::attendant::Attendant;
use super::state::Observations;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::record::PhaseSeconds;

pub(super) use outcome::{Continuation, describe};
pub(crate) use sampler::Sampler;
pub(super) use state::{Stage, Standing, load_cache, save_cache};

/// What generates after a prompt.
pub(super) struct Generation {
    pub(super) steps: DecodingModel,
    /// Tokens to generate.
    pub(super) tokens: usize,
    pub(super) sampler: Sampler,
}

/// A generated token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Generated {
    pub(super) token: u32,
    /// What it was chosen from.
    #[serde(with = "bits")]
    pub(super) logits: Vec<f32>,
    /// Of the step that gave these logits; nothing for the first, whose are the prompt's.
    pub(super) seconds: PhaseSeconds,
    pub(super) half_bootstraps: u64,
}

/// Server and client of a generation.
pub(super) struct Generator<'a, E, C> {
    pub(super) generation: &'a Generation,
    pub(super) evaluator: &'a E,
    pub(super) client: &'a C,
    pub(super) progress: &'a dyn ProgressSink,
}

/// Most bytes of weights that are kept from step to step. Those of larger models are made anew.
const MOST_KEPT_BYTES: u64 = 2 << 30;

impl Generation {
    /// The steps with all their weights, if these are small and needed at all.
    pub(super) fn with_weights<E: SlotArithmetic>(&self, e: &E) -> Result<Option<DecodingModel>, HarnessError> {
        if !e.holds_data() || self.kept_bytes() == 0 {
            return Ok(None);
        }
        let failed = |error| HarnessError::execution("convert the weights of steps", error);
        self.steps.keeping_weights().map(Some).map_err(failed)
    }

    /// Refuses more tokens than there is room for: what is calibrated is a block.
    pub(super) fn check_room(&self) -> Result<(), HarnessError> {
        let (prompt, capacity) = (self.steps.prompt_length(), self.steps.capacity());
        // The last token is never fed back.
        let found = prompt + self.tokens - 1;
        if found <= capacity {
            return Ok(());
        }
        let error = fhe_model::Error::CacheFull { found, required: capacity };
        Err(HarnessError::refused("make room for what is to be generated", error))
    }

    /// The first token, from the logits of a prompt.
    ///
    /// # Errors
    /// [`HarnessError::NotNumbers`].
    pub(super) fn first(&self, logits: &Matrix) -> Result<Generated, HarnessError> {
        let end = self.steps.prompt_length() - self.steps.public_tokens();
        let logits = logits.column(end - 1);
        let token = self.choose(&logits, end)?;
        Ok(Generated { token, logits, seconds: PhaseSeconds::default(), half_bootstraps: 0 })
    }

    fn choose(&self, logits: &[f32], position: usize) -> Result<u32, HarnessError> {
        self.sampler.choose(logits, position).ok_or(HarnessError::NotNumbers { position })
    }

    /// Bytes of weights that stay from step to step.
    pub(super) fn kept_bytes(&self) -> u64 {
        Some(self.steps.integer_bytes()).filter(|bytes| *bytes <= MOST_KEPT_BYTES).unwrap_or(0)
    }
}

impl<E: LaneProducts, C: Client<E>> Generator<'_, E, C> {
    /// Encrypts again what earlier processes sent: a client numbers its encryptions, and a resumed run is to send the same as one that was not
    /// interrupted.
    ///
    /// # Errors
    /// Those of the client.
    pub(super) fn catch_up(&self, generated: &[Generated]) -> Result<(), HarnessError> {
        let fed = generated.split_last().map_or(&[][..], |(_, fed)| fed);
        for token in fed {
            let sent = self.generation.steps.embed::<E, C>(self.client, token.token);
            sent.map_err(|error| HarnessError::execution("encrypt a token again", error))?;
        }
        Ok(())
    }

    /// Goes on from the tokens so far, at least the first, until all are there, or as long as `forced` tells what was chosen. `after` is given the tokens, the caches and
    /// what the phases of the step took. A device's work is waited for by `settle`.
    ///
    /// # Errors
    /// Those of the engine, naming layer and site; those of `after`.
    pub(super) fn go_on(
        &self,
        mut generated: Vec<Generated>,
        caches: &mut [KeyValueCache<E::Slots>],
        forced: Option<&[u32]>,
        settle: &dyn Fn() -> Result<(), HarnessError>,
        mut after: impl FnMut(&[Generated], &[KeyValueCache<E::Slots>], &PhaseSeconds) -> Result<(), HarnessError>,
    ) -> Result<Vec<Generated>, HarnessError> {
        const PHASE: &str = "generated tokens";
        let Self { generation, evaluator, client, progress } = self;
        let failed = |error| HarnessError::execution("generate a token", error);
        if generated.len() >= generation.tokens {
            return Ok(generated);
        }
        let kept = generation.with_weights(*evaluator)?;
        let steps = kept.as_ref().unwrap_or(&generation.steps);
        let start = Instant::now();
        let first = generated.len();
        while let Some(last) = generated.last().filter(|_| generated.len() < generation.tokens) {
            progress.step(PHASE, (generated.len() - first) as u64, (generation.tokens - first) as u64, start);
            let (clock, before) = (Instant::now(), evaluator.counts());
            let token = forced.and_then(|forced| forced.get(generated.len() - 1)).copied().unwrap_or(last.token);
            let (residual, encrypt) = timed(|| steps.embed::<E, C>(client, token).map_err(failed));
            let mut attendant = Attendant::new(*client, Observations::default()).settling(settle);
            let logits = steps.step(*evaluator, caches, residual?, &mut attendant).map_err(failed)?;
            attendant.check()?;
            let phases = attendant.observations.seconds;
            let (logits, decrypt) = timed(|| steps.logits::<E, C>(client, &logits).map_err(failed));
            let logits = logits?.ok_or(HarnessError::NoData)?;
            let phases = PhaseSeconds { encrypt, decrypt, client: encrypt + decrypt, ..phases };
            let position = generation.steps.prompt_length() - generation.steps.public_tokens() + generated.len();
            let token = generation.choose(&logits, position)?;
            let half_bootstraps = (evaluator.counts() - before).half_bootstraps;
            let seconds = PhaseSeconds { total: clock.elapsed().as_secs_f64(), ..phases };
            generated.push(Generated { token, logits, seconds, half_bootstraps });
            after(&generated, caches, &phases)?;
        }
        Ok(generated)
    }
}

/// What `work` returns, and the seconds it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    (work(), start.elapsed().as_secs_f64())
}

/// Numbers as the bits that they are: decimals need not come back the same.
mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(numbers: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        numbers.iter().map(|number| number.to_bits()).collect::<Vec<u32>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
        Ok(Vec::<u32>::deserialize(deserializer)?.into_iter().map(f32::from_bits).collect())
    }
}
