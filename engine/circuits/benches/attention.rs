//! `cargo bench -p fhe-circuits --bench attention`: the two products of attention over lanes, 32 query heads and 8 key and value heads
//! of 128 channels, 128 tokens, `n16-llama`.
//!
//! `-- whole` runs every phase once instead, with the prediction beside its time. `RAYON_NUM_THREADS` sets the threads. Needs about
//! 8 GiB.

#[path = "../../ckks/benches/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use fhe_circuits::{LaneAttention, PrefixRows, RotaryAngles};
use fhe_ckks::{CkksClient, CkksServer, LaneProducts, Level, Parameters, SlotArithmetic, SlotCiphertext};
use fhe_ring::{Backend, Counts, DeviceProfile};
use support::{Instance, uniform, work};

const TOKENS: usize = 128;
const HEADS: usize = 32;
const KEY_HEADS: usize = 8;
const HEAD_DIM: usize = 128;
/// Integer that stands for 1 in a factor.
const UNIT: f64 = (1_u64 << 40) as f64;

/// What runs a phase: by the clock, or on the meter.
type Phase<'a> = dyn FnMut(&'static str, &mut dyn FnMut()) + 'a;

struct Job {
    attention: LaneAttention,
    angles: RotaryAngles,
}

impl Job {
    fn new(parameters: &Parameters) -> Self {
        let attention = LaneAttention::new(parameters.shape(), TOKENS, HEADS, KEY_HEADS, HEAD_DIM).expect("it fits");
        Self { attention, angles: RotaryAngles::new(5e5, HEAD_DIM, (0..TOKENS).collect()) }
    }

    /// Encrypted numbers in so many ciphertexts, so many levels above where factors start.
    fn slots<B: Backend>(
        &self,
        (server, client): (&CkksServer<B>, &CkksClient<B>),
        count: usize,
        levels: usize,
    ) -> Vec<SlotCiphertext<B>> {
        let shape = server.shape();
        let values: Vec<f64> = uniform(shape.degree, 3).into_iter().map(|value| value / 8.0).collect();
        let level = Level(shape.slots_to_lanes_level() + levels);
        (0..count).map(|_| client.encrypt_slots(&values, level).expect("slots")).collect()
    }

    /// Everything that attention does between the half bootstraps, phase by phase.
    fn run<B: Backend>(&self, (server, client): (&CkksServer<B>, &CkksClient<B>), run: &mut Phase<'_>) {
        let (attention, layout) = (&self.attention, self.attention.layout());
        let projection = self.slots((server, client), layout.query_ciphertexts(), LaneAttention::QUERY_LEVELS);
        let dense = self.slots((server, client), layout.key_ciphertexts(), LaneAttention::KEY_LEVELS);
        let (mut queries, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
        run("placement of the queries", &mut || {
            queries = attention.place_queries(server, &self.angles, &projection, 1.0).expect("placed");
        });
        run("placement of the keys", &mut || {
            keys = attention.place_keys(server, &self.angles, &dense, 1.0, &PrefixRows::none()).expect("placed");
        });
        run("placement of the values", &mut || {
            values = attention.place_values(server, &dense, 1.0, &PrefixRows::none()).expect("placed");
        });
        run("scores", &mut || {
            black_box(attention.scores(server, &queries, &keys, [UNIT, UNIT]).expect("scores"));
        });
        drop((queries, keys));
        let probabilities = self.slots((server, client), layout.score_ciphertexts(), 0);
        run("weighted values", &mut || {
            black_box(attention.weighted_values(server, &probabilities, &values, [UNIT, UNIT]).expect("values"));
        });
        drop(values);
        let opened = self.slots((server, client), layout.score_ciphertexts(), 8);
        run("lanes of the scores, nine levels above coefficients", &mut || {
            black_box(attention.open_scores(server, &opened, 1.0).expect("opened"));
        });
        let opened = self.slots((server, client), layout.query_ciphertexts(), 1);
        run("lanes and exchange of the output", &mut || {
            black_box(attention.open_output(server, &opened, 1.0).expect("opened"));
        });
    }
}

/// Factors of both kinds, as a product meets them.
fn factors<B: Backend>(server: &CkksServer<B>, slots: &[SlotCiphertext<B>], lanes: usize) -> Factors<B> {
    let inputs: Vec<_> = slots.iter().collect();
    let split: Vec<_> = server.slots_to_lanes(&inputs, lanes, UNIT).expect("lanes").into_iter().flatten().collect();
    let pairs = split.iter().take(HEAD_DIM / 2);
    let left = pairs.flat_map(|pair| server.split_row_parity(pair).expect("split")).collect();
    Factors { left, right: split.iter().cycle().take(HEAD_DIM).cloned().collect() }
}

struct Factors<B: Backend> {
    left: Vec<fhe_ckks::LaneCiphertext<B>>,
    right: Vec<fhe_ckks::LaneCiphertext<B>>,
}

impl<B: Backend> Factors<B> {
    fn product(&self, server: &CkksServer<B>, lanes: usize, transpose: bool) {
        let left: Vec<_> = self.left.iter().collect();
        let right: Vec<_> = self.right.iter().collect();
        let transposed = transpose.then(|| server.transpose_lanes(&right, lanes, TOKENS).expect("transposed"));
        let right = transposed.as_ref().map_or(right, |transposed| transposed.iter().collect());
        let columns = server.multiply_lanes(&left, &right, lanes, TOKENS).expect("product");
        let pairs: Vec<_> =
            (columns.chunks_exact(2)).map(|pair| server.join_row_parity(&pair[0], &pair[1]).expect("pair")).collect();
        for parts in pairs.chunks(server.shape().lane_group()) {
            black_box(server.join_lanes(&parts.iter().collect::<Vec<_>>()).expect("joined"));
        }
    }
}

fn main() {
    let profile = DeviceProfile::ZEN4_2_THREADS;
    let job = Job::new(&Parameters::named("n16-llama").expect("a named set"));
    let lanes = job.attention.layout().lanes();
    let mut predictions: Vec<(&'static str, Counts)> = Vec::new();
    let mut products = [Counts::default(); 2];
    let Instance { client, server, .. } = Instance::new(|planner, metered| {
        let meter = planner.backend();
        job.run((planner, metered), &mut |name, phase| {
            let before = meter.counts();
            phase();
            predictions.push((name, meter.counts() - before));
        });
        let planned = factors(planner, &job.slots((planner, metered), 8, 0), lanes);
        products = [false, true].map(|transpose| {
            let before = meter.counts();
            planned.product(planner, lanes, transpose);
            meter.counts() - before
        });
    });
    let threads = rayon::current_num_threads();
    println!("keys {:.2} GiB; {threads} threads", server.key_bytes() as f64 / 2f64.powi(30));
    for (name, counts) in ["product of queries and keys", "product of probabilities and values"].iter().zip(products) {
        println!("{name}: predicted {:.2} s; {}", profile.predict(&counts), work(&counts));
    }
    if std::env::args().any(|argument| argument == "whole") {
        // The first run touches memory for the first time.
        for run in 1..=2 {
            println!("run {run}");
            let mut predicted = predictions.iter();
            job.run((&server, &client), &mut |name, phase| {
                let start = Instant::now();
                phase();
                let seconds = start.elapsed().as_secs_f64();
                let (_, counts) = predicted.next().expect("the same phases");
                println!("{name}: {seconds:.2} s, predicted {:.2} s; {}", profile.predict(counts), work(counts));
            });
        }
        return;
    }
    let mut criterion =
        Criterion::default().sample_size(10).measurement_time(Duration::from_secs(10)).configure_from_args();
    let slots = job.slots((&server, &client), 8, 0);
    let factors = factors(&server, &slots, lanes);
    let mut group = criterion.benchmark_group("attention");
    group.bench_function("product/scores", |b| b.iter(|| factors.product(&server, lanes, false)));
    group.bench_function("product/values", |b| b.iter(|| factors.product(&server, lanes, true)));
    let queries = job.slots((&server, &client), job.attention.layout().query_ciphertexts(), 0);
    let keys = job.slots((&server, &client), 2 * job.attention.layout().query_ciphertexts(), 0);
    group.bench_function("scores", |b| {
        b.iter(|| black_box(job.attention.scores(&server, &queries, &keys, [UNIT, UNIT]).expect("scores")));
    });
    group.bench_function("values", |b| {
        b.iter(|| black_box(job.attention.weighted_values(&server, &queries, &keys, [UNIT, UNIT]).expect("values")));
    });
    group.finish();
    criterion.final_summary();
}
