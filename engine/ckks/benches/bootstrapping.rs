//! `cargo bench -p fhe-ckks --bench bootstrapping`: half and full bootstrapping of `n16-llama` on this machine.
//!
//! Prints levels left, precision, key bytes and the time beside criterion's statistics. Needs about 10 GiB.

#![allow(missing_docs)] // criterion writes the entry point

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use fhe_ckks::{CkksClient, CkksServer, Client, Evaluator, Level, Parameters, bootstrap, correct_sine};
use fhe_ring::{Cpu, Meter, Seed};

/// Deterministic values uniform in (-1, 1).
fn uniform(length: usize) -> Vec<f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..length).map(|_| next()).collect()
}

fn report(name: &str, level: Level, errors: impl Iterator<Item = f64>) {
    let errors: Vec<f64> = errors.collect();
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    let worst = errors.iter().copied().fold(0.0, f64::max);
    println!("{name}: level {} left, error mean 2^{:.2}, max 2^{:.2}", level.0, mean.log2(), worst.log2());
}

fn bootstrapping(criterion: &mut Criterion) {
    let parameters = Parameters::named("n16-llama").expect("a named set");
    let shape = parameters.shape().clone();
    let coefficients = uniform(shape.degree());
    let slots = uniform(shape.slots);
    let lowest = Level(shape.slots_to_coefficients_levels);

    let meter = Arc::new(Meter::new(parameters.rlwe().chain().clone()));
    let seed = Seed::from_bytes([0; 32]);
    let metered = CkksClient::new(Arc::clone(&meter), parameters.clone(), &seed).expect("metered client");
    let planner = CkksServer::planning(meter, parameters.clone()).expect("planner");
    let planned = metered.encrypt_slots(&slots, lowest).expect("slots");
    bootstrap(&planner, &planned, shape.compute_levels).expect("plan");

    let backend = Arc::new(Cpu::new(parameters.rlwe().chain().clone()));
    let seed = Seed::from_os().expect("randomness");
    let client = CkksClient::new(Arc::clone(&backend), parameters.clone(), &seed).expect("client");
    let keys = client.evaluation_keys(&planner.key_requests(), |_| ()).expect("keys");
    let server = CkksServer::new(backend, parameters, keys).expect("server");
    println!(
        "keys {:.2} GiB, {} threads",
        server.key_bytes() as f64 / (1u64 << 30) as f64,
        rayon::current_num_threads()
    );

    let input = client.encrypt(&coefficients, shape.full_scale).expect("coefficients");
    let half = || server.half_bootstrap(&[&input], shape.compute_levels).expect("half bootstrap").remove(0);
    let corrected = half().map(|part| correct_sine(&server, &part).expect("correction"));
    let errors = corrected.iter().enumerate().flat_map(|(index, part)| {
        let found = client.decrypt_slots(part).expect("decryption").expect("data");
        let (shape, coefficients) = (&shape, &coefficients);
        (0..shape.slots)
            .map(move |p| (found[shape.bit_reverse(p)] - coefficients[p + index * shape.slots]).abs())
            .collect::<Vec<_>>()
    });
    report("half, corrected", server.level(&corrected[0]), errors);

    let low = client.encrypt_slots(&slots, lowest).expect("slots");
    let full = || bootstrap(&server, &low, shape.compute_levels).expect("full bootstrap");
    let refreshed = full();
    let found = client.decrypt_slots(&refreshed).expect("decryption").expect("data");
    report("full", server.level(&refreshed), found.iter().zip(&slots).map(|(a, b)| (a - b).abs()));

    let mut group = criterion.benchmark_group("bootstrapping");
    group.sample_size(10).measurement_time(Duration::from_secs(20));
    group.bench_function("half", |bencher| bencher.iter(|| black_box(half())));
    group.bench_function("full", |bencher| bencher.iter(|| black_box(full())));
    group.finish();
}

criterion_group!(benches, bootstrapping);
criterion_main!(benches);
