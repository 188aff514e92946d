//! Ranges of a random model: what they contain, how they are stored, and what they refuse.

use fhe_model::calibration::{Corpus, Interval, Margins, Ranges, Recorder, WindowPlan, calibrate};
use fhe_model::{Config, Error, FloatModel, Matrix, Prefix, PromptBlock, Site, Weights};
use safetensors::tensor::Dtype;

use crate::fixture::{LAYERS, config, folder, random_model, random_tokens, tensors};

const PLAN: WindowPlan = WindowPlan {
    windows: 20,
    block: 32,
    without_beginning: 0.25,
    prefix: Prefix::none(),
    context: 0,
    context_least: 0,
};

fn calibrated(weights: &Weights, margins: Margins) -> Ranges {
    let corpus = Corpus::from_tokens(random_tokens(2000, 1));
    calibrate(&FloatModel::new(weights), &corpus, &PLAN, margins, |_, _| ()).unwrap()
}

#[test]
fn ranges_contain_every_window_they_were_measured_on() {
    let (_folder, weights) = random_model(1);
    let ranges = calibrated(&weights, Margins::NONE);
    let corpus = Corpus::from_tokens(random_tokens(2000, 1));
    let mut calls = Vec::new();
    let validation =
        ranges.validate(&FloatModel::new(&weights), &corpus, &PLAN, |done, all| calls.push((done, all))).unwrap();
    assert_eq!((validation.windows, validation.windows_outside), (20, 0));
    assert_eq!(calls, [(16, 20), (20, 20)]);
    assert!(validation.sites.values().all(|site| site.above + site.below == 0 && site.checked >= 20));
    assert_eq!(validation.sites[&Site::Score].checked, 20 * LAYERS * 8);
}

#[test]
fn held_out_text_leaves_ranges_without_margins_and_stays_inside_the_default_ones() {
    let (_folder, weights) = random_model(1);
    let held_out = Corpus::from_tokens(random_tokens(2000, 2));
    let validate = |margins| {
        calibrated(&weights, margins).validate(&FloatModel::new(&weights), &held_out, &PLAN, |_, _| ()).unwrap()
    };
    let (bare, widened) = (validate(Margins::NONE), validate(Margins::default()));
    let excesses = || bare.sites.values().filter(|site| site.worst > 0.0);
    assert!(bare.windows_outside > 0 && excesses().map(|site| site.above + site.below).sum::<usize>() > 0);
    assert_eq!(widened.windows_outside, 0, "{widened:?}");
}

/// The definition of every field, from the tensors of one prompt.
#[test]
fn windows_follow_their_definitions() {
    let (_folder, weights) = random_model(2);
    let block = PromptBlock::new(&[random_tokens(20, 3), random_tokens(9, 4)], 32, weights.config()).unwrap();
    let mut recorder = Recorder::new(weights.config());
    let mut seen = std::collections::HashMap::new();
    let model = FloatModel::new(&weights);
    model.observe(&block, &mut recorder).unwrap();
    model.observe(&block, &mut |at, tensor: &Matrix, _: &PromptBlock| drop(seen.insert(at, tensor.clone()))).unwrap();
    let margins = Margins { score_factor: 1.25, score_addend: 0.5, linear: 3.0, silu: 2.0, ..Margins::default() };
    let ranges = recorder.extents().with_margins(&margins);
    let layer = &ranges.layers[1];
    let tensor = |site: Site| &seen[&site.in_layer(1)];
    let bound = |site: Site| tensor(site).data().iter().fold(0.0_f32, |max, x| max.max(x.abs())) as f64;

    assert_eq!(layer.query, 3.0 * bound(Site::Query));
    assert_eq!(layer.residual_after_ffn, 3.0 * bound(Site::ResidualAfterFfn));
    assert_eq!(layer.gate, 2.0 * bound(Site::Gate));
    let squares = Interval::of(tensor(Site::FfnMeanSquare).data());
    assert_eq!(layer.ffn_mean_square, Interval::new(squares.lo / 1.5, squares.hi * 2.0));

    let scores = tensor(Site::Score);
    let mut denominator = Interval::EMPTY;
    let block = &block;
    let live = |query: usize| (0..32).filter(move |&key| key == query || seen_together(block, query, key));
    let score = |head: usize, key: usize, query: usize| f64::from(scores.at(head * 32 + key, query));
    let middle = |head: usize| {
        let maxima = (0..32).map(|query| live(query).map(|key| score(head, key, query)).fold(f64::MIN, f64::max));
        maxima.fold(Interval::EMPTY, Interval::including).centre()
    };
    let (mut up, mut down) = (0.0_f64, 0.0_f64);
    for head in 0..8 {
        for (query, middle) in (0..32).zip(std::iter::repeat(middle(head))) {
            for key in live(query) {
                up = up.max(score(head, key, query) - middle);
                down = down.max(middle - score(head, key, query));
            }
        }
    }
    assert!((layer.score_half_width - (1.25 * (up + down) / 2.0 + 0.5)).abs() < 1e-12);
    for head in 0..8 {
        assert!((layer.score_centre[head] - middle(head) - (up - down) / 2.0).abs() < 1e-12);
    }
    for head in 0..8 {
        for query in 0..32 {
            let shift = layer.score_centre[head] + layer.score_half_width;
            denominator = denominator.including(live(query).map(|key| (score(head, key, query) - shift).exp()).sum());
        }
    }
    assert!((layer.denominator.lo * 2.0 / denominator.lo - 1.0).abs() < 1e-5);
    assert!((layer.denominator.hi / 2.0 / denominator.hi - 1.0).abs() < 1e-5);

    for (root, found, site) in
        [(2.0, layer.halved_sum, Site::LogHalvedSum), (4.0, layer.quartered_sum, Site::LogQuarteredSum)]
    {
        let mut sums = Interval::EMPTY;
        for head in 0..8 {
            let shift = layer.score_centre[head] + layer.score_half_width;
            for query in 0..32 {
                sums = sums.including(live(query).map(|key| ((score(head, key, query) - shift) / root).exp()).sum());
            }
        }
        let found = found.unwrap();
        assert!((found.lo * 1.3 / sums.lo - 1.0).abs() < 1e-5 && (found.hi / 4.0 / sums.hi - 1.0).abs() < 1e-5);
        let allowed = ranges.allowed(site.in_layer(1), 3).unwrap();
        let shift = (layer.score_centre[3] + layer.score_half_width) / root;
        assert!((allowed.lo - found.lo.ln() - shift).abs() < 1e-9 && (allowed.hi - found.hi.ln() - shift).abs() < 1e-9);
    }
}

/// Ranges from before the sums of SoftMax in rounds were recorded, and before their margins were.
#[test]
fn ranges_without_sums_of_roots_are_ranges() {
    let (folder, weights) = random_model(5);
    let path = folder.path().join("ranges.toml");
    calibrated(&weights, Margins::default()).save(&path).unwrap();
    let kept =
        |line: &&str| !["log-halved-sum", "log-quartered-sum", "first-sum-"].iter().any(|key| line.starts_with(key));
    let stored = std::fs::read_to_string(&path).unwrap();
    let older: Vec<&str> = stored.lines().filter(kept).collect();
    assert_eq!(older.len() + 2 * LAYERS + 2, stored.lines().count(), "{stored}");
    std::fs::write(&path, older.join("\n")).unwrap();
    let ranges = Ranges::load(&path, &weights).unwrap();
    assert_eq!(*ranges.margins(), Margins::default());
    let model = ranges.model();
    assert!(model.layers.iter().all(|layer| layer.halved_sum.is_none() && layer.quartered_sum.is_none()));
    assert!(model.allowed(Site::LogQuarteredSum.in_layer(0), 0).is_none());
}

fn seen_together(block: &PromptBlock, query: usize, key: usize) -> bool {
    key < query && block.prompt_at(query).is_some() && block.prompt_at(query) == block.prompt_at(key)
}

/// The window of a layer aligns its heads and reaches as far as any; a head's own need not.
#[test]
fn a_head_alone_has_windows_inside_those_of_its_layer() {
    let (_folder, weights) = random_model(1);
    let ranges = calibrated(&weights, Margins::NONE).covering_masked_scores();
    let whole = ranges.model();
    let ratio = |window: Interval| window.hi / window.lo;
    let mut narrower = 0;
    for head in 0..8 {
        let alone = ranges.model_of_head(head).unwrap();
        assert_eq!(alone.prefix, whole.prefix);
        for (layer, (alone, whole)) in alone.layers.iter().zip(&whole.layers).enumerate() {
            let here = |site: Site| ranges.extents().at(site.in_layer(layer)).unwrap()[head];
            let seen = here(Site::Score).hull(here(Site::MaskedScore));
            assert_eq!(alone.score_centre.len(), 1);
            let [low, high] = [-1.0, 1.0].map(|side| alone.score_centre[0] + side * alone.score_half_width);
            assert!((low - seen.lo).abs() < 1e-9 && (high - seen.hi).abs() < 1e-9, "layer {layer}, head {head}");
            assert!(alone.score_half_width <= whole.score_half_width);
            assert!(ratio(alone.denominator) <= ratio(whole.denominator) * (1.0 + 1e-9));
            assert_eq!((alone.query, alone.gate), (whole.query, whole.gate));
            narrower += usize::from(alone.score_half_width < whole.score_half_width);
        }
    }
    assert!(narrower > 0);
    assert!(ranges.model_of_head(8).is_none());
}

#[test]
fn covering_masked_scores_widens_the_windows() {
    let (_folder, weights) = random_model(3);
    let live = calibrated(&weights, Margins::NONE).model();
    let whole = calibrated(&weights, Margins { cover_masked_scores: true, ..Margins::NONE }).model();
    let width = |ranges: &fhe_model::calibration::ModelRanges| ranges.layers[0].score_half_width;
    assert!(width(&whole) > width(&live));
    let masked = Site::MaskedScore.in_layer(0);
    assert!(live.allowed(masked, 0).is_none() && whole.allowed(masked, 0).is_some());
}

#[test]
fn the_embedding_range_is_that_of_the_whole_table() {
    let (_folder, weights) = random_model(4);
    let table = Interval::of(weights.embedding().data()).magnitude();
    assert_eq!(calibrated(&weights, Margins::default()).model().embedding, table);
}

#[test]
fn stored_ranges_are_the_ranges() {
    let (folder, weights) = random_model(5);
    let ranges = calibrated(&weights, Margins::default());
    let path = folder.path().join("ranges.toml");
    ranges.save(&path).unwrap();
    let loaded = Ranges::load(&path, &weights).unwrap();
    assert_eq!(loaded, ranges);
    assert_eq!(loaded.model(), ranges.model());
    assert_eq!(loaded.provenance().weights, weights.hash());
    assert_eq!(loaded.provenance().plan, PLAN);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left behind");
}

/// Files of before reaches were measured.
#[test]
fn ranges_without_reaches_are_read_and_bound_none() {
    let (folder, weights) = random_model(5);
    let ranges = calibrated(&weights, Margins::default());
    let path = folder.path().join("ranges.toml");
    ranges.save(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.contains("-reach")).collect();
    assert_eq!(text.lines().count() - without.len(), 5 * LAYERS);
    std::fs::write(&path, without.join("\n")).unwrap();
    let loaded = Ranges::load(&path, &weights).unwrap().model();
    let layer = &loaded.layers[0];
    for reach in [layer.query_reach, layer.key_reach, layer.value_reach, layer.gate_reach, layer.up_reach] {
        assert_eq!(reach, f64::INFINITY);
    }
    assert!(loaded.allowed(Site::UpReach.in_layer(0), 0).is_none());
    let measured = ranges.model();
    assert!(measured.layers[0].up_reach.is_finite() && measured.allowed(Site::UpReach.in_layer(0), 0).is_some());
    assert_eq!(layer.up, measured.layers[0].up);
}

#[test]
fn calibration_repeats_itself() {
    let (_folder, weights) = random_model(6);
    assert_eq!(calibrated(&weights, Margins::default()), calibrated(&weights, Margins::default()));
}

#[test]
fn rejects_ranges_of_other_weights() {
    let (folder, weights) = random_model(7);
    let path = folder.path().join("ranges.toml");
    calibrated(&weights, Margins::default()).save(&path).unwrap();
    let (_other_folder, other) = random_model(8);
    let refused = Ranges::load(&path, &other).unwrap_err();
    let Error::RangesOfOtherWeights { found, required, .. } = &refused else { panic!("{refused}") };
    assert_eq!((found.as_str(), required.as_str()), (weights.hash(), other.hash()));
}

#[test]
fn rejects_ranges_that_are_damaged() {
    let (folder, weights) = random_model(9);
    let path = folder.path().join("ranges.toml");
    calibrated(&weights, Margins::default()).save(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let gate = text.lines().find(|line| line.starts_with("gate = ")).unwrap();
    for (from, to, named) in [
        (gate, "", "layer 0, gate is missing"),
        (gate, "gate = [[2.0, 1.0]]", "layer 0, gate is"),
        (gate, "gate = [[nan, 1.0]]", "layer 0, gate is"),
        (gate, "gate = []", "layer 0, gate has 0 intervals"),
        (gate, "gates = [[0.0, 1.0]]", "gates"),
        ("format = 2", "format = 3", "format 3 found, required: 1 to 2"),
        ("[[extents.layers]]", "[extents.layers]", "ranges.toml"),
        ("silu = 1.5", "silu = 0.5", "`silu` is 0.5"),
    ] {
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let refused = Ranges::load(&path, &weights).expect_err(to).to_string();
        assert!(refused.contains(named), "{to}: {refused}");
    }
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert!(Ranges::load(&path, &weights).is_err());
}

/// A model whose second layer reacts wildly to one token that the calibration text does not hold.
#[test]
fn rejects_a_prompt_outside_the_ranges_naming_layer_site_and_head() {
    const WILD: u32 = 511;
    let config = config();
    let mut tensors = tensors(&config, 10);
    let embedding = &mut tensors.get_mut("model.embed_tokens.weight").unwrap().1;
    embedding[WILD as usize * 72..][..72].iter_mut().for_each(|x| *x *= 40.0);
    let folder = folder(&config, &tensors, Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    let model = FloatModel::new(&weights);
    let text = random_tokens(2000, 1).into_iter().map(|token| token % WILD).collect();
    let ranges = calibrate(&model, &Corpus::from_tokens(text), &PLAN, Margins::default(), |_, _| ()).unwrap().model();
    let block = |token| PromptBlock::new(&[vec![1, 4, token, 9]], 32, weights.config()).unwrap();

    let logits = ranges.preflight(&model, &block(7)).unwrap();
    assert_eq!(logits, model.logits(&block(7)).unwrap());
    let refused = ranges.preflight(&model, &block(WILD)).unwrap_err();
    let Error::OutOfRange(outside) = &refused else { panic!("{refused}") };
    assert_eq!((outside.location, outside.head), (Site::AttentionMeanSquare.in_layer(0), None));
    assert_eq!(outside.allowed, ranges.layers[0].attention_mean_square);
    assert!(outside.found > outside.allowed.hi && outside.excess() > 1.0);
    assert!(refused.to_string().starts_with("layer 0, attention mean square: "), "{refused}");

    let mut narrow = ranges.clone();
    narrow.layers[1].score_half_width = 1e-3;
    let refused = narrow.preflight(&model, &block(7)).unwrap_err().to_string();
    assert!(refused.starts_with("layer 1, score, head 0: "), "{refused}");
}

#[test]
fn rejects_plans_texts_and_margins_outside_their_domain() {
    let (_folder, weights) = random_model(11);
    let run = |tokens: Vec<u32>, plan, margins| {
        calibrate(&FloatModel::new(&weights), &Corpus::from_tokens(tokens), &plan, margins, |_, _| ()).unwrap_err()
    };
    let text = || random_tokens(100, 1);
    let margins = Margins::default();
    let refused = run(random_tokens(63, 1), PLAN, margins);
    assert!(matches!(refused, Error::TextTooShort { found: 63, required: 64 }), "{refused}");
    let refused = run(text(), WindowPlan { block: 24, ..PLAN }, margins);
    assert!(matches!(refused, Error::BlockSize { found: 24 }), "{refused}");
    let refused = run(text(), WindowPlan { windows: 0, ..PLAN }, margins);
    assert!(matches!(refused, Error::CalibrationSetting { key: "windows", .. }), "{refused}");
    let refused = run(text(), WindowPlan { without_beginning: 1.5, ..PLAN }, margins);
    assert!(matches!(refused, Error::CalibrationSetting { key: "without-beginning", .. }), "{refused}");
    let refused = run(text(), PLAN, Margins { linear: 0.9, ..margins });
    assert!(matches!(refused, Error::CalibrationSetting { key: "linear", .. }), "{refused}");
    let refused = run(text(), PLAN, Margins { score_addend: f64::NAN, ..margins });
    assert!(matches!(refused, Error::CalibrationSetting { key: "score-addend", .. }), "{refused}");
    let refused = run(vec![512; 100], PLAN, margins);
    assert!(matches!(refused, Error::TokenOutOfVocabulary { token: 512, .. }), "{refused}");
}

#[test]
fn windows_mix_beginnings_and_lengths() {
    let (_folder, weights) = random_model(12);
    let config: &Config = weights.config();
    // A text without token 1, so that it only appears where a window begins with it.
    let corpus = Corpus::from_tokens(random_tokens(2000, 1).into_iter().map(|token| token.max(2)).collect());
    let blocks = PLAN.blocks(&corpus, config).unwrap();
    assert_eq!(blocks.len(), 20);
    let begins = |block: &PromptBlock| block.prompts().iter().all(|span| block.tokens()[span.start] == 1);
    let starts_anywhere = |block: &PromptBlock| block.prompts().iter().all(|span| block.tokens()[span.start] != 1);
    assert_eq!(blocks.iter().filter(|block| begins(block)).count(), 15);
    assert_eq!(blocks.iter().filter(|block| starts_anywhere(block)).count(), 5);
    assert!(blocks.iter().any(|block| block.live() < 32) && blocks.iter().any(|block| block.prompts().len() == 1));
    assert!(blocks.iter().any(|block| starts_anywhere(block) && block.prompts().len() > 1));
    assert!(!blocks.iter().any(PromptBlock::straddles_middle) || blocks.iter().any(|b| b.prompts().len() == 1));
}
