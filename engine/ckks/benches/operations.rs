//! `cargo bench -p fhe-ckks --bench operations`: single operations of `n16-llama` at ten primes, and key generation.
//!
//! `RAYON_NUM_THREADS` sets the threads; one is what libraries are usually compared on. Needs about 2 GiB.

#![allow(missing_docs)] // criterion writes the entry point

mod support;

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use fhe_ckks::{Evaluator, Level, Rotation, SlotArithmetic};
use fhe_ring::Seed;
use fhe_rlwe::{KeyId, KeyShape, client::ClientSecrets};
use num_complex::Complex64;
use support::{Instance, uniform};

/// Primes of the ciphertexts: `q_0` and nine levels.
const LIMBS: usize = 10;
/// Rotations that share one decomposition; the cost of a further one is the difference to a single rotation, divided.
const HOISTED: [Rotation; 4] = [Rotation(1), Rotation(2), Rotation(3), Rotation(4)];

fn operations(criterion: &mut Criterion) {
    let level = Level(LIMBS - 1);
    let degree = fhe_ckks::Parameters::named("n16-llama").expect("a named set").shape().degree;
    let values = uniform(degree, 1);
    let complex: Vec<Complex64> = values[..degree / 2].iter().map(|&x| Complex64::new(x, -x)).collect();
    let instance = Instance::new(|server, client| {
        for x in [client.encrypt_slots(&values, level), client.encrypt_complex_slots(&complex, level)] {
            let x = x.expect("slots");
            server.square(&x).expect("relinearisation key");
            server.rotate_hoisted(&x, &HOISTED).expect("rotation keys");
        }
    });
    let (server, client) = (&instance.server, &instance.client);
    let x = client.encrypt_complex_slots(&complex, level).expect("slots");
    let real = client.encrypt_slots(&values, level).expect("slots");

    let mut group = criterion.benchmark_group("operations");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4));
    group.bench_function("add-10-limbs", |b| b.iter(|| black_box(server.add(&x, &x).expect("sum"))));
    group.bench_function("multiply-10-limbs", |b| b.iter(|| black_box(server.multiply(&x, &x).expect("product"))));
    group.bench_function("multiply-real-10-limbs", |b| {
        b.iter(|| black_box(server.multiply(&real, &real).expect("product")));
    });
    group.bench_function("rescale-10-limbs", |b| {
        b.iter(|| black_box(server.linear_combination(&[(&x, 0.5)], 0.0).expect("scaled")));
    });
    group.bench_function("rotate-10-limbs", |b| {
        b.iter(|| black_box(server.rotate(&x, Rotation(1)).expect("rotated")));
    });
    group.bench_function("rotate-hoisted-10-limbs", |b| {
        b.iter_custom(|iterations| {
            // The decomposition is shared: what each further rotation adds.
            let time = |rotations: &[Rotation]| {
                let start = std::time::Instant::now();
                for _ in 0..iterations {
                    black_box(server.rotate_hoisted(&x, rotations).expect("rotated"));
                }
                start.elapsed()
            };
            let (all, one) = (time(&HOISTED), time(&HOISTED[..1]));
            all.saturating_sub(one) / (HOISTED.len() as u32 - 1)
        });
    });
    let rlwe = instance.parameters.rlwe();
    let secrets = ClientSecrets::generate(rlwe, &Seed::from_os().expect("randomness")).expect("secrets");
    let basis = rlwe.ciphertext_basis();
    let id = KeyId::Relinearisation(fhe_ring::RingKind::Cyclotomic);
    let shape = KeyShape { ciphertext: basis, special: rlwe.special_count(), gadget: rlwe.gadget(&id, basis) };
    group.sample_size(10);
    group.bench_function("key-generation", |b| {
        b.iter(|| black_box(secrets.switching_key(server.backend(), &id, &shape).expect("key")));
    });
    group.finish();
}

criterion_group!(benches, operations);
criterion_main!(benches);
