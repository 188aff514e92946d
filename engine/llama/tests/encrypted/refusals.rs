//! What is refused, and that layer and site are named.

use fhe_circuits::Functions;
use fhe_ckks::{CircuitShape, Clear, NoiseModel};
use fhe_model::calibration::{Interval, Margins, ModelRanges};
use fhe_model::encrypted::{AttentionProducts, CircuitOptions, EncryptedModel, Unattended};
use fhe_model::{Error, Result};
use fhe_model::{PromptBlock, Weights};

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
    assert!(matches!(case.refused("layer 0"), Error::Levels { required: 8, .. }));
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
