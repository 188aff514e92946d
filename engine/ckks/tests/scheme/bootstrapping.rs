//! Half and full bootstrapping against plain numbers: small insecure rings here, the real ring behind `--ignored`.

use std::f64::consts::TAU;

use crate::common::{self, Instance, errors, uniform};
use fhe_ckks::{
    CircuitShape, CkksClient, Client, CoefficientCiphertext, Copies, Evaluator, Level, Packing, SlotArithmetic,
    bootstrap, correct_sine,
};
use num_complex::Complex64;

/// What a half bootstrap of these coefficients returns: the sine of each, or the coefficient once corrected.
fn expected(shape: &CircuitShape, values: &[f64], corrected: bool) -> Vec<f64> {
    let angle = TAU * shape.message_ratio;
    values.iter().map(|value| if corrected { *value } else { (angle * value).sin() / angle }).collect()
}

/// Slots in the order of coefficients.
fn by_coefficient(shape: &CircuitShape, slots: &[f64]) -> Vec<f64> {
    (0..shape.degree).map(|p| slots[shape.slot_of_coefficient(p)]).collect()
}

/// Uniform coefficients through a half bootstrap of several ciphertexts together: mean and largest error.
fn half_bootstrap_errors(name: &str, levels: usize, corrected: bool, count: usize) -> (f64, f64) {
    let instance = Instance::new(name, 5);
    let shape = instance.parameters.shape().clone();
    let values: Vec<_> = (0..count).map(|i| uniform(shape.degree, 11 + i as u64)).collect();
    macro_rules! circuit {
        ($server:expr, $client:expr) => {{
            let inputs: Vec<_> = values.iter().map(|v| $client.encrypt(v, shape.full_scale).unwrap()).collect();
            let slots = $server.half_bootstrap(&inputs.iter().collect::<Vec<_>>(), levels).unwrap();
            for x in &slots {
                assert_eq!($server.level(x), Level(levels + shape.slots_to_coefficients_levels));
                assert_eq!($server.packing(x), Packing::Real);
            }
            let correct = |x| if corrected { correct_sine($server, &x).unwrap() } else { x };
            slots.into_iter().map(correct).collect::<Vec<_>>()
        }};
    }
    let (planner, metered) = instance.planner();
    let _ = circuit!(&planner, &metered);
    let server = instance.server(&planner);
    let results = circuit!(&server, &instance.client);
    assert_eq!(server.counts(), planner.counts());
    let found = results.iter().map(|x| instance.client.decrypt_slots(x).unwrap().expect("data"));
    let found: Vec<f64> = found.flat_map(|slots| by_coefficient(&shape, &slots)).collect();
    errors(&found, values.iter().flat_map(|values| expected(&shape, values, corrected)))
}

#[test]
fn half_bootstrap_returns_every_coefficient() {
    for levels in [14, 8, 4] {
        let (mean, worst) = half_bootstrap_errors("n11-toy", levels, false, 1);
        println!("n11-toy, {levels} levels, sine: mean 2^{:.1}, max 2^{:.1}", mean.log2(), worst.log2());
        assert!(mean < 2f64.powi(-22) && worst < 2f64.powi(-18), "2^{:.1}, 2^{:.1}", mean.log2(), worst.log2());
    }
}

#[test]
fn cubic_correction_undoes_the_sine() {
    let (mean, worst) = half_bootstrap_errors("n11-toy", 14, true, 1);
    println!("n11-toy, corrected: mean 2^{:.1}, max 2^{:.1}", mean.log2(), worst.log2());
    assert!(mean < 2f64.powi(-22) && worst < 2f64.powi(-18), "2^{:.1}, 2^{:.1}", mean.log2(), worst.log2());
}

/// A batch is so many single runs, bit for bit; more inputs than one batch holds.
#[test]
fn a_batch_equals_single_runs() {
    let instance = Instance::new("n11-toy", 5);
    let shape = instance.parameters.shape().clone();
    let encrypt =
        |client: &_, salt| -> CoefficientCiphertext<_> { encrypted(client, &uniform(shape.degree, salt), &shape) };
    let (planner, metered) = instance.planner();
    let planned = encrypted(&metered, &uniform(shape.degree, 1), &shape);
    planner.half_bootstrap(&[&planned], 6).unwrap();
    let server = instance.server(&planner);
    let inputs: Vec<_> = (1..=6).map(|salt| encrypt(&instance.client, salt)).collect();
    let together = server.half_bootstrap(&inputs.iter().collect::<Vec<_>>(), 6).unwrap();
    for (input, batched) in inputs.iter().zip(&together) {
        let alone = server.half_bootstrap(&[input], 6).unwrap().remove(0);
        let decrypted = |x| instance.client.decrypt_slots(x).unwrap().expect("data");
        assert_eq!(decrypted(&alone), decrypted(batched));
    }
}

fn encrypted<B: fhe_ring::Backend>(
    client: &CkksClient<B>,
    values: &[f64],
    shape: &CircuitShape,
) -> CoefficientCiphertext<B> {
    client.encrypt(values, shape.full_scale).unwrap()
}

/// The form with two EvalMods and the one in the conjugate-invariant ring see the same input; the latter rounds in a basis in which
/// noise is 2^1.5 times as large.
#[test]
fn one_sine_in_the_real_ring_is_as_good_as_two() {
    let instance = Instance::new("n11-toy", 8);
    let shape = instance.parameters.shape().clone();
    let values = uniform(shape.degree, 21);
    macro_rules! circuit {
        ($server:expr, $client:expr) => {{
            let input = encrypted($client, &values, &shape);
            let parts = $server.half_bootstrap_by_parts(&input, 14).unwrap();
            (parts.map(|part| correct_sine($server, &part).unwrap()), {
                let real = $server.half_bootstrap(&[&input], 14).unwrap().remove(0);
                correct_sine($server, &real).unwrap()
            })
        }};
    }
    let (planner, metered) = instance.planner();
    let _ = circuit!(&planner, &metered);
    let server = instance.server(&planner);
    let (parts, real) = circuit!(&server, &instance.client);
    let decrypted = |x| instance.client.decrypt_complex_slots(x).unwrap().expect("data");
    let both: Vec<f64> = parts.iter().flat_map(|part| decrypted(part).into_iter().map(|z| z.re)).collect();
    let two = errors(&by_coefficient(&shape, &both), values.clone());
    let one = errors(&by_coefficient(&shape, &instance.client.decrypt_slots(&real).unwrap().expect("data")), values);
    println!("two EvalMods 2^{:.1}, one 2^{:.1}", two.0.log2(), one.0.log2());
    assert!(two.0 < 2f64.powi(-22) && one.0 < 2f64.powi(-22), "{two:?} {one:?}");
    assert!(one.0 / two.0 < 2f64.powf(2.5), "{two:?} {one:?}");
}

/// Slots to coefficients, and all the way back to slots; real and complex ones.
fn full_bootstrap_errors(name: &str) -> [(f64, f64); 2] {
    let instance = Instance::new(name, 6);
    let shape = instance.parameters.shape().clone();
    let values = uniform(shape.degree, 12);
    let (re, im) = values.split_at(shape.degree / 2);
    let complex: Vec<Complex64> = re.iter().zip(im).map(|(&re, &im)| Complex64::new(re, im)).collect();
    macro_rules! circuit {
        ($server:expr, $client:expr) => {{
            let level = Level(shape.slots_to_coefficients_levels);
            let real = $client.encrypt_slots(&values, level).unwrap();
            let complex = $client.encrypt_complex_slots(&complex, level).unwrap();
            bootstrap($server, &[&real, &complex], shape.compute_levels).unwrap()
        }};
    }
    let (planner, metered) = instance.planner();
    let _ = circuit!(&planner, &metered);
    let server = instance.server(&planner);
    let refreshed = circuit!(&server, &instance.client);
    assert_eq!(server.counts(), planner.counts());
    assert_eq!(server.level(&refreshed[0]), Level(shape.top_level() - 2));
    assert_eq!(server.level(&refreshed[1]), Level(shape.top_level() - 3));
    let real = instance.client.decrypt_slots(&refreshed[0]).unwrap().expect("data");
    let found = instance.client.decrypt_complex_slots(&refreshed[1]).unwrap().expect("data");
    let parts: Vec<f64> = found.iter().map(|z| z.re).chain(found.iter().map(|z| z.im)).collect();
    [errors(&real, values.clone()), errors(&parts, values)]
}

#[test]
fn full_bootstrap_refreshes_slots() {
    for (mean, worst) in full_bootstrap_errors("n11-toy") {
        println!("n11-toy, full: mean 2^{:.1}, max 2^{:.1}", mean.log2(), worst.log2());
        assert!(mean < 2f64.powi(-20) && worst < 2f64.powi(-16), "2^{:.1}, 2^{:.1}", mean.log2(), worst.log2());
    }
}

#[test]
fn slots_to_coefficients_lands_on_any_unit() {
    let instance = Instance::new("n11-toy", 7);
    let shape = instance.parameters.shape().clone();
    let values = uniform(shape.degree, 13);
    let (re, im) = values.split_at(shape.degree / 2);
    let complex: Vec<Complex64> = re.iter().zip(im).map(|(&re, &im)| Complex64::new(re, im)).collect();
    let unit = 1.7 * (1u64 << 29) as f64;
    macro_rules! circuit {
        ($server:expr, $client:expr) => {{
            let real = $client.encrypt_slots(&values, Level(9)).unwrap();
            let complex = $client.encrypt_complex_slots(&complex, Level(3)).unwrap();
            [real, complex].map(|x| $server.slots_to_coefficients(&x, unit).unwrap())
        }};
    }
    let (planner, metered) = instance.planner();
    let _ = circuit!(&planner, &metered);
    let server = instance.server(&planner);
    for coefficients in circuit!(&server, &instance.client) {
        assert_eq!(server.unit(&coefficients), unit);
        let found = instance.client.decrypt(&coefficients).unwrap().expect("data");
        let (_, worst) = errors(&found, by_coefficient(&shape, &values));
        assert!(worst < 2f64.powi(-20), "2^{:.1}", worst.log2());
    }
}

/// Real slots to complex ones and back, at several levels.
#[test]
fn packings_convert_into_each_other() {
    let instance = Instance::new("n11-toy", 9);
    let shape = instance.parameters.shape().clone();
    let values = uniform(shape.degree, 31);
    for level in [17, 9, 4] {
        macro_rules! circuit {
            ($server:expr, $client:expr) => {{
                let real = $client.encrypt_slots(&values, Level(level)).unwrap();
                let complex = $server.to_complex(&real).unwrap();
                let back = $server.to_real(&complex).unwrap();
                [complex, back]
            }};
        }
        let (planner, metered) = instance.planner();
        let _ = circuit!(&planner, &metered);
        let server = instance.server(&planner);
        let [complex, back] = circuit!(&server, &instance.client);
        assert_eq!((server.level(&complex), server.level(&back)), (Level(level - 1), Level(level - 2)));
        let found = instance.client.decrypt_complex_slots(&complex).unwrap().expect("data");
        let parts: Vec<f64> = found.iter().map(|z| z.re).chain(found.iter().map(|z| z.im)).collect();
        let back = instance.client.decrypt_slots(&back).unwrap().expect("data");
        for found in [parts, back] {
            let (_, worst) = errors(&found, values.iter().copied());
            assert!(worst < 2f64.powi(-21), "level {level}: 2^{:.1}", worst.log2());
        }
    }
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
    for (levels, count) in [(14, 1), (14, 4), (8, 4), (4, 4)] {
        let (mean, worst) = half_bootstrap_errors("n16-llama", levels, true, count);
        println!(
            "n16-llama, half, {count} together to {levels} levels, corrected: mean 2^{:.2}, max 2^{:.2}",
            mean.log2(),
            worst.log2()
        );
        assert!(mean <= mean_claim && worst <= worst_claim);
    }
    let (mean, worst) = common::sparse_bootstrap_errors("n16-llama", Copies(32));
    println!("n16-llama, sparse, 2^10 slots: mean 2^{:.2}, max 2^{:.2}", mean.log2(), worst.log2());
    assert!(mean <= mean_claim && worst <= worst_claim);
    for (packing, (mean, worst)) in ["real", "complex"].iter().zip(full_bootstrap_errors("n16-llama")) {
        println!("n16-llama, full, {packing} slots: mean 2^{:.2}, max 2^{:.2}", mean.log2(), worst.log2());
        assert!(mean <= mean_claim && worst <= worst_claim);
    }
}
