//! The float model against the slow one, the mask of a block, and what observers see.

use fhe_model::{Error, FloatModel, Location, Matrix, PromptBlock, Site, Weights};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::fixture::{config, config_with, folder, random_model, random_tokens, tensors};
use crate::slow_llama::SlowLlama;

/// Largest difference between the float model on one block and the slow one on each prompt alone.
fn worst_difference(config: &Value, prompts: &[Vec<u32>], t: usize) -> f64 {
    let tensors = tensors(config, 11);
    let folder = folder(config, &tensors, Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    let block = PromptBlock::new(prompts, t, weights.config()).unwrap();
    let logits = FloatModel::new(&weights).logits(&block).unwrap();
    let slow = SlowLlama { config, tensors: &tensors };
    let mut worst = 0.0_f64;
    for (prompt, span) in prompts.iter().zip(block.prompts()) {
        for (expected, position) in slow.logits(prompt).iter().zip(span.positions()) {
            for (expected, found) in expected.iter().zip(logits.column(position)) {
                worst = worst.max((expected - f64::from(found)).abs());
            }
        }
    }
    worst
}

/// Logits are of size about 1 to 4; products of a hundred terms in f32 leave some 1e-6.
const F32_ERROR: f64 = 2e-5;

#[test]
fn equals_an_independent_llama_on_one_prompt() {
    assert!(worst_difference(&config(), &[random_tokens(32, 1)], 32) < F32_ERROR);
}

#[test]
fn equals_an_independent_llama_on_prompts_that_share_a_block() {
    let prompts = [random_tokens(9, 2), random_tokens(1, 3), random_tokens(13, 4), random_tokens(5, 5)];
    assert!(worst_difference(&config(), &prompts, 32) < F32_ERROR);
}

#[test]
fn equals_an_independent_llama_of_other_shapes() {
    let prompts = [random_tokens(7, 6), random_tokens(4, 7)];
    let shapes = [
        json!({"num_key_value_heads": 8}),
        json!({"num_key_value_heads": 1, "head_dim": 10}),
        json!({"num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 2, "hidden_size": 20}),
        json!({"tie_word_embeddings": true, "rope_theta": 500_000.0, "num_hidden_layers": 1}),
    ];
    for shape in shapes {
        let worst = worst_difference(&config_with(shape.clone()), &prompts, 16);
        assert!(worst < F32_ERROR, "{shape}: {worst}");
    }
}

#[test]
fn prompts_in_one_block_do_not_influence_each_other() {
    let (_folder, weights) = random_model(1);
    let model = FloatModel::new(&weights);
    let (first, second) = (random_tokens(10, 1), random_tokens(6, 2));
    let block = |second: &[u32]| PromptBlock::new(&[first.clone(), second.to_vec()], 32, weights.config()).unwrap();
    let (one, other) = (block(&second), block(&random_tokens(6, 3)));
    assert_eq!(one.prompts(), other.prompts());
    let (one_logits, other_logits) = (model.logits(&one).unwrap(), model.logits(&other).unwrap());
    for position in one.prompts()[0].positions() {
        assert_eq!(one_logits.column(position), other_logits.column(position));
    }
    assert_ne!(one_logits.column(one.prompts()[1].start), other_logits.column(one.prompts()[1].start));
}

#[test]
fn padding_repeats_the_first_position_of_the_first_prompt() {
    let (_folder, weights) = random_model(1);
    let block = PromptBlock::new(&[random_tokens(10, 1)], 32, weights.config()).unwrap();
    let start = block.prompts()[0].start;
    let mut locations = 0;
    let mut see = |location: Location, tensor: &Matrix, block: &PromptBlock| {
        locations += 1;
        if location.site != Site::Score {
            let padding = (0..32).find(|&position| !block.is_live(position)).unwrap();
            assert_eq!(tensor.column(padding), tensor.column(start), "{location}");
        }
    };
    FloatModel::new(&weights).observe(&block, &mut see).unwrap();
    assert_eq!(locations, 1 + 2 * 27 + 3);
}

#[test]
fn observed_tensors_obey_the_layer_equations() {
    let (_folder, weights) = random_model(4);
    let block = PromptBlock::new(&[random_tokens(16, 1)], 16, weights.config()).unwrap();
    let mut seen = std::collections::HashMap::new();
    let mut see = |location: Location, tensor: &Matrix, _: &PromptBlock| {
        assert!(seen.insert(location, tensor.clone()).is_none(), "{location} shown twice");
    };
    let logits = FloatModel::new(&weights).observe(&block, &mut see).unwrap();
    assert_eq!(seen[&Site::Logits.outside_layers()], logits);
    let at = |site: Site| &seen[&site.in_layer(1)];
    let close = |a: f32, b: f32| assert!((a - b).abs() <= 1e-5 * (1.0 + a.abs()), "{a} {b}");
    let before = &seen[&Site::ResidualAfterFfn.in_layer(0)];
    for token in 0..16 {
        let mean: f32 = before.column(token).iter().map(|x| x * x).sum::<f32>() / 72.0;
        close(at(Site::AttentionMeanSquare).at(0, token), mean);
        close(at(Site::AttentionNormalisedInput).at(5, token), before.at(5, token) / (mean + 1e-5).sqrt());
        close(at(Site::ResidualAfterAttention).at(7, token), before.at(7, token) + at(Site::OProjection).at(7, token));
        let layer = weights.layer(1).unwrap();
        let peak = |row: usize| {
            let folded = layer.k.row(row).iter().zip(&layer.input_norm).map(|(weight, gamma)| (weight * gamma).abs());
            folded.fold(0.0, f32::max)
        };
        let reaches = (0..32).map(|row| at(Site::Key).at(row, token).abs() / peak(row));
        close(at(Site::KeyReach).at(0, token), reaches.fold(0.0, f32::max));
        let gate = at(Site::Gate).at(171, token);
        close(at(Site::GatedProduct).at(171, token), gate / (1.0 + (-gate).exp()) * at(Site::Up).at(171, token));
        for head in 0..8 {
            let live: Vec<f32> = (0..=token).map(|key| at(Site::Score).at(head * 16 + key, token)).collect();
            close(at(Site::ScoreRowMaximum).at(head, token), live.iter().copied().fold(f32::MIN, f32::max));
            close(at(Site::LogDenominator).at(head, token), live.iter().map(|s| s.exp()).sum::<f32>().ln());
        }
    }
}

#[test]
fn blocks_run_together_equal_blocks_run_alone() {
    let (_folder, weights) = random_model(5);
    let model = FloatModel::new(&weights);
    let block = |seed| PromptBlock::new(&[random_tokens(12, seed)], 16, weights.config()).unwrap();
    let blocks = [block(1), block(2)];
    let (mut first, mut second) = (fhe_model::float::Unobserved, fhe_model::float::Unobserved);
    let mut together = Vec::new();
    model
        .observe_each(&blocks, &mut [&mut first, &mut second], |index, logits| together.push((index, logits)))
        .unwrap();
    let alone: Vec<_> = blocks.iter().map(|block| model.logits(block).unwrap()).enumerate().collect();
    assert_eq!(together, alone);
}

#[test]
fn rejects_a_block_of_another_model() {
    let (_folder, weights) = random_model(6);
    let larger = config_with(json!({"vocab_size": 600}));
    let larger = fhe_model::Config::parse(&larger.to_string(), std::path::Path::new("config.json")).unwrap();
    let block = PromptBlock::new(&[vec![599]], 16, &larger).unwrap();
    let refused = FloatModel::new(&weights).logits(&block).unwrap_err();
    assert!(matches!(refused, Error::TokenOutOfVocabulary { token: 599, vocabulary: 512, .. }));
    let refused = FloatModel::new(&weights).observe_each(&[block], &mut [], |_, _| ()).unwrap_err();
    assert!(matches!(refused, Error::Shape { .. }));
}

#[test]
fn rejects_weights_that_overflow_naming_the_place() {
    let config = config();
    let mut tensors = tensors(&config, 7);
    tensors.get_mut("model.layers.1.mlp.up_proj.weight").unwrap().1[3] = f32::NAN;
    let folder = folder(&config, &tensors, Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    let block = PromptBlock::new(&[vec![5]], 16, weights.config()).unwrap();
    let refused = FloatModel::new(&weights).logits(&block).unwrap_err();
    assert!(matches!(refused, Error::NotFinite { location, .. } if location == Site::Up.in_layer(1)), "{refused}");
}
