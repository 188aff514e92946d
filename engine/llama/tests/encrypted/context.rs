//! A block behind a public context: every tensor of the circuit beside the float model's, both ways to multiply with public keys.

use std::sync::Arc;

use fhe_circuits::{PublicProducts, SoftmaxVariant, WeightScales};
use fhe_ckks::{Clear, NoiseModel};
use fhe_model::calibration::{ModelRanges, Recorder};
use fhe_model::encrypted::{AttentionProducts, CircuitOptions, DecodingModel, EncryptedModel, Unattended};
use fhe_model::float::ContextTensors;
use fhe_model::{Error, FloatModel, Location, Matrix, Observer, PromptBlock, PublicContext, Site, Weights};
use safetensors::tensor::Dtype;
use serde_json::json;

use crate::agreement::QUANTISATION;
use crate::decoding::column;
use crate::fixture::{config_with, folder, random_tokens, tensors};
use crate::support::{Seen, margins_for, relative_error, shape};

const LANES: AttentionProducts = AttentionProducts::Lanes;

fn options(public_products: PublicProducts, rounds: usize) -> CircuitOptions {
    CircuitOptions {
        products: LANES,
        public_products,
        softmax: SoftmaxVariant::NormalizeAndSquare { rounds },
        weight_scales: WeightScales::PerRow,
        ..CircuitOptions::default()
    }
}

/// A model, a prompt behind public tokens, and what float makes of them.
struct Case {
    _folder: tempfile::TempDir,
    weights: Weights,
    context: Arc<ContextTensors>,
    block: PromptBlock,
    ranges: ModelRanges,
    reference: std::collections::BTreeMap<Location, Matrix>,
    logits: Matrix,
}

impl Case {
    fn new(model: serde_json::Value, public: usize, prompt: usize, size: usize) -> Self {
        let config = config_with(model);
        let folder = folder(&config, &tensors(&config, 3), Dtype::F32);
        let weights = Weights::open(folder.path()).unwrap();
        let config = weights.config();
        let tokens = random_tokens(public + prompt, 5);
        let context = PublicContext::new(&tokens[..public], config).unwrap();
        let tensors = ContextTensors::prefill(&weights, &context).unwrap();
        let block = PromptBlock::following(&context, &tokens[public..], size, config).unwrap();
        let mut recorder = Recorder::new(config);
        let mut reference = std::collections::BTreeMap::new();
        let mut keep = |location: Location, tensor: &Matrix, block: &PromptBlock| {
            recorder.observe(location, tensor, block);
            reference.insert(location, tensor.clone());
        };
        let logits = FloatModel::new(&weights).behind(&tensors).observe(&block, &mut keep).unwrap();
        let ranges = recorder.extents().with_margins(&margins_for(LANES)).behind(public);
        Self { _folder: folder, weights, context: Arc::new(tensors), block, ranges, reference, logits }
    }

    fn prepare(&self, options: CircuitOptions) -> Result<EncryptedModel, Error> {
        EncryptedModel::prepare(&self.weights, &self.ranges, &self.block, &shape(1 << 12), options)
    }

    fn check(&self, options: CircuitOptions) {
        let model = self.prepare(options).unwrap().behind(Arc::clone(&self.context)).unwrap();
        let e = Clear::new(shape(1 << 12), (), NoiseModel::default(), 7).unwrap();
        let mut seen = Seen::new(&e);
        let residual = model.embed::<Clear, _>(&e).unwrap();
        let (logits, _) = model.run(&e, residual, &mut seen).unwrap();
        let logits = model.logits::<Clear, _>(&e, &logits).unwrap().unwrap();
        let outputs = seen.tensors.iter().filter(|(location, _)| location.site == Site::OProjection).count();
        assert_eq!(outputs, model.layers(), "what attention adds is shown whole");
        for (location, tensor) in &seen.tensors {
            let error = relative_error(tensor, &self.reference[location]);
            assert!(error <= QUANTISATION, "{location}: relative error {error:.2e}");
        }
        let error = relative_error(&logits, &self.logits);
        assert!(error <= QUANTISATION, "logits: relative error {error:.2e}");
    }
}

#[test]
fn queries_meet_public_keys_and_their_own() {
    let case = Case::new(json!({ "max_position_embeddings": 256 }), 150, 13, 16);
    case.check(options(PublicProducts::Weights, 3));
    case.check(options(PublicProducts::Weights, 2));
    case.check(options(PublicProducts::Slots, 3));
}

#[test]
fn heads_that_are_no_power_of_two_meet_public_keys() {
    let model =
        json!({"num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 8, "max_position_embeddings": 128});
    let case = Case::new(model, 37, 16, 16);
    case.check(options(PublicProducts::Weights, 3));
    case.check(options(PublicProducts::Slots, 3));
}

/// Tokens after a prompt behind public ones: a cache that begins in the middle of a ciphertext, and one behind whole ciphertexts of public tokens.
#[test]
fn tokens_after_a_prompt_behind_a_context() {
    for (public, products) in [(21, PublicProducts::Weights), (150, PublicProducts::Slots)] {
        let case = Case::new(json!({ "max_position_embeddings": 256 }), public, 12, 16);
        let rounds = if products == PublicProducts::Slots { 2 } else { 3 };
        let options = CircuitOptions { keep_cache: true, ..options(products, rounds) };
        let (prompt, config) = (9, case.weights.config());
        let tokens = &case.block.tokens()[..12];
        let first = PromptBlock::following(case.block.context(), &tokens[..prompt], 16, config).unwrap();
        let shape = shape(1 << 12);
        let model = EncryptedModel::prepare(&case.weights, &case.ranges, &first, &shape, options).unwrap();
        let model = model.behind(Arc::clone(&case.context)).unwrap();
        let steps = DecodingModel::prepare(&case.weights, &case.ranges, &first, &shape, options, public + 16).unwrap();
        let e = Clear::new(shape, (), NoiseModel::default(), 7).unwrap();
        let mut residual = model.embed::<Clear, _>(&e).unwrap();
        let mut caches = Vec::new();
        for layer in 0..model.layers() {
            let output = model.layer_and_cache(&e, layer, &residual, &mut Unattended).unwrap();
            residual = output.residual;
            caches.push(output.cache.unwrap());
        }
        let embedded = steps.embed::<Clear, _>(&e, tokens[prompt]).unwrap();
        let bare = steps.step(&e, &mut caches.clone(), embedded, &mut Unattended).unwrap_err();
        assert!(matches!(bare, Error::OtherContext { .. }), "{bare}");
        let steps = steps.behind(Arc::clone(&case.context)).unwrap();
        for (place, &token) in tokens.iter().enumerate().skip(prompt) {
            assert!(caches.iter().all(|cache| (cache.length(), cache.public()) == (public + place, public)));
            let mut seen = Seen::new(&e);
            let residual = steps.embed::<Clear, _>(&e, token).unwrap();
            let logits = steps.step(&e, &mut caches, residual, &mut seen).unwrap();
            for (location, tensor) in &seen.tensors {
                let expected = &case.reference[location];
                if expected.rows() == tensor.rows() {
                    let error = relative_error(tensor, &column(expected, place));
                    assert!(error <= QUANTISATION, "token {place}, {location}: relative error {error:.2e}");
                }
            }
            let logits = steps.logits::<Clear, _>(&e, &logits).unwrap().unwrap();
            let found = Matrix::new(logits.len(), 1, logits).unwrap();
            let error = relative_error(&found, &column(&case.logits, place));
            assert!(error <= QUANTISATION, "token {place}, logits: relative error {error:.2e}");
        }
    }
}

#[test]
fn rejects_what_has_no_part_for_a_context() {
    let case = Case::new(json!({ "max_position_embeddings": 256 }), 20, 5, 16);
    let good = options(PublicProducts::Weights, 3);
    let refused = |options| case.prepare(options).unwrap_err().to_string();
    let in_slots = refused(CircuitOptions { products: AttentionProducts::Slots, ..good });
    assert!(in_slots.contains("products in slots") && in_slots.contains("public context"), "{in_slots}");
    let inverse = refused(CircuitOptions { softmax: SoftmaxVariant::ExpInverse, ..good });
    assert!(inverse.contains("SoftMax"), "{inverse}");
    let levels = refused(options(PublicProducts::Slots, 4));
    assert!(levels.contains("levels"), "{levels}");

    let model = case.prepare(good).unwrap();
    let e = Clear::new(shape(1 << 12), (), NoiseModel::default(), 7).unwrap();
    let residual = model.embed::<Clear, _>(&e).unwrap();
    let bare = model.layer(&e, 0, &residual, &mut Unattended).unwrap_err();
    assert!(matches!(bare, Error::OtherContext { .. }), "{bare}");
    let shorter = PublicContext::new(&case.block.context().tokens()[1..], case.weights.config()).unwrap();
    let shorter = Arc::new(ContextTensors::prefill(&case.weights, &shorter).unwrap());
    assert!(matches!(model.clone().behind(shorter).unwrap_err(), Error::OtherContext { .. }));
    let other = Case::new(json!({ "max_position_embeddings": 256, "rms_norm_eps": 1e-3 }), 20, 5, 16);
    assert!(model.behind(other.context).is_err());
}
