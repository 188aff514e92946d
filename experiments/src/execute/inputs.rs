//! What a cell names, read and checked: parameters, weights, tokenizer, blocks of tokens, calibrated ranges. Nothing is prepared yet.

use std::path::Path;

use fhe_ckks::Parameters;
use fhe_model::calibration::Ranges;
use fhe_model::{PromptBlock, Tokenizer, Weights};

use super::blocks::blocks;
use super::circuit::{calibrated_ranges, parameters};
use crate::calibrate;
use crate::error::HarnessError;
use crate::event::ProgressSink;
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
    /// Those of the circuit's weights, behind the prefix of the blocks.
    pub(super) ranges: Ranges,
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
        let blocks = blocks(cell, root, &tokenizer, weights.config())?;
        let place = (blocks[0].prefix(), Some(&tokenizer));
        let ranges = calibrated_ranges(cell, &weights, place, root, progress)?;
        Ok(Self { parameters, stored, weights, tokenizer, blocks, ranges })
    }
}
