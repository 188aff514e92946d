//! The float model's tensors for the same prompts, and how far others are from them.

use std::collections::BTreeMap;

use fhe_model::calibration::{ModelRanges, Recorder};
use fhe_model::float::agreement::Comparison;
use fhe_model::{Error, FloatModel, Location, Matrix, Observer, PromptBlock, Site};

use crate::error::HarnessError;
use crate::record::{Agreement, Extremes, LayerError, PositionAgreement};

/// Named tensors of the float model and its logits.
pub(super) struct Reference {
    tensors: Tensors,
    pub(super) logits: Matrix,
    /// Of the stored weights, whether or not the circuit's are rotated.
    pub(super) extremes: Extremes,
}

/// Tensors by their place, with the block that says which positions are live.
pub(super) struct Tensors {
    block: PromptBlock,
    by_location: BTreeMap<Location, Matrix>,
}

/// Records ranges and looks for extremes.
struct Survey {
    recorder: Recorder,
    seen: Extremes,
}

impl Survey {
    fn new(model: &FloatModel<'_>) -> Self {
        Self { recorder: Recorder::new(model.weights().config()), seen: Extremes::default() }
    }

    fn extremes(&self) -> Extremes {
        Extremes { residual_peak: self.seen.residual_peak, ..Extremes::of(self.recorder.extents()) }
    }
}

impl Observer for Survey {
    fn observe(&mut self, location: Location, tensor: &Matrix, block: &PromptBlock) {
        self.recorder.observe(location, tensor, block);
        self.seen.see(location, tensor, block);
    }
}

/// Keeps every tensor beside a survey.
struct Keep {
    survey: Survey,
    kept: BTreeMap<Location, Matrix>,
}

impl Observer for Keep {
    fn observe(&mut self, location: Location, tensor: &Matrix, block: &PromptBlock) {
        self.survey.observe(location, tensor, block);
        self.kept.insert(location, tensor.clone());
    }
}

impl Reference {
    /// Runs the float model on a block, and where its weights are not the stored ones, the model of those for its logits and extremes.
    ///
    /// # Errors
    /// Those of the model; [`Error::OutOfRange`] naming layer and site where a tensor leaves the calibrated ranges.
    pub(super) fn new(
        model: &FloatModel<'_>,
        stored: Option<&FloatModel<'_>>,
        ranges: &ModelRanges,
        block: &PromptBlock,
    ) -> Result<Self, Error> {
        let mut keep = Keep { survey: Survey::new(model), kept: BTreeMap::new() };
        let logits = model.observe(block, &mut keep)?;
        ranges.check(keep.survey.recorder.extents())?;
        let (logits, extremes) = match stored {
            None => (logits, keep.survey.extremes()),
            Some(stored) => {
                let mut survey = Survey::new(stored);
                (stored.observe(block, &mut survey)?, survey.extremes())
            }
        };
        Ok(Self { tensors: Tensors { block: block.clone(), by_location: keep.kept }, logits, extremes })
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

    /// Error of a tensor over the live positions, relative to the root mean square of each token's reference column. A value
    /// that is not a number is an infinite error, except where the circuit computes none: masked scores.
    ///
    /// # Errors
    /// [`HarnessError::NotComparable`] where the reference has no such tensor, or one of another shape.
    pub(super) fn error(&self, against: &str, location: Location, found: &Matrix) -> Result<LayerError, HarnessError> {
        let reference = self.by_location.get(&location);
        let comparable = reference.filter(|reference| reference.shape() == found.shape());
        let reference = comparable.ok_or_else(|| HarnessError::NotComparable {
            location: location.to_string(),
            against: against.into(),
            found: found.shape(),
            required: reference.map(Matrix::shape),
        })?;
        let (mut absolute, mut relative) = (MeanAndMax::default(), MeanAndMax::default());
        let mut energy = MeanAndMax::default();
        for position in (0..self.block.size()).filter(|&position| self.block.is_live(position)) {
            let (expected, found) = (reference.column(position), found.column(position));
            let computed = |value: f32| location.site != Site::Score || !value.is_nan();
            let pairs: Vec<(f64, f64)> = (expected.iter().zip(&found))
                .filter(|(_, found)| computed(**found))
                .map(|(&expected, &found)| (expected.into(), found.into()))
                .collect();
            let squares = pairs.iter().map(|(expected, _)| expected * expected);
            let rms = (squares.sum::<f64>() / pairs.len().max(1) as f64).sqrt().max(f64::MIN_POSITIVE);
            for (expected, found) in pairs {
                absolute.add((expected - found).abs());
                relative.add((expected - found).abs() / rms);
                energy.add(expected * expected);
            }
        }
        Ok(LayerError {
            against: against.into(),
            layer: location.layer,
            site: location.site.to_string(),
            max_error_bits: relative.max.log2(),
            mean_error_bits: relative.mean().log2(),
            max_abs: absolute.max,
            mean_abs: absolute.mean(),
            rms: energy.mean().sqrt(),
        })
    }
}

/// Mean and maximum of numbers that are not negative. A NaN counts as infinity: neither hides it.
#[derive(Clone, Copy, Debug, Default)]
struct MeanAndMax {
    sum: f64,
    max: f64,
    count: usize,
}

impl MeanAndMax {
    fn add(&mut self, value: f64) {
        let value = if value.is_nan() { f64::INFINITY } else { value };
        self.sum += value;
        self.max = self.max.max(value);
        self.count += 1;
    }

    fn mean(self) -> f64 {
        self.sum / self.count.max(1) as f64
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
    Ok(summary(against, &comparison, by_position))
}

/// Agreement over all that a comparison has collected, with what is to be said of single positions.
pub(super) fn summary(against: &str, comparison: &Comparison, by_position: Vec<PositionAgreement>) -> Agreement {
    let total = comparison.agreement();
    Agreement {
        against: against.into(),
        positions: total.positions,
        top1: comparison.by_position().iter().filter(|place| place.same_choice).count(),
        kl_mean: total.kl_mean,
        kl_max: total.kl_max,
        top5_logit_error_max: total.top5_logit_error_max,
        top5_logit_error_mean: total.top5_logit_error_mean,
        perplexity_reference: total.perplexity_reference,
        perplexity: total.perplexity_other,
        largest_margin_lost: Some(total.largest_margin_lost),
        by_position,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhe_model::{Config, Weights};
    use std::path::Path;

    /// Two live positions of a block of four.
    fn block() -> PromptBlock {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-llama");
        let config: Config = Weights::open(&model).unwrap().config().clone();
        PromptBlock::new(&[vec![5, 6]], 4, &config).unwrap()
    }

    fn matrix(rows: &[[f32; 4]]) -> Matrix {
        let mut matrix = Matrix::zeros(rows.len(), 4);
        matrix.data_mut().copy_from_slice(rows.as_flattened());
        matrix
    }

    fn error_at(site: Site, found: &Matrix) -> Result<LayerError, HarnessError> {
        let block = block();
        let location = site.in_layer(0);
        let mut tensors = Tensors::empty(&block);
        tensors.insert(location, matrix(&[[1.0; 4], [-1.0; 4]]));
        tensors.error("float", location, found)
    }

    #[test]
    fn errors_are_those_of_the_live_positions() {
        let live: Vec<usize> = (0..4).filter(|&position| block().is_live(position)).collect();
        let mut found = matrix(&[[f32::NAN; 4], [f32::NAN; 4]]);
        for &position in &live {
            found.row_mut(0)[position] = 1.0;
            found.row_mut(1)[position] = -1.0;
        }
        found.row_mut(1)[live[1]] = -0.75;
        let error = error_at(Site::Gate, &found).unwrap();
        assert_eq!((error.layer, error.max_abs, error.mean_abs, error.rms), (Some(0), 0.25, 0.0625, 1.0));
        assert_eq!((error.max_error_bits, error.mean_error_bits), (-2.0, -4.0));
    }

    #[test]
    fn a_value_that_is_no_number_is_an_infinite_error_unless_it_is_a_masked_score() {
        let found = matrix(&[[f32::NAN; 4], [-1.0; 4]]);
        assert_eq!(error_at(Site::Gate, &found).unwrap().max_abs, f64::INFINITY);
        assert_eq!(error_at(Site::Score, &found).unwrap().max_abs, 0.0);
    }

    #[test]
    fn rejects_a_tensor_without_a_counterpart() {
        let error = error_at(Site::Gate, &matrix(&[[1.0; 4]])).unwrap_err().to_string();
        assert!(error.contains("layer 0, gate") && error.contains("1 x 4") && error.contains("2 x 4"), "{error}");
        let missing = Tensors::empty(&block()).error("float", Site::Up.in_layer(1), &matrix(&[[1.0; 4]]));
        assert!(missing.unwrap_err().to_string().contains("layer 1, up"));
    }
}
