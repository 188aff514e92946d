//! A circuit with the data that it runs on: weights, tokenizer, prompts; read and checked before anything is encrypted.

use std::path::Path;

use fhe_model::{Beginning, Config, Error, FloatModel, Matrix, Prefix, PromptBlock, Tokenizer, Weights};

use super::circuit::{Circuit, parameters};
use super::reference::Reference;
use crate::calibrate;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::public_prefix;
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
        let prefix = public_prefix::tokens(&config.mitigation, &tokenizer, weights.config())?;
        let block = block(cell, &prefix, &tokenizer, weights.config())?;
        let circuit = Circuit::of_prompts(cell, parameters, &circuit_weights, &tokenizer, block, root, progress)?;
        let prompts = cell.prompts.clone();
        let places = (0..prompts.len()).map(|prompt| config.input.place(prompt)).collect();
        let engine = config.engine.clone();
        Ok(Self { circuit, engine, weights, circuit_weights, tokenizer, prompts, places })
    }

    /// Runs the prompts through the float model and refuses them outside the calibrated ranges: a pre-flight that only a
    /// harness can do, since a server never sees them. Tensors are those of the circuit's weights, which may be rotated; logits always those of
    /// the stored ones.
    pub(super) fn reference(&self) -> Result<Reference, HarnessError> {
        let model = FloatModel::new(&self.circuit_weights);
        let stored = self.circuit_weights.rotation().map(|_| FloatModel::new(&self.weights));
        Reference::new(&model, stored.as_ref(), &self.circuit.ranges, &self.circuit.block).map_err(|error| {
            match self.culprit(&model, &error) {
                Some((prompt, error)) => {
                    HarnessError::Prompt { place: self.places[prompt].clone(), source: Box::new(error) }
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

/// The prompts of a cell as tokens, packed into its block behind the prefix.
pub(super) fn block(
    cell: &Cell,
    prefix: &Prefix,
    tokenizer: &Tokenizer,
    config: &Config,
) -> Result<PromptBlock, HarnessError> {
    let input = &cell.config.input;
    let beginning = if input.bos { Beginning::Prepend } else { Beginning::Omit };
    let refused = |prompt: usize, source| HarnessError::Prompt { place: input.place(prompt), source: Box::new(source) };
    let encoded = cell.prompts.iter().enumerate().map(|(index, text)| {
        // Each is a prompt of its own to the tokenizer.
        tokenizer.encode_prompt(text, beginning).map_err(|error| refused(index, numbered(error, index)))
    });
    let prompts: Vec<Vec<u32>> = encoded.collect::<Result<_, _>>()?;
    PromptBlock::after(prefix, &prompts, input.block_tokens, config).map_err(|error| match error {
        Error::PositionBeyondModel { prompt, .. } => refused(prompt, error),
        error => {
            HarnessError::execution(format!("fit the prompts into input.block_tokens = {}", input.block_tokens), error)
        }
    })
}

/// The refusal of a prompt on its own, with its true number.
fn numbered(error: Error, index: usize) -> Error {
    match error {
        Error::EmptyPrompt { .. } => Error::EmptyPrompt { prompt: index },
        Error::FirstToken { token, prefix, source, .. } => Error::FirstToken { prompt: index, token, prefix, source },
        Error::TokenOutOfVocabulary { position, token, vocabulary, .. } => {
            Error::TokenOutOfVocabulary { prompt: index, position, token, vocabulary }
        }
        error => error,
    }
}
