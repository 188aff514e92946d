//! Behind a public prefix the float model is the plain one on prompts that begin with it, and ranges say what of it enters a circuit.

use std::collections::HashMap;

use fhe_model::calibration::{Corpus, Margins, Ranges, Recorder, WindowPlan, calibrate};
use fhe_model::{Error, FloatModel, Location, Matrix, Prefix, PromptBlock, Site, Weights};
use safetensors::tensor::Dtype;

use crate::fixture::{config, folder, random_model, random_tokens, tensors};
use crate::slow_llama::SlowLlama;

/// A token with an embedding so many times larger than any other's.
const MASSIVE: u32 = 511;

fn model_with_a_massive_token(factor: f32) -> (tempfile::TempDir, Weights) {
    let config = config();
    let mut tensors = tensors(&config, 10);
    let embedding = &mut tensors.get_mut("model.embed_tokens.weight").unwrap().1;
    embedding[MASSIVE as usize * 72..][..72].iter_mut().for_each(|x| *x *= factor);
    let folder = folder(&config, &tensors, Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    (folder, weights)
}

fn prefix(tokens: &[u32], weights: &Weights) -> Prefix {
    Prefix::new(tokens.to_vec(), weights.config()).unwrap()
}

fn observed(weights: &Weights, block: &PromptBlock) -> HashMap<Location, Matrix> {
    let mut seen = HashMap::new();
    let mut see = |at, tensor: &Matrix, _: &PromptBlock| drop(seen.insert(at, tensor.clone()));
    FloatModel::new(weights).observe(block, &mut see).unwrap();
    seen
}

#[test]
fn equals_an_independent_llama_on_prompts_that_begin_with_the_prefix() {
    let config = config();
    let tensors = tensors(&config, 11);
    let folder = folder(&config, &tensors, Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    let slow = SlowLlama { config: &config, tensors: &tensors };
    let prompts = [random_tokens(11, 2), random_tokens(1, 3), random_tokens(9, 4)];
    for tokens in [&[5][..], &[5, 7, 7]] {
        let block = PromptBlock::after(&prefix(tokens, &weights), &prompts, 32, weights.config()).unwrap();
        let logits = FloatModel::new(&weights).logits(&block).unwrap();
        for (prompt, span) in prompts.iter().zip(block.prompts()) {
            let whole = [tokens, prompt].concat();
            for (expected, position) in slow.logits(&whole).iter().zip((0..tokens.len()).chain(span.positions())) {
                for (expected, found) in expected.iter().zip(logits.column(position)) {
                    assert!((expected - f64::from(found)).abs() < 2e-5, "{tokens:?}, position {position}");
                }
            }
        }
    }
}

#[test]
fn padding_repeats_the_first_position_behind_a_prefix() {
    let (_folder, weights) = random_model(1);
    let prompts = [random_tokens(10, 1), random_tokens(3, 2)];
    let block = PromptBlock::after(&prefix(&[3, 4], &weights), &prompts, 32, weights.config()).unwrap();
    let (start, padding) = (block.prompts()[0].start, 31);
    assert!(!block.is_live(padding));
    for (location, tensor) in observed(&weights, &block) {
        if location.site != Site::Score {
            let pairs = tensor.column(padding).into_iter().zip(tensor.column(start)).collect::<Vec<_>>();
            assert!(pairs.iter().all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b.abs())), "{location}");
        }
    }
}

/// The prefix is what is massive; of all windows only those of its keys and values may know.
#[test]
fn extents_leave_the_prefix_out_where_the_circuit_does() {
    let (_folder, weights) = model_with_a_massive_token(1e4);
    let prefix = prefix(&[MASSIVE], &weights);
    let block = PromptBlock::after(&prefix, &[random_tokens(9, 3)], 16, weights.config()).unwrap();
    let mut recorder = Recorder::new(weights.config());
    FloatModel::new(&weights).observe(&block, &mut recorder).unwrap();
    let mut wider = 0;
    for (location, tensor) in observed(&weights, &block) {
        if location.site.is_per_head() {
            continue;
        }
        let extent = recorder.extents().at(location).unwrap()[0];
        let bound = |from: usize| {
            let numbers = (0..tensor.rows()).flat_map(|row| &tensor.row(row)[from..]);
            numbers.fold(0.0_f64, |bound, x| bound.max(f64::from(x.abs())))
        };
        let whole = matches!(location.site, Site::RotatedKey | Site::Value);
        assert_eq!(extent.magnitude(), bound(if whole { 0 } else { 1 }), "{location}");
        wider += usize::from(bound(0) > 1e6 * extent.magnitude());
    }
    assert!(wider > 0, "the prefix is not massive anywhere");
    let scores = &observed(&weights, &block)[&Site::Score.in_layer(0)];
    let extent = recorder.extents().at(Site::Score.in_layer(0)).unwrap();
    for (head, extent) in extent.iter().enumerate() {
        // The key of the prefix meets every query but its own.
        let of_prefix = &scores.row(head * 16)[1..];
        assert!(of_prefix.iter().all(|&score| extent.lo <= score.into() && f64::from(score) <= extent.hi));
    }
}

#[test]
fn windows_behind_a_prefix_fill_what_it_leaves() {
    let (_folder, weights) = random_model(12);
    let corpus = Corpus::from_tokens(random_tokens(2000, 1).into_iter().map(|token| token.max(2)).collect());
    let plan = WindowPlan { windows: 40, block: 32, ..WindowPlan::default() };
    let behind = plan.clone().after(prefix(&[0, 5], &weights));
    let (bare, blocks) =
        (plan.blocks(&corpus, weights.config()).unwrap(), behind.blocks(&corpus, weights.config()).unwrap());
    let begin = |blocks: &[PromptBlock]| {
        let begins = |block: &&PromptBlock| block.prompts().iter().all(|span| block.tokens()[span.start] == 1);
        blocks.iter().filter(begins).count()
    };
    assert_eq!((begin(&bare), begin(&blocks)), (30, 10));
    for (bare, block) in bare.iter().zip(&blocks) {
        assert_eq!(&block.tokens()[..2], [0, 5]);
        assert_eq!(block.live(), bare.live() - 2);
        assert_eq!(block.straddles_middle(), bare.straddles_middle());
    }
}

#[test]
fn ranges_remember_their_prefix() {
    let (folder, weights) = random_model(5);
    let corpus = Corpus::from_tokens(random_tokens(500, 1));
    let plan = WindowPlan { windows: 5, block: 16, ..WindowPlan::default() };
    let measure = |plan: &WindowPlan| {
        calibrate(&FloatModel::new(&weights), &corpus, plan, Margins::default(), |_, _| ()).unwrap()
    };
    let path = folder.path().join("ranges.toml");
    let prefix = prefix(&[7], &weights);
    let ranges = measure(&plan.clone().after(prefix.clone()));
    ranges.save(&path).unwrap();
    assert_eq!(Ranges::load(&path, &weights).unwrap(), ranges);
    assert_eq!(ranges.model().prefix, prefix);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("format = 2", "format = 1", 1)).unwrap();
    let refused = Ranges::load(&path, &weights).unwrap_err().to_string();
    assert!(refused.contains("format 1 with a prefix"), "{refused}");

    // The first layout had no prefix, and is read as what it was.
    let bare = measure(&plan);
    bare.save(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("prefix"));
    std::fs::write(&path, text.replacen("format = 2", "format = 1", 1)).unwrap();
    assert_eq!(Ranges::load(&path, &weights).unwrap().model(), bare.model());
}

#[test]
fn rejects_a_block_behind_another_prefix() {
    let (_folder, weights) = random_model(5);
    let corpus = Corpus::from_tokens(random_tokens(500, 1));
    let plan = WindowPlan { windows: 5, block: 16, ..WindowPlan::default() }.after(prefix(&[7], &weights));
    let model = FloatModel::new(&weights);
    let ranges = calibrate(&model, &corpus, &plan, Margins::default(), |_, _| ()).unwrap().model();
    let refused = ranges.preflight(&model, &PromptBlock::new(&[vec![3]], 16, weights.config()).unwrap()).unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, Error::RangesOfOtherPrefix { .. }), "{text}");
    assert!(text.contains("measured after token 7, the block has no prefix"), "{text}");
}

/// A token that is massive wherever it stands takes the prefix's part when it comes first.
#[test]
fn no_window_begins_with_a_token_that_sinks_by_itself() {
    let (_folder, weights) = model_with_a_massive_token(100.0);
    let text: Vec<u32> = random_tokens(600, 1)
        .into_iter()
        .enumerate()
        .map(|(i, token)| if i % 3 == 0 { MASSIVE } else { token })
        .collect();
    let corpus = Corpus::from_tokens(text);
    let plan = WindowPlan { windows: 30, block: 16, without_beginning: 1.0, ..WindowPlan::default() };
    let model = FloatModel::new(&weights);
    let sinking = |plan: &WindowPlan| {
        let ranges = calibrate(&model, &corpus, plan, Margins::default(), |_, _| ()).unwrap();
        ranges.provenance().sinking_first_tokens.iter().copied().collect::<Vec<_>>()
    };
    assert_eq!(sinking(&plan), [] as [u32; 0]);
    let behind = WindowPlan { prefix: prefix(&[7], &weights), ..plan };
    assert_eq!(sinking(&behind), [MASSIVE]);
}

#[test]
fn rejects_a_first_token_that_leaves_the_ranges_by_itself_by_name() {
    let (_folder, weights) = model_with_a_massive_token(100.0);
    let text = random_tokens(2000, 1).into_iter().map(|token| token % MASSIVE).collect();
    let plan = WindowPlan { windows: 20, block: 32, ..WindowPlan::default() }.after(prefix(&[7], &weights));
    let model = FloatModel::new(&weights);
    let ranges = calibrate(&model, &Corpus::from_tokens(text), &plan, Margins::default(), |_, _| ()).unwrap().model();
    let block = |prompts: &[Vec<u32>]| PromptBlock::after(&ranges.prefix, prompts, 32, weights.config()).unwrap();
    ranges.preflight(&model, &block(&[vec![4, 9]])).unwrap();
    let refused = ranges.preflight(&model, &block(&[vec![4, 9], vec![MASSIVE, 9]])).unwrap_err();
    let text = refused.to_string();
    let Error::FirstToken { prompt: 1, token: MASSIVE, source, .. } = refused else { panic!("{text}") };
    assert_eq!(source.location, Site::AttentionMeanSquare.in_layer(0));
    assert!(text.contains("token 511") && text.contains("after token 7") && text.contains("layer 0"), "{text}");
    // Further on it leaves the ranges as any value does.
    let refused = ranges.preflight(&model, &block(&[vec![4, MASSIVE]])).unwrap_err();
    assert!(matches!(refused, Error::OutOfRange(_)), "{refused}");
}
