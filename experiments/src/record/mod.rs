//! One row of results: what was asked, where and with what it was run, what it took and how good the answer is.
//!
//! A record is complete in itself. Numbers carry their unit in the field's name; a number that was not measured is
//! absent, not zero. Float fields may be `null` in a file, which stands for a value that was not finite.

mod accuracy;
mod circuit;
mod circumstances;
mod extremes;
mod generation;
mod schema;
mod setting;
mod softmax;
mod windows;

pub use accuracy::{Agreement, CLEAR_CIRCUIT, FLOAT, LayerError, PositionAgreement, PromptOutcome};
pub use circuit::{PolynomialSummary, PredictedSeconds, Prediction, StepPrediction, common_device};
pub use circumstances::{Footprint, InputSummary, ModelSummary, Party, PhaseSeconds, Provenance};
pub use extremes::Extremes;
pub use generation::{GeneratedToken, GenerationOutcome, StepEffort};
pub use schema::{OLDEST_SCHEMA, SCHEMA};
pub(crate) use schema::{Unreadable, read};
pub use setting::{Choice, Setting, repetitions, short_names, varied};
pub use softmax::{HeadOutcome, SoftmaxOfHeads};
pub use windows::{Excursions, NeededDegree, SiteRange, WindowsSummary};

use crate::identity::{Identity, ResolvedCell};
use crate::machine;
use crate::randomness::Randomness;
use crate::spec::{Mode, Must};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// How a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It ran to its end.
    Ok,
    /// No circuit of these parameters carries it, or its prompts leave the calibrated ranges: an answer, found before anything ran.
    Refused,
    /// Every window of its text left the ranges that polynomials follow their functions in: it ran, and its logits say nothing.
    Invalid,
    /// It stopped with an error.
    Failed,
    /// It passed the spec's limit of memory, or the system refused it memory, or killed it for using too much.
    OutOfMemory,
    /// It passed the spec's limit of seconds.
    Timeout,
    /// It was not run.
    Skipped,
}

impl Status {
    /// Whether it answers what the cell asks, so that there is nothing to run again.
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Ok | Self::Refused | Self::Invalid)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
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
    /// [`SCHEMA`]: an older record is brought up to date when it is read.
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
    pub model: ModelSummary,
    /// The input.
    pub input: InputSummary,
    /// Wall-clock time.
    pub seconds: PhaseSeconds,
    /// Homomorphic operations of layers and head, by name: half_bootstraps, rotations, ..., key_switches.
    pub counts: BTreeMap<String, u64>,
    /// Work of the server's backend in layers and head, by name: butterflies, gadget_macs, key_bytes, ...
    #[serde(default)]
    pub kernels: BTreeMap<String, u64>,
    /// Levels of the parameter set, by name: left by a half bootstrap, of SlotsToCoeffs, consumed by a half bootstrap.
    pub levels: BTreeMap<String, u64>,
    /// How hard the activations of these prompts are on a circuit; absent where nothing was computed with, and in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extremes: Option<Extremes>,
    /// What became of windows of a text; absent for prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowsSummary>,
    /// Values of every site that has a range, as calibration saw them, over all layers; of windows of a text alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<SiteRange>,
    /// Degrees that polynomials need over the widest of these ranges, whatever the levels; of windows of a text alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed_degrees: Vec<NeededDegree>,
    /// What became of single heads, where SoftMax alone was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub softmax: Option<SoftmaxOfHeads>,
    /// What was generated behind the prompt, where a cell asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationOutcome>,
    /// The circuit's polynomials, in the order of the computation.
    #[serde(default)]
    pub polynomials: Vec<PolynomialSummary>,
    /// What metering predicts of the encrypted run.
    #[serde(default)]
    pub predicted: Option<Prediction>,
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
            threads: resolved.threads(),
            randomness: Randomness::of(cell),
            started_at: machine::utc_now(),
            parameters: config.engine.parameters.clone(),
            insecure: config.engine.insecure,
            cells_beside: resolved.at_once.saturating_sub(1),
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
            model: ModelSummary { path: config.model.path.display().to_string(), ..ModelSummary::default() },
            input: InputSummary {
                prompts: cell.prompts.len(),
                block_tokens: config.input.block_tokens,
                ..InputSummary::default()
            },
            seconds: PhaseSeconds::default(),
            counts: BTreeMap::new(),
            kernels: BTreeMap::new(),
            levels: BTreeMap::new(),
            extremes: None,
            windows: None,
            ranges: Vec::new(),
            needed_degrees: Vec::new(),
            softmax: None,
            generation: None,
            polynomials: Vec::new(),
            predicted: None,
            footprint: Footprint::default(),
            failure_probability_log2: None,
            layer_errors: Vec::new(),
            agreement: Vec::new(),
            prompts: Vec::new(),
        }
    }

    /// The same, with the answer that the cell cannot be run.
    #[must_use]
    pub fn refused(self, reason: impl fmt::Display) -> Self {
        Self { status: Status::Refused, reason: Some(reason.to_string()), ..self }
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
        // Time is only asked of the real thing.
        let encrypted = self.mode == Mode::Encrypted && self.seconds.total > 0.0;
        let measured = [
            ("total seconds", self.must.total_seconds.filter(|_| encrypted), Some(self.seconds.total)),
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

/// The rows that stand: the last one of each configuration on each class of machine, in cell order, those without a
/// GPU first. Earlier rows stay in the journal.
pub fn standing(records: &[CellRecord]) -> Vec<&CellRecord> {
    let mut last: BTreeMap<(usize, String, String), &CellRecord> = BTreeMap::new();
    for record in records {
        let key = (record.cell, record.config_hash.clone(), record.provenance.machine.class());
        last.insert(key, record);
    }
    let mut rows: Vec<_> = last.into_values().collect();
    rows.sort_by_key(|record| (record.cell, record.mode, record.provenance.machine.gpu.clone()));
    rows
}

/// Nested tables as one table of dotted keys.
pub(crate) fn flattened(value: &Value) -> BTreeMap<String, Value> {
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

/// What [`flattened`] was made of, but for tables without a key.
pub(crate) fn nested(flat: &BTreeMap<String, Value>) -> Map<String, Value> {
    let mut root = Map::new();
    for (key, value) in flat {
        let mut names: Vec<&str> = key.split('.').collect();
        let last = names.pop().unwrap_or_default();
        let inner = names.into_iter().try_fold(&mut root, |table, name| {
            table.entry(name).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
        });
        // A key below a plain value has no place; whoever hashes what comes out finds it missing.
        if let Some(table) = inner {
            table.insert(last.into(), value.clone());
        }
    }
    root
}

/// JSON has no NaN: it is written as `null`, and must not make the row unreadable.
fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
