//! Behind a public context the float model is the plain one on the whole sequence, whatever of it is prefilled and however it is cut.

use std::collections::HashMap;
use std::path::Path;

use fhe_model::calibration::{Corpus, Margins, Ranges, Recorder, WindowPlan, calibrate};
use fhe_model::float::ContextTensors;
use fhe_model::{Error, FloatModel, Location, Matrix, Prefix, PromptBlock, PublicContext, Site, Tokenizer, Weights};
use safetensors::tensor::Dtype;
use serde_json::json;
use tempfile::TempDir;

use crate::fixture::{config_with, folder, random_model, random_tokens, tensors};
use crate::slow_llama::SlowLlama;

/// Rounding of f32 over hundreds of keys.
const F32_ERROR: f32 = 5e-5;

/// The fixture's model with positions for several blocks of a prefill.
fn model_with_positions(positions: usize, seed: u64) -> (TempDir, Weights) {
    let config = config_with(json!({ "max_position_embeddings": positions }));
    let folder = folder(&config, &tensors(&config, seed), Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    (folder, weights)
}

type Observed = HashMap<Location, Matrix>;

fn observed(model: &FloatModel<'_>, block: &PromptBlock) -> Observed {
    let mut seen = HashMap::new();
    let mut see = |at, tensor: &Matrix, _: &PromptBlock| drop(seen.insert(at, tensor.clone()));
    model.observe(block, &mut see).unwrap();
    seen
}

/// All tokens as one prompt, and the last of them behind the others.
fn whole_and_split(weights: &Weights, tokens: &[u32], public: usize, t: usize) -> (Observed, Observed, ContextTensors) {
    let (config, size) = (weights.config(), tokens.len().next_power_of_two());
    let whole = PromptBlock::new(&[tokens.to_vec()], size, config).unwrap();
    let context = PublicContext::new(&tokens[..public], config).unwrap();
    let tensors = ContextTensors::prefill(weights, &context).unwrap();
    let split = PromptBlock::following(&context, &tokens[public..], t, config).unwrap();
    let model = FloatModel::new(weights);
    (observed(&model, &whole), observed(&model.behind(&tensors), &split), tensors)
}

fn assert_close(at: Location, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{at}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= F32_ERROR * (1.0 + expected.abs()), "{at}: {found}, expected {expected}");
    }
}

/// Every tensor of the split run against the columns of the whole one.
fn assert_equal_runs(whole: &Observed, split: &Observed, public: usize, prompt: usize, heads: usize) {
    let public_scores = split.keys().filter(|at| at.site == Site::PublicScore).count();
    assert_eq!((split.len(), public_scores), (whole.len() + public_scores, public_scores));
    assert!(public_scores > 0);
    for (&at, found) in split {
        for place in 0..prompt {
            let column = found.column(place);
            let expected = |at: Location| whole[&at].column(public + place);
            if !matches!(at.site, Site::PublicScore | Site::Score) {
                assert_close(at, &column, &expected(at));
                continue;
            }
            // Of the whole block's keys the public ones come first.
            let scores = expected(Location { site: Site::Score, ..at });
            let own = at.site == Site::Score;
            let (first, keys) = if own { (public, prompt) } else { (0, public) };
            let (rows, size) = (column.len() / heads, scores.len() / heads);
            assert_eq!(rows == public, !own);
            for head in 0..heads {
                assert_close(at, &column[head * rows..][..keys], &scores[head * size + first..][..keys]);
            }
        }
    }
}

#[test]
fn equals_the_whole_sequence_at_every_site() {
    let (_folder, weights) = model_with_positions(512, 11);
    // One token, part of a block, whole blocks, and several with a rest.
    for public in [1, 77, 256, 301] {
        let tokens = random_tokens(public + 20, public as u64);
        let (whole, split, _) = whole_and_split(&weights, &tokens, public, 32);
        assert_equal_runs(&whole, &split, public, 20, 8);
    }
}

#[test]
fn equals_an_independent_llama() {
    let config = config_with(json!({ "max_position_embeddings": 256, "num_key_value_heads": 2 }));
    let tensors = tensors(&config, 12);
    let folder = folder(&config, &tensors, Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    let tokens = random_tokens(150, 3);
    let (_, split, _) = whole_and_split(&weights, &tokens, 140, 16);
    let expected = SlowLlama { config: &config, tensors: &tensors }.logits(&tokens);
    let logits = &split[&Site::Logits.outside_layers()];
    for (place, expected) in expected[140..].iter().enumerate() {
        for (found, expected) in logits.column(place).iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < f64::from(F32_ERROR), "position {place}");
        }
    }
}

#[test]
fn the_trained_model_says_the_same_of_a_whole_sequence() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/models/tiny-llama");
    let weights = Weights::open(&folder).unwrap();
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).unwrap();
    let text = std::fs::read_to_string(folder.join("heldout.txt")).unwrap();
    let text = tokenizer.encode(&text).unwrap();
    let bos = weights.config().bos_token_id.unwrap();
    let tokens: Vec<u32> = std::iter::once(bos).chain(text[..119].iter().copied()).collect();
    let (whole, split, _) = whole_and_split(&weights, &tokens, 88, 32);
    let at = Site::Logits.outside_layers();
    for place in 0..32 {
        assert_close(at, &split[&at].column(place), &whole[&at].column(88 + place));
    }
}

#[test]
fn padding_repeats_the_first_position_behind_a_context() {
    let (_folder, weights) = random_model(1);
    let (_, split, _) = whole_and_split(&weights, &random_tokens(70, 2), 60, 32);
    for (at, tensor) in split.iter().filter(|(at, _)| at.site != Site::Score) {
        assert_close(*at, &tensor.column(31), &tensor.column(0));
    }
}

#[test]
fn tensors_are_keys_and_values_of_the_whole_sequence_as_circuits_take_them() {
    let (_folder, weights) = model_with_positions(512, 4);
    let (whole, _, tensors) = whole_and_split(&weights, &random_tokens(210, 5), 200, 16);
    for layer in 0..2 {
        let kept = tensors.layer(layer).unwrap();
        assert_eq!((kept.len(), kept.heads(), kept.head_dim()), (200, 4, 8));
        let cache = kept.to_public_cache(layer).unwrap();
        assert_eq!((cache.heads(), cache.head_dim(), cache.length()), (4, 8, 200));
        let (keys, values) = (&whole[&Site::RotatedKey.in_layer(layer)], &whole[&Site::Value.in_layer(layer)]);
        for head in 0..4 {
            for key in 0..200 {
                for channel in 0..8 {
                    let at = Site::RotatedKey.in_layer(layer);
                    let expected = [keys, values].map(|matrix| matrix.at(head * 8 + channel, key));
                    assert_close(
                        at,
                        &[kept.keys(head), kept.values(head)].map(|kept| kept[key * 8 + channel]),
                        &expected,
                    );
                    let found = [cache.key(head, key, channel), cache.value(head, key, channel)];
                    assert_close(at, &found.map(|number| number as f32), &expected);
                }
            }
        }
    }
    assert!(matches!(tensors.layer(2), Err(Error::LayerOutOfRange { found: 2, layers: 2 })));
}

#[test]
fn without_a_context_nothing_is_prefilled_and_nothing_changes() {
    let (_folder, weights) = random_model(1);
    let block = PromptBlock::new(&[random_tokens(10, 1)], 16, weights.config()).unwrap();
    let tensors = ContextTensors::prefill(&weights, &PublicContext::none()).unwrap();
    assert!(tensors.layer(0).unwrap().is_empty());
    assert!(tensors.layer(0).unwrap().to_public_cache(0).unwrap_err().to_string().contains("layer 0, public score"));
    let model = FloatModel::new(&weights);
    assert_eq!(observed(&model, &block), observed(&model.behind(&tensors), &block));
}

#[test]
fn rejects_blocks_behind_other_tokens_and_tensors_of_other_weights() {
    let (_folder, weights) = random_model(1);
    let config = weights.config();
    let context = |seed| PublicContext::new(random_tokens(20, seed), config).unwrap();
    let block = |context: &PublicContext| PromptBlock::following(context, &[1, 2], 16, config).unwrap();
    let tensors = ContextTensors::prefill(&weights, &context(1)).unwrap();
    let model = FloatModel::new(&weights);
    model.behind(&tensors).logits(&block(&context(1))).unwrap();

    let refused = |model: FloatModel<'_>, context: &PublicContext| model.logits(&block(context)).unwrap_err();
    for (model, context) in
        [(model.behind(&tensors), context(2)), (model.behind(&tensors), PublicContext::none()), (model, context(1))]
    {
        let refused = refused(model, &context);
        assert!(matches!(&refused, Error::OtherContext { required, .. } if *required == context), "{refused}");
    }
    let text = refused(model.behind(&tensors), &context(2)).to_string();
    assert!(text.contains("has keys and values of 20 public tokens (") && text.contains("prefill"), "{text}");

    let (_other_folder, other) = random_model(2);
    let refused = refused(FloatModel::new(&other).behind(&tensors), &context(1));
    assert!(matches!(refused, Error::ContextOfOtherWeights { .. }), "{refused}");
    let successive = PromptBlock::successive(&Prefix::none(), &random_tokens(40, 1), 16, config).unwrap();
    let mut observers = [fhe_model::float::Unobserved; 2];
    let mut observers: Vec<_> = observers.iter_mut().map(|observer| observer as _).collect();
    let refused = model.observe_successive(&successive[1..], &mut observers, |_, _| ()).unwrap_err();
    assert!(matches!(refused, Error::OtherContext { .. }), "{refused}");
}

const PLAN: WindowPlan =
    WindowPlan { windows: 4, block: 32, without_beginning: 1.0, prefix: Prefix::none(), context: 96, context_least: 0 };

/// One text of four blocks: what is recorded of it is what is recorded of it as a whole, wherever it is cut. Pairs that are masked are those
/// inside a block.
#[test]
fn extents_of_successive_blocks_are_those_of_the_whole_text() {
    let (_folder, weights) = random_model(3);
    let (config, model) = (weights.config(), FloatModel::new(&weights));
    let corpus = Corpus::from_tokens(random_tokens(600, 1));
    for prefix in [vec![], vec![7]] {
        let plan = WindowPlan { prefix: Prefix::new(prefix, config).unwrap(), ..PLAN };
        let blocks = plan.blocks(&corpus, config).unwrap();
        let tokens: Vec<u32> = blocks.iter().flat_map(|block| block.tokens()).copied().collect();
        let prompt = tokens[plan.prefix.len()..].to_vec();
        let whole = PromptBlock::after(&plan.prefix, &[prompt], 128, config).unwrap();
        let mut recorder = Recorder::new(config);
        model.observe(&whole, &mut recorder).unwrap();
        let ranges = calibrate(&model, &corpus, &plan, Margins::NONE, |_, _| ()).unwrap();
        for (at, expected) in recorder.extents().iter() {
            let found = ranges.extents().at(at).unwrap();
            for (found, expected) in found.iter().zip(expected) {
                match at.site {
                    // Of the whole table, and of fewer pairs.
                    Site::Embedding | Site::MaskedScore => {
                        assert!(
                            found.magnitude() > 0.0 && (at.site == Site::Embedding || found.lo >= expected.lo - 1e-5)
                        );
                    }
                    _ => {
                        assert_close(at, &[found.lo as f32, found.hi as f32], &[expected.lo as f32, expected.hi as f32])
                    }
                }
            }
        }
    }
}

#[test]
fn long_texts_are_cut_into_blocks_that_follow_one_another() {
    let (_folder, weights) = random_model(3);
    let config = weights.config();
    let corpus = Corpus::from_tokens(random_tokens(600, 1).into_iter().map(|token| token.max(8)).collect());
    let plan = WindowPlan { windows: 9, without_beginning: 0.5, ..PLAN }.after(Prefix::new(vec![7], config).unwrap());
    let blocks = plan.blocks(&corpus, config).unwrap();
    assert_eq!(blocks.len(), 12, "three whole texts");
    let mut beginnings = 0;
    for text in blocks.chunks(4) {
        assert_eq!(text[0].prefix(), &plan.prefix);
        beginnings += usize::from(text[0].tokens()[1] == 1);
        let mut before: Vec<u32> = text[0].tokens().to_vec();
        for block in &text[1..] {
            assert_eq!((block.context().tokens(), block.prefix()), (before.as_slice(), &Prefix::none()));
            before.extend(block.tokens());
        }
        assert_eq!(before.len(), 128);
    }
    assert_eq!(beginnings, 2);
    // The model has no position further on.
    assert_eq!(PLAN.behind(200).blocks(&corpus, config).unwrap().len(), 4);
    let validated = calibrate(&FloatModel::new(&weights), &corpus, &plan, Margins::NONE, |_, _| ()).unwrap();
    let validation = validated.validate(&FloatModel::new(&weights), &corpus, &plan, |_, _| ()).unwrap();
    assert_eq!((validation.windows, validation.windows_outside), (12, 0));
}

#[test]
fn ranges_hold_behind_as_many_tokens_as_they_were_measured_behind() {
    let (folder, weights) = random_model(5);
    let (config, model) = (weights.config(), FloatModel::new(&weights));
    let corpus = Corpus::from_tokens(random_tokens(600, 1));
    let prefix = Prefix::new(vec![7], config).unwrap();
    let plan = WindowPlan { windows: 20, ..PLAN }.after(prefix.clone()).behind(64);
    let path = folder.path().join("ranges.toml");
    calibrate(&model, &corpus, &plan, Margins::default(), |_, _| ()).unwrap().save(&path).unwrap();
    let ranges = Ranges::load(&path, &weights).unwrap().model();
    assert_eq!((&ranges.prefix, ranges.context), (&prefix, 64));

    let check = |tokens: Vec<u32>| {
        let context = PublicContext::new(tokens, config).unwrap();
        let tensors = ContextTensors::prefill(&weights, &context).unwrap();
        let block = PromptBlock::following(&context, &random_tokens(9, 2), 32, config).unwrap();
        ranges.preflight(&model.behind(&tensors), &block)
    };
    let behind = |public: usize| std::iter::once(7).chain(random_tokens(public - 1, 3)).collect::<Vec<_>>();
    for public in [20, 40, 64] {
        check(behind(public)).unwrap();
    }
    ranges.preflight(&model, &PromptBlock::after(&prefix, &[vec![3, 4]], 32, config).unwrap()).unwrap();
    let refused = check(behind(65)).unwrap_err();
    assert!(matches!(refused, Error::RangesOfShorterContext { found: 64, required: 65 }), "{refused}");
    let refused = check(random_tokens(30, 4)).unwrap_err();
    assert!(matches!(&refused, Error::RangesOfOtherPrefix { found, .. } if *found == prefix), "{refused}");
    // A plan without a context is stored as it always was, and holds for no context.
    let plain = calibrate(&model, &corpus, &plan.clone().behind(0), Margins::default(), |_, _| ()).unwrap();
    plain.save(&path).unwrap();
    assert!(!std::fs::read_to_string(&path).unwrap().contains("context"));
    let block = PromptBlock::following(&PublicContext::new(vec![7], config).unwrap(), &[3], 32, config).unwrap();
    let refused = plain.model().check_block(&block).unwrap_err();
    assert!(matches!(refused, Error::RangesOfShorterContext { found: 0, required: 1 }), "{refused}");
}

/// Scores of public keys are held against the window of scores.
#[test]
fn rejects_a_public_score_outside_the_ranges() {
    let (_folder, weights) = random_model(5);
    let (config, model) = (weights.config(), FloatModel::new(&weights));
    let corpus = Corpus::from_tokens(random_tokens(600, 1));
    let mut ranges = calibrate(&model, &corpus, &PLAN, Margins::default(), |_, _| ()).unwrap().model();
    let context = PublicContext::new(random_tokens(90, 3), config).unwrap();
    let tensors = ContextTensors::prefill(&weights, &context).unwrap();
    let block = PromptBlock::following(&context, &[5], 2, config).unwrap();
    let model = model.behind(&tensors);
    let seen = observed(&model, &block);
    ranges.preflight(&model, &block).unwrap();
    // A window that leaves room for the one live score of the block in every head, and not for those of the context.
    let own = &seen[&Site::Score.in_layer(0)];
    ranges.layers[0].score_centre = (0..8).map(|head| own.at(head * 2, 0).into()).collect();
    ranges.layers[0].score_half_width = 1e-3;
    let refused = ranges.preflight(&model, &block).unwrap_err();
    let Error::OutOfRange(outside) = &refused else { panic!("{refused}") };
    assert_eq!(outside.location, Site::Score.in_layer(0));
    let public = &seen[&Site::PublicScore.in_layer(0)];
    assert!(public.data().iter().any(|&score| f64::from(score) == outside.found), "{refused}");
}

#[test]
fn rejects_a_plan_whose_context_has_no_room_for_the_prefix() {
    let (_folder, weights) = random_model(5);
    let corpus = Corpus::from_tokens(random_tokens(600, 1));
    let prefix = Prefix::new(vec![7, 8], weights.config()).unwrap();
    let refused = PLAN.after(prefix).behind(1).blocks(&corpus, weights.config()).unwrap_err();
    assert!(matches!(refused, Error::CalibrationSetting { key: "context", .. }), "{refused}");
    let refused = PLAN.behind(280).blocks(&corpus, weights.config()).unwrap_err();
    assert!(matches!(refused, Error::TextTooShort { found: 600, required: 624 }), "{refused}");
}
