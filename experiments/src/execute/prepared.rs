//! A circuit with the data that it runs on: weights, tokenizer, prompts; read and checked before anything is encrypted.

use std::path::Path;

use fhe_model::{Error, FloatModel, Matrix, PromptBlock, Tokenizer, Weights};

use super::blocks::{blocks, numbered};
use super::circuit::{Circuit, parameters};
use super::reference::Reference;
use crate::calibrate;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::record::PromptOutcome;
use crate::spec::{Cell, EngineSection};

/// The model, the prompts and the circuit of a cell.
pub(super) struct Prepared {
    pub(super) circuit: Circuit,
    pub(super) engine: EngineSection,
    /// As they are stored: the float reference.
    weights: Weights,
    /// As the circuit has them: rotated, or as they are stored.
    circuit_weights: Weights,
    tokenizer: Tokenizer,
    prompts: Vec<String>,
    /// Where each prompt stands in spec or file.
    places: Vec<String>,
    /// The block of the prompts, or those of windows of a text, of which the circuit's is the first.
    pub(super) blocks: Vec<PromptBlock>,
}

impl Prepared {
    pub(super) fn new(cell: &Cell, root: &Path, progress: &dyn ProgressSink) -> Result<Self, HarnessError> {
        let parameters = parameters(cell)?;
        let config = &cell.config;
        let folder = root.join(&config.model.path);
        let open = |error| HarnessError::execution("open the model", error);
        let weights = Weights::open(&folder).map_err(open)?;
        let circuit_weights = calibrate::circuit_weights(&weights, &config.mitigation);
        let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).map_err(open)?;
        let blocks = blocks(cell, root, &tokenizer, weights.config())?;
        let first = blocks[0].clone();
        let circuit = Circuit::of_prompts(cell, parameters, &circuit_weights, &tokenizer, first, root, progress)?;
        let prompts = cell.prompts.clone();
        let places = (0..prompts.len()).map(|prompt| config.input.place(prompt)).collect();
        let engine = config.engine.clone();
        Ok(Self { circuit, engine, weights, circuit_weights, tokenizer, prompts, places, blocks })
    }

    /// The weights of the circuit.
    pub(super) fn circuit_weights(&self) -> &Weights {
        &self.circuit_weights
    }

    /// The weights as they are stored, if the circuit's are others.
    pub(super) fn stored_weights(&self) -> Option<&Weights> {
        self.circuit_weights.rotation().map(|_| &self.weights)
    }

    /// Runs the prompts through the float model and refuses them outside the calibrated ranges: a pre-flight that only a
    /// harness can do, since a server never sees them. Tensors are those of the circuit's weights, which may be rotated; logits always those of
    /// the stored ones.
    pub(super) fn reference(&self) -> Result<Reference, HarnessError> {
        let model = FloatModel::new(&self.circuit_weights);
        let stored = self.stored_weights().map(FloatModel::new);
        Reference::new(&model, stored.as_ref(), &self.circuit.ranges, &self.circuit.block).map_err(|error| {
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

    /// Of prompts that leave the ranges together, the first that does so alone.
    fn culprit(&self, model: &FloatModel<'_>, together: &Error) -> Option<(usize, Error)> {
        let out_of_range = |error: &Error| matches!(error, Error::OutOfRange(_) | Error::FirstToken { .. });
        let Circuit { block, ranges, .. } = &self.circuit;
        let spans = block.prompts().iter().enumerate().filter(|_| out_of_range(together));
        let mut alone = spans.filter_map(|(prompt, span)| {
            let tokens = block.tokens()[span.positions()].to_vec();
            let alone = PromptBlock::after(block.prefix(), &[tokens], block.size(), self.weights.config()).ok()?;
            Some((prompt, numbered(ranges.preflight(model, &alone).err()?, prompt)))
        });
        alone.find(|(_, error)| out_of_range(error))
    }

    /// The most likely next token of every prompt, in float and by `logits`.
    pub(super) fn outcomes(&self, float: &Matrix, logits: &Matrix) -> Result<Vec<PromptOutcome>, HarnessError> {
        let next = |matrix: &Matrix, position: usize| {
            let column = matrix.column(position);
            let best = (0..column.len()).max_by(|&a, &b| column[a].total_cmp(&column[b])).unwrap_or_default();
            self.tokenizer
                .decode(&[best as u32])
                .map_err(|error| HarnessError::execution("decode the next token", error))
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
