//! Everything public about a cell, read and checked before anything is encrypted.

use std::path::Path;

use fhe_ckks::Parameters;
use fhe_model::calibration::{ModelRanges, Ranges};
use fhe_model::encrypted::{AttentionProducts, CircuitOptions, EncryptedModel, Polynomial};
use fhe_model::{Beginning, Config, Error, FloatModel, Matrix, Prefix, PromptBlock, Tokenizer, Weights};
use fhe_rlwe::security;

use super::reference::Reference;
use crate::calibrate;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::params;
use crate::public_prefix;
use crate::record::{CellRecord, PolynomialSummary, PromptOutcome};
use crate::spec::{Cell, EngineSection, Mode};

/// The model, the prompts and the circuit of a cell.
pub(super) struct Prepared {
    pub(super) parameters: Parameters,
    /// As they are stored: the float reference.
    pub(super) weights: Weights,
    /// As the circuit has them: rotated, or as they are stored.
    circuit_weights: Weights,
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
        let circuit_weights = calibrate::circuit_weights(&weights, &config.mitigation);
        let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).map_err(open)?;

        let prefix = public_prefix::tokens(&config.mitigation, &tokenizer, weights.config())?;
        let block = block(cell, &prefix, &tokenizer, weights.config())?;
        let stored = calibrate::ranges_of(cell, root, progress)?;
        let ranges = Ranges::load(&stored, &circuit_weights)
            .map_err(|error| HarnessError::execution("load the calibrated ranges", error))?;
        check_prefix(cell, &stored, &ranges, &prefix, &tokenizer)?;
        let options = CircuitOptions {
            weight_bits: config.engine.weight_bits,
            weight_scales: config.engine.weight_scales,
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
        let model = EncryptedModel::prepare(&circuit_weights, &ranges, &block, parameters.shape(), options)
            .map_err(|error| HarnessError::execution("prepare the circuit", error))?;
        let prompts = cell.prompts.clone();
        let places = (0..prompts.len()).map(|prompt| config.input.prompts.place(prompt)).collect();
        let engine = config.engine.clone();
        Ok(Self { parameters, weights, circuit_weights, tokenizer, ranges, block, model, engine, prompts, places })
    }

    /// Runs the prompts through the float model and refuses them outside the calibrated ranges: a pre-flight that only a
    /// harness can do, since a server never sees them. Tensors are those of the circuit's weights, which may be rotated; logits always those of
    /// the stored ones.
    pub(super) fn reference(&self) -> Result<Reference, HarnessError> {
        let model = FloatModel::new(&self.circuit_weights);
        let stored = self.circuit_weights.rotation().map(|_| FloatModel::new(&self.weights));
        Reference::new(&model, stored.as_ref(), &self.ranges, &self.block).map_err(|error| {
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
        let spans = self.block.prompts().iter().enumerate().filter(|_| out_of_range(together));
        let mut alone = spans.filter_map(|(prompt, span)| {
            let tokens = self.block.tokens()[span.positions()].to_vec();
            let (prefix, config) = (self.block.prefix(), self.weights.config());
            let block = PromptBlock::after(prefix, &[tokens], self.block.size(), config).ok()?;
            Some((prompt, numbered(self.ranges.preflight(model, &block).err()?, prompt)))
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
        record.input.prefix_tokens = self.block.prefix().tokens().to_vec();
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

/// Refuses ranges that hold after another prefix, with the command that makes the right ones.
fn check_prefix(
    cell: &Cell,
    path: &Path,
    ranges: &Ranges,
    required: &Prefix,
    tokenizer: &Tokenizer,
) -> Result<(), HarnessError> {
    let found = &ranges.provenance().plan.prefix;
    if found == required {
        return Ok(());
    }
    let model = &cell.config.model;
    let text = model.calibration_text.as_ref().map_or("TEXT".into(), |text| text.display().to_string());
    let prefix = match required.is_empty() {
        true => String::new(),
        false => tokenizer.decode(required.tokens()).map_or(String::new(), |text| format!(" --prefix '{text}'")),
    };
    Err(HarnessError::RangesOfOtherPrefix {
        path: path.into(),
        found: found.to_string(),
        required: required.to_string(),
        command: format!("fhe-llama calibrate {} --text {text}{prefix}", model.path.display()),
    })
}

/// The prompts of a cell as tokens, packed into its block behind the prefix.
fn block(cell: &Cell, prefix: &Prefix, tokenizer: &Tokenizer, config: &Config) -> Result<PromptBlock, HarnessError> {
    let input = &cell.config.input;
    let beginning = if input.bos { Beginning::Prepend } else { Beginning::Omit };
    let refused =
        |prompt: usize, source| HarnessError::Prompt { place: input.prompts.place(prompt), source: Box::new(source) };
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

/// The named set, refused if it is insecure and that was not asked for.
fn parameters(name: &str, insecure: bool) -> Result<Parameters, HarnessError> {
    let parameters = params::named(name)?;
    if parameters.set().insecure && !insecure {
        return Err(HarnessError::InsecureParameters { name: name.into() });
    }
    Ok(parameters)
}
