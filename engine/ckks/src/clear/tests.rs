//! Levels, counts and refusals of the clear evaluator, and what its noise is.

use proptest::prelude::*;

use super::*;
use crate::{Client, Evaluator, IntegerMatrix, MatrixShape, Rotation};

const SLOTS: usize = 16;

/// A bootstrap with recognisable counts inside.
struct Plan;

impl BootstrapCost for Plan {
    fn half_bootstrap(&self, levels: usize) -> OperationCounts {
        OperationCounts { half_bootstraps: 1, rotations: 10, products: levels as u64, ..OperationCounts::default() }
    }

    fn slots_to_coefficients(&self) -> OperationCounts {
        OperationCounts { slots_to_coefficients: 1, rotations: 3, rescalings: 3, ..OperationCounts::default() }
    }
}

fn shape() -> CircuitShape {
    CircuitShape {
        slots: SLOTS,
        compute_levels: 6,
        slots_to_coefficients_levels: 2,
        full_scale: 2_f64.powi(42),
        message_ratio: 2_f64.powi(-8),
    }
}

fn clear() -> Clear {
    Clear::new(shape(), Plan, NoiseModel::default(), 1).unwrap()
}

/// Real slots at a level, by way of a half bootstrap.
fn slots(e: &Clear, level: usize) -> ClearSlots {
    let values: Vec<f64> = (0..2 * SLOTS).map(|i| (i as f64 - 15.5) / 16.0).collect();
    let x = e.encrypt(&values, e.shape.full_scale).unwrap();
    let [real, _] = e.half_bootstrap(&[&x], 6).unwrap().pop().unwrap();
    ClearSlots { level: Level(level), ..real }
}

/// What an operation adds to the counts.
fn counted<T>(e: &Clear, operation: impl FnOnce() -> Result<T, CkksError>) -> (T, OperationCounts) {
    let before = e.counts();
    let result = operation().unwrap();
    (result, e.counts() - before)
}

fn rescaled(change: impl FnOnce(&mut OperationCounts)) -> OperationCounts {
    let mut counts = OperationCounts { rescalings: 1, ..OperationCounts::default() };
    change(&mut counts);
    counts
}

#[test]
fn every_multiplication_takes_one_level_and_one_rescaling() {
    let e = clear();
    let (a, plain) = (slots(&e, 5), vec![2.0; SLOTS]);
    let (x, counts) = counted(&e, || e.multiply(&a, &a));
    assert_eq!((x.level, counts), (Level(4), rescaled(|c| c.products = 1)));
    let (x, counts) = counted(&e, || e.square(&a));
    assert_eq!((x.level, counts), (Level(4), rescaled(|c| c.products = 1)));
    let (x, counts) = counted(&e, || e.linear_combination(&[(&a, 2.0), (&a, 3.0)], 1.0));
    assert_eq!((x.level, counts), (Level(4), rescaled(|c| c.constant_products = 2)));
    assert!((x.values[3] - (a.values[3] * 5.0 + 1.0)).norm() < 1e-12);
    let (x, counts) = counted(&e, || e.plain_combination(&[(&a, &plain), (&a, &plain)]));
    assert_eq!((x.level, counts), (Level(4), rescaled(|c| c.plaintext_products = 2)));
    assert_eq!(x.values[3], a.values[3] * 4.0);
}

#[test]
fn alignment_counts_in_sums_and_products_and_not_in_combinations() {
    let e = clear();
    let (high, low) = (slots(&e, 5), slots(&e, 3));
    let lowered = rescaled(|c| c.constant_products = 1);
    let (x, counts) = counted(&e, || e.add(&high, &low));
    assert_eq!((x.level, counts), (Level(3), lowered));
    let (x, counts) = counted(&e, || e.subtract(&low, &high));
    assert_eq!((x.level, counts), (Level(3), lowered));
    let (x, counts) = counted(&e, || e.multiply(&high, &low));
    assert_eq!((x.level, counts), (Level(2), lowered + rescaled(|c| c.products = 1)));
    let (x, counts) = counted(&e, || e.linear_combination(&[(&high, 1.0), (&low, 1.0)], 0.0));
    assert_eq!((x.level, counts), (Level(2), rescaled(|c| c.constant_products = 2)));
    let (x, counts) = counted(&e, || e.lower(&high, Level(1)));
    assert_eq!((x.level, counts), (Level(1), lowered));
    let (x, counts) = counted(&e, || e.lower(&high, Level(5)));
    assert_eq!((x.level, counts), (Level(5), OperationCounts::default()));
}

#[test]
fn rotations_are_left_rotations_and_the_identity_is_free() {
    let e = clear();
    let a = slots(&e, 3);
    let steps = [0, 1, -1, SLOTS as i64, 5 - SLOTS as i64].map(Rotation);
    let (rotated, counts) = counted(&e, || e.rotate_hoisted(&a, &steps));
    assert_eq!(counts, OperationCounts { rotations: 3, ..OperationCounts::default() });
    for (x, Rotation(steps)) in rotated.iter().zip(steps) {
        for slot in 0..SLOTS {
            assert_eq!(x.values[slot], a.values[(slot as i64 + steps).rem_euclid(SLOTS as i64) as usize]);
        }
    }
    let (_, counts) = counted(&e, || e.rotate(&a, Rotation(2)));
    assert_eq!(counts.rotations, 1);
}

#[test]
fn multiplication_by_i_and_conjugation() {
    let e = clear();
    let a = slots(&e, 3);
    let (x, counts) = counted(&e, || e.conjugate(&e.multiply_imaginary(&a)?));
    assert_eq!(x.values[5], a.values[5] * num_complex::Complex64::new(0.0, -1.0));
    assert_eq!(counts, OperationCounts { conjugations: 1, ..OperationCounts::default() });
}

#[test]
fn bootstraps_count_as_their_plan_says() {
    let e = clear();
    let x = e.encrypt(&[0.5; 2 * SLOTS], e.shape.full_scale).unwrap();
    let (halves, counts) = counted(&e, || e.half_bootstrap(&[&x, &x], 4));
    assert_eq!(halves[1][0].level, Level(6));
    assert_eq!(counts, Plan.half_bootstrap(4) + Plan.half_bootstrap(4));
    let [real, imaginary] = &halves[0];
    let (_, counts) = counted(&e, || e.slots_to_coefficients(&e.lower(real, Level(2))?, None, 1e6));
    assert_eq!(counts, Plan.slots_to_coefficients() + rescaled(|c| c.constant_products = 1));
    let (_, counts) = counted(&e, || e.slots_to_coefficients(real, Some(imaginary), 1e6));
    let lowered = rescaled(|c| c.constant_products = 1);
    assert_eq!(counts, Plan.slots_to_coefficients() + lowered + lowered);
}

proptest! {
    #[test]
    fn slots_and_coefficients_are_bit_reversed(values in prop::collection::vec(-1.0..1.0, 2 * SLOTS)) {
        let e = clear();
        let x = e.encrypt(&values, e.shape.full_scale).unwrap();
        let [real, imaginary] = e.half_bootstrap(&[&x], 0).unwrap().pop().unwrap();
        for (p, value) in values.iter().enumerate() {
            let part = if p < SLOTS { &real } else { &imaginary };
            let slot = part.values[e.shape.bit_reverse(p % SLOTS)];
            // The sine is off by its cubic term.
            prop_assert!((slot.re - value).abs() < 1.1e-4 && slot.im == 0.0);
        }
        let unit = 1e9;
        let back = e.decrypt(&e.slots_to_coefficients(&real, Some(&imaginary), unit).unwrap()).unwrap().unwrap();
        for (found, value) in back.iter().zip(&values) {
            prop_assert!((found - value).abs() < 1.1e-4);
        }
    }

    #[test]
    fn saved_is_restored(values in prop::collection::vec(-100.0..100.0, 2 * SLOTS), unit in 1.0..1e6) {
        let e = clear();
        let x = e.encrypt(&values, unit).unwrap();
        prop_assert_eq!(e.restore(&e.save(&x).unwrap()).unwrap(), x);
    }

    #[test]
    fn rows_are_coefficients_by_stride(values in prop::collection::vec(-1.0..1.0, 2 * SLOTS)) {
        let e = clear();
        let x = e.encrypt(&values, 1e6).unwrap();
        let tokens = 4;
        let rows = e.module_rows(&[&x, &x], tokens).unwrap();
        let per_ciphertext = 2 * SLOTS / tokens;
        prop_assert_eq!(rows.rows(), 2 * per_ciphertext);
        for (row, entries) in rows.entries.chunks(tokens).enumerate() {
            for (token, &entry) in entries.iter().enumerate() {
                prop_assert_eq!(entry, x.integers()[row % per_ciphertext + per_ciphertext * token]);
            }
        }
        prop_assert_eq!(e.pack_rows(&rows).unwrap(), vec![x.clone(), x]);
    }
}

#[test]
fn integer_products_multiply_the_unit_and_fill_the_last_ciphertext_with_zeros() {
    let e = clear();
    let values: Vec<f64> = (0..2 * SLOTS).map(|i| i as f64).collect();
    let x = e.encrypt(&values, 1.0).unwrap();
    let rows = e.module_rows(&[&x], 4).unwrap();
    let entries = (0..9 * 8).map(|i| i16::from(i % 8 == i / 8) * 3).collect();
    let weights = IntegerMatrix::new(MatrixShape { rows: 9, columns: 8 }, entries).unwrap();
    let (product, counts) = counted(&e, || e.integer_product(&weights, 2.0, &rows));
    assert_eq!(counts, OperationCounts { matrix_weights: 72, ..OperationCounts::default() });
    let (packed, counts) = counted(&e, || e.pack_rows(&product));
    assert_eq!((packed.len(), counts.row_packings), (2, 2));
    assert_eq!((e.unit(&packed[0]), packed[0].integers()[5], packed[1].integers()[5]), (2.0, 15.0, 0.0));
}

#[test]
fn noise_has_the_stated_size_and_is_reproducible() {
    let shape = CircuitShape { slots: 1 << 12, ..shape() };
    let noise = NoiseModel { half_bootstrap: 2_f64.powi(-20), encryption: 100.0, ..NoiseModel::default() };
    let run = |seed: u64| {
        let e = Clear::new(shape.clone(), (), noise, seed).unwrap();
        let x = e.encrypt(&vec![0.0; shape.degree()], 1.0).unwrap();
        let zero = ClearCoefficients { integers: vec![0.0; shape.degree()], unit: 1.0 };
        let [real, _] = e.half_bootstrap(&[&zero], 0).unwrap().pop().unwrap();
        (x.integers().to_vec(), real.values().iter().map(|value| value.re).collect::<Vec<_>>())
    };
    let deviation = |values: &[f64]| (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt();
    let (fresh, booted) = run(5);
    assert!((deviation(&fresh) / noise.encryption - 1.0).abs() < 0.05);
    assert!((deviation(&booted) / noise.half_bootstrap - 1.0).abs() < 0.05);
    assert_eq!(run(5), (fresh.clone(), booted));
    assert_ne!(run(6).0, fresh);
}

#[test]
fn rejects_shapes_and_noise_that_make_no_sense() {
    let new = |shape, noise| Clear::new(shape, (), noise, 0);
    assert!(new(CircuitShape { slots: 12, ..shape() }, NoiseModel::default()).is_err());
    assert!(new(CircuitShape { full_scale: f64::NAN, ..shape() }, NoiseModel::default()).is_err());
    assert!(new(shape(), NoiseModel { rescaling: -1.0, ..NoiseModel::default() }).is_err());
}

#[test]
fn rejects_multiplication_without_a_level() {
    let e = clear();
    let (a, plain) = (slots(&e, 0), vec![1.0; SLOTS]);
    assert!(e.multiply(&a, &slots(&e, 3)).is_err());
    assert!(e.square(&a).is_err());
    assert!(e.linear_combination(&[(&a, 1.0)], 0.0).is_err());
    assert!(e.plain_combination(&[(&a, &plain)]).is_err());
    assert!(e.lower(&a, Level(1)).is_err());
}

#[test]
fn rejects_plaintexts_and_constants_that_do_not_fit() {
    let e = clear();
    let a = slots(&e, 3);
    assert!(e.add_plain(&a, &[1.0; SLOTS - 1]).is_err());
    assert!(e.plain_combination(&[(&a, &[f64::NAN; SLOTS])]).is_err());
    assert!(e.add_constant(&a, f64::INFINITY).is_err());
    assert!(e.linear_combination(&[(&a, f64::NAN)], 0.0).is_err());
    assert!(e.linear_combination(&[], 1.0).is_err());
    assert!(e.plain_combination(&[]).is_err());
}

#[test]
fn rejects_half_bootstraps_out_of_range_naming_the_excess() {
    let e = clear();
    let mut values = [0.0; 2 * SLOTS];
    values[7] = -1.25;
    let x = e.encrypt(&values, e.shape.full_scale).unwrap();
    let refusal = e.half_bootstrap(&[&x], 1).unwrap_err().to_string();
    assert!(refusal.contains("-1.25") && refusal.contains("coefficient 7"), "{refusal}");
    let x = e.encrypt(&[1.0; 2 * SLOTS], e.shape.full_scale).unwrap();
    assert!(e.half_bootstrap(&[&x], 7).is_err(), "more levels than the parameter set has");
}

#[test]
fn rejects_slots_to_coefficients_below_its_levels() {
    let e = clear();
    assert!(e.slots_to_coefficients(&slots(&e, 1), None, 1.0).is_err());
    assert!(e.slots_to_coefficients(&slots(&e, 2), Some(&slots(&e, 1)), 1.0).is_err());
    assert!(e.slots_to_coefficients(&slots(&e, 2), None, 0.0).is_err());
}

#[test]
fn rejects_integers_that_wrap_around() {
    let e = clear();
    let half = 2_f64.powi(49);
    assert!(e.encrypt(&[1.0; 2 * SLOTS], half).is_err());
    let x = e.encrypt(&[1.0; 2 * SLOTS], half / 2.0).unwrap();
    assert!(e.add_coefficients(&x, &x).is_err());
    assert!(e.magnify(&x, 2).is_err());
    assert!(e.magnify(&x, 0).is_err());
    assert!(e.encrypt(&[f64::NAN; 2 * SLOTS], 1.0).is_err());
    assert!(e.encrypt(&[1.0; SLOTS], 1.0).is_err());
}

#[test]
fn rejects_coefficients_of_different_units() {
    let e = clear();
    let [x, y] = [1e6, 1e6 * (1.0 + 1e-8)].map(|unit| e.encrypt(&[1.0; 2 * SLOTS], unit).unwrap());
    assert!(e.add_coefficients(&x, &y).is_err());
    assert!(e.module_rows(&[&x, &y], 4).is_err());
    assert!(e.module_rows(&[&x], 3).is_err());
    assert!(e.module_rows(&[], 4).is_err());
}

#[test]
fn rejects_weights_of_another_width_and_bytes_of_another_length() {
    let e = clear();
    let x = e.encrypt(&[1.0; 2 * SLOTS], 1.0).unwrap();
    let rows = e.module_rows(&[&x], 4).unwrap();
    let weights = IntegerMatrix::new(MatrixShape { rows: 1, columns: 7 }, vec![1; 7]).unwrap();
    assert!(e.integer_product(&weights, 1.0, &rows).is_err());
    assert!(e.restore(&[0; 8]).is_err());
}
