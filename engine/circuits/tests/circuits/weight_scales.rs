//! Weights with a scale for every row through a half bootstrap and back to true values, in the clear and encrypted: every row is as exact
//! as its own largest weight allows, where one scale for all rows rounds small rows away.

use crate::encrypted::Instance;
use crate::support::{Random, clear, shape};
use fhe_circuits::crossing::{SINE_LEVELS, climb, correct_scaled, descend};
use fhe_circuits::{Layout, QuantisedMatrix, RowModule, WeightScales, split_rows};
use fhe_ckks::{Client, Evaluator, PlainVector};

const INPUTS: usize = 16;
const OUTPUTS: usize = 12;
const TOKENS: usize = 16;
const BITS: u32 = 6;
/// The largest integer of as many bits.
const LIMIT: f64 = 31.0;
/// Error of a half bootstrap in a toy ring and of what follows, as a share of the range: five bits more than the parameter sets claim.
const NOISE: f64 = 1.0 / 8192.0;

fn kept(plains: Vec<Vec<f64>>) -> Vec<PlainVector> {
    plains.into_iter().map(PlainVector::from).collect()
}

/// Rows whose largest weights fall from 1 to 2^-11.
fn row_size(row: usize) -> f64 {
    0.5_f64.powi(row as i32)
}

struct Uneven {
    weights: Vec<f32>,
    tensor: Vec<f64>,
}

impl Uneven {
    fn new() -> Self {
        let mut random = Random::new(3);
        let mut weights = random.vector(OUTPUTS * INPUTS);
        for (row, weights) in weights.chunks_mut(INPUTS).enumerate() {
            weights[row] = 1.0;
            weights.iter_mut().for_each(|weight| *weight *= row_size(row));
        }
        Self { weights: weights.iter().map(|&weight| weight as f32).collect(), tensor: random.vector(INPUTS * TOKENS) }
    }

    fn product(&self, row: usize, token: usize) -> f64 {
        (0..INPUTS).map(|i| f64::from(self.weights[row * INPUTS + i]) * self.tensor[i * TOKENS + token]).sum()
    }

    /// The product in true values, and the value of every row that fills the range.
    fn run<E: Evaluator, C: Client<E>>(&self, e: &E, client: &C, scales: WeightScales) -> (Option<Vec<f64>>, Vec<f64>) {
        let module = RowModule::new(e.shape(), TOKENS).unwrap();
        let (input, output) = (Layout::dense(module, INPUTS), Layout::dense(module, OUTPUTS));
        let matrix = QuantisedMatrix::quantise_at(&self.weights, &output, &input, BITS, scales).unwrap();
        // Entries are at most 1, so that a row's values are at most the sum of its weights.
        let sum = |row: &[f32]| row.iter().map(|&weight| f64::from(weight).abs()).sum::<f64>();
        let magnified = self.weights.chunks(INPUTS).zip(matrix.magnifications()).map(|(row, m)| m * sum(row));
        // Rounding may add half a step to every weight.
        let range = magnified.fold(0.0, f64::max) + 0.5 * INPUTS as f64 / matrix.scale();
        let unit = e.shape().full_scale / range / matrix.scale();
        let packed = input.pack(&self.tensor).unwrap();
        let encrypted: Vec<_> = packed.iter().map(|vector| client.encrypt(vector, unit).unwrap()).collect();
        let rows = split_rows(e, module, &encrypted).unwrap();
        let product = matrix.multiply(e, &rows).unwrap();

        let ranges: Vec<f64> = matrix.magnifications().iter().map(|m| range / m).collect();
        let raised = climb(e, &product, SINE_LEVELS).unwrap();
        let true_values = correct_scaled(e, &raised, &kept(output.channel_plains(&ranges).unwrap())).unwrap();
        let down = descend(e, &true_values, e.shape().full_scale / range).unwrap();
        let numbers: Option<Vec<Vec<f64>>> = down.iter().map(|x| client.decrypt(x).unwrap()).collect();
        (numbers.map(|numbers| output.unpack(&numbers).unwrap()), ranges)
    }

    fn check<E: Evaluator, C: Client<E>>(&self, e: &E, client: &C, noise: f64) {
        let (per_row, ranges) = self.run(e, client, WeightScales::PerRow);
        let (per_tensor, tensor_ranges) = self.run(e, client, WeightScales::PerTensor);
        let (per_row, per_tensor) = (per_row.unwrap(), per_tensor.unwrap());
        let mut lost = 0;
        for row in 0..OUTPUTS {
            // Half a step of every weight of the row, and the bootstrap's noise divided by the row's magnification; SlotsToCoeffs lands
            // on a coarser unit, once for all rows.
            let step = |largest: f64| 0.5 * INPUTS as f64 * largest / LIMIT;
            let bound = step(row_size(row)) + noise * ranges[row] + noise * 0.01 * ranges[0];
            let coarse = step(1.0) + noise * tensor_ranges[row];
            for token in 0..TOKENS {
                let expected = self.product(row, token);
                let found = per_row[row * TOKENS + token];
                assert!((found - expected).abs() <= bound, "row {row}: {found}, expected {expected} up to {bound:.2e}");
                let found = per_tensor[row * TOKENS + token];
                assert!(
                    (found - expected).abs() <= coarse,
                    "row {row}: {found}, expected {expected} up to {coarse:.2e}"
                );
                // A row below half a step is nothing at one scale for all.
                if row_size(row) < 0.5 / LIMIT {
                    assert!(found.abs() <= noise * tensor_ranges[row], "row {row}: {found}");
                    lost += usize::from(expected.abs() > bound);
                }
            }
        }
        assert!(lost > 2 * TOKENS, "{lost} values that one scale rounds away are seen at scales per row");
    }
}

#[test]
fn rows_of_all_sizes_in_the_clear() {
    let e = clear(&shape(11));
    // The cubic correction of the sine is off by 2^-25 of the range.
    Uneven::new().check(&e, &e, 2_f64.powi(-24));
}

#[test]
fn rows_of_all_sizes_under_encryption() {
    let instance = Instance::new("n11-toy");
    let case = Uneven::new();
    let (planner, metered) = instance.planner();
    let run = |scales| case.run(&planner, &metered, scales);
    assert!(run(WeightScales::PerRow).0.is_none() && run(WeightScales::PerTensor).0.is_none());
    let server = instance.server(&planner);
    case.check(&server, &instance.client, NOISE);
    assert_eq!(fhe_ckks::SlotArithmetic::counts(&server), fhe_ckks::SlotArithmetic::counts(&planner));
}

#[test]
fn factors_cost_two_plaintext_products_and_no_level() {
    use fhe_circuits::crossing::correct;
    use fhe_ckks::SlotArithmetic;

    let e = clear(&shape(11));
    let layout = Layout::dense(RowModule::new(e.shape(), TOKENS).unwrap(), OUTPUTS);
    let packed = layout.pack(&Random::new(1).vector(OUTPUTS * TOKENS)).unwrap();
    let encrypted: Vec<_> = packed.iter().map(|vector| e.encrypt(vector, e.shape().full_scale).unwrap()).collect();
    let raised = climb(&e, &encrypted, SINE_LEVELS).unwrap();
    let counted = |work: &dyn Fn() -> Vec<fhe_ckks::ClearSlots>| {
        let before = e.counts();
        let result = work();
        (e.counts() - before, result)
    };
    let factors: Vec<f64> = (0..OUTPUTS).map(|channel| 0.1 * channel as f64 - 0.3).collect();
    let (plain, corrected) = counted(&|| correct(&e, &raised).unwrap());
    let plains = layout.channel_plains(&factors).unwrap();
    let (scaled, products) = counted(&|| correct_scaled(&e, &raised, &kept(plains.clone())).unwrap());
    assert_eq!(e.level(&products[0]), e.level(&corrected[0]));
    assert_eq!(scaled.products, plain.products);
    assert_eq!(scaled.plaintext_products, plain.plaintext_products + 2);
    for (slot, (product, value)) in products[0].values().iter().zip(corrected[0].values()).enumerate() {
        assert!((product.re - plains[0][slot] * value.re).abs() < 1e-12, "slot {slot}");
    }
    assert!(correct_scaled(&e, &raised, &[]).is_err());
    assert!(layout.channel_plains(&factors[1..]).is_err());
}
