//! What surrounds a measurement: origin, subject, time, memory.

use super::nan_if_null;
use crate::identity::DataHashes;
use crate::machine::Machine;
use crate::provenance::CodeVersion;
use serde::{Deserialize, Serialize};

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
    /// The spec's seed, or `os` for the operating system's randomness.
    pub seed: String,
    /// Whether the keys are known to nobody: false for a seeded run.
    pub keys_private: bool,
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
}

/// Wall-clock seconds by phase. The phases are disjoint; what belongs to none of them is in `total` only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PhaseSeconds {
    /// Loading and quantising the model, precomputing tables.
    #[serde(deserialize_with = "nan_if_null")]
    pub set_up: f64,
    /// Walking the circuit for its key request and levels.
    #[serde(deserialize_with = "nan_if_null")]
    pub plan: f64,
    /// Key generation.
    #[serde(deserialize_with = "nan_if_null")]
    pub keys: f64,
    /// Encoding and encrypting.
    #[serde(deserialize_with = "nan_if_null")]
    pub encrypt: f64,
    /// Matrix products.
    #[serde(deserialize_with = "nan_if_null")]
    pub linear: f64,
    /// Bootstrapping, with its linear transforms.
    #[serde(deserialize_with = "nan_if_null")]
    pub bootstrapping: f64,
    /// Polynomials, norms, SoftMax, activations.
    #[serde(deserialize_with = "nan_if_null")]
    pub nonlinear: f64,
    /// Decrypting and decoding.
    #[serde(deserialize_with = "nan_if_null")]
    pub decrypt: f64,
    /// From start to decrypted logits.
    #[serde(deserialize_with = "nan_if_null")]
    pub total: f64,
    /// The client's part of the total: keys, encryption, decryption.
    #[serde(deserialize_with = "nan_if_null")]
    pub client: f64,
}

impl PhaseSeconds {
    /// The phases in the order they are shown, with what is left of the total as the last.
    pub fn phases(&self) -> Vec<(&'static str, f64)> {
        let mut phases = vec![
            ("set-up", self.set_up),
            ("plan", self.plan),
            ("keys", self.keys),
            ("encode and encrypt", self.encrypt),
            ("linear algebra", self.linear),
            ("bootstrapping", self.bootstrapping),
            ("non-linear", self.nonlinear),
            ("decrypt", self.decrypt),
        ];
        let accounted: f64 = phases.iter().map(|(_, seconds)| seconds).sum();
        phases.push(("other", (self.total - accounted).max(0.0)));
        phases
    }
}

/// Memory, keys and traffic, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Footprint {
    /// Most memory the process held at once.
    pub peak_memory_bytes: u64,
    /// Evaluation keys as sent.
    pub key_bytes: u64,
    /// Everything else the client sends.
    pub client_to_server_bytes: u64,
    /// Everything the server sends back.
    pub server_to_client_bytes: u64,
}
