//! `cargo bench -p fhe-circuits --bench decode`: what one decoded token asks of `n16-llama` on this machine.
//!
//! `RAYON_NUM_THREADS` sets the threads. Prints, beside criterion's statistics, what the metered run predicts for two threads of a Zen 4 server,
//! and how far results are from plain numbers. Needs about 8 GiB.

#![allow(missing_docs)] // criterion writes the entry point

#[path = "../../ckks/benches/support/mod.rs"]
mod support;

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use fhe_circuits::{CacheLayout, KeyValueCache, PublicPages, ScoreMap, VectorLayout, VectorProduct, split_vector};
use fhe_ckks::{
    CkksClient, CkksServer, Client, Evaluator, Level, OperationCounts, Parameters, SlotArithmetic, SlotCiphertext,
};
use fhe_ring::{Backend, Counts, DeviceProfile};
use support::{Instance, uniform, work};

const DEVICE: DeviceProfile = DeviceProfile::ZEN4_2_THREADS;
const BITS: u32 = 13;
/// Cached tokens: a few, which cost as much as a ciphertext that is full of them.
const TOKENS: usize = 4;

fn report(name: &str, counts: Counts) {
    println!("decode/{name}: predicted {:.1} ms on {}; {}", 1e3 * DEVICE.predict(&counts), DEVICE.name, work(&counts));
}

/// A matrix, the layout of its input, and a vector.
struct Product {
    name: &'static str,
    input: VectorLayout,
    matrix: VectorProduct,
    weights: Vec<f32>,
    vector: Vec<f64>,
}

impl Product {
    fn new(name: &'static str, inputs: usize, ciphertexts: usize) -> Self {
        let shape = Parameters::named("n16-llama").expect("a named set").shape().clone();
        let weights: Vec<f32> = uniform(4096 * inputs, 3).into_iter().map(|weight| weight as f32).collect();
        let input = VectorLayout::input(&shape, inputs, ciphertexts).expect("room");
        let matrix =
            VectorProduct::quantise(&weights, &input.product(4096).expect("rows"), &input, BITS).expect("weights");
        Self { name, input, matrix, weights, vector: uniform(inputs, 4) }
    }

    fn encrypted<E: Evaluator>(&self, e: &E, client: &impl Client<E>) -> Vec<E::Coefficients> {
        // Products of this size fill a fraction of the range.
        let unit = e.shape().full_scale / self.matrix.scale() / 256.0;
        let packed = self.input.pack(&self.vector).expect("channels");
        packed.iter().map(|coefficients| client.encrypt(coefficients, unit).expect("coefficients")).collect()
    }

    fn run<E: Evaluator>(&self, e: &E, vector: &[E::Coefficients]) -> Vec<E::Coefficients> {
        let parts = split_vector(e, &self.input, vector).expect("split");
        self.matrix.multiply(e, &parts).expect("product")
    }
}

/// Llama-3-8B's heads: 64 tokens share a ciphertext.
fn heads() -> CacheLayout {
    let shape = Parameters::named("n16-llama").expect("a named set").shape().clone();
    CacheLayout::new(&shape, 32, 8, 128).expect("room")
}

/// The query, and a cache of so many tokens.
fn cached<B: Backend>(server: &CkksServer<B>, client: &CkksClient<B>, tokens: usize) -> Cached<B> {
    let (layout, floor) = (heads(), server.shape().slots_to_coefficients_levels);
    let encrypt = |slots: &[f64], levels| client.encrypt_slots(slots, Level(floor + levels)).expect("slots");
    let mut cache = KeyValueCache::default();
    let keys = layout.pack_keys(&uniform(8 * 128, 5)).expect("heads");
    let values = layout.pack_values(&uniform(8 * 128, 7)).expect("heads");
    let (keys, values) = (encrypt(&keys, CacheLayout::KEY_LEVELS), encrypt(&values, CacheLayout::VALUE_LEVELS));
    for _ in 0..tokens {
        layout.append(server, &mut cache, &keys, &values).expect("append");
    }
    let queries = layout.pack_queries(&uniform(32 * 128, 6)).expect("heads");
    let probabilities = (0..layout.score_ciphertexts(tokens))
        .map(|number| encrypt(&layout.score_plain(tokens, number, |_| 1.0 / 64.0), CacheLayout::PROBABILITY_LEVELS))
        .collect();
    Cached { layout, cache, queries: encrypt(&queries, CacheLayout::QUERY_LEVELS), probabilities }
}

struct Cached<B: Backend> {
    layout: CacheLayout,
    cache: KeyValueCache<SlotCiphertext<B>>,
    queries: SlotCiphertext<B>,
    probabilities: Vec<SlotCiphertext<B>>,
}

impl<B: Backend> Cached<B> {
    fn scores(&self, server: &CkksServer<B>) -> Vec<SlotCiphertext<B>> {
        let map = ScoreMap { scale: 1.0 / 128.0, centres: vec![0.0; 32] };
        self.layout.scores(server, &self.queries, (&PublicPages::none(), &self.cache), &map).expect("scores")
    }

    fn weighted_values(&self, server: &CkksServer<B>) -> Vec<SlotCiphertext<B>> {
        let selected = self.layout.select(server, &self.probabilities, 1.0, self.cache.length()).expect("selections");
        self.layout.weighted_values(server, &selected, (&PublicPages::none(), &self.cache)).expect("weighted values")
    }
}

fn decode(criterion: &mut Criterion) {
    let products = [
        Product::new("4096x4096", 4096, 1),
        Product::new("14336x4096", 14336, 4),
        Product::new("14336x4096-one-ciphertext", 14336, 1),
    ];
    let instance = Instance::new(|server, client| {
        for product in &products {
            let vector = product.encrypted(server, client);
            let before = server.backend().counts();
            product.run(server, &vector);
            report(&format!("weights/{}", product.name), server.backend().counts() - before);
        }
        for tokens in [TOKENS, 512] {
            let cached = cached(server, client, tokens);
            let metered = |name: &str, run: &dyn Fn()| {
                let (before, counts) = (server.backend().counts(), server.counts());
                run();
                let OperationCounts { rotations, products, plaintext_products, .. } = server.counts() - counts;
                report(&format!("{name} of {tokens} tokens"), server.backend().counts() - before);
                println!("    {rotations} rotations, {products} products, {plaintext_products} plaintext products");
            };
            metered("scores", &|| drop(cached.scores(server)));
            metered("weighted-values", &|| drop(cached.weighted_values(server)));
        }
    });
    let (server, client) = (&instance.server, &instance.client);
    println!("keys {:.1} MiB", server.key_bytes() as f64 / 2f64.powi(20));

    let mut group = criterion.benchmark_group("decode/weights");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    for product in &products {
        let vector = product.encrypted(server, client);
        let results = product.run(server, &vector);
        let decrypted: Vec<_> = results.iter().map(|x| client.decrypt(x).expect("decrypts").expect("data")).collect();
        let found = product.matrix.output().unpack(&decrypted).expect("layout");
        let scale = product.matrix.scale();
        let rows = product.weights.chunks(product.vector.len()).zip(&found);
        let worst = rows.fold(0.0, |worst: f64, (row, found)| {
            let integers = row.iter().map(|&w| (f64::from(w) * scale).round() / scale);
            let expected: f64 = integers.zip(&product.vector).map(|(w, x)| w * x).sum();
            worst.max((found - expected).abs())
        });
        let range = server.shape().full_scale / server.unit(&results[0]);
        println!("decode/weights/{}: largest error 2^{:.1} of the range", product.name, (worst / range).log2());
        group.bench_function(product.name, |bencher| bencher.iter(|| black_box(product.run(server, &vector))));
    }
    group.finish();

    let cached = cached(server, client, TOKENS);
    let mut group = criterion.benchmark_group("decode");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    group.bench_function("scores", |bencher| bencher.iter(|| black_box(cached.scores(server))));
    group.bench_function("weighted-values", |bencher| bencher.iter(|| black_box(cached.weighted_values(server))));
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
