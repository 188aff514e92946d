//! Half and full bootstrapping against plain numbers: small insecure rings here, the real ring behind `--ignored`.

mod common;

use common::{Instance, errors, uniform};
use fhe_ckks::{Client, Evaluator, Level, bootstrap, correct_sine};

/// Uniform coefficients through a half bootstrap: mean and largest error of both halves together.
fn half_bootstrap_errors(name: &str, levels: usize, corrected: bool) -> (f64, f64) {
    let instance = Instance::new(name, 5);
    let shape = instance.parameters.shape().clone();
    let values = uniform(shape.degree(), 11);
    macro_rules! circuit {
        ($server:expr, $client:expr) => {{
            let input = $client.encrypt(&values, shape.full_scale).unwrap();
            let [first, second] = $server.half_bootstrap(&[&input], levels).unwrap().remove(0);
            assert_eq!($server.level(&first), Level(levels + shape.slots_to_coefficients_levels));
            if corrected {
                [correct_sine($server, &first).unwrap(), correct_sine($server, &second).unwrap()]
            } else {
                [first, second]
            }
        }};
    }
    let (planner, metered) = instance.planner();
    let _ = circuit!(&planner, &metered);
    let server = instance.server(&planner);
    let halves = circuit!(&server, &instance.client);
    assert_eq!(server.counts(), planner.counts());
    let mut found = Vec::with_capacity(shape.degree());
    let mut expected = Vec::with_capacity(shape.degree());
    for (half, result) in halves.iter().enumerate() {
        let slots = instance.client.decrypt_slots(result).unwrap().expect("data");
        for p in 0..shape.slots {
            found.push(slots[shape.bit_reverse(p)]);
            let value = values[p + half * shape.slots];
            let angle = 2.0 * std::f64::consts::PI * shape.message_ratio;
            expected.push(if corrected { value } else { (angle * value).sin() / angle });
        }
    }
    errors(&found, expected)
}

#[test]
fn half_bootstrap_returns_every_coefficient() {
    for levels in [14, 4] {
        let (mean, worst) = half_bootstrap_errors("n11-toy", levels, false);
        println!("n11-toy, {levels} levels, sine: mean 2^{:.1}, max 2^{:.1}", mean.log2(), worst.log2());
        assert!(mean < 2f64.powi(-22) && worst < 2f64.powi(-18), "2^{:.1}, 2^{:.1}", mean.log2(), worst.log2());
    }
}

#[test]
fn cubic_correction_undoes_the_sine() {
    let (mean, worst) = half_bootstrap_errors("n11-toy", 14, true);
    println!("n11-toy, corrected: mean 2^{:.1}, max 2^{:.1}", mean.log2(), worst.log2());
    assert!(mean < 2f64.powi(-22) && worst < 2f64.powi(-18), "2^{:.1}, 2^{:.1}", mean.log2(), worst.log2());
}

/// Slots to coefficients, and all the way back to slots.
fn full_bootstrap_errors(name: &str) -> (f64, f64) {
    let instance = Instance::new(name, 6);
    let shape = instance.parameters.shape().clone();
    let values = uniform(shape.slots, 12);
    macro_rules! circuit {
        ($server:expr, $client:expr) => {{
            let x = $client.encrypt_slots(&values, Level(shape.slots_to_coefficients_levels)).unwrap();
            bootstrap($server, &x, shape.compute_levels).unwrap()
        }};
    }
    let (planner, metered) = instance.planner();
    let _ = circuit!(&planner, &metered);
    let server = instance.server(&planner);
    let refreshed = circuit!(&server, &instance.client);
    assert_eq!(server.level(&refreshed), Level(shape.top_level() - 2));
    let found = instance.client.decrypt_slots(&refreshed).unwrap().expect("data");
    errors(&found, values)
}

#[test]
fn full_bootstrap_refreshes_slots() {
    let (mean, worst) = full_bootstrap_errors("n11-toy");
    println!("n11-toy, full: mean 2^{:.1}, max 2^{:.1}", mean.log2(), worst.log2());
    assert!(mean < 2f64.powi(-20) && worst < 2f64.powi(-16), "2^{:.1}, 2^{:.1}", mean.log2(), worst.log2());
}

#[test]
fn slots_to_coefficients_lands_on_any_unit() {
    let instance = Instance::new("n11-toy", 7);
    let shape = instance.parameters.shape().clone();
    let (x, y) = (uniform(shape.slots, 13), uniform(shape.slots, 14));
    let unit = 1.7 * (1u64 << 29) as f64;
    macro_rules! circuit {
        ($server:expr, $client:expr) => {{
            let a = $client.encrypt_slots(&x, Level(9)).unwrap();
            let b = $client.encrypt_slots(&y, Level(3)).unwrap();
            $server.slots_to_coefficients(&a, Some(&b), unit).unwrap()
        }};
    }
    let (planner, metered) = instance.planner();
    let _ = circuit!(&planner, &metered);
    let server = instance.server(&planner);
    let coefficients = circuit!(&server, &instance.client);
    assert_eq!(server.unit(&coefficients), unit);
    let found = instance.client.decrypt(&coefficients).unwrap().expect("data");
    let expected = [&x, &y].into_iter().flat_map(|v| (0..shape.slots).map(|p| v[shape.bit_reverse(p)]));
    let (_, worst) = errors(&found, expected);
    assert!(worst < 2f64.powi(-20), "2^{:.1}", worst.log2());
}

/// The claims of `n16-llama`: 128 bits, 2^16 coefficients, 14 levels left.
/// `cargo test --release -p fhe-ckks --test bootstrapping -- --ignored --nocapture` (about 12 GiB and a minute; `cargo real-ring` for short).
#[test]
#[ignore = "real ring: run by name"]
fn real_ring_bootstrapping_meets_its_claims() {
    let simulation = fhe_ckks::bootstrapping::simulation::PrecisionSimulation::degree_2_to_16();
    for bits in [8, 9, 10] {
        for row in simulation.run(2f64.powi(-bits)).unwrap() {
            println!("simulated: {row}");
        }
    }
    let claims = fhe_ckks::parameters::N16_LLAMA.claims;
    let (mean_claim, worst_claim) = (2f64.powf(-claims.mean_bits), 2f64.powf(-claims.worst_bits));
    let (mean, worst) = half_bootstrap_errors("n16-llama", 14, true);
    println!("n16-llama, half, corrected: mean 2^{:.2}, max 2^{:.2}", mean.log2(), worst.log2());
    assert!(mean <= mean_claim && worst <= worst_claim);
    let (mean, worst) = full_bootstrap_errors("n16-llama");
    println!("n16-llama, full slots: mean 2^{:.2}, max 2^{:.2}", mean.log2(), worst.log2());
    assert!(mean <= mean_claim && worst <= worst_claim);
}
