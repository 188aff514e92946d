//! Rotations merged into the weights leave the model what it is, and turn its residual and its values.

use std::collections::BTreeMap;
use std::path::Path;

use fhe_model::calibration::{Corpus, Margins, Ranges, WindowPlan, calibrate};
use fhe_model::{Error, FloatModel, Location, Matrix, Orthogonal, PromptBlock, Rotation, Site, Tokenizer, Weights};
use safetensors::tensor::Dtype;
use serde_json::json;

use crate::fixture::{config_with, folder, random_model, random_tokens, tensors};

/// Weights are rounded to `f32` once or twice more and sums run in another basis: some 2^-24 for each of the twenty tensors on the way to the
/// logits of two layers, which a random model amplifies by less than ten.
const ROUNDING: f64 = 1.0 / 65536.0;

fn run(weights: &Weights, block: &PromptBlock) -> BTreeMap<Location, Matrix> {
    let mut seen = BTreeMap::new();
    let mut keep = |location: Location, tensor: &Matrix, _: &PromptBlock| drop(seen.insert(location, tensor.clone()));
    FloatModel::new(weights).observe(block, &mut keep).unwrap();
    seen
}

/// The root mean square of the difference over that of the reference.
fn relative_error(found: &Matrix, reference: &Matrix) -> f64 {
    assert_eq!(found.shape(), reference.shape());
    let pairs = || found.data().iter().zip(reference.data());
    let difference: f64 = pairs().map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    let size: f64 = pairs().map(|(_, b)| f64::from(*b).powi(2)).sum();
    (difference / size).sqrt()
}

/// Every column turned, as many channels at a time as the map has coordinates.
fn image(tensor: &Matrix, map: &Orthogonal) -> Matrix {
    let mut turned = Matrix::zeros(tensor.rows(), tensor.cols());
    for column in 0..tensor.cols() {
        let mut channels: Vec<f64> = tensor.column(column).iter().map(|&x| x.into()).collect();
        channels.chunks_exact_mut(map.size()).for_each(|run| map.apply(run));
        channels.iter().enumerate().for_each(|(row, &x)| turned.row_mut(row)[column] = x as f32);
    }
    turned
}

/// Sites that tell something about the weights of a row, which are other numbers in the rotated model.
const OF_ROWS: [Site; 5] = [Site::QueryReach, Site::KeyReach, Site::ValueReach, Site::GateReach, Site::UpReach];

/// The basis that a site of the rotated model is seen in.
fn basis(rotation: &Rotation, site: Site) -> Option<&Orthogonal> {
    match site {
        Site::Embedding
        | Site::AttentionNormalisedInput
        | Site::OProjection
        | Site::ResidualAfterAttention
        | Site::FfnNormalisedInput
        | Site::DownProjection
        | Site::ResidualAfterFfn
        | Site::FinalNormalisedInput => Some(rotation.residual()),
        Site::Value | Site::AttentionOutput => Some(rotation.head()),
        _ => None,
    }
}

/// Every tensor of the rotated model is that of the original, or its image; their number.
fn check(weights: &Weights, block: &PromptBlock) -> usize {
    let rotated = weights.rotated(5);
    let rotation = rotated.rotation().unwrap();
    let (original, found) = (run(weights, block), run(&rotated, block));
    assert_eq!(original.len(), found.len());
    for (location, tensor) in original.iter().filter(|(location, _)| !OF_ROWS.contains(&location.site)) {
        let expected = match basis(rotation, location.site) {
            Some(map) => image(tensor, map),
            None => tensor.clone(),
        };
        let error = relative_error(&found[location], &expected);
        assert!(error <= ROUNDING, "{location}: relative error {error:.2e}");
    }
    original.len()
}

#[test]
fn every_tensor_is_the_original_or_its_image() {
    let shapes = [
        json!({}),
        json!({"tie_word_embeddings": true}),
        json!({"num_key_value_heads": 8}),
        json!({"num_key_value_heads": 1, "head_dim": 10}),
        json!({"num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 12, "hidden_size": 20}),
    ];
    for shape in shapes {
        let config = config_with(shape);
        let folder = folder(&config, &tensors(&config, 11), Dtype::F32);
        let weights = Weights::open(folder.path()).unwrap();
        let block = PromptBlock::new(&[random_tokens(9, 2), random_tokens(13, 4)], 32, weights.config()).unwrap();
        assert!(check(&weights, &block) > 40);
    }
}

#[test]
fn the_trained_model_is_the_same_model() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/models/tiny-llama");
    let weights = Weights::open(&folder).unwrap();
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).unwrap();
    let text = std::fs::read_to_string(folder.join("heldout.txt")).unwrap();
    let tokens = tokenizer.encode(&text).unwrap()[..64].to_vec();
    let block = PromptBlock::new(&[tokens], 64, weights.config()).unwrap();
    check(&weights, &block);
}

/// Of 72 channels one is thirty times as large as the others: turned, it is at most a sixth of that in any (`12 x 2` signs and a cosine
/// transform of 3), and what the others add is no longer than they are, `sqrt(71)` times their size.
#[test]
fn an_outlier_is_spread_over_all_channels() {
    let config = config_with(json!({}));
    let mut tensors = tensors(&config, 11);
    let (_, embedding) = tensors.get_mut("model.embed_tokens.weight").unwrap();
    embedding.chunks_exact_mut(72).for_each(|row| row[7] = 30.0);
    embedding.iter_mut().filter(|x| **x != 30.0).for_each(|x| *x = x.signum());
    let folder = folder(&config, &tensors, Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    let peak = |weights: &Weights| weights.embedding().data().iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let (before, after) = (peak(&weights), peak(&weights.rotated(Rotation::SEED)));
    assert_eq!(before, 30.0);
    assert!(after <= 30.0 / 6.0 + 71.0_f32.sqrt(), "{after}");
}

#[test]
fn gammas_are_ones_and_counts_stay() {
    let (_folder, weights) = random_model(1);
    let rotated = weights.rotated(1);
    let layer = rotated.layer(1).unwrap();
    for gamma in [layer.input_norm, layer.post_norm, rotated.final_norm()] {
        assert_eq!(gamma, vec![1.0; 72]);
    }
    assert_eq!(rotated.parameter_count(), weights.parameter_count());
    assert!(weights.rotation().is_none());
    assert!(matches!(rotated.layer(2), Err(Error::LayerOutOfRange { found: 2, layers: 2 })));
}

#[test]
fn a_seed_is_part_of_the_hash() {
    let (_folder, weights) = random_model(1);
    let hashes =
        [weights.hash().to_owned(), weights.rotated(1).hash().to_owned(), weights.rotated(2).hash().to_owned()];
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
    assert_eq!(weights.rotated(2).rotated(1).hash(), hashes[1], "the rotation of what is stored");
}

#[test]
fn rejects_ranges_of_the_model_that_was_not_rotated() {
    let (folder, weights) = random_model(1);
    let corpus = Corpus::from_tokens(random_tokens(200, 1));
    let plan = WindowPlan { windows: 2, block: 32, ..WindowPlan::default() };
    let path = folder.path().join("ranges.toml");
    let calibrated = |weights: &Weights| {
        calibrate(&FloatModel::new(weights), &corpus, &plan, Margins::default(), |_, _| ()).unwrap()
    };
    let rotated = weights.rotated(1);
    calibrated(&weights).save(&path).unwrap();
    assert!(matches!(Ranges::load(&path, &rotated), Err(Error::RangesOfOtherWeights { .. })));
    calibrated(&rotated).save(&path).unwrap();
    Ranges::load(&path, &rotated).unwrap();
    assert!(matches!(Ranges::load(&path, &weights), Err(Error::RangesOfOtherWeights { .. })));
    assert!(matches!(Ranges::load(&path, &weights.rotated(2)), Err(Error::RangesOfOtherWeights { .. })));
}
