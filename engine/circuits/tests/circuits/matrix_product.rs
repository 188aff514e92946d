//! Products with integer weights, against the same product in rational arithmetic.

use crate::support::{Random, clear, close, shape};
use fhe_circuits::{Layout, QuantisedMatrix, RowModule, SlotAttention, WeightScales, split_rows};
use fhe_ckks::{Client, Evaluator, SlotArithmetic};
use proptest::prelude::*;

const BITS: u32 = 13;

fn encrypted<E: Evaluator, C: Client<E>>(
    client: &C,
    layout: &Layout,
    tensor: &[f64],
    unit: f64,
) -> Vec<E::Coefficients> {
    layout.pack(tensor).unwrap().iter().map(|vector| client.encrypt(vector, unit).unwrap()).collect()
}

fn product(weights: &[f32], tensor: &[f64], inputs: usize, tokens: usize) -> Vec<f64> {
    let row = |weights: &[f32]| -> Vec<f64> {
        (0..tokens).map(|token| (0..inputs).map(|i| f64::from(weights[i]) * tensor[i * tokens + token]).sum()).collect()
    };
    weights.chunks(inputs).flat_map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn equals_the_product_up_to_rounding(
        (inputs, outputs) in (1_usize..70, 1_usize..70), log_tokens in 1_u32..5, seed in any::<u64>()
    ) {
        let shape = shape(9);
        let e = clear(&shape);
        let module = RowModule::new(&shape, 1 << log_tokens).unwrap();
        let tokens = module.tokens();
        let mut random = Random::new(seed);
        let weights: Vec<f32> = random.vector(inputs * outputs).iter().map(|&weight| weight as f32).collect();
        let tensor = random.vector(inputs * tokens);
        let (input, output) = (Layout::dense(module, inputs), Layout::dense(module, outputs));
        let matrix = QuantisedMatrix::quantise(&weights, &output, &input, BITS).unwrap();

        let unit = (1_u64 << 30) as f64;
        let rows = split_rows(&e, module, &encrypted(&e, &input, &tensor, unit)).unwrap();
        let result = matrix.multiply(&e, &rows).unwrap();
        prop_assert_eq!(result.len(), output.ciphertexts());
        prop_assert!((e.unit(&result[0]) / (unit * matrix.scale()) - 1.0).abs() < 1e-12);
        let found: Vec<Vec<f64>> = result.iter().map(|x| e.decrypt(x).unwrap().unwrap()).collect();
        let found = output.unpack(&found).unwrap();

        // Every weight is off by at most half a step, every entry by half a unit.
        let bound = inputs as f64 * (0.5 / matrix.scale() + 0.5 / unit) * 1.0001;
        close(&found, &product(&weights, &tensor, inputs, tokens), bound);
        prop_assert!(matrix.rms_error() <= 0.5 / matrix.scale());
        let counts = e.counts();
        prop_assert_eq!(counts.row_splits, input.ciphertexts() as u64);
        prop_assert_eq!(counts.row_packings, output.ciphertexts() as u64);
        prop_assert_eq!(counts.matrix_weights, (outputs * input.ciphertexts() * module.rows()) as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn scales_per_row_round_every_row_to_its_own_size(
        (inputs, outputs) in (1_usize..40, 1_usize..40), log_tokens in 1_u32..5, seed in any::<u64>()
    ) {
        let shape = shape(9);
        let e = clear(&shape);
        let module = RowModule::new(&shape, 1 << log_tokens).unwrap();
        let tokens = module.tokens();
        let mut random = Random::new(seed);
        // Rows from 2^0 to 2^-20, and one of zeros.
        let size = |row: usize| if row == 5 { 0.0 } else { 0.5_f64.powi((row % 21) as i32) };
        let weights: Vec<f32> = random.vector(inputs * outputs).iter().enumerate()
            .map(|(i, &weight)| (weight * size(i / inputs)) as f32).collect();
        let tensor = random.vector(inputs * tokens);
        let (input, output) = (Layout::dense(module, inputs), Layout::dense(module, outputs));
        let quantise = |scales| QuantisedMatrix::quantise_at(&weights, &output, &input, BITS, scales).unwrap();
        let matrix = quantise(WeightScales::PerRow);
        prop_assert_eq!(matrix.magnifications().len(), outputs);
        let per_tensor = quantise(WeightScales::PerTensor);
        prop_assert!(per_tensor.magnifications().iter().all(|&factor| factor == 1.0));
        prop_assert_eq!(matrix.scale(), per_tensor.scale());

        let unit = (1_u64 << 30) as f64;
        let rows = split_rows(&e, module, &encrypted(&e, &input, &tensor, unit)).unwrap();
        let result = matrix.multiply(&e, &rows).unwrap();
        prop_assert!((e.unit(&result[0]) / (unit * matrix.scale()) - 1.0).abs() < 1e-12);
        let found: Vec<Vec<f64>> = result.iter().map(|x| e.decrypt(x).unwrap().unwrap()).collect();
        let found = output.unpack(&found).unwrap();
        let expected = product(&weights, &tensor, inputs, tokens);
        let limit = f64::from((1_i32 << (BITS - 1)) - 1);
        for (row, &factor) in matrix.magnifications().iter().enumerate() {
            let row_weights = &weights[row * inputs..][..inputs];
            let largest = row_weights.iter().fold(0.0, |largest: f64, &weight| largest.max(f64::from(weight).abs()));
            prop_assert!((factor >= 1.0 - 1e-12) && (largest > 0.0 || factor == 1.0));
            // Relative to the row's own largest weight, whatever the other rows are.
            let bound = inputs as f64 * (0.5 * largest / limit + 0.5 / (unit * matrix.scale() * factor) + largest / unit);
            let undone: Vec<f64> = found[row * tokens..][..tokens].iter().map(|value| value / factor).collect();
            close(&undone, &expected[row * tokens..][..tokens], bound * 1.0001);
        }
        prop_assert!(matrix.rms_error() <= per_tensor.rms_error() * 1.05 + 1e-9);
    }
}

#[test]
fn replicas_are_written_to_all_places_and_summed_from_them() {
    let shape = shape(9);
    let e = clear(&shape);
    let module = RowModule::new(&shape, 8).unwrap();
    // 4 query heads share 2 key heads; replicas fill the rest of the 64 rows.
    let attention = SlotAttention::new(module, 4, 4, |query, key| key <= query).unwrap();
    let replicas = attention.heads().replicas();
    assert!(replicas > 1);
    let keys = attention.heads().projection(2).unwrap();
    let dense = Layout::dense(module, 10);
    let mut random = Random::new(3);
    let weights: Vec<f32> = random.vector(8 * 10).iter().map(|&weight| weight as f32).collect();
    let tensor = random.vector(10 * 8);
    let there = QuantisedMatrix::quantise(&weights, &keys, &dense, BITS).unwrap();
    let rows = split_rows(&e, module, &encrypted(&e, &dense, &tensor, 2_f64.powi(14))).unwrap();
    let projected = there.multiply(&e, &rows).unwrap();
    let vectors: Vec<Vec<f64>> = projected.iter().map(|x| e.decrypt(x).unwrap().unwrap()).collect();
    let expected = product(&weights, &tensor, 10, 8);
    close(&keys.unpack(&vectors).unwrap(), &expected, 0.01);
    let places = (2 * replicas) as f64;
    let sums: Vec<f64> = expected.iter().map(|value| places * value).collect();
    close(&keys.unpack_sums(&vectors).unwrap(), &sums, 0.1);

    let back: Vec<f32> = random.vector(10 * 8).iter().map(|&weight| weight as f32).collect();
    let matrix = QuantisedMatrix::quantise(&back, &dense, &keys, BITS).unwrap();
    let rows = split_rows(&e, module, &projected).unwrap();
    let result = matrix.multiply(&e, &rows).unwrap();
    let vectors: Vec<Vec<f64>> = result.iter().map(|x| e.decrypt(x).unwrap().unwrap()).collect();
    close(&dense.unpack(&vectors).unwrap(), &product(&back, &sums, 8, 8), 0.2);
}

#[test]
fn rejects_weights_of_another_size_or_not_finite() {
    let module = RowModule::new(&shape(7), 4).unwrap();
    let layout = Layout::dense(module, 3);
    let quantise = |weights: &[f32], bits| QuantisedMatrix::quantise(weights, &layout, &layout, bits);
    assert!(quantise(&[0.0; 8], 13).is_err());
    assert!(quantise(&[f32::NAN; 9], 13).is_err());
    assert!(quantise(&[f32::INFINITY; 9], 13).is_err());
    assert!(quantise(&[1.0; 9], 1).is_err());
    assert!(quantise(&[1.0; 9], 16).is_err());
    assert_eq!(quantise(&[0.0; 9], 13).unwrap().scale(), 1.0);
    let per_row =
        |weights: &[f32], bits| QuantisedMatrix::quantise_at(weights, &layout, &layout, bits, WeightScales::PerRow);
    assert!(per_row(&[0.0; 8], 13).is_err());
    assert!(per_row(&[f32::NAN; 9], 13).is_err());
    assert!(per_row(&[1.0; 9], 16).is_err());
}

#[test]
fn rejects_rows_of_another_tensor() {
    let shape = shape(7);
    let e = clear(&shape);
    let module = RowModule::new(&shape, 4).unwrap();
    let (narrow, wide) = (Layout::dense(module, 3), Layout::dense(module, 40));
    let matrix = QuantisedMatrix::quantise(&[1.0; 9], &narrow, &narrow, BITS).unwrap();
    let rows = split_rows(&e, module, &encrypted(&e, &wide, &[0.0; 160], 1e6)).unwrap();
    assert!(matrix.multiply(&e, &rows).is_err());
}

/// A matrix planned without its integers is the quantised one in everything but these, which come when it is filled.
#[test]
fn integers_may_come_later() {
    let module = RowModule::new(&shape(7), 4).unwrap();
    let (input, output) = (Layout::dense(module, 5), Layout::dense(module, 7));
    let mut random = Random::new(4);
    let weights: Vec<f32> = random.vector(35).iter().map(|&weight| weight as f32).collect();
    let e = clear(&shape(7));
    let rows = split_rows(&e, module, &encrypted(&e, &input, &random.vector(20), 1e6)).unwrap();
    for scales in [WeightScales::PerTensor, WeightScales::PerRow] {
        let whole = QuantisedMatrix::quantise_at(&weights, &output, &input, BITS, scales).unwrap();
        let planned = QuantisedMatrix::planned(&weights, &output, &input, BITS, scales).unwrap();
        assert_eq!((planned.shape(), planned.scale()), (whole.shape(), whole.scale()));
        assert_eq!(planned.magnifications(), whole.magnifications());
        assert_eq!(planned.rms_error(), whole.rms_error());
        assert!(planned.multiply(&e, &rows).is_err_and(|error| error.to_string().contains("without entries")));
        let product = |matrix: &QuantisedMatrix| matrix.multiply(&e, &rows).unwrap();
        assert_eq!(product(&planned.filled(&weights).unwrap()), product(&whole));
    }
    let largest = weights.iter().fold(0.0_f64, |largest, &weight| largest.max(f64::from(weight).abs()));
    let assumed = QuantisedMatrix::assumed(largest, &output, &input, BITS).unwrap();
    let whole = QuantisedMatrix::quantise(&weights, &output, &input, BITS).unwrap();
    assert_eq!((assumed.shape(), assumed.scale()), (whole.shape(), whole.scale()));
    assert!(assumed.rms_error().is_nan());
    assert!(assumed.multiply(&e, &rows).is_err());
}

#[test]
fn rejects_other_weights_than_those_planned_for() {
    let module = RowModule::new(&shape(7), 4).unwrap();
    let layout = Layout::dense(module, 3);
    let planned = QuantisedMatrix::planned(&[1.0; 9], &layout, &layout, BITS, WeightScales::PerTensor).unwrap();
    assert!(planned.filled(&[1.0; 8]).is_err());
    assert!(planned.filled(&[2.0; 9]).is_err());
    assert!(planned.filled(&[f32::NAN; 9]).is_err());
    for largest in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(QuantisedMatrix::assumed(largest, &layout, &layout, BITS).is_err());
    }
    assert!(QuantisedMatrix::assumed(1.0, &layout, &layout, 16).is_err());
}
