//! Everything public about a cell, read and checked before anything is encrypted.

use std::path::Path;

use fhe_ckks::Parameters;
use fhe_model::calibration::{ModelRanges, Ranges};
use fhe_model::encrypted::{AttentionProducts, CircuitOptions, EncryptedModel, Polynomial};
use fhe_model::{Beginning, Config, Error, FloatModel, Matrix, PromptBlock, Tokenizer, Weights};
use fhe_rlwe::security;

use super::reference::Reference;
use crate::calibrate;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::params;
use crate::record::{CellRecord, PolynomialSummary, PromptOutcome};
use crate::spec::{Cell, EngineSection, Mode};

/// The model, the prompts and the circuit of a cell.
pub(super) struct Prepared {
    pub(super) parameters: Parameters,
    pub(super) weights: Weights,
    pub(super) tokenizer: Tokenizer,
    pub(super) ranges: ModelRanges,
    pub(super) block: PromptBlock,
    pub(super) model: EncryptedModel,
    pub(super) engine: EngineSection,
    prompts: Vec<String>,
    /// Where each prompt stands in spec or file.
    places: Vec<String>,
}

impl Prepared {
    pub(super) fn new(cell: &Cell, root: &Path, progress: &dyn ProgressSink) -> Result<Self, HarnessError> {
        let config = &cell.config;
        let parameters = parameters(&config.engine.parameters, config.engine.insecure)?;
        let folder = root.join(&config.model.path);
        let open = |error| HarnessError::execution("open the model", error);
        let weights = Weights::open(&folder).map_err(open)?;
        let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).map_err(open)?;

        let block = block(cell, &tokenizer, weights.config())?;
        let stored = calibrate::ranges_of(cell, root, progress)?;
        let ranges = Ranges::load(&stored, &weights)
            .map_err(|error| HarnessError::execution("load the calibrated ranges", error))?;
        let options = CircuitOptions {
            softmax: config.softmax.circuit(),
            products: config.attention.products,
            functions: config.engine.functions,
            ..CircuitOptions::default()
        };
        let ranges = match options.products {
            AttentionProducts::Slots => ranges,
            AttentionProducts::Lanes => ranges.covering_masked_scores(),
        };
        let ranges = ranges.model();
        let model = EncryptedModel::prepare(&weights, &ranges, &block, parameters.shape(), options)
            .map_err(|error| HarnessError::execution("prepare the circuit", error))?;
        let prompts = cell.prompts.clone();
        let places = (0..prompts.len()).map(|prompt| config.input.prompts.place(prompt)).collect();
        let engine = config.engine.clone();
        Ok(Self { parameters, weights, tokenizer, ranges, block, model, engine, prompts, places })
    }

    /// Runs the prompts through the float model and refuses them outside the calibrated ranges: a pre-flight that only a
    /// harness can do, since a server never sees them.
    pub(super) fn reference(&self) -> Result<Reference, HarnessError> {
        let model = FloatModel::new(&self.weights);
        Reference::new(&model, &self.ranges, &self.block).map_err(|error| match self.culprit(&model, &error) {
            Some((prompt, error)) => {
                HarnessError::Prompt { place: self.places[prompt].clone(), source: Box::new(error) }
            }
            None => HarnessError::execution("run the float model on the prompts", error),
        })
    }

    /// Of prompts that leave the ranges together, the first that does so alone.
    fn culprit(&self, model: &FloatModel<'_>, together: &Error) -> Option<(usize, Error)> {
        let out_of_range = |error: &Error| matches!(error, Error::OutOfRange(_));
        let spans = self.block.prompts().iter().enumerate().filter(|_| out_of_range(together));
        let mut alone = spans.filter_map(|(prompt, span)| {
            let tokens = self.block.tokens()[span.positions()].to_vec();
            let block = PromptBlock::new(&[tokens], self.block.size(), self.weights.config()).ok()?;
            Some((prompt, self.ranges.preflight(model, &block).err()?))
        });
        alone.find(|(_, error)| out_of_range(error))
    }

    /// What the record says about parameters, model and input.
    pub(super) fn describe(&self, record: &mut CellRecord) {
        let set = self.parameters.set();
        record.provenance.parameters = set.name.into();
        record.provenance.parameter_fingerprint = self.parameters.rlwe().fingerprint().short();
        record.provenance.insecure = set.insecure;
        if record.mode == Mode::Clear {
            record.provenance.security_source = "none: nothing is encrypted in the clear mode".into();
        } else if set.insecure {
            record.provenance.security_source = "a small insecure ring, for tests only".into();
        } else {
            record.provenance.security_bits = Some(f64::from(security::SECURITY_BITS));
            record.provenance.security_source = security::SECURITY_SOURCE.into();
        }
        record.model.layers = self.model.layers();
        record.model.parameters = self.weights.parameter_count();
        record.input.live_tokens = self.block.live();
        record.input.block_tokens = self.block.size();
        record.levels = [
            ("compute", self.parameters.shape().compute_levels),
            ("slots_to_coefficients", self.parameters.shape().slots_to_coefficients_levels),
            ("bootstrap", self.parameters.bootstrap_levels()),
        ]
        .into_iter()
        .map(|(name, levels)| (name.to_owned(), levels as u64))
        .collect();
        let summary = |polynomial: &Polynomial| PolynomialSummary {
            layer: polynomial.location.layer,
            site: polynomial.location.site.to_string(),
            degree: polynomial.degree,
            error: polynomial.error,
        };
        record.polynomials = self.model.polynomials().iter().map(summary).collect();
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
            .zip(self.block.prompts())
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

/// The prompts of a cell as tokens, packed into its block.
fn block(cell: &Cell, tokenizer: &Tokenizer, config: &Config) -> Result<PromptBlock, HarnessError> {
    let input = &cell.config.input;
    let beginning = if input.bos { Beginning::Prepend } else { Beginning::Omit };
    let refused =
        |prompt: usize, source| HarnessError::Prompt { place: input.prompts.place(prompt), source: Box::new(source) };
    let encoded = cell.prompts.iter().enumerate().map(|(index, text)| {
        // Each is a prompt of its own to the tokenizer.
        tokenizer.encode_prompt(text, beginning).map_err(|error| refused(index, numbered(error, index)))
    });
    let prompts: Vec<Vec<u32>> = encoded.collect::<Result<_, _>>()?;
    PromptBlock::new(&prompts, input.block_tokens, config).map_err(|error| match error {
        Error::PositionBeyondModel { prompt, .. } => refused(prompt, error),
        error => {
            HarnessError::execution(format!("fit the prompts into input.block_tokens = {}", input.block_tokens), error)
        }
    })
}

/// A tokenizer's refusal with the prompt's true number.
fn numbered(error: Error, index: usize) -> Error {
    match error {
        Error::EmptyPrompt { .. } => Error::EmptyPrompt { prompt: index },
        Error::TokenOutOfVocabulary { position, token, vocabulary, .. } => {
            Error::TokenOutOfVocabulary { prompt: index, position, token, vocabulary }
        }
        error => error,
    }
}

/// The named set, refused if it is insecure and that was not asked for.
fn parameters(name: &str, insecure: bool) -> Result<Parameters, HarnessError> {
    let parameters = params::named(name)?;
    if parameters.set().insecure && !insecure {
        return Err(HarnessError::InsecureParameters { name: name.into() });
    }
    Ok(parameters)
}
