//! Every named tensor agrees with the float reference: what finds a mistake of packing, and the site it was made at.

use std::collections::BTreeSet;

use fhe_circuits::{Functions, SoftmaxVariant, WeightScales};
use fhe_ckks::{NoiseModel, Parameters};
use fhe_model::calibration::Margins;
use fhe_model::encrypted::{AttentionProducts, CircuitOptions};
use fhe_model::{PromptBlock, Site};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::fixture::{LAYERS, config_with, folder, random_model, random_tokens, tensors};
use crate::support::{by_polynomials, margins_for, ranges_of, run};

/// 13-bit weights of a tensor with uniform entries are off by 2^-12.8 of their root mean square; a few layers of a
/// random model, which amplifies errors more than a trained one, stay within this.
pub(crate) const QUANTISATION: f64 = 1.0 / 128.0;

fn check(config: &Value, prompts: &[Vec<u32>], tokens: usize, degree: usize) -> crate::support::Run {
    for products in [AttentionProducts::Lanes, AttentionProducts::Slots] {
        let per_row = CircuitOptions { weight_scales: WeightScales::PerRow, ..by_polynomials(products) };
        check_options(config, prompts, tokens, degree, per_row);
    }
    check_options(config, prompts, tokens, degree, by_polynomials(AttentionProducts::Lanes));
    check_options(config, prompts, tokens, degree, by_polynomials(AttentionProducts::Slots))
}

fn check_options(
    config: &Value,
    prompts: &[Vec<u32>],
    tokens: usize,
    degree: usize,
    options: CircuitOptions,
) -> crate::support::Run {
    let folder = folder(config, &tensors(config, 1), Dtype::F32);
    let weights = fhe_model::Weights::open(folder.path()).unwrap();
    let block = PromptBlock::new(prompts, tokens, weights.config()).unwrap();
    let ranges = ranges_of(&weights, &block, &margins_for(options.products));
    let run = run(&weights, &ranges, &block, degree, NoiseModel::default(), options);
    run.check_sites(QUANTISATION);
    run
}

/// Functions themselves, on windows that no polynomial carries; everything but the polynomials is the same circuit.
#[test]
fn exact_functions_need_no_windows() {
    let config = crate::fixture::config();
    let prompts = [random_tokens(7, 3), random_tokens(9, 4), random_tokens(13, 5)];
    for products in [AttentionProducts::Slots, AttentionProducts::Lanes] {
        let options = by_polynomials(products);
        let exact = CircuitOptions { functions: Functions::Exact, ..options };
        let by_polynomials = check_options(&config, &prompts, 32, 1 << 12, options);
        let run = check_options(&config, &prompts, 32, 1 << 12, exact);
        assert_eq!(run.counts, by_polynomials.counts, "{products:?}");

        let (_folder, weights) = random_model(1);
        let block = PromptBlock::new(&prompts, 32, weights.config()).unwrap();
        let mut ranges = ranges_of(&weights, &block, &margins_for(products));
        ranges.layers[1].ffn_mean_square.lo = 1e-12;
        ranges.layers[0].denominator.lo *= 1e-12;
        let wide = |options| crate::support::run(&weights, &ranges, &block, 1 << 12, NoiseModel::default(), options);
        wide(exact).check_sites(QUANTISATION);
        assert!(std::panic::catch_unwind(|| wide(options)).is_err());
    }
}

/// Sums of squares cross in place of denominators, and norms are evaluated slimly.
#[test]
fn softmax_in_rounds_and_slim_norms_agree_as_well() {
    let prompts = [random_tokens(7, 3), random_tokens(9, 4), random_tokens(13, 5)];
    for products in [AttentionProducts::Slots, AttentionProducts::Lanes] {
        for rounds in [2, 3] {
            let softmax = SoftmaxVariant::NormalizeAndSquare { rounds };
            let options = CircuitOptions { softmax, slim_norms: true, ..by_polynomials(products) };
            let run = check_options(&crate::fixture::config(), &prompts, 32, 1 << 12, options);
            assert!(run.tensors.iter().all(|(location, _)| location.site != Site::LogDenominator));
            let of_layer = run.model.polynomials().iter().filter(|p| p.location.layer == Some(0)).count();
            // Two norms, SiLU, an exponential, and a reciprocal for each round.
            assert_eq!(of_layer, 4 + rounds);
        }
    }
}

/// Denominators cross in the copies of their keys, where nobody looks at them. Iterations carry those of scores that differ little.
#[test]
fn softmax_of_one_reciprocal_or_of_iterations_agrees_as_well() {
    let prompts = [random_tokens(7, 3), random_tokens(9, 4), random_tokens(13, 5)];
    let config = crate::fixture::config();
    let mut tame = tensors(&config, 1);
    for (_, (_, numbers)) in tame.iter_mut().filter(|(name, _)| name.contains("q_proj")) {
        numbers.iter_mut().for_each(|number| *number *= 0.25);
    }
    let folder = folder(&config, &tame, Dtype::F32);
    let weights = fhe_model::Weights::open(folder.path()).unwrap();
    let block = PromptBlock::new(&prompts, 32, weights.config()).unwrap();
    for products in [AttentionProducts::Slots, AttentionProducts::Lanes] {
        let ranges = ranges_of(&weights, &block, &margins_for(products));
        for softmax in [SoftmaxVariant::ExpSlimInverse, SoftmaxVariant::ExpGoldschmidt] {
            let options = CircuitOptions { softmax, ..by_polynomials(products) };
            let run = run(&weights, &ranges, &block, 1 << 12, NoiseModel::default(), options);
            run.check_sites(QUANTISATION);
            assert!(run.tensors.iter().all(|(location, _)| location.site != Site::LogDenominator));
            let of_layer = run.model.polynomials().into_iter().filter(|p| p.location.layer == Some(0));
            // Two norms, SiLU, an exponential and a division.
            let sites: Vec<Site> = of_layer.map(|polynomial| polynomial.location.site).collect();
            assert_eq!(sites.len(), 5);
            assert!(sites.contains(&Site::LogDenominator));
        }
    }
}

#[test]
fn a_block_of_prompts_through_a_model_of_odd_sizes() {
    let prompts = [random_tokens(7, 3), random_tokens(9, 4), random_tokens(13, 5)];
    let run = check(&crate::fixture::config(), &prompts, 32, 1 << 12);
    let shown: BTreeSet<Site> = run.tensors.iter().map(|(location, _)| location.site).collect();
    let in_layers = [
        Site::AttentionNormalisedInput,
        Site::Query,
        Site::Key,
        Site::Value,
        Site::Score,
        Site::LogDenominator,
        Site::AttentionOutput,
        Site::OProjection,
        Site::ResidualAfterAttention,
        Site::FfnNormalisedInput,
        Site::Gate,
        Site::Up,
        Site::GatedProduct,
        Site::DownProjection,
        Site::ResidualAfterFfn,
    ];
    assert_eq!(shown, in_layers.into_iter().chain([Site::FinalNormalisedInput, Site::Logits]).collect());
    assert_eq!(run.tensors.len(), in_layers.len() * LAYERS + 2);
    assert_eq!(run.phases.len(), 3);
}

#[test]
fn a_prompt_that_straddles_the_halves() {
    check(&crate::fixture::config(), &[random_tokens(13, 3)], 16, 1 << 12);
}

#[test]
fn tensors_of_several_ciphertexts() {
    // 64 rows: 2 ciphertexts of residual and of heads, 3 of gate and up, 8 of logits.
    let run = check(&crate::fixture::config(), &[random_tokens(9, 1), random_tokens(7, 2)], 32, 1 << 11);
    assert_eq!(run.model.residual().ciphertexts(), 2);
}

#[test]
fn one_key_value_head_per_query_head_and_heads_that_are_no_power_of_two() {
    let config = config_with(json!({"num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 12}));
    check(&config, &[random_tokens(16, 1), random_tokens(4, 2)], 32, 1 << 12);
}

#[test]
fn tied_embeddings_and_one_layer() {
    let config = config_with(json!({"tie_word_embeddings": true, "num_hidden_layers": 1, "num_key_value_heads": 1}));
    check(&config, &[random_tokens(3, 1)], 4, 1 << 10);
}

#[test]
fn noise_of_the_expected_size_stays_below_the_quantisation() {
    let (_folder, weights) = random_model(1);
    let block = PromptBlock::new(&[random_tokens(16, 3), random_tokens(11, 4)], 32, weights.config()).unwrap();
    let noise = NoiseModel::of(&Parameters::named("n16-llama").unwrap(), 128);
    for products in [AttentionProducts::Slots, AttentionProducts::Lanes] {
        let ranges = ranges_of(&weights, &block, &margins_for(products));
        let options = by_polynomials(products);
        let in_rounds = CircuitOptions { softmax: SoftmaxVariant::NormalizeAndSquare { rounds: 3 }, ..options };
        let per_tensor = CircuitOptions { weight_scales: WeightScales::PerTensor, ..options };
        for options in [CircuitOptions { weight_scales: WeightScales::PerRow, ..options }, in_rounds, per_tensor] {
            run(&weights, &ranges, &block, 1 << 12, noise, options).check_sites(QUANTISATION);
        }
    }
}

#[test]
fn a_checkpoint_of_the_residual_continues_the_run() {
    use fhe_ckks::{Clear, Evaluator};
    use fhe_model::encrypted::{EncryptedModel, Unattended};

    let (_folder, weights) = random_model(1);
    let block = PromptBlock::new(&[random_tokens(5, 3)], 8, weights.config()).unwrap();
    let ranges = ranges_of(&weights, &block, &Margins::default());
    let shape = crate::support::shape(1 << 10);
    let model = EncryptedModel::prepare(&weights, &ranges, &block, &shape, CircuitOptions::default()).unwrap();
    let clear = || Clear::new(shape.clone(), (), NoiseModel::default(), 1).unwrap();
    let e = clear();
    let residual = model.embed::<Clear, _>(&e).unwrap();
    let residual = model.layer(&e, 0, &residual, &mut Unattended).unwrap();
    let saved: Vec<Vec<u8>> = residual.iter().map(|x| e.save(x).unwrap()).collect();
    let other = clear();
    let restored: Vec<_> = saved.iter().map(|bytes| other.restore(bytes).unwrap()).collect();
    let finish = |e: &Clear, residual: &[_]| {
        let residual = model.layer(e, 1, residual, &mut Unattended).unwrap();
        model.logits::<Clear, _>(e, &model.head(e, &residual, &mut Unattended).unwrap()).unwrap()
    };
    assert_eq!(finish(&e, &residual), finish(&other, &restored));
}
