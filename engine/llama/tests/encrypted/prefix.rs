//! A public prefix in the circuit: plaintext keys and values, and not a trace of its activations.

use fhe_ckks::{Clear, NoiseModel};
use fhe_model::calibration::{Margins, Recorder};
use fhe_model::encrypted::{AttentionProducts, CircuitOptions, EncryptedModel};
use fhe_model::{Error, FloatModel, Prefix, PromptBlock, Weights};
use safetensors::tensor::Dtype;
use serde_json::json;

use crate::agreement::QUANTISATION;
use crate::fixture::{config, config_with, folder, random_model, random_tokens, tensors};
use crate::support::{by_polynomials, margins_for, ranges_of, run, shape};

const BOTH: [AttentionProducts; 2] = [AttentionProducts::Slots, AttentionProducts::Lanes];

fn block(weights: &Weights, prefix: &[u32], prompts: &[Vec<u32>], tokens: usize) -> PromptBlock {
    let prefix = Prefix::new(prefix.to_vec(), weights.config()).unwrap();
    PromptBlock::after(&prefix, prompts, tokens, weights.config()).unwrap()
}

/// All positions against the float model's; those of the prefix against the first prompt's first one.
fn check(weights: &Weights, block: &PromptBlock, degree: usize) {
    for products in BOTH {
        let ranges = ranges_of(weights, block, &margins_for(products));
        run(weights, &ranges, block, degree, NoiseModel::default(), by_polynomials(products)).check_sites(QUANTISATION);
    }
}

#[test]
fn prompts_behind_one_token() {
    let (_folder, weights) = random_model(1);
    let prompts = [random_tokens(7, 3), random_tokens(9, 4), random_tokens(12, 5)];
    check(&weights, &block(&weights, &[6], &prompts, 32), 1 << 12);
}

#[test]
fn a_whole_block_behind_four_tokens_straddles_the_halves() {
    let (_folder, weights) = random_model(2);
    let block = block(&weights, &[6, 1, 6, 9], &[random_tokens(12, 3)], 16);
    assert!(block.straddles_middle());
    check(&weights, &block, 1 << 12);
}

#[test]
fn a_first_prompt_in_the_second_half() {
    let (_folder, weights) = random_model(3);
    let block = block(&weights, &[6], &[random_tokens(8, 3), random_tokens(5, 4)], 16);
    assert_eq!(block.prompts()[0].start, 8);
    check(&weights, &block, 1 << 12);
}

#[test]
fn several_ciphertexts_and_heads_that_are_no_power_of_two() {
    let config = config_with(json!({"num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 8}));
    let folder = folder(&config, &tensors(&config, 1), Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    check(&weights, &block(&weights, &[6, 2], &[random_tokens(17, 1), random_tokens(7, 2)], 32), 1 << 11);
}

/// The windows do not hold the prefix, a thousand times larger than they are: nobody has embedded it.
#[test]
fn a_massive_prefix_never_enters_the_circuit() {
    const MASSIVE: usize = 511;
    let config = config();
    let mut tensors = tensors(&config, 10);
    let embedding = &mut tensors.get_mut("model.embed_tokens.weight").unwrap().1;
    embedding[MASSIVE * 72..][..72].iter_mut().for_each(|x| *x *= 1000.0);
    let folder = folder(&config, &tensors, Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    let block = block(&weights, &[MASSIVE as u32], &[random_tokens(9, 3)], 16);
    let ranges = ranges_of(&weights, &block, &Margins::default());
    assert!(ranges.embedding < 1.0 && weights.embedding().row(MASSIVE).iter().any(|x| x.abs() > 100.0));
    check(&weights, &block, 1 << 12);
}

/// Plaintext rows take no operation of their own.
#[test]
fn a_prefix_costs_no_operation_over_lanes() {
    let (_folder, weights) = random_model(1);
    let prompts = [random_tokens(11, 3), random_tokens(8, 4)];
    // One set of windows for both, hence polynomials of the same degrees.
    let mut recorder = Recorder::new(weights.config());
    for prefix in [&[][..], &[6]] {
        FloatModel::new(&weights).observe(&block(&weights, prefix, &prompts, 32), &mut recorder).unwrap();
    }
    let ranges = recorder.extents().with_margins(&margins_for(AttentionProducts::Lanes));
    let counts = |prefix: &[u32]| {
        let block = block(&weights, prefix, &prompts, 32);
        let ranges = ranges.clone().after(block.prefix());
        let options = by_polynomials(AttentionProducts::Lanes);
        run(&weights, &ranges, &block, 1 << 12, NoiseModel::default(), options).counts
    };
    assert_eq!(counts(&[]), counts(&[6]));
}

#[test]
fn rejects_ranges_of_another_prefix() {
    let (_folder, weights) = random_model(1);
    let block = block(&weights, &[6], &[random_tokens(7, 3)], 8);
    let ranges = ranges_of(&weights, &block, &Margins::default()).after(&Prefix::none());
    let refused = EncryptedModel::prepare(&weights, &ranges, &block, &shape(1 << 10), CircuitOptions::default());
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::RangesOfOtherPrefix { .. }), "{refused}");
}

#[test]
fn rejects_rows_of_the_prefix_beyond_the_windows() {
    let (_folder, weights) = random_model(1);
    let block = block(&weights, &[6], &[random_tokens(7, 3)], 8);
    for products in BOTH {
        let mut ranges = ranges_of(&weights, &block, &margins_for(products));
        ranges.layers[1].value *= 1e-3;
        let options = by_polynomials(products);
        let refused = EncryptedModel::prepare(&weights, &ranges, &block, &shape(1 << 10), options).unwrap_err();
        assert!(refused.to_string().starts_with("layer 1, value: "), "{refused}");
    }
}

/// What the client sends where the prefix stands is the first prompt's first token.
#[test]
fn the_client_embeds_the_first_token_in_place_of_the_prefix() {
    let (_folder, weights) = random_model(1);
    let behind = block(&weights, &[6], &[vec![9, 8]], 8);
    let ranges = ranges_of(&weights, &behind, &Margins::default());
    let shape = shape(1 << 10);
    let model = EncryptedModel::prepare(&weights, &ranges, &behind, &shape, CircuitOptions::default()).unwrap();
    let e = Clear::new(shape, (), NoiseModel::default(), 1).unwrap();
    let sent: Vec<Vec<f64>> = (model.embed::<Clear, _>(&e).unwrap().iter())
        .map(|x| fhe_ckks::Client::<Clear>::decrypt(&e, x).unwrap().unwrap())
        .collect();
    let tensor = model.residual().unpack(&sent).unwrap();
    let embedding = weights.embedding();
    for (channel, row) in tensor.chunks_exact(8).enumerate() {
        let expected = [9, 9, 8, 9, 9, 9, 9, 9].map(|token| f64::from(embedding.at(token, channel)));
        assert!(row.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6), "channel {channel}");
    }
}
