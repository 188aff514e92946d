//! One token after another against the cache that a prompt left: every tensor of a step beside the float model's at its position.

use fhe_circuits::{KeyValueCache, SoftmaxVariant, WeightScales};
use fhe_ckks::{Clear, ClearSlots, NoiseModel};
use fhe_model::calibration::ModelRanges;
use fhe_model::encrypted::{AttentionProducts, CircuitOptions, DecodingModel, EncryptedModel, LayerOutput, Unattended};
use fhe_model::{Error, Matrix, Prefix, PromptBlock, Weights};
use safetensors::tensor::Dtype;
use serde_json::json;

use crate::agreement::QUANTISATION;
use crate::fixture::{config_with, folder, random_model, random_tokens, tensors};
use crate::support::{Seen, margins_for, ranges_of, reference_of, relative_error, shape};

const LANES: AttentionProducts = AttentionProducts::Lanes;

fn options(softmax: SoftmaxVariant, weight_scales: WeightScales) -> CircuitOptions {
    CircuitOptions { products: LANES, keep_cache: true, softmax, weight_scales, ..CircuitOptions::default() }
}

/// The options that real models run with.
fn rounds_per_row() -> CircuitOptions {
    options(SoftmaxVariant::NormalizeAndSquare { rounds: 3 }, WeightScales::PerRow)
}

fn block(weights: &Weights, prefix: &[u32], tokens: &[u32], size: usize) -> PromptBlock {
    let prefix = Prefix::new(prefix.to_vec(), weights.config()).unwrap();
    PromptBlock::after(&prefix, &[tokens.to_vec()], size, weights.config()).unwrap()
}

/// Caches of a prompt.
fn prefill(e: &Clear, model: &EncryptedModel) -> Vec<KeyValueCache<ClearSlots>> {
    let mut residual = model.embed::<Clear, _>(e).unwrap();
    let layer = |index| {
        let LayerOutput { residual: after, cache } =
            model.layer_and_cache(e, index, &residual, &mut Unattended).unwrap();
        residual = after;
        cache.expect("kept")
    };
    (0..model.layers()).map(layer).collect()
}

pub(crate) fn column(tensor: &Matrix, position: usize) -> Matrix {
    let mut column = Matrix::zeros(tensor.rows(), 1);
    (0..tensor.rows()).for_each(|row| column.row_mut(row)[0] = tensor.at(row, position));
    column
}

/// The first tokens of a sequence as a prompt, the others one by one.
fn check(weights: &Weights, prefix: &[u32], sequence: &[u32], prompt: usize, size: usize, options: CircuitOptions) {
    let whole = block(weights, prefix, sequence, size);
    let ranges = ranges_of(weights, &whole, &margins_for(LANES));
    let (reference, logits, _) = reference_of(weights, &whole);
    let (shape, first) = (shape(1 << 12), block(weights, prefix, &sequence[..prompt], size));
    let model = EncryptedModel::prepare(weights, &ranges, &first, &shape, options).unwrap();
    let steps = DecodingModel::prepare(weights, &ranges, &first, &shape, options, size).unwrap();
    let e = Clear::new(shape, (), NoiseModel::default(), 7).unwrap();
    let mut caches = prefill(&e, &model);
    for (index, &token) in sequence.iter().enumerate().skip(prompt) {
        let position = prefix.len() + index;
        assert!(caches.iter().all(|cache| cache.length() == position));
        let mut seen = Seen::new(&e);
        let residual = steps.embed::<Clear, _>(&e, token).unwrap();
        let found = steps.step(&e, &mut caches, residual, &mut seen).unwrap();
        assert!(seen.tensors.len() > 8 * steps.layers());
        for (location, tensor) in &seen.tensors {
            let Some(expected) = reference.get(location).filter(|expected| expected.rows() == tensor.rows()) else {
                // Queries, keys and values, and gate and up, are one product each.
                assert!(tensor.rows() > reference[location].rows(), "{location}");
                continue;
            };
            let error = relative_error(tensor, &column(expected, position));
            assert!(error <= QUANTISATION, "token {index}, {location}: relative error {error:.2e}");
        }
        let found = steps.logits::<Clear, _>(&e, &found).unwrap().unwrap();
        let expected = column(&logits, position);
        let mut tensor = Matrix::zeros(found.len(), 1);
        tensor.data_mut().copy_from_slice(&found);
        let error = relative_error(&tensor, &expected);
        assert!(error <= QUANTISATION, "token {index}, logits: relative error {error:.2e}");
    }
}

#[test]
fn tokens_after_a_prompt() {
    let (_folder, weights) = random_model(1);
    for options in [
        options(SoftmaxVariant::ExpInverse, WeightScales::PerTensor),
        options(SoftmaxVariant::NormalizeAndSquare { rounds: 2 }, WeightScales::PerRow),
        rounds_per_row(),
    ] {
        check(&weights, &[], &random_tokens(14, 3), 10, 16, options);
    }
}

#[test]
fn tokens_behind_a_public_prefix() {
    let (_folder, weights) = random_model(2);
    check(&weights, &[6, 1], &random_tokens(13, 4), 5, 16, rounds_per_row());
}

#[test]
fn heads_that_are_no_power_of_two() {
    let config = config_with(json!({"num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 8}));
    let folder = folder(&config, &tensors(&config, 1), Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    check(&weights, &[6], &random_tokens(12, 1), 9, 32, rounds_per_row());
}

/// Everything that leads to a first step.
fn prepared(weights: &Weights, block: &PromptBlock) -> (Clear, ModelRanges, EncryptedModel, DecodingModel) {
    let (ranges, shape) = (ranges_of(weights, block, &margins_for(LANES)), shape(1 << 12));
    let model = EncryptedModel::prepare(weights, &ranges, block, &shape, rounds_per_row()).unwrap();
    let steps = DecodingModel::prepare(weights, &ranges, block, &shape, rounds_per_row(), block.size()).unwrap();
    (Clear::new(shape, (), NoiseModel::default(), 7).unwrap(), ranges, model, steps)
}

#[test]
fn rejects_more_tokens_than_a_block_and_caches_of_another_model() {
    let (_folder, weights) = random_model(1);
    let full = block(&weights, &[], &random_tokens(8, 3), 8);
    let (e, _, model, steps) = prepared(&weights, &full);
    let mut caches = prefill(&e, &model);
    let step = |caches: &mut [KeyValueCache<ClearSlots>], token| {
        steps.embed::<Clear, _>(&e, token).and_then(|residual| steps.step(&e, caches, residual, &mut Unattended))
    };
    let refused = step(&mut caches, 3).unwrap_err();
    assert!(matches!(refused, Error::CacheFull { found: 9, required: 8 }), "{refused}");
    let grown = |cache: &KeyValueCache<ClearSlots>| {
        let (layout, length) = (steps.cache_layout(), cache.length() - 1);
        layout.cache(cache.keys().to_vec(), cache.values().to_vec(), length).unwrap()
    };
    let mut uneven = vec![caches[0].clone(), grown(&caches[1])];
    let refused = step(&mut uneven, 3).unwrap_err();
    assert!(matches!(refused, Error::CachesOfOtherLength { found: 7, required: 8 }), "{refused}");
    let refused = step(&mut caches[1..], 3).unwrap_err();
    assert!(matches!(refused, Error::CachesOfOtherDepth { found: 1, required: 2 }), "{refused}");
    assert!(step(&mut caches, 512).is_err(), "a token that the vocabulary does not have");
    assert!(steps.layer(&e, 2, &mut caches[0], &[], &mut Unattended).is_err());
}

#[test]
fn rejects_several_prompts_and_models_that_keep_nothing() {
    let (_folder, weights) = random_model(1);
    let several = [random_tokens(5, 3), random_tokens(4, 5)];
    let both = PromptBlock::new(&several, 16, weights.config()).unwrap();
    let (ranges, shape) = (ranges_of(&weights, &both, &margins_for(LANES)), shape(1 << 12));
    let refused = DecodingModel::prepare(&weights, &ranges, &both, &shape, rounds_per_row(), 16).unwrap_err();
    assert!(matches!(refused, Error::SeveralPrompts { found: 2 }), "{refused}");
    assert!(EncryptedModel::prepare(&weights, &ranges, &both, &shape, rounds_per_row()).is_err());
    // Behind a prefix of one, eight tokens have no room in the first half of the block.
    let prefix = Prefix::new(vec![3], weights.config()).unwrap();
    let apart = PromptBlock::after(&prefix, &[random_tokens(8, 3)], 16, weights.config()).unwrap();
    let ranges_apart = ranges_of(&weights, &apart, &margins_for(LANES));
    let refused = DecodingModel::prepare(&weights, &ranges_apart, &apart, &shape, rounds_per_row(), 16).unwrap_err();
    assert!(matches!(refused, Error::PromptBehindGap { found: 8, required: 1 }), "{refused}");
    let forgets = CircuitOptions { keep_cache: false, ..rounds_per_row() };
    let model = EncryptedModel::prepare(&weights, &ranges, &both, &shape, forgets).unwrap();
    let e = Clear::new(shape, (), NoiseModel::default(), 7).unwrap();
    let residual = model.embed::<Clear, _>(&e).unwrap();
    assert!(model.layer_and_cache(&e, 0, &residual, &mut Unattended).unwrap().cache.is_none());
}
