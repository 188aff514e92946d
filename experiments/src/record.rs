//! One row of results: what was asked, where and with what it was run, what it took and how good the answer is.
//!
//! A record is complete in itself. Numbers carry their unit in the field's name; a number that was not measured is
//! absent, not zero. Float fields may be `null` in a file, which stands for a value that was not finite.

use crate::identity::{DataHashes, Identity, ResolvedCell};
use crate::machine::{self, Machine};
use crate::provenance::CodeVersion;
use crate::spec::{Mode, Must};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The layout of [`CellRecord`]; raised whenever a field changes its meaning.
pub const SCHEMA: u64 = 1;

/// How a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It ran to its end.
    Ok,
    /// It stopped with an error.
    Failed,
    /// The system refused it memory, or killed it for using too much.
    OutOfMemory,
    /// It passed the spec's limit of seconds.
    Timeout,
    /// It was not run.
    Skipped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::OutOfMemory => "out-of-memory",
            Self::Timeout => "timeout",
            Self::Skipped => "skipped",
        })
    }
}

/// One cell's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellRecord {
    /// [`SCHEMA`] when it was written.
    pub schema: u64,
    /// Hash over configuration, code, data and machine class.
    pub identity: Identity,
    /// Hash over configuration and repetition.
    pub config_hash: String,
    /// The suite it belongs to.
    pub suite: String,
    /// The question the suite asks.
    pub question: String,
    /// Position in the suite.
    pub cell: usize,
    /// Which repetition of its configuration.
    pub repetition: u32,
    /// How it ended.
    pub status: Status,
    /// Why, unless it is ok.
    pub reason: Option<String>,
    /// How the circuit was run.
    pub mode: Mode,
    /// The resolved configuration, one dotted key a setting.
    pub config: BTreeMap<String, Value>,
    /// Limits the result is held against.
    pub must: Must,
    /// Code, machine, randomness, parameters.
    pub provenance: Provenance,
    /// The model.
    pub model: ModelFacts,
    /// The input.
    pub input: InputFacts,
    /// Wall-clock time.
    pub seconds: PhaseSeconds,
    /// What was counted, by name: half_bootstraps, rotations, key_switches, ...
    pub counts: BTreeMap<String, u64>,
    /// Levels by name: of the chain, after bootstrapping, consumed per site.
    pub levels: BTreeMap<String, u64>,
    /// Memory, keys and traffic.
    pub footprint: Footprint,
    /// log2 of the probability that any bootstrap of the run fails.
    pub failure_probability_log2: Option<f64>,
    /// Error of intermediate values.
    pub layer_errors: Vec<LayerError>,
    /// Agreement of the logits with a reference.
    pub agreement: Vec<Agreement>,
    /// What became of each prompt.
    pub prompts: Vec<PromptOutcome>,
}

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
    /// Whether a calibration had to run first.
    pub calibrated_now: bool,
}

/// The model of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Its folder, as the spec names it.
    pub path: String,
    /// Weights, embeddings included.
    pub parameters: u64,
    /// Decoder layers.
    pub layers: usize,
}

/// The input of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InputFacts {
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

/// The error of one site of the circuit, over all live positions and channels.
///
/// Bits are log2(error / rms), where rms is the root mean square of the token's reference row: -12 means an error of
/// 2^-12 of a typical entry. Smaller is better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerError {
    /// The reference: `float` or `clear circuit`.
    pub against: String,
    /// Decoder layers passed: 0 is the embedding.
    pub layer: usize,
    /// What was compared, such as `residual`.
    pub site: String,
    /// Largest relative error, in bits.
    #[serde(deserialize_with = "nan_if_null")]
    pub max_error_bits: f64,
    /// Mean relative error, in bits.
    #[serde(deserialize_with = "nan_if_null")]
    pub mean_error_bits: f64,
    /// Largest absolute error.
    #[serde(deserialize_with = "nan_if_null")]
    pub max_abs: f64,
    /// Mean absolute error.
    #[serde(deserialize_with = "nan_if_null")]
    pub mean_abs: f64,
    /// Root mean square of the reference over all positions.
    #[serde(deserialize_with = "nan_if_null")]
    pub rms: f64,
}

/// The name of the float model as a reference.
pub const FLOAT: &str = "float";
/// The name of the clear circuit with the same integer weights as a reference.
pub const CLEAR_CIRCUIT: &str = "clear circuit";

/// How well the logits agree with a reference, over all live positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// The reference: [`FLOAT`] or [`CLEAR_CIRCUIT`].
    pub against: String,
    /// Positions compared.
    pub positions: usize,
    /// Positions whose most likely token is the reference's.
    pub top1: usize,
    /// Mean Kullback-Leibler divergence of the distribution from the reference's, in nats.
    #[serde(deserialize_with = "nan_if_null")]
    pub kl_mean: f64,
    /// Its maximum.
    #[serde(deserialize_with = "nan_if_null")]
    pub kl_max: f64,
    /// Largest absolute error among the reference's five leading logits.
    #[serde(deserialize_with = "nan_if_null")]
    pub top5_logit_error_max: f64,
    /// Mean of the same.
    #[serde(deserialize_with = "nan_if_null")]
    pub top5_logit_error_mean: f64,
    /// Perplexity of the prompts under the reference.
    pub perplexity_reference: Option<f64>,
    /// Perplexity of the prompts under this run.
    pub perplexity: Option<f64>,
    /// Largest lead of the reference's first token over its second at a position where the first token changed.
    pub largest_margin_lost: Option<f64>,
    /// The same by position, in block order.
    pub by_position: Vec<PositionAgreement>,
}

/// Agreement at one position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PositionAgreement {
    /// Prompt, from 0.
    pub prompt: usize,
    /// Position within the prompt, from 0.
    pub position: usize,
    /// Kullback-Leibler divergence, in nats.
    #[serde(deserialize_with = "nan_if_null")]
    pub kl: f64,
    /// Largest absolute error among the reference's five leading logits.
    #[serde(deserialize_with = "nan_if_null")]
    pub top5_logit_error: f64,
    /// Whether the most likely token is the reference's.
    pub top1: bool,
}

/// One prompt and its continuation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromptOutcome {
    /// The prompt.
    pub text: String,
    /// Its tokens.
    pub tokens: usize,
    /// The float model's most likely next token, as text.
    pub next_float: String,
    /// This run's most likely next token, as text.
    pub next: String,
}

impl CellRecord {
    /// A record of a cell that starts now on this machine, everything known beforehand filled in, status ok. An executor
    /// fills the rest.
    pub fn begin(resolved: &ResolvedCell) -> Self {
        let cell = &resolved.cell;
        let config = &cell.config;
        let provenance = Provenance {
            code: resolved.code.clone(),
            machine: resolved.machine.clone(),
            data: resolved.data.clone(),
            threads: config.threads(),
            seed: config.engine.seed.map_or("os".into(), |seed| seed.to_string()),
            keys_private: config.engine.seed.is_none(),
            started_at: machine::utc_now(),
            parameters: config.engine.parameters.clone(),
            insecure: config.engine.insecure,
            ..Provenance::default()
        };
        Self {
            schema: SCHEMA,
            identity: resolved.identity.clone(),
            config_hash: resolved.config_hash.clone(),
            suite: cell.suite.clone(),
            question: cell.question.clone(),
            cell: cell.index,
            repetition: cell.repetition,
            status: Status::Ok,
            reason: None,
            mode: config.mode,
            config: flattened(&serde_json::to_value(config).unwrap_or_default()),
            must: cell.must.clone(),
            provenance,
            model: ModelFacts { path: config.model.path.display().to_string(), ..ModelFacts::default() },
            input: InputFacts {
                prompts: cell.prompts.len(),
                block_tokens: config.input.block_tokens,
                ..InputFacts::default()
            },
            seconds: PhaseSeconds::default(),
            counts: BTreeMap::new(),
            levels: BTreeMap::new(),
            footprint: Footprint::default(),
            failure_probability_log2: None,
            layer_errors: Vec::new(),
            agreement: Vec::new(),
            prompts: Vec::new(),
        }
    }

    /// The row of a cell that did not succeed.
    pub fn unsuccessful(resolved: &ResolvedCell, status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: Some(reason.into()), ..Self::begin(resolved) }
    }

    /// The agreement with a reference, if it was measured.
    pub fn agreement_with(&self, reference: &str) -> Option<&Agreement> {
        self.agreement.iter().find(|agreement| agreement.against == reference)
    }

    /// The limits of the spec that the result does not keep, each as a sentence.
    pub fn broken_limits(&self) -> Vec<String> {
        let float = self.agreement_with(FLOAT);
        let measured = [
            ("total seconds", self.must.total_seconds, (self.seconds.total > 0.0).then_some(self.seconds.total)),
            ("mean KL divergence from float", self.must.kl_mean, float.map(|float| float.kl_mean)),
            (
                "largest top-5 logit error against float",
                self.must.top5_logit_error_max,
                float.map(|float| float.top5_logit_error_max),
            ),
        ];
        let broken = measured.into_iter().filter_map(|(name, limit, value)| match (limit, value) {
            // A value that is not a number keeps no limit.
            (Some(limit), Some(value)) if value.is_nan() || value > limit => {
                Some(format!("{name}: {value:.4e}, at most {limit} is required"))
            }
            _ => None,
        });
        broken.collect()
    }
}

/// The rows that stand: the last one of each configuration on each class of machine, in cell order. Earlier rows stay in
/// the journal.
pub fn standing(records: &[CellRecord]) -> Vec<&CellRecord> {
    let mut last: BTreeMap<(usize, String, String), &CellRecord> = BTreeMap::new();
    for record in records {
        let key = (record.cell, record.config_hash.clone(), record.provenance.machine.class());
        last.insert(key, record);
    }
    let mut rows: Vec<_> = last.into_values().collect();
    rows.sort_by_key(|record| (record.cell, record.mode));
    rows
}

/// Nested tables as one table of dotted keys.
fn flattened(value: &Value) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    walk(&if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") }, value, into);
                }
            }
            leaf => {
                into.insert(prefix.into(), leaf.clone());
            }
        }
    }
    let mut flat = BTreeMap::new();
    walk("", value, &mut flat);
    flat
}

/// JSON has no NaN: it is written as `null`, and must not make the row unreadable.
fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
