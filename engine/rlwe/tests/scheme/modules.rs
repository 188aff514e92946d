//! Ring switching, the module split, the integer product and the packing, against plaintext matrices.

use fhe_ring::{Cpu, IntegerMatrix, MatrixShape};
use fhe_rlwe::{KeySwitcher, WeightProduct, security::SIGMA};

use crate::{
    DEGREE,
    common::{Instance, SMALL_LOG_DEGREE, message, worst},
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
        let multiply = |server: &KeySwitcher<Cpu>| {
            let references: Vec<_> = ciphertexts.iter().collect();
            let rows = server.module_rows(&references, tokens).expect("split");
            assert_eq!((rows.rows(), rows.tokens()), (inputs * DEGREE / tokens, tokens));
            let rows = rows.integer_product(instance.backend.as_ref(), &weights).expect("product");
            server.pack_rows(&rows).expect("packing")
        };
        let packed = instance.with_keys(multiply);
        let dense = instance.planned(multiply).with_weight_product(WeightProduct::Dense);
        for (structured, dense) in packed.iter().zip(multiply(&dense)) {
            for (structured, dense) in structured.halves().into_iter().zip(dense.halves()) {
                let backend = instance.backend.as_ref();
                assert_eq!(structured.download(backend), dense.download(backend), "{tokens} tokens: the forms differ");
            }
        }
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

/// Ring switching in two digits leaves rounding alone: as much as the secret it leads to makes of `1/sqrt(12)`. Rows add up with the squares of their
/// weights; then packing adds, for each part of the secret, a switch of one digit as large as its special prime, which leaves `sigma sqrt(N/12)`
/// per coefficient.
#[test]
fn noise_is_what_its_parts_add_up_to() {
    const TOKENS: usize = 8;
    const SMALL_DEGREE: f64 = (1 << SMALL_LOG_DEGREE) as f64;
    let instance = Instance::new(15);
    let rank = SMALL_DEGREE / TOKENS as f64;
    let (degree, variance) = (DEGREE as f64, SIGMA.powi(2));
    let rounding = |dimension: f64| (1.0 + 2.0 / 3.0 * dimension) / 12.0;
    let input = variance + rounding(SMALL_DEGREE);
    let packing = rank * variance * degree / 12.0 + rounding(degree);

    let rows = DEGREE / TOKENS;
    // As many outputs as fill three ciphertexts.
    let (inputs, outputs) = (2, 3 * rows);
    let plain: Vec<_> = (0..inputs).map(|i| message(DEGREE, 1 << 24, 51 + i as u64)).collect();
    let ciphertexts: Vec<_> = plain.iter().zip(0..).map(|(m, nonce)| instance.encrypt(m, 1, nonce)).collect();
    let columns = inputs * rows;
    let shape = MatrixShape { rows: outputs, columns };
    let large = message(outputs * columns, 1 << 12, 79).into_iter().map(|w| w as i16).collect();
    // One input row each: what packing adds is then the larger part.
    let selection = (0..outputs * columns).map(|i| i16::from(i % columns == i / columns % columns)).collect();
    for (name, entries) in [("large weights", large), ("a selection", selection)] {
        let weights = IntegerMatrix::new(shape, entries).expect("sizes");
        let squares: f64 = weights.entries().iter().map(|&w| f64::from(w).powi(2)).sum();
        let predicted = (squares / outputs as f64 * input + packing).sqrt();
        let packed = instance.with_keys(|server| {
            let rows = server.module_rows(&ciphertexts.iter().collect::<Vec<_>>(), TOKENS).expect("split");
            server.pack_rows(&rows.integer_product(server.backend(), &weights).expect("product")).expect("packing")
        });
        let expected = product(&weights, &plain, TOKENS);
        let found: Vec<_> = packed.iter().flat_map(|ciphertext| instance.decrypt(ciphertext)).collect();
        assert_eq!(found.len(), expected.len() * DEGREE);
        let difference = |(&found, &expected): (&i64, &i64)| (found - expected) as f64;
        let errors: Vec<f64> = found.iter().zip(expected.iter().flatten()).map(difference).collect();
        let measured = (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt();
        assert!((0.8..1.25).contains(&(measured / predicted)), "{name}: {measured:.1}, predicted {predicted:.1}");
        // Normal, so that six deviations bound every coefficient.
        let worst = errors.iter().fold(0.0, |worst: f64, e| worst.max(e.abs()));
        assert!(worst < 6.0 * predicted, "{name}: {worst:.1}, predicted {predicted:.1}");
    }
}

#[test]
fn rows_pack_unmultiplied_in_both_forms() {
    const TOKENS: usize = 8;
    let instance = Instance::new(14);
    let plain = message(DEGREE, 1 << 30, 5);
    let ciphertext = instance.encrypt(&plain, 1, 0);
    let pack = |server: &KeySwitcher<Cpu>| {
        server.pack_rows(&server.module_rows(&[&ciphertext], TOKENS).expect("split")).expect("packing")
    };
    let server = instance.planned(pack);
    for form in [WeightProduct::Structured, WeightProduct::Dense] {
        let server = instance.planned(pack).with_weight_product(form);
        assert_eq!(server.weight_product(), form);
        let error = worst(&instance.decrypt(&pack(&server)[0]), &plain);
        assert!(error < 1 << 13, "{form:?}: error {error}");
    }
    assert_eq!(server.weight_product(), WeightProduct::Structured, "the default");
}

#[test]
fn rejects_weights_of_another_width() {
    let instance = Instance::new(12);
    let ciphertext = instance.encrypt(&message(DEGREE, 1 << 20, 1), 1, 0);
    for form in [WeightProduct::Structured, WeightProduct::Dense] {
        let planner = instance.planner().with_weight_product(form);
        let rows = planner.module_rows(&[&ciphertext], 8).expect("split");
        let weights = IntegerMatrix::new(MatrixShape { rows: 1, columns: 5 }, vec![1; 5]).expect("sizes");
        let error = rows.integer_product(instance.backend.as_ref(), &weights).err().expect("width").to_string();
        assert!(error.contains("32"), "{error}");
    }
}

#[test]
fn rejects_tokens_that_do_not_divide_the_small_degree() {
    let instance = Instance::new(13);
    let ciphertext = instance.encrypt(&message(DEGREE, 1 << 20, 1), 1, 0);
    for form in [WeightProduct::Structured, WeightProduct::Dense] {
        let planner = instance.planner().with_weight_product(form);
        assert!(planner.module_rows(&[&ciphertext], 12).is_err());
        assert!(planner.module_rows(&[&ciphertext], 64).is_err());
        assert!(planner.module_rows(&[], 8).is_err());
    }
}
