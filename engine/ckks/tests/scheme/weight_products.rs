//! Products with integer weights on a server, in both forms.

use crate::common::{Instance, uniform};
use fhe_ckks::{
    CkksServer, Client, CoefficientCiphertext, Evaluator, IntegerMatrix, MatrixShape, SlotArithmetic, WeightProduct,
};
use fhe_ring::Backend;

const TOKENS: usize = 16;

fn product<B: Backend>(
    server: &CkksServer<B>,
    input: &CoefficientCiphertext<B>,
    weights: &IntegerMatrix,
) -> CoefficientCiphertext<B> {
    let rows = server.module_rows(&[input], TOKENS).expect("rows");
    let product = server.integer_product(weights, 8.0, &rows).expect("product");
    server.pack_rows(&product).expect("packing").remove(0)
}

#[test]
fn both_forms_give_the_same_words_from_the_same_keys_at_the_same_counts() {
    let instance = Instance::new("n11-toy", 9);
    let degree = instance.parameters.shape().degree;
    let rows = degree / TOKENS;
    let entries: Vec<i16> = uniform(rows * rows, 3).iter().map(|weight| (weight * 8.0).round() as i16).collect();
    let weights = IntegerMatrix::new(MatrixShape { rows, columns: rows }, entries).expect("sizes");
    let (values, unit) = (uniform(degree, 4), (1u64 << 30) as f64);

    let (planner, metered) = instance.planner();
    product(&planner, &metered.encrypt(&values, unit).expect("input"), &weights);
    let input = instance.client.encrypt(&values, unit).expect("input");
    let [structured, dense] = [WeightProduct::Structured, WeightProduct::Dense].map(|form| {
        let server = instance.server(&planner).with_weight_product(form);
        let product = product(&server, &input, &weights);
        (server.save(&product).expect("bytes"), server.counts(), product)
    });
    assert_eq!(structured.1, dense.1);
    assert!(structured.0 == dense.0, "the forms differ");

    // Half a unit of each input, and key-switching noise below 2^10 of each row.
    let found = instance.client.decrypt(&structured.2).expect("decryption").expect("data");
    let bound = rows as f64 * (1u64 << 10) as f64 / unit;
    for (index, found) in found.iter().enumerate() {
        let (row, token) = (index % rows, index / rows);
        let weights = &weights.entries()[row * rows..][..rows];
        let expected: f64 =
            weights.iter().enumerate().map(|(i, &w)| f64::from(w) * values[i + rows * token] / 8.0).sum();
        assert!((found - expected).abs() < bound, "{index}: {found}, expected {expected}");
    }
}
