//! A run of the decoder beside one of the float model, compared site by site.

use std::collections::BTreeMap;

use fhe_ckks::{CircuitShape, Clear, NoiseModel};
use fhe_model::calibration::{Margins, ModelRanges, Recorder};
use fhe_model::encrypted::{CircuitOptions, EncryptedModel, Harness, Phase, Sight};
use fhe_model::{FloatModel, Location, Matrix, PromptBlock, Weights};

/// The level structure of the real parameter set on a ring of this degree.
pub(crate) fn shape(degree: usize) -> CircuitShape {
    CircuitShape {
        slots: degree / 2,
        compute_levels: 14,
        slots_to_coefficients_levels: 3,
        full_scale: (1_u64 << 42) as f64,
        message_ratio: 1.0 / 256.0,
    }
}

/// Keeps every tensor it is shown.
pub(crate) struct Seen<'a> {
    pub(crate) client: &'a Clear,
    pub(crate) tensors: Vec<(Location, Matrix)>,
    pub(crate) phases: BTreeMap<Phase, usize>,
}

impl Harness<Clear> for Seen<'_> {
    fn phase(&mut self, phase: Phase) {
        *self.phases.entry(phase).or_default() += 1;
    }

    fn observe(&mut self, sight: Sight<'_, Clear>) {
        self.tensors.push((sight.location(), sight.reveal(self.client).unwrap().unwrap()));
    }
}

/// Everything about one run.
pub(crate) struct Run {
    pub(crate) model: EncryptedModel,
    pub(crate) logits: Matrix,
    pub(crate) tensors: Vec<(Location, Matrix)>,
    pub(crate) phases: BTreeMap<Phase, usize>,
    pub(crate) reference: BTreeMap<Location, Matrix>,
    pub(crate) float_logits: Matrix,
    pub(crate) counts: fhe_ckks::OperationCounts,
}

/// Windows of this very block, widened.
pub(crate) fn ranges(weights: &Weights, block: &PromptBlock, margins: &Margins) -> ModelRanges {
    let mut recorder = Recorder::new(weights.config());
    FloatModel::new(weights).observe(block, &mut recorder).unwrap();
    recorder.extents().with_margins(margins)
}

pub(crate) fn run(
    weights: &Weights,
    ranges: &ModelRanges,
    block: &PromptBlock,
    degree: usize,
    noise: NoiseModel,
    options: CircuitOptions,
) -> Run {
    let shape = shape(degree);
    let model = EncryptedModel::prepare(weights, ranges, block, &shape, options).unwrap();
    let e = Clear::new(shape, (), noise, 7).unwrap();
    let mut seen = Seen { client: &e, tensors: Vec::new(), phases: BTreeMap::new() };
    let residual = model.embed::<Clear, _>(&e).unwrap();
    let (logits, counts) = model.run(&e, residual, &mut seen).unwrap();
    let logits = model.logits::<Clear, _>(&e, &logits).unwrap().unwrap();
    let Seen { tensors, phases, .. } = seen;

    let mut reference = BTreeMap::new();
    let mut keep = |location: Location, tensor: &Matrix, _: &PromptBlock| drop(reference.insert(location, tensor.clone()));
    let float_logits = FloatModel::new(weights).observe(block, &mut keep).unwrap();
    Run { model, logits, tensors, phases, reference, float_logits, counts }
}

/// Largest and root mean square error, both divided by the root mean square of the reference; NaN entries are not compared.
pub(crate) fn relative_errors(found: &Matrix, reference: &Matrix) -> (f64, f64) {
    assert_eq!(found.shape(), reference.shape());
    let pairs = || found.data().iter().zip(reference.data()).filter(|(found, _)| !found.is_nan());
    let square = |x: f64| x * x;
    let count = pairs().count() as f64;
    let rms = (pairs().map(|(_, &r)| square(r.into())).sum::<f64>() / count).sqrt();
    let error = |(found, reference): (&f32, &f32)| f64::from(*found) - f64::from(*reference);
    let largest = pairs().map(error).fold(0.0, |largest: f64, error| largest.max(error.abs()));
    (largest / rms, (pairs().map(error).map(square).sum::<f64>() / count).sqrt() / rms)
}
