//! `cargo bench -p fhe-ckks --bench bootstrapping`: half, full and sparse bootstrapping of `n16-llama` on this machine.
//!
//! `RAYON_NUM_THREADS` sets the threads. Prints levels left, precision, key and table bytes beside criterion's statistics, and writes them
//! to `target/criterion/fhe-llama-bootstrapping.json`. Needs about 16 GiB.

#![allow(missing_docs)] // criterion writes the entry point

mod support;

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use fhe_ckks::{
    Client, CoefficientCiphertext, Copies, Evaluator, Level, Packing, SlotArithmetic, SlotCiphertext, bootstrap,
    correct_sine, sparse_bootstrap,
};
use fhe_ring::Cpu;
use num_complex::Complex64;
use support::{Errors, Instance, Report, uniform};

/// 2^10 values in the complex slots of the sparse bootstrap.
const COPIES: Copies = Copies(32);
/// Ciphertexts that are bootstrapped together.
const BATCH: usize = 4;

fn corrected_errors(instance: &Instance, results: &[SlotCiphertext<Cpu>], values: &[Vec<f64>]) -> Errors {
    let shape = instance.parameters.shape();
    let errors = results.iter().zip(values).flat_map(|(slots, values)| {
        let corrected = correct_sine(&instance.server, slots).expect("two levels");
        let found = instance.client.decrypt_slots(&corrected).expect("real slots").expect("data");
        (0..shape.degree).map(move |p| (found[shape.slot_of_coefficient(p)] - values[p]).abs()).collect::<Vec<_>>()
    });
    Errors::of(errors)
}

fn bootstrapping(criterion: &mut Criterion) {
    let shape = fhe_ckks::Parameters::named("n16-llama").expect("a named set").shape().clone();
    let lowest = Level(shape.slots_to_coefficients_levels);
    let values: Vec<Vec<f64>> = (0..BATCH as u64).map(|salt| uniform(shape.degree, salt)).collect();
    let (re, im) = values[0].split_at(shape.degree / 2);
    let complex: Vec<Complex64> = re.iter().zip(im).map(|(&re, &im)| Complex64::new(re, im)).collect();
    let repeated: Vec<f64> =
        [re, im].iter().flat_map(|half| half[..shape.degree / 2 / COPIES.0].repeat(COPIES.0)).collect();

    let instance = Instance::new(|server, client| {
        for slots in [client.encrypt_slots(&values[0], lowest), client.encrypt_complex_slots(&complex, lowest)] {
            bootstrap(server, &[&slots.expect("slots")], shape.compute_levels).expect("plan");
        }
        let sparse = client.encrypt_slots(&repeated, lowest).expect("slots");
        sparse_bootstrap(server, &[&sparse], COPIES, shape.compute_levels).expect("plan");
    });
    let (server, client) = (&instance.server, &instance.client);
    let inputs: Vec<CoefficientCiphertext<Cpu>> =
        values.iter().map(|values| client.encrypt(values, shape.full_scale).expect("coefficients")).collect();
    let inputs: Vec<_> = inputs.iter().collect();
    let real = client.encrypt_slots(&values[0], lowest).expect("slots");
    let complex_slots = client.encrypt_complex_slots(&complex, lowest).expect("slots");
    let mut report = Report::new(&instance);

    let mut group = criterion.benchmark_group("bootstrapping");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(10));
    for (name, count, levels) in [
        ("half", 1, shape.compute_levels),
        ("half-batch4", BATCH, shape.compute_levels),
        ("half-batch4-8-levels", BATCH, 8),
        ("half-batch4-4-levels", BATCH, 4),
    ] {
        let run = || server.half_bootstrap(&inputs[..count], levels).expect("half bootstrap");
        let results = run();
        report.add(name, levels, &corrected_errors(&instance, &results, &values));
        group.bench_function(name, |bencher| bencher.iter(|| black_box(run())));
    }
    let sparse = client.encrypt_slots(&repeated, lowest).expect("slots");
    for (name, slots, copies, expected) in [
        ("full", &complex_slots, Copies::ONE, &values[0]),
        ("full-real", &real, Copies::ONE, &values[0]),
        ("sparse", &sparse, COPIES, &repeated),
    ] {
        let run = || sparse_bootstrap(server, &[slots], copies, shape.compute_levels).expect("bootstrap").remove(0);
        let result = run();
        let levels = server.level(&result).0 - shape.slots_to_coefficients_levels;
        let found = match result.packing() {
            Packing::Real => client.decrypt_slots(&result).expect("real").expect("data"),
            Packing::Complex => {
                let found = client.decrypt_complex_slots(&result).expect("complex").expect("data");
                found.iter().map(|z| z.re).chain(found.iter().map(|z| z.im)).collect()
            }
        };
        report.add(name, levels, &Errors::of(found.iter().zip(expected).map(|(a, b)| (a - b).abs())));
        group.bench_function(name, |bencher| bencher.iter(|| black_box(run())));
    }
    group.finish();
    report.write();
}

criterion_group!(benches, bootstrapping);
criterion_main!(benches);
