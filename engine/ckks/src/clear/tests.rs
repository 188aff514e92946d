//! Levels, packings, counts and refusals of the clear evaluator, and what its noise is.

use proptest::prelude::*;

use super::*;
use crate::polynomials::plan::ChebyshevPlan;
use crate::{
    Client, Copies, Evaluator, IntegerMatrix, MatrixShape, Packing, PeriodicMatrix, Rotation, SlotArithmetic, Spacing,
    bootstrap, sparse_bootstrap,
};
use num_complex::Complex64;

const DEGREE: usize = 32;

/// A bootstrap with recognisable counts inside.
struct Plan;

impl BootstrapCost for Plan {
    fn half_bootstrap(&self, copies: Copies, levels: usize) -> Result<OperationCounts, CkksError> {
        let rotations = 11 - copies.0 as u64;
        Ok(OperationCounts { half_bootstraps: 1, rotations, products: levels as u64, ..OperationCounts::default() })
    }

    fn slots_to_coefficients(&self, packing: Packing, copies: Copies) -> Result<OperationCounts, CkksError> {
        let rotations = if packing == Packing::Real { 6 } else { 4 } - copies.0 as u64;
        Ok(OperationCounts { slots_to_coefficients: 1, rotations, rescalings: 3, ..OperationCounts::default() })
    }

    fn spaced_slots_to_coefficients(&self, spacing: Spacing) -> Result<OperationCounts, CkksError> {
        let rotations = spacing.0 as u64;
        Ok(OperationCounts { slots_to_coefficients: 1, rotations, ..OperationCounts::default() })
    }

    fn slots_to_lanes(&self, lanes: usize) -> Result<OperationCounts, CkksError> {
        Ok(OperationCounts { slots_to_lanes: 1, rotations: lanes as u64, ..OperationCounts::default() })
    }
}

fn shape() -> CircuitShape {
    CircuitShape {
        degree: DEGREE,
        small_degree: DEGREE / 4,
        compute_levels: 6,
        slots_to_coefficients_levels: 2,
        full_scale: 2_f64.powi(42),
        message_ratio: 2_f64.powi(-8),
        lane_degree: DEGREE / 2,
        lane_divisor: 2_f64.powi(42),
    }
}

fn clear() -> Clear {
    Clear::new(shape(), Plan, NoiseModel::default(), 1).unwrap()
}

/// Real slots at a level, by way of a half bootstrap.
fn slots(e: &Clear, level: usize) -> ClearSlots {
    let values: Vec<f64> = (0..DEGREE).map(|i| (i as f64 - 15.5) / 16.0).collect();
    let x = e.encrypt(&values, e.shape.full_scale).unwrap();
    ClearSlots { level: Level(level), ..e.half_bootstrap(&[&x], 6).unwrap().remove(0) }
}

/// The same numbers as complex slots at a level.
fn complex_slots(e: &Clear, level: usize) -> ClearSlots {
    e.to_complex(&slots(e, level + 1)).unwrap()
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
    let (a, plain) = (slots(&e, 5), vec![2.0; DEGREE]);
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
    let fill = |row: usize, column: usize, numbers: &mut [f64]| {
        numbers.iter_mut().enumerate().for_each(|(i, number)| *number = (row + 10 * column + 100 * i) as f64);
    };
    let matrix = PeriodicMatrix { rows: 3, run: 2, numbers: 4, fill: &fill };
    let (x, counts) = counted(&e, || e.periodic_products(&[&a, &a], &matrix));
    let each = rescaled(|c| c.plaintext_products = 2);
    assert_eq!((x.len(), x[2].level, counts), (3, Level(4), each + each + each));
    // Slot 13 has number 2 of its period.
    assert!((x[1].values[13] - a.values[13] * (201.0 + 211.0)).norm() < 1e-12);
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
fn rotations_are_left_rotations_through_all_slots_and_the_identity_is_free() {
    let e = clear();
    for a in [slots(&e, 3), complex_slots(&e, 3)] {
        let length = e.shape.slots(e.packing(&a));
        assert_eq!(a.values.len(), length);
        let steps = [0, 1, -1, length as i64, 5 - length as i64].map(Rotation);
        let (rotated, counts) = counted(&e, || e.rotate_hoisted(&a, &steps));
        assert_eq!(counts, OperationCounts { rotations: 3, ..OperationCounts::default() });
        for (x, Rotation(steps)) in rotated.iter().zip(steps) {
            assert_eq!((x.packing, x.level), (a.packing, a.level));
            for slot in 0..length {
                assert_eq!(x.values[slot], a.values[(slot as i64 + steps).rem_euclid(length as i64) as usize]);
            }
        }
        let (_, counts) = counted(&e, || e.rotate(&a, Rotation(2)));
        assert_eq!(counts.rotations, 1);
    }
}

#[test]
fn half_a_turn_of_real_slots_exchanges_their_halves() {
    let e = clear();
    let a = slots(&e, 3);
    let turned = e.rotate(&a, Rotation(DEGREE as i64 / 2)).unwrap();
    let [(first, second), (other_first, other_second)] = [&a, &turned].map(|x| x.values.split_at(DEGREE / 2));
    assert_eq!((first, second), (other_second, other_first));
}

#[test]
fn multiplication_by_i_and_conjugation() {
    let e = clear();
    let a = complex_slots(&e, 3);
    let (x, counts) = counted(&e, || e.conjugate(&e.multiply_imaginary(&a)?));
    assert_eq!(x.values[5], a.values[5].conj() * -Complex64::I);
    assert_eq!(counts, OperationCounts { conjugations: 1, ..OperationCounts::default() });
}

#[test]
fn conversions_take_a_level_and_put_the_second_half_into_the_imaginary_parts() {
    let e = clear();
    let a = slots(&e, 5);
    let converted = rescaled(|c| c.packing_conversions = 1);
    let (z, counts) = counted(&e, || e.to_complex(&a));
    assert_eq!((e.packing(&z), z.level, counts), (Packing::Complex, Level(4), converted));
    for (j, z) in z.values.iter().enumerate() {
        assert_eq!(*z, Complex64::new(a.values[j].re, a.values[j + DEGREE / 2].re));
    }
    let (x, counts) = counted(&e, || e.to_real(&z));
    assert_eq!((e.packing(&x), x.level, counts), (Packing::Real, Level(3), converted));
    assert_eq!(x.values, a.values);
}

#[test]
fn arithmetic_keeps_the_packing() {
    let e = clear();
    for packing in [Packing::Real, Packing::Complex] {
        let a = if packing == Packing::Real { slots(&e, 4) } else { complex_slots(&e, 4) };
        let plain = vec![0.5; e.shape.slots(packing)];
        let results = [
            e.add(&a, &a),
            e.subtract(&a, &e.lower(&a, Level(3)).unwrap()),
            e.add_constant(&a, 1.0),
            e.multiply_integer(&a, -3),
            e.multiply(&a, &a),
            e.square(&a),
            e.linear_combination(&[(&a, 2.0)], 1.0),
            e.lower(&a, Level(2)),
            e.add_plain(&a, &plain),
            e.plain_combination(&[(&a, &plain)]),
            e.rotate(&a, Rotation(3)),
        ];
        assert!(results.into_iter().all(|x| e.packing(&x.unwrap()) == packing));
    }
}

#[test]
fn bootstraps_count_as_their_plan_says() {
    let e = clear();
    let x = e.encrypt(&[0.5; DEGREE], e.shape.full_scale).unwrap();
    let (climbed, counts) = counted(&e, || e.half_bootstrap(&[&x, &x], 4));
    assert_eq!((climbed.len(), climbed[1].level, climbed[1].packing), (2, Level(6), Packing::Real));
    let once = Plan.half_bootstrap(Copies::ONE, 4).unwrap();
    assert_eq!(counts, once + once);
    let lowered = rescaled(|c| c.constant_products = 1);
    let (_, counts) = counted(&e, || e.slots_to_coefficients(&e.lower(&climbed[0], Level(2))?, 1e6));
    assert_eq!(counts, Plan.slots_to_coefficients(Packing::Real, Copies::ONE).unwrap() + lowered);
    let (_, counts) = counted(&e, || e.spaced_slots_to_coefficients(&e.lower(&climbed[0], Level(2))?, Spacing(4), 1e6));
    assert_eq!(counts, Plan.spaced_slots_to_coefficients(Spacing(4)).unwrap() + lowered);
    let complex = e.to_complex(&climbed[0]).unwrap();
    let (_, counts) = counted(&e, || e.slots_to_coefficients(&complex, 1e6));
    assert_eq!(counts, Plan.slots_to_coefficients(Packing::Complex, Copies::ONE).unwrap() + lowered);
    let (_, counts) = counted(&e, || e.sparse_half_bootstrap(&[&x], Copies(2), 4));
    assert_eq!(counts, Plan.half_bootstrap(Copies(2), 4).unwrap());
    let (_, counts) = counted(&e, || e.sparse_slots_to_coefficients(&complex, Copies(4), 1e6));
    assert_eq!(counts, Plan.slots_to_coefficients(Packing::Complex, Copies(4)).unwrap() + lowered);
}

#[test]
fn sparse_bootstraps_keep_the_multiples_of_the_copies() {
    let e = clear();
    let values: Vec<f64> = (0..DEGREE).map(|p| (p as f64 - 15.5) / 16.0).collect();
    let x = e.encrypt(&values, e.shape.full_scale).unwrap();
    let dense = e.half_bootstrap(&[&x], 4).unwrap().remove(0);
    let sparse = e.sparse_half_bootstrap(&[&x], Copies(4), 4).unwrap().remove(0);
    let (half, period) = (DEGREE / 2, DEGREE / 8);
    for slot in 0..DEGREE {
        let first = slot / half * half + slot % period;
        assert!(e.shape.slot_of_coefficient(first).is_multiple_of(4));
        assert_eq!(sparse.values[slot], dense.values[first]);
    }
}

#[test]
fn copies_that_disagree_return_as_their_average() {
    let e = clear();
    let x = slots(&e, 2);
    let refreshed = sparse_bootstrap(&e, &[&x], Copies(2), 6).unwrap().remove(0);
    for slot in 0..DEGREE {
        let (half, period) = (DEGREE / 2, DEGREE / 4);
        let other = slot / half * half + (slot + period) % half;
        let average = (x.values[slot] + x.values[other]) * 0.5;
        assert!((refreshed.values[slot] - average).norm() < 2_f64.powi(-24));
    }
}

#[test]
fn a_full_bootstrap_returns_the_slots_of_either_packing() {
    let e = clear();
    let inputs = [slots(&e, 2), complex_slots(&e, 2)];
    let refreshed = bootstrap(&e, &[&inputs[0], &inputs[1]], 6).unwrap();
    for ((x, refreshed), level) in inputs.iter().zip(&refreshed).zip([6, 5]) {
        assert_eq!((refreshed.packing, refreshed.level), (x.packing, Level(level)));
        // The arcsine to third order leaves 2^-25.
        assert!(refreshed.values.iter().zip(&x.values).all(|(found, value)| (found - value).norm() < 2_f64.powi(-24)));
    }
}

proptest! {
    #[test]
    fn a_coefficient_becomes_its_slot_and_returns_from_either_packing(
        values in prop::collection::vec(-1.0..1.0, DEGREE)
    ) {
        let e = clear();
        let x = e.encrypt(&values, e.shape.full_scale).unwrap();
        let real = e.half_bootstrap(&[&x], 1).unwrap().remove(0);
        for (p, value) in values.iter().enumerate() {
            let slot = real.values[e.shape.slot_of_coefficient(p)];
            // The sine is off by its cubic term.
            prop_assert!((slot.re - value).abs() < 1.1e-4 && slot.im == 0.0);
        }
        let unit = 1e9;
        for slots in [e.to_complex(&real).unwrap(), real] {
            let back = e.decrypt(&e.slots_to_coefficients(&slots, unit).unwrap()).unwrap().unwrap();
            for (found, value) in back.iter().zip(&values) {
                prop_assert!((found - value).abs() < 1.1e-4);
            }
        }
    }

    #[test]
    fn saved_slots_are_restored(values in prop::collection::vec(-1.0..1.0, DEGREE)) {
        let e = clear();
        let x = e.encrypt(&values, e.shape().full_scale).unwrap();
        let real = e.half_bootstrap(&[&x], 5).unwrap().remove(0);
        for slots in [e.to_complex(&real).unwrap(), real] {
            let bytes = e.save_slots(&slots).unwrap();
            prop_assert_eq!(e.restore_slots(&bytes).unwrap(), slots);
            prop_assert!(e.restore_slots(&bytes[..bytes.len() - 8]).is_err());
            prop_assert!(e.restore_slots(&bytes[..9]).is_err());
        }
    }

    #[test]
    fn saved_is_restored(values in prop::collection::vec(-100.0..100.0, DEGREE), unit in 1.0..1e6) {
        let e = clear();
        let x = e.encrypt(&values, unit).unwrap();
        prop_assert_eq!(e.restore(&e.save(&x).unwrap()).unwrap(), x);
    }

    #[test]
    fn rows_are_coefficients_by_stride(values in prop::collection::vec(-1.0..1.0, DEGREE)) {
        let e = clear();
        let x = e.encrypt(&values, 1e6).unwrap();
        let tokens = 4;
        let rows = e.module_rows(&[&x, &x], tokens).unwrap();
        let per_ciphertext = DEGREE / tokens;
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
    let values: Vec<f64> = (0..DEGREE).map(|i| i as f64).collect();
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
    let shape = CircuitShape { degree: 1 << 13, ..shape() };
    let noise = NoiseModel { half_bootstrap: 2_f64.powi(-20), encryption: 100.0, ..NoiseModel::default() };
    let run = |seed: u64| {
        let e = Clear::new(shape.clone(), (), noise, seed).unwrap();
        let x = e.encrypt(&vec![0.0; shape.degree], 1.0).unwrap();
        let zero = ClearCoefficients { integers: vec![0.0; shape.degree], unit: 1.0 };
        let real = e.half_bootstrap(&[&zero], 0).unwrap().remove(0);
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
fn rescaling_noise_of_complex_slots_is_smaller_by_its_stated_factor() {
    let noise = NoiseModel { rescaling: 1e-3, ..NoiseModel::default() };
    let e = Clear::new(CircuitShape { degree: 1 << 13, ..shape() }, (), noise, 3).unwrap();
    let zeros = vec![0.0; e.shape.degree];
    let real = e.half_bootstrap(&[&e.encrypt(&zeros, 1.0).unwrap()], 3).unwrap().remove(0);
    let deviation = |x: &ClearSlots, part: fn(&Complex64) -> f64| {
        (x.values.iter().map(|z| part(z).powi(2)).sum::<f64>() / x.values.len() as f64).sqrt()
    };
    let rescaled = e.lower(&real, Level(3)).unwrap();
    assert!((deviation(&rescaled, |z| z.re) / noise.rescaling - 1.0).abs() < 0.05);
    assert_eq!(deviation(&rescaled, |z| z.im), 0.0, "real slots stay real");
    let complex = e.to_complex(&real).unwrap();
    for part in [|z: &Complex64| z.re, |z: &Complex64| z.im] {
        assert!((deviation(&complex, part) / noise.rescaling * 8_f64.sqrt() - 1.0).abs() < 0.05);
    }
}

#[test]
fn rejects_shapes_and_noise_that_make_no_sense() {
    let new = |shape, noise| Clear::new(shape, (), noise, 0);
    assert!(new(CircuitShape { degree: 24, ..shape() }, NoiseModel::default()).is_err());
    assert!(new(CircuitShape { degree: 2, ..shape() }, NoiseModel::default()).is_err());
    assert!(new(CircuitShape { full_scale: f64::NAN, ..shape() }, NoiseModel::default()).is_err());
    assert!(new(shape(), NoiseModel { rescaling: -1.0, ..NoiseModel::default() }).is_err());
}

#[test]
fn rejects_multiplication_without_a_level() {
    let e = clear();
    let (a, plain) = (slots(&e, 0), vec![1.0; DEGREE]);
    assert!(e.multiply(&a, &slots(&e, 3)).is_err());
    assert!(e.square(&a).is_err());
    assert!(e.linear_combination(&[(&a, 1.0)], 0.0).is_err());
    assert!(e.plain_combination(&[(&a, &plain)]).is_err());
    assert!(e.lower(&a, Level(1)).is_err());
    assert!(e.to_complex(&a).is_err());
    assert!(e.to_real(&complex_slots(&e, 0)).is_err());
}

#[test]
fn rejects_operands_of_the_other_packing() {
    let e = clear();
    let (real, complex) = (slots(&e, 3), complex_slots(&e, 3));
    let plain = vec![1.0; DEGREE];
    let refusals = [
        e.add(&real, &complex),
        e.subtract(&complex, &real),
        e.multiply(&real, &complex),
        e.linear_combination(&[(&real, 1.0), (&complex, 1.0)], 0.0),
        e.plain_combination(&[(&real, &plain), (&complex, &plain)]),
        e.conjugate(&real),
        e.multiply_imaginary(&real),
        e.to_complex(&complex),
        e.to_real(&real),
    ];
    for refused in refusals {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("packing") && refused.contains("to_real"), "{refused}");
    }
}

#[test]
fn rejects_plaintexts_and_constants_that_do_not_fit() {
    let e = clear();
    let a = slots(&e, 3);
    assert!(e.add_plain(&a, &[1.0; DEGREE - 1]).is_err());
    assert!(e.add_plain(&complex_slots(&e, 3), &[1.0; DEGREE]).is_err());
    assert!(e.plain_combination(&[(&a, &[f64::NAN; DEGREE])]).is_err());
    assert!(e.add_constant(&a, f64::INFINITY).is_err());
    assert!(e.linear_combination(&[(&a, f64::NAN)], 0.0).is_err());
    assert!(e.linear_combination(&[], 1.0).is_err());
    assert!(e.plain_combination::<&[f64]>(&[]).is_err());
}

#[test]
fn rejects_half_bootstraps_out_of_range_naming_the_excess() {
    let e = clear();
    let mut values = [0.0; DEGREE];
    values[7] = -1.25;
    let x = e.encrypt(&values, e.shape.full_scale).unwrap();
    let fits = e.encrypt(&[0.0; DEGREE], e.shape.full_scale).unwrap();
    let refusal = e.half_bootstrap(&[&fits, &x], 1).unwrap_err().to_string();
    assert!(refusal.contains("-1.25") && refusal.contains("coefficient 7 of input 1"), "{refusal}");
    let x = e.encrypt(&[1.0; DEGREE], e.shape.full_scale).unwrap();
    assert!(e.half_bootstrap(&[&x], 7).is_err(), "more levels than the parameter set has");
}

#[test]
fn rejects_copies_that_do_not_exist() {
    let e = clear();
    let x = e.encrypt(&[0.0; DEGREE], 1.0).unwrap();
    for copies in [0, 3, 8] {
        let refusal = e.sparse_half_bootstrap(&[&x], Copies(copies), 1).unwrap_err().to_string();
        assert!(refusal.contains("a power of two, at most 4"), "{refusal}");
        assert!(e.sparse_slots_to_coefficients(&slots(&e, 2), Copies(copies), 1.0).is_err());
    }
}

#[test]
fn spaced_slots_are_their_coefficients_and_nothing_else() {
    let e = clear();
    let coefficients: Vec<f64> = (0..DEGREE).map(|p| (p as f64).sin()).collect();
    let x = e.half_bootstrap(&[&e.encrypt(&coefficients, e.shape.full_scale).unwrap()], 4).unwrap().remove(0);
    let found = e.decrypt(&e.spaced_slots_to_coefficients(&x, Spacing(4), 1e9).unwrap()).unwrap().unwrap();
    for (p, found) in found.into_iter().enumerate() {
        let kept = p % (DEGREE / 2) < DEGREE / 8;
        let expected = if kept { x.values[e.shape.slot_of_coefficient(p)].re } else { 0.0 };
        assert!((found - expected).abs() < 1e-8, "coefficient {p}: {found}, expected {expected}");
    }
    for spacing in [0, 3, 8] {
        assert!(e.spaced_slots_to_coefficients(&x, Spacing(spacing), 1e9).is_err());
    }
    assert!(e.spaced_slots_to_coefficients(&e.to_complex(&x).unwrap(), Spacing(2), 1e9).is_err());
}

#[test]
fn rejects_slots_to_coefficients_below_its_levels() {
    let e = clear();
    assert!(e.slots_to_coefficients(&slots(&e, 1), 1.0).is_err());
    assert!(e.slots_to_coefficients(&complex_slots(&e, 1), 1.0).is_err());
    assert!(e.slots_to_coefficients(&slots(&e, 2), 0.0).is_err());
}

#[test]
fn rejects_integers_that_wrap_around() {
    let e = clear();
    let half = 2_f64.powi(49);
    assert!(e.encrypt(&[1.0; DEGREE], half).is_err());
    let x = e.encrypt(&[1.0; DEGREE], half / 2.0).unwrap();
    assert!(e.add_coefficients(&x, &x).is_err());
    assert!(e.magnify(&x, 2).is_err());
    assert!(e.magnify(&x, 0).is_err());
    assert!(e.encrypt(&[f64::NAN; DEGREE], 1.0).is_err());
    assert!(e.encrypt(&[1.0; DEGREE / 2], 1.0).is_err());
}

#[test]
fn rejects_coefficients_of_different_units() {
    let e = clear();
    let [x, y] = [1e6, 1e6 * (1.0 + 1e-8)].map(|unit| e.encrypt(&[1.0; DEGREE], unit).unwrap());
    assert!(e.add_coefficients(&x, &y).is_err());
    assert!(e.module_rows(&[&x, &y], 4).is_err());
    assert!(e.module_rows(&[&x], 3).is_err());
    assert!(e.module_rows(&[], 4).is_err());
}

#[test]
fn rejects_weights_of_another_width_and_bytes_of_another_length() {
    let e = clear();
    let x = e.encrypt(&[1.0; DEGREE], 1.0).unwrap();
    let rows = e.module_rows(&[&x], 4).unwrap();
    let weights = IntegerMatrix::new(MatrixShape { rows: 1, columns: 7 }, vec![1; 7]).unwrap();
    assert!(e.integer_product(&weights, 1.0, &rows).is_err());
    assert!(e.restore(&[0; 8]).is_err());
}

#[test]
fn rejects_weights_without_entries() {
    let e = clear();
    assert!(e.holds_data());
    let x = e.encrypt(&[1.0; DEGREE], 1.0).unwrap();
    let shape = MatrixShape { rows: 1, columns: 8 };
    let product = e.integer_product(&IntegerMatrix::unfilled(shape), 1.0, &e.module_rows(&[&x], 4).unwrap());
    assert!(product.is_err_and(|error| error.to_string().contains("integer_product: weights")));
    let vector = e.split_vector(&[&x], 2, 4).unwrap();
    let product = e.vector_products(&[IntegerMatrix::unfilled(shape)], 1.0, &vector);
    assert!(product.is_err_and(|error| error.to_string().contains("vector_products: weights")));
}

#[test]
fn exact_functions_take_the_place_of_their_polynomials_at_equal_counts() {
    let (e, exact) = (clear(), clear().with_exact_functions());
    // A polynomial that is no approximation of the function.
    let plan = ChebyshevPlan::dense(15).unwrap();
    let by_polynomial = e.apply_function(&slots(&e, 6), &plan, &f64::exp).unwrap();
    let x = slots(&exact, 6);
    let image = exact.apply_function(&x, &plan, &f64::exp).unwrap();
    assert_eq!((image.level, exact.counts()), (by_polynomial.level, e.counts()));
    let pairs = || image.values.iter().zip(&x.values);
    assert!(pairs().all(|(image, x)| image.re == x.re.exp()));
    assert!(pairs().zip(&by_polynomial.values).any(|((image, _), other)| (image - other).norm() > 0.1));

    let before = exact.counts();
    let mapped = exact.map_exactly(&x, &|x| x + 1.0).unwrap();
    assert!(mapped.values.iter().zip(&x.values).all(|(mapped, x)| mapped.re == x.re + 1.0));
    assert_eq!((mapped.level, exact.counts()), (x.level, before));
}

#[test]
fn rejects_exact_functions_that_were_not_asked_for_and_complex_slots() {
    let (e, exact) = (clear(), clear().with_exact_functions());
    assert!(!e.functions_are_exact() && exact.functions_are_exact());
    assert!(e.map_exactly(&slots(&e, 3), &f64::exp).unwrap_err().to_string().contains("exact functions"));
    let plan = ChebyshevPlan::dense(3).unwrap();
    assert!(exact.map_exactly(&complex_slots(&exact, 3), &f64::exp).unwrap_err().to_string().contains("packing"));
    assert!(exact.apply_function(&complex_slots(&exact, 3), &plan, &f64::exp).is_err());
    assert!(exact.apply_function(&slots(&exact, 1), &plan, &f64::exp).unwrap_err().to_string().contains("level"));
}

#[test]
fn an_argument_outside_the_interval_of_a_polynomial_is_found_and_told_once() {
    let e = clear();
    let plan = ChebyshevPlan::dense(3).unwrap();
    let inside = slots(&e, 4);
    let evaluate = |x: &ClearSlots| e.apply_function(x, &plan, &|x| x).unwrap();
    evaluate(&inside);
    assert_eq!(e.take_excursion(), None, "31/32 is inside");
    evaluate(&e.multiply_integer(&inside, 2).unwrap());
    evaluate(&inside);
    let excursion = e.take_excursion().unwrap();
    assert!((excursion - 31.0 / 16.0).abs() < 1e-3, "{excursion}");
    assert_eq!(e.take_excursion(), None);
    evaluate(&inside.map(inside.level, |_| f64::NAN.into()));
    assert_eq!(e.take_excursion(), Some(f64::INFINITY), "what is no number is not inside");
}

#[test]
fn a_bootstrap_of_so_many_bits_has_such_a_mean_error() {
    let noise = NoiseModel::default().with_bootstrap_bits(10.0);
    let e = Clear::new(shape(), Plan, noise, 3).unwrap();
    let x = e.encrypt(&[0.0; DEGREE], 1.0).unwrap();
    let (mut sum, times) = (0.0, 200);
    for _ in 0..times {
        let raised = e.half_bootstrap(&[&x], 6).unwrap();
        sum += raised[0].values.iter().map(|value| value.re.abs()).sum::<f64>();
    }
    let bits = -(sum / (times * DEGREE) as f64).log2();
    // 6400 samples of relative deviation 0.76: five standard errors are 0.07 bits.
    assert!((bits - 10.0).abs() < 0.07, "{bits}");
}
