//! A run of the decoder beside one of the float model.

use std::collections::BTreeMap;

use fhe_circuits::Functions;
use fhe_ckks::{CircuitShape, Clear, NoiseModel, OperationCounts};
use fhe_model::calibration::{Extents, Margins, ModelRanges, Recorder};
use fhe_model::encrypted::{AttentionProducts, CircuitOptions, EncryptedModel, Harness, Phase, Sight};
use fhe_model::{FloatModel, Location, Matrix, Observer, PromptBlock, Weights};

/// The level structure of the real parameter set on a ring of this degree.
pub(crate) fn shape(degree: usize) -> CircuitShape {
    CircuitShape {
        degree,
        small_degree: degree / 8,
        compute_levels: 14,
        slots_to_coefficients_levels: 3,
        full_scale: (1_u64 << 42) as f64,
        message_ratio: 1.0 / 256.0,
        lane_degree: degree / 8,
        lane_divisor: (1_u64 << 42) as f64,
    }
}

/// Keeps everything it is shown.
pub(crate) struct Seen<'a> {
    client: &'a Clear,
    pub(crate) tensors: Vec<(Location, Matrix)>,
    pub(crate) phases: BTreeMap<Phase, usize>,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(client: &'a Clear) -> Self {
        Self { client, tensors: Vec::new(), phases: BTreeMap::new() }
    }
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
    pub(crate) counts: OperationCounts,
    /// What the float model computes at the positions that the rows of the embedded block stand for.
    pub(crate) reference: BTreeMap<Location, Matrix>,
    pub(crate) float_logits: Matrix,
}

/// Windows of this very block, widened.
pub(crate) fn ranges_of(weights: &Weights, block: &PromptBlock, margins: &Margins) -> ModelRanges {
    let mut recorder = Recorder::new(weights.config());
    FloatModel::new(weights).observe(block, &mut recorder).unwrap();
    recorder.extents().with_margins(margins).after(block.prefix())
}

/// Every tensor of the float model, its logits, and what was seen.
pub(crate) fn reference_of(weights: &Weights, block: &PromptBlock) -> (BTreeMap<Location, Matrix>, Matrix, Extents) {
    let mut reference = BTreeMap::new();
    let mut recorder = Recorder::new(weights.config());
    let mut keep = |location: Location, tensor: &Matrix, block: &PromptBlock| {
        recorder.observe(location, tensor, block);
        reference.insert(location, tensor.clone());
    };
    let logits = FloatModel::new(weights).observe(block, &mut keep).unwrap();
    (reference, logits, recorder.extents().clone())
}

/// Polynomials in place of functions.
pub(crate) fn by_polynomials(products: AttentionProducts) -> CircuitOptions {
    CircuitOptions { products, ..CircuitOptions::default() }
}

/// The margins that products need.
pub(crate) fn margins_for(products: AttentionProducts) -> Margins {
    Margins { cover_masked_scores: products == AttentionProducts::Lanes, ..Margins::default() }
}

/// Both models on one block in a ring of this degree.
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
    let e = if options.functions == Functions::Exact { e.with_exact_functions() } else { e };
    let mut seen = Seen::new(&e);
    let residual = model.embed::<Clear, _>(&e).unwrap();
    let (logits, counts) = model.run(&e, residual, &mut seen).unwrap();
    let logits = model.logits::<Clear, _>(&e, &logits).unwrap().unwrap();
    let Seen { tensors, phases, .. } = seen;

    let (mut reference, mut float_logits, _) = reference_of(weights, block);
    for tensor in reference.values_mut().chain([&mut float_logits]) {
        // Rows of a prefix repeat the first position.
        for row in tensor.data_mut().chunks_exact_mut(block.size()) {
            let first = row[block.prompts()[0].start];
            row[..block.prefix().len()].fill(first);
        }
    }
    Run { model, logits, tensors, phases, counts, reference, float_logits }
}

/// The root mean square error divided by the root mean square of the reference; NaN entries of `found` are not
/// compared.
pub(crate) fn relative_error(found: &Matrix, reference: &Matrix) -> f64 {
    assert_eq!(found.shape(), reference.shape());
    let (mut errors, mut squares) = (0.0, 0.0);
    for (&found, &reference) in found.data().iter().zip(reference.data()).filter(|(found, _)| !found.is_nan()) {
        errors += (f64::from(found) - f64::from(reference)).powi(2);
        squares += f64::from(reference).powi(2);
    }
    assert!(squares > 0.0, "nothing was compared");
    (errors / squares).sqrt()
}

impl Run {
    /// Panics at the first tensor, in the order of the computation, that is further from the reference than `bound`.
    pub(crate) fn check_sites(&self, bound: f64) {
        for (location, tensor) in &self.tensors {
            let error = relative_error(tensor, &self.reference[location]);
            assert!(error <= bound, "{location}: relative error {error:.2e}, at most {bound:.2e} expected");
        }
        let error = relative_error(&self.logits, &self.float_logits);
        assert!(error <= bound, "logits: relative error {error:.2e}, at most {bound:.2e} expected");
    }
}
