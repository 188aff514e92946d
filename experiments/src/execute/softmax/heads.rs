//! The scores of every head of a model on a prompt, beside the windows that were calibrated for each.

use std::collections::BTreeMap;
use std::path::Path;

use fhe_circuits::SoftmaxVariant;
use fhe_ckks::Parameters;
use fhe_model::calibration::{ModelRanges, Ranges, Recorder};
use fhe_model::{Config, FloatModel, Location, Matrix, ModelSource, Observer, PromptBlock, Site, Weights};

use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::execute::circuit::describe_setting;
use crate::execute::inputs::Inputs;
use crate::record::CellRecord;
use crate::spec::Cell;

/// A model, its prompts and its ranges; nothing is computed yet.
pub(super) struct Subject {
    pub(super) parameters: Parameters,
    pub(super) block: PromptBlock,
    /// As the circuit has them: rotated, or as they are stored.
    weights: Weights,
    /// Those of pairs that the mask removes as well.
    ranges: Ranges,
}

/// One query head on the prompts.
pub(super) struct HeadScores {
    pub(super) layer: usize,
    pub(super) head: usize,
    /// Its windows in [`ModelRanges::layers`], of this head alone.
    pub(super) ranges: ModelRanges,
    /// Keys x queries of the block, masked pairs included.
    scores: Vec<f32>,
    /// The sites at which these prompts leave its windows.
    outside: Vec<Site>,
    tokens: usize,
}

impl Subject {
    /// Reads and checks what a cell names.
    ///
    /// # Errors
    /// What is wrong with parameters, model, prompts or ranges.
    pub(super) fn read(cell: &Cell, root: &Path, progress: &dyn ProgressSink) -> Result<Self, HarnessError> {
        let Inputs { parameters, weights, mut blocks, ranges, .. } = Inputs::read(cell, root, progress)?;
        Ok(Self { parameters, block: blocks.remove(0), weights, ranges: ranges.covering_masked_scores() })
    }

    pub(super) fn config(&self) -> &Config {
        self.weights.config()
    }

    /// What the record says about parameters, model and input.
    pub(super) fn describe(&self, record: &mut CellRecord) {
        let source = ModelSource::from(&self.weights);
        describe_setting(record, &self.parameters, &source, &self.block);
    }

    /// Runs the float model: the scores of all heads, layer by layer.
    ///
    /// # Errors
    /// Those of the float model.
    pub(super) fn heads(&self) -> Result<Vec<HeadScores>, HarnessError> {
        let failed = |error| HarnessError::execution("run the float model on the prompts", error);
        let (tokens, heads) = (self.block.size(), self.config().num_attention_heads);
        let mut observer = Scores { recorder: Recorder::new(self.config()), kept: BTreeMap::new() };
        FloatModel::new(&self.weights).observe(&self.block, &mut observer).map_err(failed)?;
        let Scores { recorder, kept } = observer;
        let of_head = |head: usize| {
            let (ranges, seen) = (self.ranges.model_of_head(head)?, recorder.extents().of_head(head)?);
            let outside: Vec<Location> = ranges.excesses(&seen).map(|excess| excess.location).collect();
            Some((ranges, outside))
        };
        let windows: Vec<(ModelRanges, Vec<Location>)> = (0..heads).filter_map(of_head).collect();
        let mut all = Vec::with_capacity(kept.len() * heads);
        for (layer, scores) in kept {
            let by_head = scores.data().chunks_exact(tokens * tokens).zip(&windows).enumerate();
            all.extend(by_head.map(|(head, (scores, (ranges, outside)))| {
                let here = outside.iter().filter(|location| location.layer == Some(layer));
                let outside = here.map(|location| location.site).collect();
                HeadScores { layer, head, ranges: ranges.clone(), scores: scores.to_vec(), outside, tokens }
            }));
        }
        Ok(all)
    }
}

impl HeadScores {
    /// The score of a pair of block positions.
    pub(super) fn score(&self, query: usize, key: usize) -> f64 {
        self.scores[key * self.tokens + query].into()
    }

    /// The first window that a variant is fitted to and that the prompts leave.
    pub(super) fn left_window(&self, variant: SoftmaxVariant) -> Option<Site> {
        let sums = match variant {
            SoftmaxVariant::NormalizeAndSquare { rounds: 2 } => Site::LogHalvedSum,
            SoftmaxVariant::NormalizeAndSquare { rounds: 3 } => Site::LogQuarteredSum,
            _ => Site::LogDenominator,
        };
        [Site::Score, Site::MaskedScore, sums].into_iter().find(|site| self.outside.contains(site))
    }
}

/// Records extents and keeps the scores.
struct Scores {
    recorder: Recorder,
    kept: BTreeMap<usize, Matrix>,
}

impl Observer for Scores {
    fn observe(&mut self, location: Location, tensor: &Matrix, block: &PromptBlock) {
        self.recorder.observe(location, tensor, block);
        if let (Some(layer), Site::Score) = (location.layer, location.site) {
            self.kept.insert(layer, tensor.clone());
        }
    }
}
