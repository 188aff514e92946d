//! Everything public about a cell, read and checked before anything is encrypted.

use std::path::Path;

use fhe_ckks::Parameters;
use fhe_model::calibration::{ModelRanges, Ranges};
use fhe_model::encrypted::{CircuitOptions, EncryptedModel};
use fhe_model::{Beginning, FloatModel, PromptBlock, Tokenizer, Weights};
use fhe_rlwe::security;

use super::reference::Reference;
use crate::calibrate;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::record::{CellRecord, PromptOutcome};
use crate::spec::Cell;

/// The model, the prompts and the circuit of a cell.
pub(super) struct Prepared {
    pub(super) parameters: Parameters,
    pub(super) weights: Weights,
    pub(super) tokenizer: Tokenizer,
    pub(super) ranges: ModelRanges,
    pub(super) block: PromptBlock,
    pub(super) model: EncryptedModel,
    prompts: Vec<String>,
}

impl Prepared {
    pub(super) fn new(cell: &Cell, root: &Path, progress: &dyn ProgressSink) -> Result<Self, HarnessError> {
        let config = &cell.config;
        let parameters = parameters(&config.engine.parameters, config.engine.insecure)?;
        let folder = root.join(&config.model.path);
        let open = |error| HarnessError::execution("open the model", error);
        let weights = Weights::open(&folder).map_err(open)?;
        let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).map_err(open)?;

        let read = |error| HarnessError::execution("read the prompts", error);
        let beginning = if config.input.bos { Beginning::Prepend } else { Beginning::Omit };
        let prompts: Vec<Vec<u32>> = cell
            .prompts
            .iter()
            .map(|prompt| tokenizer.encode_prompt(prompt, beginning))
            .collect::<Result<_, _>>()
            .map_err(read)?;
        let block = PromptBlock::new(&prompts, config.input.block_tokens, weights.config()).map_err(read)?;

        let stored = calibrate::ranges_of(cell, root, progress)?;
        let ranges = Ranges::load(&stored, &weights)
            .map_err(|error| HarnessError::execution("load the calibrated ranges", error))?
            .model();
        let model = EncryptedModel::prepare(&weights, &ranges, &block, parameters.shape(), CircuitOptions::default())
            .map_err(|error| HarnessError::execution("prepare the circuit", error))?;
        Ok(Self { parameters, weights, tokenizer, ranges, block, model, prompts: cell.prompts.clone() })
    }

    /// Runs the prompts through the float model and refuses them outside the calibrated ranges: a pre-flight that only a
    /// harness can do, since a server never sees them.
    pub(super) fn reference(&self) -> Result<Reference, HarnessError> {
        Reference::new(&FloatModel::new(&self.weights), &self.ranges, &self.block)
    }

    /// What the record says about parameters, model and input.
    pub(super) fn describe(&self, record: &mut CellRecord) {
        let set = self.parameters.set();
        record.provenance.parameters = set.name.into();
        record.provenance.parameter_fingerprint = self.parameters.rlwe().fingerprint().short();
        record.provenance.insecure = set.insecure;
        if set.insecure {
            record.provenance.security_source = "none: small insecure test ring".into();
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
        record.counts = self
            .model
            .polynomials()
            .iter()
            .map(|polynomial| (format!("degree {}", polynomial.location), polynomial.degree as u64))
            .collect();
    }

    /// The most likely next token of every prompt, in float and by `logits`.
    pub(super) fn outcomes(
        &self,
        float: &fhe_model::Matrix,
        logits: &fhe_model::Matrix,
    ) -> Result<Vec<PromptOutcome>, HarnessError> {
        let next = |matrix: &fhe_model::Matrix, position: usize| {
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

/// The named set, refused if it is insecure and that was not asked for.
fn parameters(name: &str, insecure: bool) -> Result<Parameters, HarnessError> {
    let parameters =
        Parameters::named(name).map_err(|error| HarnessError::execution("choose the parameters", error))?;
    if parameters.set().insecure && !insecure {
        return Err(HarnessError::InsecureParameters { name: name.into() });
    }
    Ok(parameters)
}
