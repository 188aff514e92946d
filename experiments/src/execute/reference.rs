//! The float model's tensors for the same prompts, and how far others are from them.

use std::collections::BTreeMap;

use fhe_model::calibration::{ModelRanges, Recorder};
use fhe_model::float::agreement::Comparison;
use fhe_model::{FloatModel, Location, Matrix, Observer, PromptBlock};

use crate::error::HarnessError;
use crate::record::{Agreement, LayerError, PositionAgreement};

/// Named tensors of one run and its logits.
pub(super) struct Reference {
    tensors: Tensors,
    pub(super) logits: Matrix,
}

/// Tensors by their place, with the block that says which positions are live.
pub(super) struct Tensors {
    block: PromptBlock,
    by_location: BTreeMap<Location, Matrix>,
}

/// Keeps every tensor and records its range at the same time.
struct Keep {
    recorder: Recorder,
    kept: BTreeMap<Location, Matrix>,
}

impl Observer for Keep {
    fn observe(&mut self, location: Location, tensor: &Matrix, block: &PromptBlock) {
        self.recorder.observe(location, tensor, block);
        self.kept.insert(location, tensor.clone());
    }
}

impl Reference {
    pub(super) fn new(model: &FloatModel<'_>, ranges: &ModelRanges, block: &PromptBlock) -> Result<Self, HarnessError> {
        let failed = |error| HarnessError::execution("run the float reference", error);
        let mut keep = Keep { recorder: Recorder::new(model.weights().config()), kept: BTreeMap::new() };
        let logits = model.observe(block, &mut keep).map_err(failed)?;
        ranges
            .check(keep.recorder.extents())
            .map_err(|excess| HarnessError::execution("check the prompts against the calibrated ranges", excess))?;
        Ok(Self { tensors: Tensors { block: block.clone(), by_location: keep.kept }, logits })
    }

    pub(super) fn tensors(&self) -> &Tensors {
        &self.tensors
    }
}

impl Tensors {
    pub(super) fn empty(block: &PromptBlock) -> Self {
        Self { block: block.clone(), by_location: BTreeMap::new() }
    }

    pub(super) fn insert(&mut self, location: Location, tensor: Matrix) {
        self.by_location.insert(location, tensor);
    }

    /// Error of a tensor over the live positions, relative to the root mean square of each token's reference column;
    /// `None` where the reference has no such tensor or nothing finite to compare.
    pub(super) fn error(&self, against: &str, location: Location, found: &Matrix) -> Option<LayerError> {
        let reference = self.by_location.get(&location).filter(|reference| reference.shape() == found.shape())?;
        let (mut sum, mut largest, mut count, mut squares) = (0.0f64, 0.0f64, 0usize, 0.0f64);
        let (mut relative_sum, mut relative_largest) = (0.0f64, 0.0f64);
        for position in (0..self.block.size()).filter(|&position| self.block.is_live(position)) {
            let (expected, found) = (reference.column(position), found.column(position));
            let pairs: Vec<(f64, f64)> = (expected.iter().zip(&found))
                .map(|(&a, &b)| (f64::from(a), f64::from(b)))
                .filter(|(a, b)| a.is_finite() && b.is_finite())
                .collect();
            if pairs.is_empty() {
                continue;
            }
            let energy: f64 = pairs.iter().map(|(a, _)| a * a).sum();
            let rms = (energy / pairs.len() as f64).sqrt().max(f64::MIN_POSITIVE);
            for (a, b) in &pairs {
                let error = (a - b).abs();
                sum += error;
                largest = largest.max(error);
                relative_sum += error / rms;
                relative_largest = relative_largest.max(error / rms);
            }
            squares += energy;
            count += pairs.len();
        }
        (count > 0).then(|| LayerError {
            against: against.into(),
            layer: location.layer.unwrap_or_default(),
            site: location.site.to_string(),
            max_error_bits: relative_largest.log2(),
            mean_error_bits: (relative_sum / count as f64).log2(),
            max_abs: largest,
            mean_abs: sum / count as f64,
            rms: (squares / count as f64).sqrt(),
        })
    }
}

/// Agreement of logits with a reference over all live positions.
pub(super) fn agreement(
    against: &str,
    block: &PromptBlock,
    reference: &Matrix,
    other: &Matrix,
) -> Result<Agreement, HarnessError> {
    let mut comparison = Comparison::default();
    comparison.add(block, reference, other).map_err(|error| HarnessError::execution("compare logits", error))?;
    let total = comparison.agreement();
    let by_position: Vec<PositionAgreement> = comparison
        .by_position()
        .iter()
        .map(|place| PositionAgreement {
            prompt: place.prompt,
            position: place.position,
            kl: place.kl,
            top5_logit_error: place.top5_logit_error,
            top1: place.same_choice,
        })
        .collect();
    Ok(Agreement {
        against: against.into(),
        positions: total.positions,
        top1: by_position.iter().filter(|place| place.top1).count(),
        kl_mean: total.kl_mean,
        kl_max: total.kl_max,
        top5_logit_error_max: total.top5_logit_error_max,
        top5_logit_error_mean: total.top5_logit_error_mean,
        perplexity_reference: total.perplexity_reference,
        perplexity: total.perplexity_other,
        largest_margin_lost: Some(total.largest_margin_lost),
        by_position,
    })
}
