//! Bootstrapping of slots in copies.

mod common;

use common::{Instance, errors, in_copies, sparse_bootstrap_errors, uniform};
use fhe_ckks::{Client, Copies, Evaluator, Level, correct_sine};
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
