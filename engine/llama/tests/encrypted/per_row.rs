//! Scales per row: rows of very different sizes come out as exact as their own weights, wherever a row can be told apart afterwards.

use fhe_circuits::{Functions, WeightScales};
use fhe_ckks::NoiseModel;
use fhe_model::calibration::{Margins, ModelRanges};
use fhe_model::encrypted::{AttentionProducts, CircuitOptions, Phase};
use fhe_model::{Location, Matrix, PromptBlock, Site, Weights};
use safetensors::tensor::Dtype;

use crate::fixture::{Tensors, config, folder, random_tokens, tensors};
use crate::support::{Run, margins_for, ranges_of, run};

const BITS: u32 = 9;
/// The largest integer of as many bits.
const LIMIT: f64 = 255.0;

/// The random model with output rows of all projections but O and down from 1 to 2^-10 of their size.
fn uneven() -> Tensors {
    let mut tensors = tensors(&config(), 1);
    for (name, (shape, numbers)) in &mut tensors {
        let apart = ["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "lm_head"];
        if apart.iter().any(|part| name.contains(part)) {
            for (row, weights) in numbers.chunks_mut(shape[1]).enumerate() {
                weights.iter_mut().for_each(|weight| *weight *= 0.5_f32.powi((row * 7 % 11) as i32));
            }
        }
    }
    tensors
}

fn options(products: AttentionProducts, weight_scales: WeightScales) -> CircuitOptions {
    CircuitOptions {
        weight_bits: BITS,
        weight_scales,
        products,
        functions: Functions::Exact,
        ..CircuitOptions::default()
    }
}

/// The weights of a site with the gamma before them, and the site of their input.
fn reader(weights: &Weights, site: Site) -> (Matrix, Location) {
    let layer = weights.layer(0).unwrap();
    let (matrix, gamma, input) = match site {
        Site::Query => (layer.q, layer.input_norm, Site::AttentionNormalisedInput.in_layer(0)),
        Site::Key => (layer.k, layer.input_norm, Site::AttentionNormalisedInput.in_layer(0)),
        Site::Value => (layer.v, layer.input_norm, Site::AttentionNormalisedInput.in_layer(0)),
        Site::Gate => (layer.gate, layer.post_norm, Site::FfnNormalisedInput.in_layer(0)),
        Site::Up => (layer.up, layer.post_norm, Site::FfnNormalisedInput.in_layer(0)),
        _ => (weights.lm_head(), weights.final_norm(), Site::FinalNormalisedInput.outside_layers()),
    };
    let mut folded = matrix;
    let columns = folded.cols();
    for row in folded.data_mut().chunks_exact_mut(columns) {
        row.iter_mut().zip(&gamma).for_each(|(weight, gamma)| *weight *= gamma);
    }
    (folded, input)
}

/// Rows of a product that are further from the true product of *their own input* than half a step of their own largest weight explains.
fn rows_beyond_their_step(run: &Run, weights: &Weights, location: Location) -> usize {
    let (matrix, input) = reader(weights, location.site);
    let seen =
        |at: Location| run.tensors.iter().find(|(location, _)| *location == at).map(|(_, tensor)| tensor).unwrap();
    let (x, y) = (seen(input), seen(location));
    let beyond = |row: &usize| {
        let weights = matrix.row(*row);
        let largest = weights.iter().fold(0.0, |largest: f64, &weight| largest.max(f64::from(weight).abs()));
        (0..x.cols()).any(|token| {
            let input: Vec<f64> = x.column(token).iter().map(|&x| x.into()).collect();
            let expected: f64 = weights.iter().zip(&input).map(|(&weight, x)| f64::from(weight) * x).sum();
            let sum: f64 = input.iter().map(|x| x.abs()).sum();
            // Inputs are shown rounded to f32, and travel as integers of some 2^-25.
            let bound = sum * largest * (0.5 / LIMIT + 2_f64.powi(-20));
            (f64::from(y.at(*row, token)) - expected).abs() > bound
        })
    };
    (0..matrix.rows()).filter(beyond).count()
}

#[test]
fn every_row_is_as_exact_as_its_largest_weight() {
    let folder = folder(&config(), &uneven(), Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    let block = PromptBlock::new(&[random_tokens(16, 3), random_tokens(11, 4)], 32, weights.config()).unwrap();
    let sites = [Site::Query, Site::Key, Site::Value, Site::Gate, Site::Up].map(|site| site.in_layer(0));
    let sites: Vec<Location> = sites.into_iter().chain([Site::Logits.outside_layers()]).collect();
    for products in [AttentionProducts::Slots, AttentionProducts::Lanes] {
        let ranges = ranges_of(&weights, &block, &margins_for(products));
        let run = |scales| run(&weights, &ranges, &block, 1 << 12, NoiseModel::default(), options(products, scales));
        let (per_row, per_tensor) = (run(WeightScales::PerRow), run(WeightScales::PerTensor));
        for &location in &sites {
            assert_eq!(rows_beyond_their_step(&per_row, &weights, location), 0, "{location}");
            // Three of eleven sizes are below 2^-7, so that a common step is larger than the row.
            let rows = reader(&weights, location.site).0.rows();
            let lost = rows_beyond_their_step(&per_tensor, &weights, location);
            assert!(lost >= rows / 4, "{location}: {lost} of {rows} rows");
        }
        // Nothing else knows about scales.
        let shown = |run: &Run| run.tensors.iter().map(|(location, _)| *location).collect::<Vec<_>>();
        assert_eq!(shown(&per_row), shown(&per_tensor));
        // But for the sine before SiLU, which is corrected on its own in each of two layers.
        let mut phases = per_tensor.phases.clone();
        *phases.get_mut(&Phase::NonLinear).unwrap() += 2;
        assert_eq!(per_row.phases, phases);
    }
}

/// Ranges without reaches: the bounds of Cauchy and Schwarz hold too, and a reach that is too small does not.
#[test]
fn bounds_of_rows_keep_every_coefficient_in_range() {
    let folder = folder(&config(), &uneven(), Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    let block = PromptBlock::new(&[random_tokens(16, 3), random_tokens(11, 4)], 32, weights.config()).unwrap();
    let products = AttentionProducts::Lanes;
    let mut ranges = ranges_of(&weights, &block, &Margins { cover_masked_scores: true, ..Margins::NONE });
    let options = CircuitOptions { weight_bits: 13, ..options(products, WeightScales::PerRow) };
    let ran = |ranges: &ModelRanges| {
        // The clear evaluator refuses a coefficient outside the range of a half bootstrap.
        let run = || run(&weights, ranges, &block, 1 << 12, NoiseModel::default(), options);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_ok()
    };
    for layer in &mut ranges.layers {
        // Weights and functions are not those of the float model that the bounds were seen on.
        for bound in [&mut layer.query, &mut layer.key, &mut layer.value, &mut layer.gate, &mut layer.up] {
            *bound *= 1.01;
        }
        let reaches = [
            &mut layer.query_reach,
            &mut layer.key_reach,
            &mut layer.value_reach,
            &mut layer.gate_reach,
            &mut layer.up_reach,
        ];
        reaches.into_iter().for_each(|reach| *reach *= 1.01);
    }
    assert!(ran(&ranges), "as measured");
    let mut unknown = ranges.clone();
    for layer in &mut unknown.layers {
        (layer.query_reach, layer.key_reach, layer.value_reach) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
        (layer.gate_reach, layer.up_reach) = (f64::INFINITY, f64::INFINITY);
    }
    assert!(ran(&unknown), "by the weights");
    let mut small = ranges.clone();
    small.layers[0].key_reach *= 0.5;
    assert!(!ran(&small), "half of what was measured");
}

/// What it costs: the sine before SiLU is corrected explicitly, and both corrections carry plaintexts.
#[test]
fn rows_are_undone_without_rotations_or_bootstraps() {
    let folder = folder(&config(), &uneven(), Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    let block = PromptBlock::new(&[random_tokens(16, 3), random_tokens(16, 4)], 32, weights.config()).unwrap();
    for products in [AttentionProducts::Slots, AttentionProducts::Lanes] {
        let ranges = ranges_of(&weights, &block, &margins_for(products));
        let run = |scales| run(&weights, &ranges, &block, 1 << 13, NoiseModel::default(), options(products, scales));
        let (row, tensor) = (run(WeightScales::PerRow).counts, run(WeightScales::PerTensor).counts);
        assert_eq!(
            (row.rotations, row.half_bootstraps, row.slots_to_coefficients, row.matrix_weights),
            (tensor.rotations, tensor.half_bootstraps, tensor.slots_to_coefficients, tensor.matrix_weights)
        );
        // One ciphertext of gate and one of up in each of two layers.
        assert_eq!(row.plaintext_products, tensor.plaintext_products + 2 * 2 * 2);
    }
}
