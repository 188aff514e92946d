//! Everything public that a circuit is planned from: configuration, block, parameters, ranges. No data.

use std::path::Path;

use fhe_ckks::Parameters;
use fhe_model::calibration::{AssumedRanges, ModelRanges, Ranges};
use fhe_model::encrypted::{AttentionProducts, CircuitOptions, EncryptedModel, Polynomial};
use fhe_model::{Config, ModelSource, PromptBlock, Weights};
use fhe_rlwe::security;

use crate::calibrate;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::identity::assumed_ranges;
use crate::params;
use crate::record::{CellRecord, PolynomialSummary};
use crate::spec::{Cell, Mode};

/// A model prepared for a block of tokens and a parameter set.
pub(super) struct Circuit {
    pub(super) parameters: Parameters,
    pub(super) block: PromptBlock,
    pub(super) ranges: ModelRanges,
    pub(super) model: EncryptedModel,
    /// What the ranges are taken from, if nobody measured them.
    pub(super) assumed: Option<String>,
}

/// A model and its ranges.
struct Subject {
    source: ModelSource,
    ranges: ModelRanges,
    assumed: Option<String>,
}

impl Circuit {
    /// The circuit of a cell without prompts: of weights and calibrated ranges where the model has some, of its shape and assumed ranges
    /// otherwise. Reads no tokenizer.
    ///
    /// # Errors
    /// [`HarnessError::ShapeWithoutRanges`]; what is wrong with the model, its ranges or the parameters.
    pub(super) fn of_tokens(
        cell: &Cell,
        tokens: usize,
        root: &Path,
        progress: &dyn ProgressSink,
    ) -> Result<Self, HarnessError> {
        let parameters = parameters(cell)?;
        let model = &cell.config.model;
        let folder = root.join(&model.path);
        let subject = match assumed_ranges(model, root) {
            Some(stored) => Subject::shape(&folder, &stored)?,
            None if !Weights::lie_in(&folder) => {
                return Err(HarnessError::ShapeWithoutRanges { model: model.path.clone() });
            }
            None => {
                let weights = Weights::open(&folder).map_err(open)?;
                Subject::weights(cell, &weights, root, progress)?
            }
        };
        // One prompt that fills the block; metering asks for no token's meaning.
        let block = PromptBlock::new(&[vec![0; tokens]], tokens, subject.source.config());
        let block = block
            .map_err(|error| HarnessError::execution(format!("make a block of input.tokens = {tokens}"), error))?;
        Self::prepare(cell, parameters, subject, block)
    }

    /// The circuit of a cell's weights for a block of its prompts, with calibrated ranges and [`parameters`] that were checked before.
    ///
    /// # Errors
    /// What is wrong with the ranges.
    pub(super) fn of_prompts(
        cell: &Cell,
        parameters: Parameters,
        weights: &Weights,
        block: PromptBlock,
        root: &Path,
        progress: &dyn ProgressSink,
    ) -> Result<Self, HarnessError> {
        Self::prepare(cell, parameters, Subject::weights(cell, weights, root, progress)?, block)
    }

    fn prepare(
        cell: &Cell,
        parameters: Parameters,
        subject: Subject,
        block: PromptBlock,
    ) -> Result<Self, HarnessError> {
        let config = &cell.config;
        let options = CircuitOptions {
            products: config.attention.products,
            functions: config.engine.functions,
            ..CircuitOptions::default()
        };
        let Subject { source, ranges, assumed } = subject;
        let model = EncryptedModel::prepare(source, &ranges, &block, parameters.shape(), options)
            .map_err(|error| HarnessError::execution("prepare the circuit", error))?;
        Ok(Self { parameters, block, ranges, model, assumed })
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
        let source = self.model.source();
        record.model.layers = self.model.layers();
        record.model.parameters = source.parameter_count();
        record.model.stored_bytes = source.stored_bytes();
        record.model.integer_bytes = self.model.integer_bytes();
        record.model.assumed_ranges = self.assumed.clone();
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
}

impl Subject {
    /// Weights with calibrated ranges, measured now if the model has none.
    fn weights(cell: &Cell, weights: &Weights, root: &Path, progress: &dyn ProgressSink) -> Result<Self, HarnessError> {
        let stored = calibrate::ranges_of(cell, root, progress)?;
        let ranges = Ranges::load(&stored, weights)
            .map_err(|error| HarnessError::execution("load the calibrated ranges", error))?;
        let ranges = match cell.config.attention.products {
            AttentionProducts::Slots => ranges,
            AttentionProducts::Lanes => ranges.covering_masked_scores(),
        };
        Ok(Self { source: weights.into(), ranges: ranges.model(), assumed: None })
    }

    /// A `config.json` with assumed ranges.
    fn shape(folder: &Path, stored: &Path) -> Result<Self, HarnessError> {
        let config = Config::read(&folder.join("config.json")).map_err(open)?;
        let failed = |error| HarnessError::execution("load the assumed ranges", error);
        let assumed = AssumedRanges::load(stored).map_err(failed)?;
        let (shape, ranges) = (assumed.shape(&config).map_err(failed)?, assumed.model(&config).map_err(failed)?);
        Ok(Self { source: (&shape).into(), ranges, assumed: Some(assumed.reason) })
    }
}

fn open(error: fhe_model::Error) -> HarnessError {
    HarnessError::execution("open the model", error)
}

/// The set that a cell names, refused if it is insecure and that was not asked for.
///
/// # Errors
/// [`HarnessError::UnknownName`], [`HarnessError::InsecureParameters`].
pub(super) fn parameters(cell: &Cell) -> Result<Parameters, HarnessError> {
    let engine = &cell.config.engine;
    let parameters = params::named(&engine.parameters)?;
    if parameters.set().insecure && !engine.insecure {
        return Err(HarnessError::InsecureParameters { name: engine.parameters.clone() });
    }
    Ok(parameters)
}
