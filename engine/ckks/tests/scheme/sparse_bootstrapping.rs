//! Bootstrapping of slots in copies.

use crate::common::{Instance, errors, in_copies, sparse_bootstrap_errors, uniform};
use fhe_ckks::{Client, Copies, Evaluator, Level, SlotArithmetic, Spacing, correct_sine};
use num_complex::Complex64;

/// Copies that change the raise alone, the factor after it too, and all but the last.
#[test]
fn sparse_bootstrap_refreshes_slots_in_copies() {
    for copies in [2, 16, 64] {
        let (mean, worst) = sparse_bootstrap_errors("n11-toy", Copies(copies));
        println!("n11-toy, {copies} copies: mean 2^{:.1}, max 2^{:.1}", mean.log2(), worst.log2());
        assert!(mean < 2f64.powi(-20) && worst < 2f64.powi(-16), "2^{:.1}, 2^{:.1}", mean.log2(), worst.log2());
    }
}

/// Coefficients between the multiples of the copies have no influence, even where they exceed the range.
#[test]
fn sparse_half_bootstrap_keeps_the_multiples_of_the_copies() {
    const COPIES: Copies = Copies(16);
    let instance = Instance::new("n11-toy", 17);
    let shape = instance.parameters.shape().clone();
    let mut coefficients = uniform(shape.degree, 42);
    for (p, value) in coefficients.iter_mut().enumerate() {
        *value *= if p.is_multiple_of(COPIES.0) { 1.0 } else { 40.0 };
    }
    macro_rules! circuit {
        ($server:expr, $client:expr) => {{
            let x = $client.encrypt(&coefficients, shape.full_scale).unwrap();
            let raised = $server.sparse_half_bootstrap(&[&x], COPIES, 6).unwrap().remove(0);
            correct_sine($server, &raised).unwrap()
        }};
    }
    let (planner, metered) = instance.planner();
    let _ = circuit!(&planner, &metered);
    let server = instance.server(&planner);
    let found = instance.client.decrypt_slots(&circuit!(&server, &instance.client)).unwrap().expect("data");
    let half = shape.degree / 2;
    let expected = (0..shape.degree).map(|slot| {
        let first = slot / half * half + slot % (half / COPIES.0);
        coefficients[shape.slot_of_coefficient(first)]
    });
    let (mean, worst) = errors(&found, expected);
    assert!(mean < 2f64.powi(-20) && worst < 2f64.powi(-16), "2^{:.1}, 2^{:.1}", mean.log2(), worst.log2());
}

/// From either packing, onto any unit; copies that disagree are averaged.
#[test]
fn sparse_slots_to_coefficients_averages_the_copies() {
    const COPIES: Copies = Copies(8);
    let instance = Instance::new("n11-toy", 18);
    let shape = instance.parameters.shape().clone();
    let half = shape.degree / 2;
    let values = uniform(shape.degree / COPIES.0, 43);
    let mut slots = in_copies(&values, COPIES);
    // Slot 5 of the first copy is off by 0.4, which is 0.05 on average.
    slots[5] += 0.4;
    let complex: Vec<Complex64> = (0..half).map(|j| Complex64::new(slots[j], slots[j + half])).collect();
    let unit = 1.7 * (1u64 << 29) as f64;
    macro_rules! circuit {
        ($server:expr, $client:expr) => {{
            let real = $client.encrypt_slots(&slots, Level(5)).unwrap();
            let complex = $client.encrypt_complex_slots(&complex, Level(3)).unwrap();
            [real, complex].map(|x| $server.sparse_slots_to_coefficients(&x, COPIES, unit).unwrap())
        }};
    }
    let (planner, metered) = instance.planner();
    let _ = circuit!(&planner, &metered);
    let server = instance.server(&planner);
    for coefficients in circuit!(&server, &instance.client) {
        let found = instance.client.decrypt(&coefficients).unwrap().expect("data");
        let kept = (0..shape.degree).step_by(COPIES.0);
        let (found, expected): (Vec<f64>, Vec<f64>) = kept
            .map(|p| {
                let slot = shape.slot_of_coefficient(p);
                let value = values[slot / half * (half / COPIES.0) + slot % half];
                (found[p], if slot == 5 { value + 0.05 } else { value })
            })
            .unzip();
        let (_, worst) = errors(&found, expected);
        assert!(worst < 2f64.powi(-20), "2^{:.1}", worst.log2());
    }
}

/// The first coefficients of either half, at fewer rotations and products than all of them; the others stay empty.
#[test]
fn spaced_slots_become_the_first_coefficients() {
    let instance = Instance::new("n11-toy", 20);
    let shape = instance.parameters.shape().clone();
    let numbers = uniform(shape.degree, 44);
    let unit = 1.7 * (1u64 << 29) as f64;
    for spacing in [1, 2, 16, 64].map(Spacing) {
        let slots: Vec<f64> =
            (0..shape.degree).map(|slot| if slot.is_multiple_of(spacing.0) { numbers[slot] } else { 0.0 }).collect();
        macro_rules! circuit {
            ($server:expr, $client:expr) => {{
                let slots = $client.encrypt_slots(&slots, Level(5)).unwrap();
                let before = $server.counts();
                let coefficients = $server.spaced_slots_to_coefficients(&slots, spacing, unit).unwrap();
                (coefficients, $server.counts() - before)
            }};
        }
        let (planner, metered) = instance.planner();
        let (_, planned) = circuit!(&planner, &metered);
        let server = instance.server(&planner);
        let (coefficients, counts) = circuit!(&server, &instance.client);
        assert_eq!(counts, planned);
        let dense = {
            let before = planner.counts();
            let slots = metered.encrypt_slots(&slots, Level(5)).unwrap();
            planner.slots_to_coefficients(&slots, unit).unwrap();
            planner.counts() - before
        };
        assert!(spacing.0 == 1 || counts.rotations < dense.rotations, "{} of {}", counts.rotations, dense.rotations);
        assert!(spacing.0 == 1 || counts.plaintext_products < dense.plaintext_products);
        let found = instance.client.decrypt(&coefficients).unwrap().expect("data");
        let (_, worst) = errors(&found, (0..shape.degree).map(|p| slots[shape.slot_of_coefficient(p)]));
        assert!(worst < 2f64.powi(-18), "spacing {}: 2^{:.1}", spacing.0, worst.log2());
        let first = shape.degree / 2 / spacing.0;
        assert!((0..shape.degree).all(|p| p % (shape.degree / 2) < first || found[p].abs() < 2f64.powi(-18)));
    }
}

#[test]
fn rejects_spacings_that_do_not_exist() {
    let instance = Instance::new("n11-toy", 19);
    let (server, client) = instance.planner();
    let shape = instance.parameters.shape().clone();
    let slots = client.encrypt_slots(&vec![0.0; shape.degree], Level(3)).unwrap();
    let complex = client.encrypt_complex_slots(&vec![Complex64::ZERO; shape.degree / 2], Level(3)).unwrap();
    for spacing in [0, 3, 256] {
        let refusal = server.spaced_slots_to_coefficients(&slots, Spacing(spacing), 1e9).err().unwrap().to_string();
        assert!(refusal.contains("spacing") && refusal.contains("at most 128"), "{refusal}");
    }
    assert!(server.spaced_slots_to_coefficients(&complex, Spacing(2), 1e9).is_err(), "complex slots");
}

#[test]
fn rejects_copies_that_do_not_exist() {
    let instance = Instance::new("n11-toy", 19);
    let (server, client) = instance.planner();
    let shape = instance.parameters.shape().clone();
    let coefficients = client.encrypt(&vec![0.0; shape.degree], 1.0).unwrap();
    let slots = client.encrypt_slots(&vec![0.0; shape.degree], Level(3)).unwrap();
    for copies in [0, 3, 256] {
        let refusal = server.sparse_half_bootstrap(&[&coefficients], Copies(copies), 1).err().unwrap().to_string();
        assert!(refusal.contains("half_bootstrap") && refusal.contains("at most 128"), "{refusal}");
        assert!(server.sparse_slots_to_coefficients(&slots, Copies(copies), 1.0).is_err());
    }
}
