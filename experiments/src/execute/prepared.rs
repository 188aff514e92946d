//! A circuit with the data that it runs on: weights, tokenizer, prompts; checked before anything is encrypted.

use fhe_model::{Error, FloatModel, Matrix, PromptBlock, Weights};

use super::blocks::numbered;
use super::circuit::Circuit;
use super::inputs::{Inputs, behind, prefilled};
use super::reference::Reference;
use crate::error::HarnessError;
use crate::event::Quiet;
use crate::randomness::noise_seed;
use crate::record::PromptOutcome;
use crate::spec::{Cell, EngineSection};

/// The model, the prompts and the circuit of a cell.
pub(super) struct Prepared {
    pub(super) circuit: Circuit,
    pub(super) engine: EngineSection,
    /// Of modelled noise.
    pub(super) noise_seed: u64,
    inputs: Inputs,
    prompts: Vec<String>,
    /// Where each prompt stands in spec or file.
    places: Vec<String>,
}

impl Prepared {
    /// # Errors
    /// [`HarnessError::Refused`] where the parameters do not carry the circuit.
    pub(super) fn new(cell: &Cell, inputs: Inputs) -> Result<Self, HarnessError> {
        let circuit = Circuit::of_inputs(cell, &inputs)?;
        let prompts = cell.prompts.clone();
        let places = (0..prompts.len()).map(|prompt| cell.config.input.place(prompt)).collect();
        Ok(Self { circuit, engine: cell.config.engine.clone(), noise_seed: noise_seed(cell), inputs, prompts, places })
    }

    /// The weights of the circuit.
    pub(super) fn circuit_weights(&self) -> &Weights {
        &self.inputs.weights
    }

    /// The block of the prompts, or those of windows of a text, of which the circuit's is the first.
    pub(super) fn blocks(&self) -> &[PromptBlock] {
        &self.inputs.blocks
    }

    /// The weights as they are stored, if the circuit's are others.
    pub(super) fn stored_weights(&self) -> Option<&Weights> {
        self.inputs.weights.rotation().map(|_| &self.inputs.stored)
    }

    /// Runs the prompts through the float model and refuses them outside the calibrated ranges: a pre-flight that only a
    /// harness can do, since a server never sees them. Tensors are those of the circuit's weights, which may be rotated; logits always those of
    /// the stored ones.
    pub(super) fn reference(&self) -> Result<Reference, HarnessError> {
        let model = self.inputs.float_model();
        let (stored, block) = (self.stored_weights(), &self.circuit.block);
        let context = stored.map(|weights| prefilled(weights, block, &Quiet)).transpose()?.flatten();
        let stored = stored.map(|weights| behind(weights, context.as_ref()));
        Reference::new(&model, stored.as_ref(), &self.circuit.ranges, block).map_err(|error| {
            match self.culprit(&model, &error) {
                Some((prompt, error)) => {
                    HarnessError::Prompt { place: self.places[prompt].clone(), source: Box::new(error) }
                }
                None if matches!(error, Error::OutOfRange(_)) => {
                    HarnessError::refused("run the float model on the prompts", error)
                }
                None => HarnessError::execution("run the float model on the prompts", error),
            }
        })
    }

    /// Logits of the stored weights for a block behind the public tokens of the circuit's, and what of it leaves the calibrated ranges, if anything does.
    ///
    /// # Errors
    /// Those of the float model.
    pub(super) fn float_logits(&self, block: &PromptBlock) -> Result<(Matrix, Option<String>), HarnessError> {
        let failed = |error| HarnessError::execution("run the float model on what was generated", error);
        let logits = self.circuit.ranges.preflight(&self.inputs.float_model(), block);
        let (logits, left_ranges) = match logits {
            Ok(logits) => (Some(logits), None),
            Err(error @ (Error::OutOfRange(_) | Error::FirstToken { .. })) => (None, Some(error.to_string())),
            Err(error) => return Err(failed(error)),
        };
        let logits = match (self.stored_weights(), logits) {
            (Some(stored), _) => {
                let context = prefilled(stored, block, &Quiet)?;
                behind(stored, context.as_ref()).logits(block).map_err(failed)?
            }
            (None, Some(logits)) => logits,
            (None, None) => self.inputs.float_model().logits(block).map_err(failed)?,
        };
        Ok((logits, left_ranges))
    }

    /// Of prompts that leave the ranges together, the first that does so alone.
    fn culprit(&self, model: &FloatModel<'_>, together: &Error) -> Option<(usize, Error)> {
        let out_of_range = |error: &Error| matches!(error, Error::OutOfRange(_) | Error::FirstToken { .. });
        let Circuit { block, ranges, .. } = &self.circuit;
        let prompts = (0..block.prompts().len()).filter(|_| out_of_range(together));
        let mut alone = prompts.filter_map(|prompt| {
            let alone = block.with_prompt_alone(prompt, self.inputs.weights.config()).ok()?;
            Some((prompt, numbered(ranges.preflight(model, &alone).err()?, prompt)))
        });
        alone.find(|(_, error)| out_of_range(error))
    }

    /// Tokens as text.
    pub(super) fn decode(&self, tokens: &[u32]) -> Result<String, HarnessError> {
        let failed = |error| HarnessError::execution("decode tokens", error);
        self.inputs.tokenizer.decode(tokens).map_err(failed)
    }

    /// The most likely next token of every prompt, in float and by `logits`.
    pub(super) fn outcomes(&self, float: &Matrix, logits: &Matrix) -> Result<Vec<PromptOutcome>, HarnessError> {
        let next = |matrix: &Matrix, position: usize| {
            let column = matrix.column(position);
            let best = (0..column.len()).max_by(|&a, &b| column[a].total_cmp(&column[b])).unwrap_or_default();
            self.decode(&[best as u32])
        };
        self.prompts
            .iter()
            .zip(self.circuit.block.prompts())
            .map(|(text, span)| {
                let last = span.start + span.len - 1;
                Ok(PromptOutcome {
                    text: text.clone(),
                    tokens: span.len,
                    next_float: next(float, last)?,
                    next: next(logits, last)?,
                })
            })
            .collect()
    }
}
