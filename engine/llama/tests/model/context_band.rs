//! Ranges that hold behind contexts of about one length: which blocks are windows, what is kept of those before them, and what is refused.

use std::collections::BTreeSet;

use fhe_model::calibration::{Corpus, Margins, Ranges, Recorder, WindowPlan, calibrate};
use fhe_model::float::ContextTensors;
use fhe_model::{Error, FloatModel, Prefix, PromptBlock, PublicContext, Site};

use crate::fixture::{random_model, random_tokens};

/// Texts of four blocks, of which the last two are windows.
fn plan(least: usize) -> WindowPlan {
    let plan = WindowPlan { windows: 4, block: 32, without_beginning: 1.0, ..WindowPlan::default() };
    plan.behind(96).behind_at_least(least)
}

fn corpus() -> Corpus {
    Corpus::from_tokens(random_tokens(600, 1))
}

/// How many public tokens lie before the blocks that are windows.
fn recorded(plan: &WindowPlan, blocks: &[PromptBlock]) -> Vec<usize> {
    blocks.iter().filter(|block| plan.records(block)).map(|block| block.context().len()).collect()
}

#[test]
fn windows_are_the_blocks_behind_at_least_so_many_tokens() {
    let (_folder, weights) = random_model(3);
    let blocks = |plan: &WindowPlan| plan.blocks(&corpus(), weights.config()).unwrap();
    let all = plan(0);
    assert_eq!(recorded(&all, &blocks(&all)), [0, 32, 64, 96]);
    let band = plan(64);
    assert_eq!((recorded(&band, &blocks(&band)), blocks(&band).len()), (vec![64, 96, 64, 96], 8));
    // A context of 65 tokens ends inside a block, which is a window.
    let within = plan(65);
    assert_eq!(recorded(&within, &blocks(&within)), [64, 96, 64, 96]);
    let narrowest = plan(96);
    assert_eq!((recorded(&narrowest, &blocks(&narrowest)), blocks(&narrowest).len()), (vec![96; 4], 16));
}

/// Of the blocks before the band only what the circuit takes from a context is seen: keys and values.
#[test]
fn extents_are_those_of_the_band_with_keys_and_values_of_all_tokens() {
    let (_folder, weights) = random_model(3);
    let (config, model, band) = (weights.config(), FloatModel::new(&weights), plan(64));
    let mut steps = Vec::new();
    let ranges = calibrate(&model, &corpus(), &band, Margins::NONE, |done, total| steps.push((done, total))).unwrap();
    assert_eq!(steps, [(2, 4), (4, 4)]);
    let pooled = calibrate(&model, &corpus(), &WindowPlan { windows: 8, ..plan(0) }, Margins::NONE, |_, _| ()).unwrap();
    let mut own = Recorder::new(config);
    for text in band.blocks(&corpus(), config).unwrap().chunks(4) {
        let context: Vec<u32> = text[..2].iter().flat_map(PromptBlock::tokens).copied().collect();
        let tensors = ContextTensors::prefill(&weights, &PublicContext::new(context, config).unwrap()).unwrap();
        model.behind(&tensors).observe(&text[2], &mut own).unwrap();
    }
    let mut narrower = BTreeSet::new();
    for (at, found) in ranges.extents().iter() {
        let (pooled, own) = (pooled.extents().at(at).unwrap(), own.extents().at(at).unwrap());
        for ((found, pooled), own) in found.iter().zip(pooled).zip(own) {
            assert!(pooled.lo <= found.lo && found.hi <= pooled.hi, "{at}");
            assert!(found.lo <= own.lo + 1e-4 && own.hi <= found.hi + 1e-4, "{at}");
            if found != pooled {
                narrower.insert(at.site);
            }
        }
    }
    for site in [Site::RotatedKey, Site::Value, Site::Embedding] {
        assert!(!narrower.contains(&site), "{site}");
    }
    for site in [Site::Query, Site::LogDenominator, Site::LogHalvedSum, Site::LogQuarteredSum] {
        assert!(narrower.contains(&site), "{site}");
    }
}

#[test]
fn the_lower_end_is_stored_where_there_is_one() {
    let (folder, weights) = random_model(3);
    let (model, path) = (FloatModel::new(&weights), folder.path().join("ranges.toml"));
    for least in [0, 64] {
        calibrate(&model, &corpus(), &plan(least), Margins::NONE, |_, _| ()).unwrap().save(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().contains("context-least = 64"), least == 64);
        let ranges = Ranges::load(&path, &weights).unwrap();
        assert_eq!(ranges.provenance().plan, plan(least));
        assert_eq!((ranges.model().context, ranges.model().context_least), (96, least));
    }
}

#[test]
fn rejects_a_block_behind_fewer_tokens_than_the_ranges_were_measured_behind() {
    let (_folder, weights) = random_model(3);
    let (config, model) = (weights.config(), FloatModel::new(&weights));
    let ranges = calibrate(&model, &corpus(), &plan(64), Margins::default(), |_, _| ()).unwrap().model();
    let check = |public: usize| {
        let context = PublicContext::new(random_tokens(public, 3), config).unwrap();
        ranges.check_block(&PromptBlock::following(&context, &[5, 6], 32, config).unwrap())
    };
    check(64).unwrap();
    check(96).unwrap();
    let refused = check(63).unwrap_err();
    assert!(matches!(refused, Error::RangesOfLongerContext { least: 64, most: 96, required: 63 }), "{refused}");
    assert!(refused.to_string().contains("behind 64 to 96 public tokens"), "{refused}");
    assert!(refused.to_string().contains("--context-tokens 63`"), "{refused}");
    let refused = check(97).unwrap_err();
    assert!(matches!(refused, Error::RangesOfShorterContext { found: 96, required: 97 }), "{refused}");
    let beginning = PromptBlock::after(&Prefix::none(), &[vec![5]], 32, config).unwrap();
    assert!(matches!(ranges.check_block(&beginning), Err(Error::RangesOfLongerContext { required: 0, .. })));
}

#[test]
fn rejects_a_band_without_a_block() {
    let (_folder, weights) = random_model(3);
    for (most, least) in [(96, 97), (0, 1), (200, 128)] {
        let refused = plan(least).behind(most).blocks(&corpus(), weights.config()).unwrap_err();
        assert!(matches!(refused, Error::CalibrationSetting { key: "context-least", .. }), "{refused}");
    }
}
