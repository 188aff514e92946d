//! Integer weights times one vector, against the product in integers.

use fhe_ring::{Basis, IntegerMatrix, MatrixShape};
use fhe_rlwe::{Gadget, KeyId, KeyShape, KeySwitcher, Parameters, RlweError, security::SIGMA};

use crate::{
    DEGREE,
    common::{Instance, SMALL_LOG_DEGREE, message, specification, worst},
};

const SMALL: usize = 1 << SMALL_LOG_DEGREE;
const GROUP: usize = DEGREE / SMALL;

fn weights(rows: usize, columns: usize, bound: i64) -> IntegerMatrix {
    let entries = message(rows * columns, bound, 77).into_iter().map(|w| w as i16).collect();
    IntegerMatrix::new(MatrixShape { rows, columns }, entries).expect("sizes")
}

/// Ciphertext coefficients that hold a vector: entry `block J + c` is coefficient `J mod g + g c` of ciphertext `J div g`.
fn spread(vector: &[i64], block: usize) -> Vec<Vec<i64>> {
    let mut spread = vec![vec![0; DEGREE]; vector.len().div_ceil(block).div_ceil(GROUP)];
    for (i, &entry) in vector.iter().enumerate() {
        let (part, c) = (i / block, i % block);
        spread[part / GROUP][part % GROUP + GROUP * c] = entry;
    }
    spread
}

/// Where the results of so many rows lie in a packed vector.
fn places(rows: usize, block: usize) -> Vec<usize> {
    let leaves = rows.div_ceil(SMALL / block);
    let stride = 1 << (block / leaves).ilog2();
    (0..rows).map(|row| stride * (row % leaves) + block * (row / leaves)).collect()
}

#[test]
fn products_lie_where_they_should_and_nothing_else_does() {
    let instance = Instance::new(61);
    // Rows of each of the joined matrices, block, columns: everything filled, rows and columns that fill nothing, two input ciphertexts, more
    // products than one ciphertext has room for, a block of one and of everything.
    for (matrices, block, columns) in [
        (vec![SMALL], 4, 32),
        (vec![11, 32, 1], 8, 29),
        (vec![20], 4, 50),
        (vec![4; GROUP + 1], 16, 16),
        (vec![SMALL], 1, 3),
        (vec![5], SMALL, SMALL),
    ] {
        let vector = message(columns, 1 << 24, 5);
        let ciphertexts: Vec<_> =
            spread(&vector, block).iter().zip(0..).map(|(plain, nonce)| instance.encrypt(plain, 1, nonce)).collect();
        let references: Vec<_> = ciphertexts.iter().collect();
        let matrices: Vec<_> = matrices.iter().map(|&rows| weights(rows, columns, 1 << 12)).collect();
        let joined = instance.with_keys(|server| {
            let parts = server.split_vector(&references, block, columns.div_ceil(block)).expect("split");
            assert_eq!((parts.parts(), parts.block()), (columns.div_ceil(block), block));
            let product = |weights| server.vector_product(weights, &parts).expect("product");
            server.join_vectors(&matrices.iter().map(product).collect::<Vec<_>>()).expect("join")
        });
        assert_eq!(joined.len(), matrices.len().div_ceil(GROUP));
        let mut expected = vec![vec![0i64; DEGREE]; joined.len()];
        for (number, weights) in matrices.iter().enumerate() {
            let rows = weights.entries().chunks(columns);
            for (row, place) in rows.zip(places(weights.shape().rows, block)) {
                let product = row.iter().zip(&vector).map(|(&w, &x)| i64::from(w) * x).sum();
                expected[number / GROUP][number % GROUP + GROUP * place] = product;
            }
        }
        for (found, expected) in joined.iter().zip(&expected) {
            // Switching noise (2^6 here) times 2^12 weights over at most 50 columns.
            let error = worst(&instance.decrypt(found), expected);
            assert!(error < 1 << 24, "block {block}: error {error}");
            assert!(expected.iter().any(|v| v.abs() > 1 << 34), "the product must dwarf the error bound");
        }
    }
}

/// The variance of the coefficients of a switch's error: the digit, uniform below `q_0`, times the key's error over the special
/// modulus, and the rounding of both halves, one of which meets a ternary secret.
fn switching_variance(parameters: &Parameters, degree: usize) -> f64 {
    let primes = [parameters.chain().ciphertext_primes(), parameters.chain().special_primes()];
    let [q, p] = primes.map(|primes| primes[0].value() as f64);
    degree as f64 * (SIGMA * q / p).powi(2) / 12.0 + (1.0 + 2.0 / 3.0 * degree as f64) / 12.0
}

#[test]
fn packing_multiplies_the_noise_of_a_switch_by_the_block_over_the_root_of_three() {
    const LOG_SMALL: u32 = 7;
    let small = 1 << LOG_SMALL;
    let mut squares = Vec::new();
    for seed in 0..8 {
        let mut specification = specification();
        specification.small_log_degree = LOG_SMALL;
        let instance = Instance::of(specification, 70 + seed);
        let block = small;
        let vector = message(block, 1 << 24, 9);
        let mut plain = vec![0; DEGREE];
        plain.iter_mut().step_by(DEGREE / small).zip(&vector).for_each(|(place, &entry)| *place = entry);
        let ciphertext = instance.encrypt(&plain, 1, 0);
        // A permutation without the structure of a shift, whose differences would be zero: the noise of the input and its ring
        // switch stays as it is.
        let column = |row: usize| row * (row + 1) / 2 % block;
        let entries = (0..block * block).map(|i| (i % block == column(i / block)).into()).collect();
        let permutation = IntegerMatrix::new(MatrixShape { rows: block, columns: block }, entries).expect("sizes");
        let joined = instance.with_keys(|server| {
            let parts = server.split_vector(&[&ciphertext], block, 1).expect("split");
            server
                .join_vectors(&[server.vector_product(&permutation, &parts).expect("product")])
                .expect("join")
                .remove(0)
        });
        let found = instance.decrypt(&joined);
        let found = found.iter().step_by(DEGREE / small).enumerate();
        squares.extend(found.map(|(row, &found)| ((found - vector[column(row)]) as f64).powi(2)));
        // sigma^2 (1 + 4 + 16 + ..), a level each.
        let bound = switching_variance(&instance.parameters, small) * ((block * block - 1) as f64) / 3.0;
        if seed == 7 {
            let ratio = squares.iter().sum::<f64>() / squares.len() as f64 / bound;
            // 1024 samples: the variance is known to a twentieth.
            assert!((0.75..1.3).contains(&ratio), "variance {ratio} of the prediction");
        }
    }
}

#[test]
fn every_key_is_asked_for_at_the_lowest_modulus() {
    let instance = Instance::new(62);
    let planner = instance.planner();
    let ciphertext = instance.encrypt(&message(DEGREE, 1 << 20, 1), 1, 0);
    let parts = planner.split_vector(&[&ciphertext], 8, 4).expect("split");
    let before = planner.switches();
    let packed = planner.vector_product(&weights(SMALL, 32, 100), &parts).expect("product");
    // A tree of eight leaves.
    assert_eq!(planner.switches() - before, 7);
    // Three leaves, two places apart: two nodes, one, and one that clears the places between.
    let before = planner.switches();
    planner.vector_product(&weights(10, 32, 100), &parts).expect("product");
    assert_eq!(planner.switches() - before, 2 + 1 + 1);
    planner.join_vectors(&[packed]).expect("join");
    let requests = planner.keys().requests();
    for (id, shape) in requests.iter() {
        let gadget = if *id == KeyId::RingSwitch { Gadget::Halves } else { Gadget::Whole };
        assert_eq!(*shape, KeyShape { ciphertext: Basis::prefix(1), special: 1, gadget }, "{id}");
    }
    let small = requests.iter().filter(|(id, _)| matches!(id, KeyId::SmallGalois(_))).count();
    assert_eq!((small, requests.len()), (3, 5));
    // The ring switch has two rows.
    let expected = 8 * (3 * 2 * 2 * DEGREE + 3 * 2 * 2 * SMALL);
    assert_eq!(
        (requests.bytes(&instance.parameters), planner.keys().bytes(&instance.parameters)),
        (expected, expected)
    );
}

#[test]
fn rejects_vectors_that_do_not_fit() {
    let instance = Instance::new(63);
    let planner: KeySwitcher<_> = instance.planner();
    let plain = message(DEGREE, 1 << 20, 1);
    let (low, high) = (instance.encrypt(&plain, 1, 0), instance.encrypt(&plain, 2, 0));
    let refused = |result: Result<(), RlweError>| assert!(matches!(result, Err(RlweError::Precondition { .. })));
    let split = |inputs: &[&_], block, parts| planner.split_vector(inputs, block, parts).map(drop);
    assert!(split(&[&low], 8, GROUP).is_ok());
    refused(split(&[], 8, 0));
    refused(split(&[&low], 8, 0));
    refused(split(&[&low], 8, GROUP + 1));
    refused(split(&[&low, &low], 8, GROUP));
    refused(split(&[&low], 12, 4));
    refused(split(&[&low], 2 * SMALL, 4));
    refused(split(&[&high], 8, 4));
    let parts = planner.split_vector(&[&low], 8, 4).expect("split");
    let product = |rows, columns| planner.vector_product(&weights(rows, columns, 10), &parts).map(drop);
    assert!(product(SMALL, 32).is_ok());
    refused(product(SMALL + 1, 32));
    assert!(matches!(product(SMALL, 33), Err(RlweError::Ring(_))));
    assert!(matches!(product(0, 32), Err(RlweError::Ring(_))));
}
