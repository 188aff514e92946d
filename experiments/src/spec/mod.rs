//! What an experiment asks: a strict TOML file that resolves to a list of cells.
//!
//! A spec states a question and the settings under which it is to be answered. Each combination of its sweep, and each
//! repetition, is one [`Cell`]: a complete configuration with its prompts read, checked before anything runs.

mod arguments;
mod context;
mod device;
mod generation;
mod keys;
mod load;
mod preset;
mod prompts;
mod schema;
mod softmax;
mod sweep;

pub(crate) use arguments::arguments;
pub use context::ContextSection;
pub use device::{ComputeDevice, Gpus};
pub use generation::GenerationSection;
pub(crate) use keys::check_fields;
pub use keys::{nearest, settable_keys};
pub use load::{Override, Suite};
pub(crate) use load::{is_folder_name, one_line};
pub use schema::schema;
pub use softmax::{CircuitKind, SoftmaxSection, SoftmaxVariant};

use fhe_circuits::{Functions, WeightScales};
use fhe_model::encrypted::{AttentionProducts, CircuitOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// How the circuit of a cell is run. The three share every decision above the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The real scheme: keys, ciphertexts, bootstrapping.
    Encrypted,
    /// The same circuit on plain numbers with modelled noise: no cryptography, accuracy only.
    Clear,
    /// The same circuit on metadata: counts, bytes and predicted times, no numbers.
    Metered,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encrypted => "encrypted",
            Self::Clear => "clear",
            Self::Metered => "metered",
        })
    }
}

/// Where the model comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// A folder with `config.json`, `tokenizer.json` and safetensors weights. A spec names it, or a preset.
    #[serde(default)]
    pub path: PathBuf,
    /// A known model by name, such as `smollm2-135m`; resolution has put its folder into `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Calibrated ranges; absent: those stored with the model, or a calibration on `calibration_text` first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<PathBuf>,
    /// Text to calibrate on when the model has no stored ranges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_text: Option<PathBuf>,
    /// Ranges that nobody measured, for a metered run of the model's shape; absent: those beside `config.json`, where the folder holds no
    /// weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed_ranges: Option<PathBuf>,
}

/// What is fed to the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSection {
    /// A file with one prompt a line, or a list of prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<PromptSource>,
    /// In place of prompts, a block of so many tokens whatever they are: what a metered run needs to know. Resolution makes it the size
    /// of the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// In place of prompts, in mode `clear`, a text that calibration did not see: windows of it that fill a block each, one run for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<PathBuf>,
    /// How many windows of `text`, spread evenly; sixteen if left out. Resolution makes it concrete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<usize>,
    /// Token positions of the encrypted block; a power of two. The prompts share them.
    #[serde(default = "default_block_tokens")]
    pub block_tokens: usize,
    /// Whether each prompt starts with the model's beginning-of-sequence token.
    #[serde(default = "yes")]
    pub bos: bool,
}

/// Prompts by file or written out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected the path of a file with one prompt a line, or a list of prompts")]
pub enum PromptSource {
    /// A text file, one prompt a line.
    File(PathBuf),
    /// The prompts themselves.
    Inline(Vec<String>),
}

impl PromptSource {
    /// Where a prompt stands: file and line, or position in the spec's list.
    pub fn place(&self, prompt: usize) -> String {
        match self {
            Self::File(path) => format!("{}:{}", path.display(), prompt + 1),
            Self::Inline(_) => format!("input.prompts[{prompt}]"),
        }
    }
}

impl InputSection {
    /// Where a prompt stands: file and line, or position in the spec's list.
    pub fn place(&self, prompt: usize) -> String {
        match (&self.prompts, &self.text) {
            (Some(prompts), _) => prompts.place(prompt),
            (None, Some(text)) => format!("{}, window {prompt}", text.display()),
            (None, None) => "input.tokens".into(),
        }
    }
}

/// Measures against activation outliers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MitigationSection {
    /// Public tokens before every prompt, which become the attention sink in the prompts' place.
    pub prepend: bool,
    /// These tokens as text, such as `<|endoftext|>`; absent: those known to suit the model, else its beginning-of-sequence token.
    /// Resolution leaves it out where nothing is prepended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Orthogonal rotations merged into the weights.
    pub rotate: bool,
}

/// The attention circuit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AttentionSection {
    /// How the products of queries with keys and of probabilities with values are computed.
    #[schemars(schema_with = "schema::choices::<AttentionProducts>")]
    pub products: AttentionProducts,
}

/// Errors of the encrypted scheme in a clear run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Noise {
    /// None: quantised weights and polynomials alone.
    #[default]
    None,
    /// Gaussian errors of the size that the scheme makes.
    Modelled,
}

/// The cryptographic engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineSection {
    /// A named parameter set, as printed by `fhe-llama params`.
    pub parameters: String,
    /// Who computes on ciphertexts in an encrypted run.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = ComputeDevice::default()))]
    pub device: ComputeDevice,
    /// Worker threads; absent: one per core of this machine. Where cells run at once, one that has all cores takes its share of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Makes keys and encryptions reproducible, and therefore not private; absent: the operating system's randomness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Bits of the integer weights, sign included.
    #[serde(default = "default_weight_bits", skip_serializing_if = "is_default_weight_bits")]
    #[schemars(extend("default" = default_weight_bits()))]
    pub weight_bits: u32,
    /// Whether weights have one scale for a tensor or one for each output row that the circuit can tell apart.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(schema_with = "schema::choices::<WeightScales>", extend("default" = WeightScales::default()))]
    pub weight_scales: WeightScales,
    /// Whether inverse roots of norms are evaluated slimly where that saves products and the levels allow it.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub slim_norms: bool,
    /// Whether polynomials stand in for functions; exact ones exist without data or in the clear only.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(schema_with = "schema::choices::<Functions>", extend("default" = Functions::default()))]
    pub functions: Functions,
    /// Errors of the encrypted scheme in a clear run.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = Noise::default()))]
    pub noise: Noise,
    /// Bits of the mean error of a half bootstrap, `2^-bits` of its range, in place of the parameter set's; for modelled noise alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_bits: Option<f64>,
    /// Allows parameters below 128 bits; printed wherever the result is shown.
    #[serde(default)]
    pub insecure: bool,
}

/// Bounds on one cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// A cell that takes longer is stopped and recorded as `timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// A cell whose process holds more GiB is stopped and recorded as `out-of-memory`. Looked at ten times a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_gib: Option<f64>,
}

impl LimitsSection {
    /// The limit of memory in bytes.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.memory_gib.map(|gib| (gib * f64::from(1u32 << 30)) as u64)
    }
}

/// What the answer has to satisfy: upper limits, drawn and printed beside the measurement. No part of the identity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Must {
    /// Wall-clock seconds of a whole encrypted run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_seconds: Option<f64>,
    /// Mean Kullback-Leibler divergence from the float model over all positions, in nats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_mean: Option<f64>,
    /// Largest absolute error among the five leading float logits of any position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top5_logit_error_max: Option<f64>,
}

/// Everything that determines what a cell computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellConfig {
    /// How the circuit is run.
    pub mode: Mode,
    /// What is computed. The whole decoder is left out, as [`CellConfig::attention`] is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub circuit: CircuitKind,
    /// The model.
    pub model: ModelSection,
    /// The prompts and their block.
    pub input: InputSection,
    /// Public tokens before the block; none where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextSection>,
    /// Outlier mitigation.
    pub mitigation: MitigationSection,
    /// SoftMax.
    pub softmax: SoftmaxSection,
    /// Products of attention. A choice that was the only one before is left out, so that records keep their identity.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attention: AttentionSection,
    /// Tokens that follow the prompt; none where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationSection>,
    /// Parameters, threads, randomness.
    pub engine: EngineSection,
    /// Bounds on the run.
    pub limits: LimitsSection,
}

impl CellConfig {
    /// Worker threads of this cell; resolution has made the number concrete.
    pub fn threads(&self) -> usize {
        self.engine.threads.unwrap_or(1)
    }

    /// Public tokens before the block, those that are prepended included.
    pub fn context_tokens(&self) -> usize {
        self.context.as_ref().map_or(0, |context| context.tokens)
    }
}

/// One configuration of a suite, complete and checked, with its prompts read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The spec's name: the folder of its records.
    pub suite: String,
    /// The question the spec states.
    pub question: String,
    /// Position among the suite's cells, from 0.
    pub index: usize,
    /// Which repetition of its configuration this is, from 0.
    pub repetition: u32,
    /// The resolved configuration.
    pub config: CellConfig,
    /// The prompts, in order.
    pub prompts: Vec<String>,
    /// Limits the result is held against.
    pub must: Must,
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn default_weight_bits() -> u32 {
    CircuitOptions::default().weight_bits
}

fn is_default_weight_bits(bits: &u32) -> bool {
    *bits == default_weight_bits()
}

fn default_block_tokens() -> usize {
    128
}

fn yes() -> bool {
    true
}
