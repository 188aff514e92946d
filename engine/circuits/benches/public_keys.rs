//! `cargo bench -p fhe-circuits --bench public_keys`: 128 encrypted queries of 32 heads with 128 public keys and values of 8 heads,
//! `n16-llama`.
//!
//! `-- whole` runs the job of 3968 public keys once instead, phase by phase, with the prediction beside each time; `-- whole-weights` runs
//! the scores of one of the eight heads of keys as weights, 31 half bootstraps. `RAYON_NUM_THREADS` sets the threads. Needs up to 10 GiB.

#[path = "../../ckks/benches/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use fhe_circuits::{
    PublicCache, PublicLayout, RotaryAngles, RowModule, ScoreMap, SlotProducts, WeightLayout, WeightProducts,
};
use fhe_ckks::{CkksClient, CkksServer, Evaluator, Level, Parameters, SlotCiphertext};
use fhe_ring::{Backend, Counts, Cpu, DeviceProfile, Meter, Seed};
use support::{uniform, work};

const TOKENS: usize = 128;
const HEADS: usize = 32;
const KEY_HEADS: usize = 8;
const HEAD_DIM: usize = 128;
const KEYS: usize = 3968;
/// Keys of the benches.
const FEW_KEYS: usize = 128;
/// Levels of operands of one product in slots: three primes.
const LEVEL: usize = 2;
/// The same if a SoftMax of five levels and the way to coefficients follow the scores.
const HIGH_LEVEL: usize = 11;
/// Compute levels that the half bootstrap of scores leaves after its correction, for an exponential and a mask.
const SCORE_LEVELS: usize = 6;
/// Bits of keys as weights.
const BITS: u32 = 13;

/// Public keys and values, and how scores are scaled.
struct Job {
    cache: PublicCache,
    layout: PublicLayout,
    map: ScoreMap,
    angles: RotaryAngles,
}

impl Job {
    fn new(parameters: &Parameters, keys: usize) -> Self {
        let module = RowModule::new(parameters.shape(), TOKENS).expect("a block");
        let floats = |salt| uniform(KEY_HEADS * keys * HEAD_DIM, salt).iter().map(|&x| x as f32).collect();
        let cache = PublicCache::new(KEY_HEADS, HEAD_DIM, floats(1), floats(2)).expect("a cache");
        let layout = PublicLayout::new(module, HEADS, KEY_HEADS, HEAD_DIM).expect("a layout");
        let map = ScoreMap { scale: 1.0 / HEAD_DIM as f64, centres: vec![0.0; HEADS] };
        let angles = RotaryAngles::new(5e5, HEAD_DIM, (keys..keys + TOKENS).collect());
        Self { cache, layout, map, angles }
    }

    fn products(&self) -> SlotProducts<'_> {
        SlotProducts::new(&self.layout, &self.cache).expect("they fit")
    }

    /// Encrypted numbers in as many ciphertexts.
    fn slots<B: Backend>(&self, client: &CkksClient<B>, count: usize, level: usize) -> Vec<SlotCiphertext<B>> {
        let values = uniform(self.layout.module().slots(), 3);
        (0..count).map(|_| client.encrypt_slots(&values, Level(level)).expect("slots")).collect()
    }
}

/// A server that plans on a backend without data, and its client.
fn planner(parameters: &Parameters) -> (CkksServer<Meter>, CkksClient<Meter>) {
    let meter = Arc::new(Meter::new(parameters.rlwe().chain().clone()));
    let client = CkksClient::new(Arc::clone(&meter), parameters.clone(), &Seed::from_bytes([0; 32])).expect("client");
    (CkksServer::planning(meter, parameters.clone()).expect("planner"), client)
}

/// A server with the keys that the planner was asked for, and its client.
fn encrypted(parameters: &Parameters, planner: &CkksServer<Meter>) -> (CkksServer<Cpu>, CkksClient<Cpu>) {
    let backend = Arc::new(Cpu::new(parameters.rlwe().chain().clone()));
    let seed = Seed::from_os().expect("randomness");
    let client = CkksClient::new(Arc::clone(&backend), parameters.clone(), &seed).expect("client");
    let keys = client.evaluation_keys(&planner.key_requests(), |_| ()).expect("keys");
    (CkksServer::new(backend, parameters.clone(), keys).expect("server"), client)
}

/// What runs a phase: by the clock, or on the meter.
type Phase<'a> = dyn FnMut(&'static str, &mut dyn FnMut()) + 'a;

/// Every phase of the job in slots; queries start at `level` and what their placement takes, probabilities at `level`.
fn in_slots<B: Backend>(job: &Job, server: &CkksServer<B>, client: &CkksClient<B>, level: usize, run: &mut Phase<'_>) {
    let products = job.products();
    let projection = job.slots(client, job.layout.ciphertexts(), level + PublicLayout::PLACEMENT_LEVELS);
    let (mut queries, mut rotated, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
    run("placement of the queries", &mut || {
        queries = job.layout.place_queries(server, &job.angles, &projection, 1.0).expect("placed");
    });
    run("rotations of the queries", &mut || {
        rotated = products.rotate_queries(server, &queries).expect("rotated");
    });
    let blocks = products.key_rows().blocks();
    run("scores", &mut || {
        black_box(products.scores(server, &rotated, 0..blocks, &job.map, -1.0).expect("scores"));
    });
    drop(rotated);
    let probabilities = job.slots(client, 1, level);
    let probabilities: Vec<_> = std::iter::repeat_n(probabilities[0].clone(), blocks).collect();
    run("values", &mut || outputs = products.weighted_values(server, &probabilities).expect("values"));
    run("outputs on their way back", &mut || {
        black_box(job.layout.collect_outputs(server, &outputs, &probabilities[..1]).expect("collected"));
    });
}

/// Scores of the first ciphertexts of queries as weights.
fn as_weights<B: Backend>(
    job: &Job,
    weights: &WeightProducts<'_>,
    server: &CkksServer<B>,
    queries: &[SlotCiphertext<B>],
    run: &mut Phase<'_>,
) {
    for (ciphertext, queries) in queries.iter().enumerate() {
        run("scores of one head of keys", &mut || {
            let map = &job.map;
            black_box(weights.scores(server, ciphertext, queries, map, (-1.0, SCORE_LEVELS)).expect("scores"));
        });
    }
}

/// Seconds by the clock, and of all threads together on a processor: more telling where others use the machine.
#[derive(Clone, Copy)]
struct Taken {
    wall: f64,
    processor: f64,
}

/// Processor seconds of this process so far, as Linux counts them; zero elsewhere.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in brackets user and system time are the 12th and 13th field, in hundredths of seconds.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Times and predictions of the phases in turn.
fn compare(title: &str, predicted: &[(&'static str, Counts)], measured: &[(&'static str, Taken)]) {
    println!(
        "{title}, {} threads: measured, of processors, predicted for {}",
        rayon::current_num_threads(),
        PROFILE.name
    );
    let mut sums = [0.0; 3];
    for ((name, counts), (_, taken)) in predicted.iter().zip(measured) {
        let row = [taken.wall, taken.processor, PROFILE.predict(counts)];
        println!("  {:8.2} s {:8.2} s {:8.2} s  {name}; {}", row[0], row[1], row[2], work(counts));
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    println!("  {:8.2} s {:8.2} s {:8.2} s  together", sums[0], sums[1], sums[2]);
}

const PROFILE: DeviceProfile = DeviceProfile::ZEN4_2_THREADS;

fn metered<'a>(
    server: &'a CkksServer<Meter>,
    phases: &'a mut Vec<(&'static str, Counts)>,
) -> impl FnMut(&'static str, &mut dyn FnMut()) + 'a {
    move |name, phase| {
        let before = server.backend().counts();
        phase();
        phases.push((name, server.backend().counts() - before));
    }
}

fn timed<'a>(phases: &'a mut Vec<(&'static str, Taken)>) -> impl FnMut(&'static str, &mut dyn FnMut()) + 'a {
    move |name, phase| {
        let (start, before) = (Instant::now(), processor_seconds());
        phase();
        phases.push((name, Taken { wall: start.elapsed().as_secs_f64(), processor: processor_seconds() - before }));
    }
}

/// The whole job in slots, once.
fn whole() {
    let parameters = Parameters::named("n16-llama").expect("a named set");
    let job = Job::new(&parameters, KEYS);
    for level in [LEVEL, HIGH_LEVEL] {
        let (mut predicted, mut measured) = (Vec::new(), Vec::new());
        let (planner, meter) = planner(&parameters);
        in_slots(&job, &planner, &meter, level, &mut metered(&planner, &mut predicted));
        let (server, client) = encrypted(&parameters, &planner);
        in_slots(&job, &server, &client, level, &mut timed(&mut measured));
        compare(&format!("{KEYS} public keys in slots, operands at {} primes", level + 1), &predicted, &measured);
        println!("  keys {:.2} GiB", server.key_bytes() as f64 / 2_f64.powi(30));
    }
}

/// The scores of one head of keys as weights, once.
fn whole_weights() {
    let parameters = Parameters::named("n16-llama").expect("a named set");
    let job = Job::new(&parameters, KEYS);
    let layout = weight_layout(&parameters, &job);
    let weights = WeightProducts::new(&layout, &job.cache, BITS).expect("they fit");
    let (mut predicted, mut measured) = (Vec::new(), Vec::new());
    let (planner, meter) = planner(&parameters);
    let lowest = parameters.shape().slots_to_coefficients_levels;
    as_weights(&job, &weights, &planner, &job.slots(&meter, 1, lowest), &mut metered(&planner, &mut predicted));
    let (server, client) = encrypted(&parameters, &planner);
    as_weights(&job, &weights, &server, &job.slots(&client, 1, lowest), &mut timed(&mut measured));
    compare(&format!("{KEYS} public keys as weights"), &predicted, &measured);
    println!("  keys {:.2} GiB", server.key_bytes() as f64 / 2_f64.powi(30));
}

fn weight_layout(parameters: &Parameters, job: &Job) -> WeightLayout {
    let (module, heads) = (job.layout.module(), [HEADS, job.cache.heads()]);
    WeightLayout::new(parameters.shape(), module, heads, job.cache.head_dim(), job.cache.length()).expect("they fit")
}

/// Block by block, by criterion.
fn few_keys(criterion: &mut Criterion, with_weights: bool) {
    let parameters = Parameters::named("n16-llama").expect("a named set");
    let job = Job::new(&parameters, FEW_KEYS);
    let products = job.products();
    let blocks = products.key_rows().blocks();
    let mut group = criterion.benchmark_group("public");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    {
        let (planner, meter) = planner(&parameters);
        in_slots(&job, &planner, &meter, LEVEL, &mut |_, phase| phase());
        let (server, client) = encrypted(&parameters, &planner);
        let queries = job.slots(&client, job.layout.ciphertexts(), LEVEL);
        let probabilities = job.slots(&client, blocks, LEVEL);
        group.bench_function("rotations/slots", |b| {
            b.iter(|| black_box(products.rotate_queries(&server, &queries).expect("rotated")));
        });
        let rotated = products.rotate_queries(&server, &queries).expect("rotated");
        group.bench_function("scores/slots", |b| {
            b.iter(|| black_box(products.scores(&server, &rotated, 0..blocks, &job.map, -1.0).expect("scores")));
        });
        // One of 64 parts of the same work, if plaintexts are encoded as whole vectors: 31 of 8 x 248 terms.
        let whole = job.layout.plain(|head, row, _| job.cache.key(job.layout.key_head(head), row, 0));
        let terms: Vec<_> = rotated[..31].iter().map(|x| (x, whole.as_slice())).collect();
        group.bench_function("scores/slots-whole-vectors-64th", |b| {
            b.iter(|| black_box(server.plain_combination(&terms).expect("combined")));
        });
        group.bench_function("values/slots", |b| {
            b.iter(|| black_box(products.weighted_values(&server, &probabilities).expect("values")));
        });
    }
    if with_weights {
        let layout = weight_layout(&parameters, &job);
        let weights = WeightProducts::new(&layout, &job.cache, BITS).expect("they fit");
        let (planner, meter) = planner(&parameters);
        let lowest = parameters.shape().slots_to_coefficients_levels;
        as_weights(&job, &weights, &planner, &job.slots(&meter, 1, lowest), &mut |_, phase| phase());
        let (server, client) = encrypted(&parameters, &planner);
        let queries = job.slots(&client, 1, lowest);
        // One of eight heads of keys.
        group.bench_function("scores/weights", |b| {
            b.iter(|| as_weights(&job, &weights, &server, &queries, &mut |_, phase| phase()));
        });
    }
    group.finish();
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let names = |name: &str| arguments.iter().any(|argument| argument.contains(name));
    if names("whole-weights") {
        return whole_weights();
    }
    if names("whole") {
        return whole();
    }
    let mut criterion = Criterion::default().configure_from_args();
    few_keys(&mut criterion, !names("slots"));
    criterion.final_summary();
}
