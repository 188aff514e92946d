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
