//! What is refused, and that layer and site are named.

use fhe_circuits::Functions;
use fhe_ckks::{CircuitShape, Clear, NoiseModel};
use fhe_model::calibration::{Interval, Margins, ModelRanges};
use fhe_model::encrypted::{AttentionProducts, CircuitOptions, EncryptedModel, Unattended, WeightBytes};
use fhe_model::{Error, LargestWeights, ModelShape, PromptBlock, Result, Weights};

use crate::fixture::{random_model, random_tokens};
use crate::support::{ranges_of, shape};

struct Case {
    _folder: tempfile::TempDir,
    weights: Weights,
    block: PromptBlock,
    ranges: ModelRanges,
    shape: CircuitShape,
}

fn case() -> Case {
    let (folder, weights) = random_model(1);
    let block = PromptBlock::new(&[random_tokens(7, 3)], 8, weights.config()).unwrap();
    let ranges = ranges_of(&weights, &block, &Margins::default());
    Case { _folder: folder, weights, block, ranges, shape: shape(1 << 10) }
}

impl Case {
    fn prepare(&self) -> Result<EncryptedModel> {
        EncryptedModel::prepare(&self.weights, &self.ranges, &self.block, &self.shape, CircuitOptions::default())
    }

    #[track_caller]
    fn refused(&self, expected: &str) -> Error {
        let error = self.prepare().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        error
    }
}

#[test]
fn rejects_a_window_that_no_polynomial_carries_naming_layer_and_site() {
    let mut case = case();
    assert!(case.prepare().is_ok());
    case.ranges.layers[1].ffn_mean_square = Interval::new(1e-9, 1e3);
    assert!(matches!(case.refused("layer 1, ffn mean square"), Error::Circuit { .. }));
}

#[test]
fn rejects_denominators_that_exp_inverse_cannot_carry() {
    let mut case = case();
    case.ranges.layers[0].denominator.lo *= 1e-9;
    case.refused("layer 0, score");
}

#[test]
fn rejects_a_parameter_set_with_too_few_levels() {
    let mut case = case();
    case.shape.compute_levels = 8;
    let refusal = case.refused("layer 0, score");
    assert!(refusal.to_string().contains("levels is 3, required 4"), "{refusal}");
}

#[test]
fn rejects_products_over_lanes_with_windows_of_live_scores_alone() {
    let mut case = case();
    let options = CircuitOptions { products: AttentionProducts::Lanes, ..CircuitOptions::default() };
    let prepare = |case: &Case| EncryptedModel::prepare(&case.weights, &case.ranges, &case.block, &case.shape, options);
    assert!(matches!(prepare(&case), Err(Error::MaskedScores)));
    case.ranges = ranges_of(&case.weights, &case.block, &Margins { cover_masked_scores: true, ..Margins::default() });
    prepare(&case).unwrap();
}

#[test]
fn rejects_exact_functions_where_polynomials_are_computed() {
    let case = case();
    let options = CircuitOptions { functions: Functions::Exact, ..CircuitOptions::default() };
    let model = EncryptedModel::prepare(&case.weights, &case.ranges, &case.block, &case.shape, options).unwrap();
    let e = Clear::new(case.shape.clone(), (), NoiseModel::default(), 1).unwrap();
    let residual = model.embed::<Clear, _>(&e).unwrap();
    let error = model.layer(&e, 0, &residual, &mut Unattended).unwrap_err();
    assert!(error.to_string().contains("exact functions"), "{error}");
}

/// The shape of the case's weights.
fn shape_of(weights: &Weights) -> ModelShape {
    let layers =
        (0..weights.config().num_hidden_layers).map(|layer| LargestWeights::of(&weights.layer(layer).unwrap()));
    ModelShape::new(weights.config().clone(), layers.collect(), 1.0).unwrap()
}

#[test]
fn rejects_a_shape_where_there_is_data() {
    let case = case();
    let prepare = |model: &ModelShape| {
        EncryptedModel::prepare(model, &case.ranges, &case.block, &case.shape, CircuitOptions::default())
    };
    let model = prepare(&shape_of(&case.weights)).unwrap();
    let e = Clear::new(case.shape.clone(), (), NoiseModel::default(), 1).unwrap();
    let residual = model.embed::<Clear, _>(&e).unwrap();
    let layer = model.layer(&e, 0, &residual, &mut Unattended).unwrap_err();
    assert!(matches!(layer, Error::ShapeAlone { operation: "a decoder layer" }), "{layer}");
    let head = model.head(&e, &residual, &mut Unattended).unwrap_err();
    assert!(matches!(head, Error::ShapeAlone { operation: "the LM head" }), "{head}");
    assert!(model.run(&e, residual, &mut Unattended).is_err());
    let config = case.weights.config();
    let refused = ModelShape::new(config.clone(), Vec::new(), 1.0).unwrap_err();
    assert!(matches!(refused, Error::RangesOfOtherDepth { found: 0, required: 2 }));
}

/// What is public about a circuit follows from sizes, ranges and the largest weights.
#[test]
fn a_shape_prepares_the_circuit_of_its_weights() {
    let case = case();
    let of_weights = case.prepare().unwrap();
    let shape = shape_of(&case.weights);
    let of_shape =
        EncryptedModel::prepare(&shape, &case.ranges, &case.block, &case.shape, CircuitOptions::default()).unwrap();
    assert_eq!(of_shape.polynomials(), of_weights.polynomials());
    // In a ring of degree 2^10, 8 tokens leave 128 rows.
    let bytes = WeightBytes {
        floats: 4 * (2 * 72 * 64 + 2 * 72 * 32 + 3 * 72 * 172),
        integers: of_weights.layer_weight_bytes(0).unwrap().integers,
    };
    for model in [&of_shape, &of_weights] {
        assert_eq!(model.layer_weight_bytes(1).unwrap(), bytes);
        let head = WeightBytes { floats: 4 * 512 * 72, integers: 2 * 512 * 128 };
        assert_eq!(model.head_weight_bytes(), head);
        assert_eq!(model.integer_bytes(), 2 * bytes.integers + head.integers);
        assert!(matches!(model.layer_weight_bytes(2), Err(Error::LayerOutOfRange { found: 2, layers: 2 })));
    }
    assert_eq!(of_shape.source().parameter_count(), case.weights.parameter_count());
    // The weights are stored as 32-bit numbers; of a shape 16 bits are assumed.
    assert_eq!(of_weights.source().stored_bytes(), 4 * case.weights.parameter_count());
    assert_eq!(of_shape.source().stored_bytes(), 2 * case.weights.parameter_count());
}

#[test]
fn rejects_ranges_of_another_depth() {
    let mut case = case();
    case.ranges.layers.pop();
    assert!(matches!(case.refused("1 layers"), Error::RangesOfOtherDepth { found: 1, required: 2 }));
}

#[test]
fn rejects_a_block_that_the_ring_cannot_hold() {
    let mut case = case();
    case.shape = shape(1 << 3);
    case.refused("tokens");
    case.shape = shape(1 << 5);
    case.refused("head_dim");
}

#[test]
fn rejects_bounds_without_room_below_the_lowest_prime() {
    let mut case = case();
    case.ranges.layers[0].gated = 1e9;
    assert!(matches!(case.refused("layer 0, gated product"), Error::Headroom { .. }));
}

#[test]
fn rejects_a_layer_that_does_not_exist() {
    let case = case();
    let model = case.prepare().unwrap();
    let e = Clear::new(case.shape.clone(), (), NoiseModel::default(), 1).unwrap();
    let residual = model.embed::<Clear, _>(&e).unwrap();
    assert!(matches!(
        model.layer(&e, 2, &residual, &mut Unattended),
        Err(Error::LayerOutOfRange { found: 2, layers: 2 })
    ));
}

#[test]
fn rejects_a_prompt_outside_the_ranges_where_the_clear_run_sees_it() {
    let mut case = case();
    case.ranges.layers[0].query /= 100.0;
    let model = case.prepare().unwrap();
    let e = Clear::new(case.shape.clone(), (), NoiseModel::default(), 1).unwrap();
    let residual = model.embed::<Clear, _>(&e).unwrap();
    let error = model.layer(&e, 0, &residual, &mut Unattended).unwrap_err();
    assert!(error.to_string().contains("layer 0, query: half_bootstrap"), "{error}");
}
