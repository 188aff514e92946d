//! Everything public that a circuit is planned from: configuration, block, parameters, ranges. No data.

use std::path::Path;
use std::sync::Arc;

use fhe_circuits::SoftmaxVariant;
use fhe_ckks::Parameters;
use fhe_model::calibration::{AssumedRanges, ModelRanges, Ranges};
use fhe_model::encrypted::{AttentionProducts, CircuitOptions, DecodingModel, EncryptedModel, Polynomial};
use fhe_model::{Config, ModelSource, Prefix, PromptBlock, Tokenizer, Weights};
use fhe_rlwe::security;

use super::calibrated::calibrated_ranges;
use super::generation::{Generation, Sampler};
use super::inputs::Inputs;
use crate::calibrate;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::identity::assumed_ranges;
use crate::params;
use crate::public_context;
use crate::public_prefix;
use crate::record::{CellRecord, PolynomialSummary};
use crate::spec::{Cell, Mode};

/// A model prepared for a block of tokens and a parameter set.
pub(super) struct Circuit {
    pub(super) parameters: Parameters,
    pub(super) block: PromptBlock,
    pub(super) ranges: ModelRanges,
    pub(super) model: EncryptedModel,
    /// What generates behind the block's prompt, where that is asked for.
    pub(super) generation: Option<Generation>,
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
    /// otherwise. Reads a tokenizer only for the prefix of such weights.
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
        let (subject, prefix) = match assumed_ranges(model, root) {
            Some(stored) => {
                let subject = Subject::shape(&folder, &stored)?;
                // What the token means asks for a tokenizer; what it costs does not.
                let config = subject.source.config();
                let prefix = Prefix::new(vec![0; cell.config.mitigation.prepend.into()], config).map_err(open)?;
                let ranges = subject.ranges.after(&prefix).behind(cell.config.context_tokens());
                (Subject { ranges, ..subject }, prefix)
            }
            None if !Weights::lie_in(&folder) => {
                return Err(HarnessError::ShapeWithoutRanges { model: model.path.clone() });
            }
            None => {
                let weights = Weights::open(&folder).map_err(open)?;
                let mitigation = &cell.config.mitigation;
                let read = || Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).map_err(open);
                let tokenizer = mitigation.prepend.then(read).transpose()?;
                let prefix = match &tokenizer {
                    Some(tokenizer) => public_prefix::tokens(mitigation, tokenizer, weights.config())?,
                    None => Prefix::none(),
                };
                let weights = calibrate::circuit_weights(&weights, mitigation);
                let ranges = calibrated_ranges(cell, &weights, (&prefix, tokenizer.as_ref()), root, progress)?;
                (Subject::weights(cell, &weights, ranges), prefix)
            }
        };
        // One prompt that fills the block; metering asks for no token's meaning.
        let config = subject.source.config();
        let block = match &cell.config.context {
            None => PromptBlock::after(&prefix, &[vec![0; tokens.saturating_sub(prefix.len())]], tokens, config),
            Some(section) => {
                let context = public_context::tokens(section, &prefix, (None, config), root)?;
                PromptBlock::following(&context, &vec![0; tokens], tokens, config)
            }
        };
        let block = block
            .map_err(|error| HarnessError::execution(format!("make a block of input.tokens = {tokens}"), error))?;
        Self::prepare(cell, parameters, subject, block)
    }

    /// The circuit of a cell's inputs, for the first of their blocks.
    ///
    /// # Errors
    /// [`HarnessError::Refused`].
    pub(super) fn of_inputs(cell: &Cell, inputs: &Inputs) -> Result<Self, HarnessError> {
        let (parameters, block) = (inputs.parameters.clone(), inputs.blocks[0].clone());
        let circuit = Self::of_block(cell, parameters, &inputs.weights, &inputs.ranges, block)?;
        let Some(context) = &inputs.context else { return Ok(circuit) };
        let failed = |error| HarnessError::refused("put the circuit behind its context", error);
        let model = circuit.model.behind(Arc::clone(context)).map_err(failed)?;
        let generation = circuit.generation.map(|generation| {
            Ok(Generation { steps: generation.steps.behind(Arc::clone(context)).map_err(failed)?, ..generation })
        });
        Ok(Self { model, generation: generation.transpose()?, ..circuit })
    }

    /// The circuit of a model for a block, whatever the cell's prompts are.
    ///
    /// # Errors
    /// [`HarnessError::Refused`].
    pub(super) fn of_block(
        cell: &Cell,
        parameters: Parameters,
        weights: &Weights,
        ranges: &Ranges,
        block: PromptBlock,
    ) -> Result<Self, HarnessError> {
        Self::prepare(cell, parameters, Subject::weights(cell, weights, ranges.clone()), block)
    }

    fn prepare(
        cell: &Cell,
        parameters: Parameters,
        subject: Subject,
        block: PromptBlock,
    ) -> Result<Self, HarnessError> {
        let config = &cell.config;
        let options = CircuitOptions {
            weight_bits: config.engine.weight_bits,
            weight_scales: config.engine.weight_scales,
            softmax: config.softmax.circuit(),
            products: config.attention.products,
            public_products: config.context.as_ref().map_or_else(Default::default, |context| context.products),
            functions: config.engine.functions,
            slim_norms: config.engine.slim_norms,
            keep_cache: config.generation.is_some(),
            ..CircuitOptions::default()
        };
        let Subject { source, ranges, assumed } = subject;
        let refused = |error| HarnessError::refused("prepare the circuit", error);
        let shape = parameters.shape();
        let generation = config.generation.as_ref().map(|section| {
            // What is only metered has a prompt that fills its block, and no values that ranges would have to hold.
            let more = if config.input.tokens.is_some() { section.tokens } else { 0 };
            let capacity = block.context().len() + block.size() + more;
            let softmax = match (options.softmax, section.rounds) {
                (SoftmaxVariant::NormalizeAndSquare { .. }, Some(rounds)) => {
                    SoftmaxVariant::NormalizeAndSquare { rounds }
                }
                (variant, _) => variant,
            };
            let options = CircuitOptions { softmax, ..options };
            let steps = DecodingModel::prepare(source.clone(), &ranges, &block, shape, options, capacity);
            Ok(Generation { steps: steps.map_err(refused)?, tokens: section.tokens, sampler: Sampler::new(section) })
        });
        let generation = generation.transpose()?;
        if let Some(generation) = &generation {
            generation.check_room()?;
        }
        let model = EncryptedModel::prepare(source, &ranges, &block, shape, options).map_err(refused)?;
        Ok(Self { parameters, block, ranges, model, generation, assumed })
    }

    /// What the record says about parameters, model and input.
    pub(super) fn describe(&self, record: &mut CellRecord) {
        let source = self.model.source();
        describe_setting(record, &self.parameters, source, &self.block);
        record.model.integer_bytes = self.model.integer_bytes();
        record.model.assumed_ranges = self.assumed.clone();
        let summary = |polynomial: &Polynomial| PolynomialSummary {
            layer: polynomial.location.layer,
            site: polynomial.location.site.to_string(),
            degree: polynomial.fitted.degree,
            error: polynomial.fitted.error,
        };
        record.polynomials = self.model.polynomials().iter().map(summary).collect();
    }
}

impl Subject {
    /// Weights, rotated or not, with their calibrated ranges.
    fn weights(cell: &Cell, weights: &Weights, ranges: Ranges) -> Self {
        let ranges = match cell.config.attention.products {
            AttentionProducts::Slots => ranges,
            AttentionProducts::Lanes => ranges.covering_masked_scores(),
        };
        Self { source: weights.into(), ranges: ranges.model(), assumed: None }
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

/// What a record says about parameters, model and input, whatever of the model is computed.
pub(super) fn describe_setting(
    record: &mut CellRecord,
    parameters: &Parameters,
    source: &ModelSource,
    block: &PromptBlock,
) {
    let set = parameters.set();
    record.provenance.parameters = set.name.into();
    record.provenance.parameter_fingerprint = parameters.rlwe().fingerprint().short();
    record.provenance.insecure = set.insecure;
    if record.mode == Mode::Clear {
        record.provenance.security_source = "none: nothing is encrypted in the clear mode".into();
    } else if set.insecure {
        record.provenance.security_source = "a small insecure ring, for tests only".into();
    } else {
        record.provenance.security_bits = Some(f64::from(security::SECURITY_BITS));
        record.provenance.security_source = security::SECURITY_SOURCE.into();
    }
    record.model.layers = source.config().num_hidden_layers;
    record.model.parameters = source.parameter_count();
    record.model.stored_bytes = source.stored_bytes();
    record.model.synthetic = source.config().synthetic.clone();
    record.input.live_tokens = block.live();
    record.input.block_tokens = block.size();
    record.input.prefix_tokens = block.prefix().tokens().to_vec();
    record.input.context_tokens = block.context().len();
    record.levels = [
        ("compute", parameters.shape().compute_levels),
        ("slots_to_coefficients", parameters.shape().slots_to_coefficients_levels),
        ("bootstrap", parameters.bootstrap_levels()),
    ]
    .into_iter()
    .map(|(name, levels)| (name.to_owned(), levels as u64))
    .collect();
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
