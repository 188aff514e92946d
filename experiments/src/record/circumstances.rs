//! What surrounds a measurement: origin, subject, time, memory.

use super::nan_if_null;
use crate::identity::DataHashes;
use crate::machine::Machine;
use crate::provenance::CodeVersion;
use crate::randomness::Randomness;
use crate::spec::is_default;
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// Where a number comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The code.
    pub code: CodeVersion,
    /// The machine.
    pub machine: Machine,
    /// Hashes of what was read.
    pub data: DataHashes,
    /// Worker threads.
    pub threads: usize,
    /// Where keys, encryptions and modelled noise come from.
    pub randomness: Randomness,
    /// Start, RFC 3339 in UTC.
    pub started_at: String,
    /// Name of the parameter set.
    pub parameters: String,
    /// Fingerprint of the parameter set.
    pub parameter_fingerprint: String,
    /// Security of the weakest key, in bits.
    pub security_bits: Option<f64>,
    /// Where that number comes from.
    pub security_source: String,
    /// Whether the spec allowed parameters below 128 bits.
    pub insecure: bool,
    /// How often the run was taken up again after an interruption. Seconds are then sums over its parts, set-up and keys of
    /// each included; what was done between a checkpoint and an interruption is in no number.
    #[serde(default)]
    pub resumptions: u32,
    /// How many other cells the same command may have run beside it, which its times then tell of, too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cells_beside: usize,
}

/// The model of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// Its folder, as the spec names it.
    pub path: String,
    /// Weights, embeddings included.
    pub parameters: u64,
    /// Decoder layers.
    pub layers: usize,
    /// Bytes of the weights in their files, as 16-bit numbers where there are none; zero in older records.
    #[serde(default)]
    pub stored_bytes: u64,
    /// Bytes of the weights as the integers that the circuit multiplies by, padding included, never all at once in memory; zero in older
    /// records.
    #[serde(default)]
    pub integer_bytes: u64,
    /// How its weights were made, if they were not trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<String>,
    /// What the ranges are taken from, if they are assumed and not calibrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed_ranges: Option<String>,
}

/// The input of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InputSummary {
    /// Number of prompts.
    pub prompts: usize,
    /// Tokens of the prompts, padding not counted.
    pub live_tokens: usize,
    /// Token positions of the block.
    pub block_tokens: usize,
    /// Tokens of the public prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefix_tokens: Vec<u32>,
    /// Number of public tokens before the block.
    #[serde(default, skip_serializing_if = "is_default")]
    pub context_tokens: usize,
}

/// Wall-clock seconds by phase. The phases are disjoint; what belongs to none of them is in `total` only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PhaseSeconds {
    /// Loading and quantising the model, encoding the server's tables.
    #[serde(deserialize_with = "nan_if_null")]
    pub set_up: f64,
    /// Metering the circuit: which keys it needs and what it will execute.
    #[serde(deserialize_with = "nan_if_null")]
    pub plan: f64,
    /// Key generation.
    #[serde(deserialize_with = "nan_if_null")]
    pub keys: f64,
    /// Encoding and encrypting.
    #[serde(deserialize_with = "nan_if_null")]
    pub encrypt: f64,
    /// Matrix products: weights times activations, scores, weighted values.
    #[serde(deserialize_with = "nan_if_null")]
    pub linear: f64,
    /// Bootstrapping, with its linear transforms.
    #[serde(deserialize_with = "nan_if_null")]
    pub bootstrapping: f64,
    /// Norms, rotary positions, SoftMax, activations.
    #[serde(deserialize_with = "nan_if_null")]
    pub nonlinear: f64,
    /// Decrypting and decoding.
    #[serde(deserialize_with = "nan_if_null")]
    pub decrypt: f64,
    /// What the harness does to judge the run: the float model, the clear circuit, decryption and comparison of
    /// intermediate values. No part of a deployment.
    #[serde(deserialize_with = "nan_if_null")]
    pub comparison: f64,
    /// From the start of the cell's process to its record, all parts of an interrupted run together.
    #[serde(deserialize_with = "nan_if_null")]
    pub total: f64,
    /// The client's part of the total: keys, encryption, decryption.
    #[serde(deserialize_with = "nan_if_null")]
    pub client: f64,
}

/// Who spends the time of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Whoever computes on ciphertexts.
    Server,
    /// Whoever owns the data.
    Client,
    /// Whoever judges the run; a deployment has nobody of the kind.
    Harness,
}

impl PhaseSeconds {
    /// The phases in the order they are shown, with what is left of the total as the last.
    pub fn phases(&self) -> Vec<(&'static str, Party, f64)> {
        let mut phases = vec![
            ("set-up", Party::Server, self.set_up),
            ("plan", Party::Server, self.plan),
            ("keys", Party::Client, self.keys),
            ("encode and encrypt", Party::Client, self.encrypt),
            ("linear algebra", Party::Server, self.linear),
            ("bootstrapping", Party::Server, self.bootstrapping),
            ("non-linear", Party::Server, self.nonlinear),
            ("decrypt", Party::Client, self.decrypt),
            ("comparison", Party::Harness, self.comparison),
        ];
        let accounted: f64 = phases.iter().map(|(_, _, seconds)| seconds).sum();
        phases.push(("other", Party::Harness, (self.total - accounted).max(0.0)));
        phases
    }
}

impl AddAssign for PhaseSeconds {
    fn add_assign(&mut self, other: Self) {
        self.set_up += other.set_up;
        self.plan += other.plan;
        self.keys += other.keys;
        self.encrypt += other.encrypt;
        self.linear += other.linear;
        self.bootstrapping += other.bootstrapping;
        self.nonlinear += other.nonlinear;
        self.decrypt += other.decrypt;
        self.comparison += other.comparison;
        self.total += other.total;
        self.client += other.client;
    }
}

/// Memory, keys and traffic, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Footprint {
    /// Most memory the process held at once.
    pub peak_memory_bytes: u64,
    /// Evaluation keys in the server's memory.
    pub key_bytes: u64,
    /// Evaluation keys as sent: residues packed, uniform halves as seeds.
    pub key_wire_bytes: u64,
    /// Everything else the client sends: fresh ciphertexts, seeded.
    pub client_to_server_bytes: u64,
    /// Everything the server sends back.
    pub server_to_client_bytes: u64,
    /// Memory of the GPU in use when the run ended, what its pool and others held of it included; zero without one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub device_memory_bytes: u64,
}
