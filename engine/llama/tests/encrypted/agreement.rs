//! Every named tensor agrees with the float reference.

use fhe_ckks::NoiseModel;
use fhe_model::calibration::Margins;
use fhe_model::encrypted::CircuitOptions;
use fhe_model::{PromptBlock, Site};

use crate::fixture::{random_model, random_tokens};
use crate::support::{ranges, relative_errors, run};

#[test]
fn a_block_of_prompts_of_odd_sizes() {
    let (_folder, weights) = random_model(1);
    let prompts = [random_tokens(7, 3), random_tokens(9, 4), random_tokens(13, 5)];
    let block = PromptBlock::new(&prompts, 32, weights.config()).unwrap();
    let ranges = ranges(&weights, &block, &Margins::default());
    let start = std::time::Instant::now();
    let run = run(&weights, &ranges, &block, 1 << 12, NoiseModel::default(), CircuitOptions::default());
    println!("{:?}", start.elapsed());
    for (location, tensor) in &run.tensors {
        let reference = &run.reference[location];
        let (largest, rms) = relative_errors(tensor, reference);
        println!("{location}: 2^{:.1} 2^{:.1}", largest.log2(), rms.log2());
    }
    println!("{:#?} {:?}", run.model.polynomials(), ranges.layers.iter().map(|l| (l.score_half_width, l.denominator)).collect::<Vec<_>>());
    println!("{:?} {:?}", run.phases, run.counts);
    assert!(run.tensors.iter().any(|(location, _)| location.site == Site::Score));
}

#[test]
fn the_trained_model() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/models/tiny-llama");
    let folder = if folder.exists() { folder } else { "/work/main/experiments/models/tiny-llama".into() };
    let weights = fhe_model::Weights::open(&folder).unwrap();
    let tokenizer = fhe_model::Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).unwrap();
    let text = std::fs::read_to_string(folder.join("calibration.txt")).unwrap();
    let corpus = fhe_model::calibration::Corpus::from_text(&text, &tokenizer).unwrap();
    let plan = fhe_model::calibration::WindowPlan { windows: 100, ..Default::default() };
    let ranges = fhe_model::calibration::calibrate(&fhe_model::FloatModel::new(&weights), &corpus, &plan, Margins::default(), |_, _| ()).unwrap().model();
    let held = std::fs::read_to_string(folder.join("heldout.txt")).unwrap();
    let tokens = tokenizer.encode(&held).unwrap();
    println!("{:?}", weights.config());
    let prompts = [tokens[..20].to_vec(), tokens[100..144].to_vec(), tokens[200..260].to_vec()];
    let block = PromptBlock::new(&prompts, 128, weights.config()).unwrap();
    ranges.preflight(&fhe_model::FloatModel::new(&weights), &block).unwrap();
    let start = std::time::Instant::now();
    for boot in [-23.0f64, -21.0, -20.0, -18.0, -16.0] { for (rows, res) in [(0.0,0.0), (16.0,-27.0f64), (256.0,-26.0)] {
        let noise = NoiseModel { half_bootstrap: boot.exp2(), slots_to_coefficients: 64.0, encryption: 4.0, module_rows: rows, pack_rows: 256.0, rescaling: if res == 0.0 {0.0} else {res.exp2()} };
        let r = run(&weights, &ranges, &block, 1 << 16, noise, CircuitOptions::default());
        let a = fhe_model::float::agreement::compare(&block, &r.float_logits, &r.logits).unwrap();
        println!("2^{boot} {rows} 2^{res}: {:.2e} {:.2e} top1 {} top5 {:.3} {:?}", a.kl_mean, a.kl_max, a.top1, a.top5_logit_error_max, start.elapsed());
    }}
    let run = run(&weights, &ranges, &block, 1 << 16, NoiseModel::default(), CircuitOptions::default());
    println!("{:?}", start.elapsed());
    for (location, tensor) in &run.tensors {
        let reference = &run.reference[location];
        let (largest, rms) = relative_errors(tensor, reference);
        println!("{location}: 2^{:.1} 2^{:.1}", largest.log2(), rms.log2());
    }
    for p in run.model.polynomials() { println!("{} {} {:.2e}", p.location, p.degree, p.error); }
    println!("{:?}", ranges.layers.iter().map(|l| (l.score_half_width, l.denominator)).collect::<Vec<_>>());
    println!("{:?} {:?}", run.phases, run.counts);
    println!("{:?}", fhe_model::float::agreement::compare(&block, &run.float_logits, &run.logits).unwrap());
}
