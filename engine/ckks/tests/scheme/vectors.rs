//! Weights times one vector, encrypted, beside the same in the clear.

use crate::common::{Instance, uniform};
use fhe_ckks::{CkksError, Clear, Client, Evaluator, IntegerMatrix, MatrixShape, NoiseModel, SlotArithmetic};

const UNIT: f64 = (1u64 << 24) as f64;
const SCALE: f64 = (1u64 << 11) as f64;

fn weights(rows: usize, columns: usize) -> IntegerMatrix {
    let entries = uniform(rows * columns, 7).into_iter().map(|w| (SCALE * w).round() as i16).collect();
    IntegerMatrix::new(MatrixShape { rows, columns }, entries).unwrap()
}

/// Splits the ciphertexts of these coefficients, multiplies by the matrices, and decrypts.
fn products<E: Evaluator>(
    evaluator: &E,
    client: &impl Client<E>,
    coefficients: &[Vec<f64>],
    (block, parts): (usize, usize),
    weights: &[IntegerMatrix],
) -> Option<Vec<Vec<f64>>> {
    let inputs: Vec<_> = coefficients.iter().map(|values| client.encrypt(values, UNIT).unwrap()).collect();
    let vector = evaluator.split_vector(&inputs.iter().collect::<Vec<_>>(), block, parts).unwrap();
    let products = evaluator.vector_products(weights, SCALE, &vector).unwrap();
    assert!(products.iter().all(|product| evaluator.unit(product) == UNIT * SCALE));
    products.iter().map(|product| client.decrypt(product).unwrap()).collect()
}

fn clear(instance: &Instance) -> Clear {
    Clear::new(instance.parameters.shape().clone(), (), NoiseModel::default(), 0).unwrap()
}

/// What the clear evaluator computes, coefficient by coefficient, even where a vector reaches beyond its blocks; the same counts; and
/// keys at 100 bits under the small secret.
#[test]
fn encrypted_products_are_those_in_the_clear() {
    let instance = Instance::new("n11-toy", 23);
    let shape = instance.parameters.shape().clone();
    let group = shape.degree / shape.small_degree;
    // Block, columns, rows of each matrix, and whether the other coefficients of a part are zero.
    for (block, columns, rows, clean) in [
        (32, 256, vec![256], true),
        (16, 250, vec![40, 256, 3], true),
        (64, 300, vec![100; group + 1], true),
        (32, 256, vec![200], false),
    ] {
        let parts = usize::div_ceil(columns, block);
        let coefficients: Vec<Vec<f64>> = (0..parts.div_ceil(group) as u64)
            .map(|salt| {
                let values = uniform(shape.degree, 50 + salt);
                values.into_iter().enumerate().map(|(p, x)| if clean && p / group >= block { 0.0 } else { x }).collect()
            })
            .collect();
        let matrices: Vec<_> = rows.iter().map(|&rows| weights(rows, columns)).collect();
        let (planner, metered) = instance.planner();
        assert!(products(&planner, &metered, &coefficients, (block, parts), &matrices).is_none());
        let server = instance.server(&planner);
        let found = products(&server, &instance.client, &coefficients, (block, parts), &matrices).expect("data");
        let e = clear(&instance);
        let expected = products(&e, &e, &coefficients, (block, parts), &matrices).expect("data");
        assert_eq!((server.counts(), planner.counts()), (e.counts(), e.counts()));
        assert_eq!(found.len(), matrices.len().div_ceil(group));
        let largest = expected.iter().flatten().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            // Switching noise 2^8 at unit 2^24, summed over the columns; and packing noise.
            assert!((found - expected).abs() < 2f64.powi(-11), "{found}, expected {expected}");
        }
        assert!(largest > 2.0);
    }
}

#[test]
fn unfilled_weights_are_enough_to_plan_and_to_count() {
    let instance = Instance::new("n11-toy", 24);
    let shape = instance.parameters.shape();
    let coefficients = [vec![0.0; shape.degree]];
    let size = MatrixShape { rows: 256, columns: 256 };
    let (filled, unfilled) = (weights(256, 256), IntegerMatrix::unfilled(size));
    let [with, without] = [filled, unfilled].map(|weights| {
        let (planner, metered) = instance.planner();
        products(&planner, &metered, &coefficients, (32, 8), &[weights]);
        (planner.counts(), planner.key_requests(), planner.backend().counts())
    });
    assert!(!instance.planner().0.holds_data());
    assert_eq!(with, without);
    assert_eq!((with.0.vector_splits, with.0.vector_joins, with.0.matrix_weights), (1, 1, 1 << 16));
}

/// The keys of the real set, held against the security table.
#[test]
fn keys_of_the_real_set_are_secure() {
    let instance = Instance::new("n16-llama", 25);
    let (planner, metered) = instance.planner();
    let weights = [IntegerMatrix::unfilled(MatrixShape { rows: 4096, columns: 4096 })];
    products(&planner, &metered, &[vec![0.0; 1 << 16]], (256, 16), &weights);
    let rlwe = instance.parameters.rlwe();
    let requests = planner.key_requests();
    assert_eq!(requests.len(), 8 + 2);
    requests.iter().for_each(|(id, shape)| rlwe.check_key(id, shape).unwrap());
    assert_eq!(requests.bytes(rlwe), 8 * 2 * 2 * (3 * (1 << 16) + 8 * (1 << 12)));
}

fn refused<T>(result: Result<T, CkksError>) -> String {
    match result {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

fn rejections<E: Evaluator>(e: &E, client: &impl Client<E>, unfilled: impl Fn(usize, usize) -> IntegerMatrix) {
    let shape = e.shape().clone();
    let group = shape.degree / shape.small_degree;
    let encrypt = |unit| client.encrypt(&vec![0.0; shape.degree], unit).unwrap();
    let (x, other) = (encrypt(UNIT), encrypt(2.0 * UNIT));
    assert!(refused(e.split_vector(&[], 32, 4)).contains("split_vector: inputs"));
    assert!(refused(e.split_vector(&[&x, &other], 32, group + 1)).contains("split_vector: unit"));
    assert!(refused(e.split_vector(&[&x, &x], 32, group)).contains("number of inputs"));
    assert!(refused(e.split_vector(&[&x], 24, group)).contains("split_vector: block"));
    assert!(refused(e.split_vector(&[&x], 2 * shape.small_degree, group)).contains("split_vector: block"));
    let vector = e.split_vector(&[&x], 32, 4).unwrap();
    let product = |rows, columns, scale| e.vector_products(&[unfilled(rows, columns)], scale, &vector);
    assert!(product(9, 128, 1.0).is_ok());
    assert!(e.vector_products(&[], 1.0, &vector).unwrap().is_empty());
    for scale in [0.0, -1.0, f64::NAN] {
        assert!(refused(product(9, 128, scale)).contains("vector_products: scale"));
    }
    for (rows, columns) in [(0, 128), (shape.small_degree + 1, 128), (9, 96), (9, 129)] {
        let message = refused(product(rows, columns, 1.0));
        assert!(message.contains("rows") || message.contains("columns") || message.contains("inputs"), "{message}");
    }
}

#[test]
fn rejects_vectors_and_weights_that_do_not_fit() {
    let instance = Instance::new("n11-toy", 26);
    let (planner, metered) = instance.planner();
    rejections(&planner, &metered, |rows, columns| IntegerMatrix::unfilled(MatrixShape { rows, columns }));
    let e = clear(&instance);
    rejections(&e, &e, weights);
}
