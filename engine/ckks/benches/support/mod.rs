//! What the benches share: keys for a planned circuit at the real parameters, inputs, and a report beside criterion's statistics.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "every bench uses a part")]

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use fhe_ckks::{CkksClient, CkksServer, Parameters};
use fhe_ring::{Counts, Cpu, Meter, Seed};

pub struct Instance {
    pub parameters: Parameters,
    pub client: CkksClient<Cpu>,
    pub server: CkksServer<Cpu>,
    pub key_generation: Duration,
}

impl Instance {
    /// Keys for what `circuit` needs, planned on a backend without data.
    pub fn new(circuit: impl FnOnce(&CkksServer<Meter>, &CkksClient<Meter>)) -> Self {
        let parameters = Parameters::named("n16-llama").expect("a named set");
        let meter = Arc::new(Meter::new(parameters.rlwe().chain().clone()));
        let metered = CkksClient::new(Arc::clone(&meter), parameters.clone(), &Seed::from_bytes([0; 32]))
            .expect("metered client");
        let planner = CkksServer::planning(meter, parameters.clone()).expect("planner");
        circuit(&planner, &metered);

        let backend = Arc::new(Cpu::new(parameters.rlwe().chain().clone()));
        let seed = Seed::from_os().expect("randomness");
        let client = CkksClient::new(Arc::clone(&backend), parameters.clone(), &seed).expect("client");
        let start = Instant::now();
        let keys = client.evaluation_keys(&planner.key_requests(), |_| ()).expect("keys");
        let key_generation = start.elapsed();
        let server = CkksServer::new(backend, parameters.clone(), keys).expect("server");
        Self { parameters, client, server, key_generation }
    }
}

/// Deterministic values uniform in (-1, 1).
pub fn uniform(length: usize, salt: u64) -> Vec<f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ salt.wrapping_mul(0xd134_2543_de82_ef95);
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..length).map(|_| next()).collect()
}

/// What a circuit does, as the meter counts it: multiply-adds of products (those of plaintexts, of weights and of matrices of
/// ciphertexts), key switches, bytes between kernels and memory.
pub fn work(counts: &Counts) -> String {
    let products =
        counts.product_macs + counts.integer_product_macs + counts.structured_product_macs + counts.lane_product_macs;
    format!(
        "{:.2} G MACs, {} key switches, {:.2} GB",
        products as f64 / 1e9,
        counts.gadget_products,
        counts.moved_bytes() as f64 / 1e9
    )
}

/// Errors relative to the range.
pub struct Errors {
    mean: f64,
    worst: f64,
}

impl Errors {
    pub fn of(errors: impl Iterator<Item = f64>) -> Self {
        let errors: Vec<f64> = errors.collect();
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        Self { mean, worst: errors.iter().copied().fold(0.0, f64::max) }
    }
}

/// Figures that criterion does not know, by benchmark.
pub struct Report {
    keys: String,
    entries: Vec<String>,
}

impl Report {
    pub fn new(instance: &Instance) -> Self {
        let seconds = instance.key_generation.as_secs_f64();
        let bytes = instance.server.key_bytes();
        let tables = instance.server.table_bytes();
        println!(
            "keys {:.2} GiB generated in {seconds:.1} s, tables {:.2} GiB, {} threads",
            bytes as f64 / 2f64.powi(30),
            tables as f64 / 2f64.powi(30),
            rayon::current_num_threads()
        );
        let keys = format!(
            "\"key_bytes\":{bytes},\"table_bytes\":{tables},\"key_generation_seconds\":{seconds:.2},\"scale_bits\":42"
        );
        Self { keys, entries: Vec::new() }
    }

    pub fn add(&mut self, name: &str, levels: usize, errors: &Errors) {
        let (mean, worst) = (-errors.mean.log2(), -errors.worst.log2());
        println!("{name}: {levels} compute levels left, error mean 2^-{mean:.2}, max 2^-{worst:.2}");
        self.entries.push(format!(
            "\"bootstrapping/{name}\":{{\"mean_bits\":{mean:.2},\"worst_bits\":{worst:.2},\"levels_left\":{levels},{}}}",
            self.keys
        ));
    }

    pub fn write(&self) {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
        let path = target.join("criterion/fhe-llama-bootstrapping.json");
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the target folder is writable");
        std::fs::write(&path, format!("{{{}}}\n", self.entries.join(",\n"))).expect("the target folder is writable");
    }
}
