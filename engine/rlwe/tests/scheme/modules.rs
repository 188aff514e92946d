//! Ring switching, the module split, the integer product and the packing, against plaintext matrices.

use fhe_ring::{IntegerMatrix, MatrixShape};

use crate::{
    DEGREE,
    common::{Instance, message, worst},
};

/// Coefficient `row + r * token` of a ciphertext is entry (row, token).
fn product(weights: &IntegerMatrix, inputs: &[Vec<i64>], tokens: usize) -> Vec<Vec<i64>> {
    let rows = DEGREE / tokens;
    let shape = weights.shape();
    (0..shape.rows.div_ceil(rows))
        .map(|output| {
            let mut packed = vec![0i64; DEGREE];
            for row in 0..rows.min(shape.rows - output * rows) {
                for token in 0..tokens {
                    let weights = &weights.entries()[(output * rows + row) * shape.columns..][..shape.columns];
                    packed[row + rows * token] = weights
                        .iter()
                        .enumerate()
                        .map(|(i, &w)| i64::from(w) * inputs[i / rows][i % rows + rows * token])
                        .sum();
                }
            }
            packed
        })
        .collect()
}

#[test]
fn integer_product_acts_on_rows() {
    let instance = Instance::new(11);
    for (tokens, inputs, outputs) in [(8, 1, 20), (8, 2, 40), (16, 3, 5), (32, 1, 8)] {
        let rows = DEGREE / tokens;
        let plain: Vec<_> = (0..inputs).map(|i| message(DEGREE, 1 << 24, 31 + i as u64)).collect();
        let ciphertexts: Vec<_> = plain.iter().zip(0..).map(|(m, nonce)| instance.encrypt(m, 1, nonce)).collect();
        let shape = MatrixShape { rows: outputs, columns: inputs * rows };
        let entries = message(outputs * inputs * rows, 1 << 12, 77).into_iter().map(|w| w as i16).collect();
        let weights = IntegerMatrix::new(shape, entries).expect("sizes");
        let packed = instance.with_keys(|server| {
            let references: Vec<_> = ciphertexts.iter().collect();
            let rows = server.module_rows(&references, tokens).expect("split");
            let rows = rows.integer_product(instance.backend.as_ref(), &weights).expect("product");
            server.pack_rows(&rows).expect("packing")
        });
        let expected = product(&weights, &plain, tokens);
        assert_eq!(packed.len(), expected.len());
        for (found, expected) in packed.iter().zip(&expected) {
            // Switching noise (2^6 here) times 2^12 weights over at most 64 rows.
            let error = worst(&instance.decrypt(found), expected);
            assert!(error < 1 << 26, "{tokens} tokens: error {error}");
            assert!(expected.iter().any(|v| v.abs() > 1 << 36), "the product must dwarf the error bound");
        }
    }
}

#[test]
fn rejects_weights_of_another_width() {
    let instance = Instance::new(12);
    let ciphertext = instance.encrypt(&message(DEGREE, 1 << 20, 1), 1, 0);
    let rows = instance.planner().module_rows(&[&ciphertext], 8).expect("split");
    let weights = IntegerMatrix::new(MatrixShape { rows: 1, columns: 5 }, vec![1; 5]).expect("sizes");
    let error = rows.integer_product(instance.backend.as_ref(), &weights).err().expect("width").to_string();
    assert!(error.contains("32"), "{error}");
}

#[test]
fn rejects_tokens_that_do_not_divide_the_small_degree() {
    let instance = Instance::new(13);
    let ciphertext = instance.encrypt(&message(DEGREE, 1 << 20, 1), 1, 0);
    assert!(instance.planner().module_rows(&[&ciphertext], 12).is_err());
    assert!(instance.planner().module_rows(&[&ciphertext], 64).is_err());
}
