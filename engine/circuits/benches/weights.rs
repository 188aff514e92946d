//! `cargo bench -p fhe-circuits --bench weights`: products of integer weights with encrypted tensors of 128 tokens on `n16-llama`, ring
//! switching and packing included, in both forms.
//!
//! Prints the share of each part beside criterion's totals, and what `Meter` predicts for it. `RAYON_NUM_THREADS` sets the threads. About
//! 6 GiB; the dense form takes some 13 s a product at 28672 rows, so name what you want: `-- weights/structured`.

#![allow(missing_docs)] // criterion writes the entry point

#[path = "../../ckks/benches/support/mod.rs"]
mod support;

use std::{
    cell::LazyCell,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use fhe_circuits::{Layout, QuantisedMatrix, RowModule, split_rows};
use fhe_ckks::{CkksClient, CkksServer, Client, Evaluator, Parameters, WeightProduct};
use fhe_ring::{Backend, Counts, Cpu, DeviceProfile, Meter, Seed};
use rand::{Rng, SeedableRng, rngs::StdRng};
use support::work;

const TOKENS: usize = 128;
const INPUTS: usize = 4096;
const OUTPUTS: [usize; 2] = [4096, 28672];
/// Bits of a weight, sign included.
const BITS: u32 = 13;
/// The unit of the input.
const UNIT: f64 = (1u64 << 29) as f64;

/// The parts of a product.
const PARTS: [&str; 3] = ["ring switch and split", "product", "packing"];

struct Machine<B: Backend> {
    server: CkksServer<B>,
    tensor: Vec<<CkksServer<B> as Evaluator>::Coefficients>,
}

impl<B: Backend> Machine<B> {
    fn new(server: CkksServer<B>, client: &CkksClient<B>, input: &Layout) -> Self {
        let values: Vec<f64> = vec![0.25; input.channels() * TOKENS];
        let vectors = input.pack(&values).expect("the layout's size");
        let tensor = vectors.iter().map(|vector| client.encrypt(vector, UNIT).expect("encryption")).collect();
        Self { server, tensor }
    }

    /// The product with a call of `lap` after each part.
    fn multiply(&self, matrix: &QuantisedMatrix, mut lap: impl FnMut(usize, &CkksServer<B>)) {
        let rows = split_rows(&self.server, matrix.output().module(), &self.tensor).expect("rows");
        lap(0, &self.server);
        let product = matrix.multiply_rows(&self.server, &rows).expect("product");
        lap(1, &self.server);
        self.server.pack_rows(&product).expect("packing");
        lap(2, &self.server);
    }
}

fn weights(criterion: &mut Criterion) {
    let parameters = Parameters::named("n16-llama").expect("a named set");
    let module = RowModule::new(parameters.shape(), TOKENS).expect("128 tokens");
    let input = Layout::dense(module, INPUTS);
    let matrices = OUTPUTS.map(|outputs| {
        let input = input.clone();
        LazyCell::new(move || {
            let mut random = StdRng::seed_from_u64(outputs as u64);
            let weights: Vec<f32> = (0..outputs * INPUTS).map(|_| random.random_range(-1.0..1.0)).collect();
            QuantisedMatrix::quantise(&weights, &Layout::dense(module, outputs), &input, BITS).expect("weights")
        })
    });

    let meter = Arc::new(Meter::new(parameters.rlwe().chain().clone()));
    let client = CkksClient::new(Arc::clone(&meter), parameters.clone(), &Seed::from_bytes([0; 32])).expect("client");
    let server = CkksServer::planning(meter, parameters.clone()).expect("planner");
    let mut planner = Machine::new(server, &client, &input);
    planner.multiply(&matrices[0], |_, _| ());

    let backend = Arc::new(Cpu::new(parameters.rlwe().chain().clone()));
    let seed = Seed::from_os().expect("randomness");
    let client = CkksClient::new(Arc::clone(&backend), parameters.clone(), &seed).expect("client");
    let keys = client.evaluation_keys(&planner.server.key_requests(), |_| ()).expect("keys");
    let server = CkksServer::new(backend, parameters.clone(), keys).expect("server");
    println!("{:.1} MB of keys, {} threads", server.key_bytes() as f64 / 1e6, rayon::current_num_threads());
    let mut machine = Machine::new(server, &client, &input);

    let mut group = criterion.benchmark_group("weights");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
    for (name, form) in [("structured", WeightProduct::Structured), ("dense", WeightProduct::Dense)] {
        machine.server = machine.server.with_weight_product(form);
        planner.server = planner.server.with_weight_product(form);
        for (outputs, matrix) in OUTPUTS.iter().zip(&matrices) {
            let mut laps: [Vec<Duration>; 3] = Default::default();
            let id = BenchmarkId::new(name, format!("{INPUTS}x{outputs}"));
            group.bench_function(id, |b| {
                b.iter_custom(|iterations| {
                    let start = Instant::now();
                    for _ in 0..iterations {
                        let mut last = Instant::now();
                        machine.multiply(matrix, |part, _| {
                            laps[part].push(last.elapsed());
                            last = Instant::now();
                        });
                    }
                    start.elapsed()
                });
            });
            if !laps[0].is_empty() {
                report(&planner, matrix, &mut laps);
            }
        }
    }
    group.finish();
}

/// Medians of the parts, and what the meter predicts for them on as many threads.
fn report(planner: &Machine<Meter>, matrix: &QuantisedMatrix, laps: &mut [Vec<Duration>; 3]) {
    let profile =
        DeviceProfile::ALL.into_iter().find(|profile| profile.threads as usize == rayon::current_num_threads());
    let mut last: Counts = planner.server.backend().counts();
    let mut counts = [Counts::default(); 3];
    planner.multiply(matrix, |part, server| {
        let now = server.backend().counts();
        counts[part] = now - last;
        last = now;
    });
    for ((part, laps), counts) in PARTS.iter().zip(laps).zip(&counts) {
        laps.sort();
        let predicted =
            profile.map_or(String::new(), |profile| format!(", predicted {:.3} s", profile.predict(counts)));
        println!("    {part}: {:.3} s{predicted}; {}", laps[laps.len() / 2].as_secs_f64(), work(counts));
    }
}

criterion_group!(benches, weights);
criterion_main!(benches);
