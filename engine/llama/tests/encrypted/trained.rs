//! The committed trained model on held-out text, at the size of the real parameter set.

use std::path::Path;

use fhe_ckks::{NoiseModel, Parameters};
use fhe_model::calibration::{Corpus, ModelRanges, WindowPlan, calibrate};
use fhe_model::encrypted::AttentionProducts;
use fhe_model::float::agreement::compare;
use fhe_model::{Beginning, FloatModel, PromptBlock, Tokenizer, Weights};

use crate::support::{by_polynomials, margins_for, run};

struct Tiny {
    weights: Weights,
    ranges: ModelRanges,
    block: PromptBlock,
}

/// Three prompts of the held-out text in one block of 128, windows from the calibration text.
fn tiny(products: AttentionProducts) -> Tiny {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/models/tiny-llama");
    let weights = Weights::open(&folder).unwrap();
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let corpus = Corpus::from_text(&read("calibration.txt"), &tokenizer).unwrap();
    let plan = WindowPlan { windows: 128, ..WindowPlan::default() };
    let float = FloatModel::new(&weights);
    let ranges = calibrate(&float, &corpus, &plan, margins_for(products), |_, _| ()).unwrap().model();
    let text = read("heldout.txt");
    let lines: Vec<&str> = text.lines().filter(|line| line.len() > 60).collect();
    let prompts: Vec<Vec<u32>> = [(lines[0], 50), (lines[lines.len() / 2], 40), (lines[lines.len() - 1], 30)]
        .map(|(line, length)| {
            let mut tokens = tokenizer.encode_prompt(line, Beginning::Prepend).unwrap();
            tokens.truncate(length);
            tokens
        })
        .into();
    let block = PromptBlock::new(&prompts, 128, weights.config()).unwrap();
    ranges.preflight(&float, &block).unwrap();
    Tiny { weights, ranges, block }
}

#[test]
fn agrees_with_the_float_model() {
    agrees(AttentionProducts::Slots, 1e-4);
}

/// Fewer rounds of renormalisation fit beside the levels of lanes.
#[test]
fn agrees_with_the_float_model_over_lanes() {
    agrees(AttentionProducts::Lanes, 1e-4);
}

fn agrees(products: AttentionProducts, divergence: f64) {
    let Tiny { weights, ranges, block } = tiny(products);
    let noise = NoiseModel::of(&Parameters::named("n16-llama").unwrap(), 128);
    for noise in [NoiseModel::default(), noise] {
        let run = run(&weights, &ranges, &block, 1 << 16, noise, by_polynomials(products));
        println!("{:?}", run.counts);
        for polynomial in run.model.polynomials() {
            let fitted = &polynomial.fitted;
            println!("{}: degree {}, error {:.1e}", polynomial.location, fitted.degree, fitted.error);
        }
        run.check_sites(1.0 / 256.0);
        let agreement = compare(&block, &run.float_logits, &run.logits).unwrap();
        println!("{agreement:?}");
        assert!(agreement.kl_mean < divergence && agreement.top5_logit_error_max < 0.05, "{agreement:?}");
        assert!(agreement.top1 > 0.98 && agreement.largest_margin_lost < 0.05, "{agreement:?}");
    }
}
