//! What a cell names, read and checked: parameters, weights, tokenizer, blocks of tokens, calibrated ranges. Nothing is prepared yet.

use std::path::Path;
use std::sync::Arc;

use fhe_ckks::Parameters;
use fhe_model::calibration::Ranges;
use fhe_model::float::ContextTensors;
use fhe_model::{FloatModel, PromptBlock, Tokenizer, Weights};

use super::blocks::blocks;
use super::calibrated::calibrated_ranges;
use super::circuit::parameters;
use crate::calibrate;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::public_prefix;
use crate::spec::Cell;

/// The inputs of a cell with data.
pub(super) struct Inputs {
    pub(super) parameters: Parameters,
    /// As they are stored: the float reference.
    pub(super) stored: Weights,
    /// As the circuit has them: rotated, or as they are stored.
    pub(super) weights: Weights,
    pub(super) tokenizer: Tokenizer,
    /// The block of the prompts, or those of windows of a text, which lie alike; at least one.
    pub(super) blocks: Vec<PromptBlock>,
    /// Those of the circuit's weights, behind the public tokens of the blocks.
    pub(super) ranges: Ranges,
    /// Keys and values that the circuit's weights give the public context of the blocks, if there is one.
    pub(super) context: Option<Arc<ContextTensors>>,
}

impl Inputs {
    /// Reads them; ranges are measured now if the model has none.
    ///
    /// # Errors
    /// What is wrong with parameters, model, prefix, prompts or text, or ranges.
    pub(super) fn read(cell: &Cell, root: &Path, progress: &dyn ProgressSink) -> Result<Self, HarnessError> {
        let parameters = parameters(cell)?;
        let config = &cell.config;
        let folder = root.join(&config.model.path);
        let open = |error| HarnessError::execution("open the model", error);
        let stored = Weights::open(&folder).map_err(open)?;
        let weights = calibrate::circuit_weights(&stored, &config.mitigation);
        let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).map_err(open)?;
        let prefix = public_prefix::tokens(&config.mitigation, &tokenizer, weights.config())?;
        let blocks = blocks(cell, root, &prefix, &tokenizer, weights.config())?;
        let ranges = calibrated_ranges(cell, &weights, (&prefix, Some(&tokenizer)), root, progress)?;
        let context = prefilled(&weights, &blocks[0], progress)?.map(Arc::new);
        Ok(Self { parameters, stored, weights, tokenizer, blocks, ranges, context })
    }

    /// The float model of the circuit's weights, behind the context of the blocks.
    pub(super) fn float_model(&self) -> FloatModel<'_> {
        behind(&self.weights, self.context.as_deref())
    }
}

/// Keys and values that weights give the public context of a block, if it has one.
///
/// # Errors
/// Those of the float model.
pub(super) fn prefilled(
    weights: &Weights,
    block: &PromptBlock,
    progress: &dyn ProgressSink,
) -> Result<Option<ContextTensors>, HarnessError> {
    if block.context().is_empty() {
        return Ok(None);
    }
    let (tensors, _) = progress.phase("public context", || ContextTensors::prefill(weights, block.context()));
    tensors.map(Some).map_err(|error| HarnessError::execution("run the float model on the public context", error))
}

/// The float model of weights behind a context, if there is one.
pub(super) fn behind<'a>(weights: &'a Weights, context: Option<&'a ContextTensors>) -> FloatModel<'a> {
    let model = FloatModel::new(weights);
    context.map_or(model, |context| model.behind(context))
}
