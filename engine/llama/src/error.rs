//! The one error type of this crate. Every variant says which operation refused which operand, what was found, what is
//! required and, where there is one, the remedy.

use std::path::{Path, PathBuf};

use fhe_circuits::CircuitError;

use crate::calibration::OutOfRange;
use crate::float::Location;
use crate::prompt::{Prefix, PublicContext};

/// Why an operation of this crate refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read, mapped or written.
    #[error("cannot {operation} {}: {source}", path.display())]
    File {
        /// What was attempted: "read", "map", "write".
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// A file is not in the format that its name promises, or is cut short.
    #[error("{} is not a valid {format} file: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The format expected: "safetensors", "config.json", "tokenizer.json", "ranges.toml".
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A key of `config.json` is absent or holds something this circuit does not compute.
    #[error("{}: key `{key}` is {found}, required: {required}", path.display())]
    ConfigKey {
        /// The configuration file.
        path: PathBuf,
        /// The key, as written in the file.
        key: String,
        /// What stands there.
        found: String,
        /// What must stand there.
        required: String,
    },
    /// The folder holds neither `model.safetensors` nor `model.safetensors.index.json`.
    #[error("no weights in {}: neither model.safetensors nor model.safetensors.index.json is there", folder.display())]
    NoWeights {
        /// The model's folder.
        folder: PathBuf,
    },
    /// A tensor that the configuration calls for is in no file.
    #[error("{}: tensor `{tensor}` is missing, required: shape {required:?}", path.display())]
    TensorMissing {
        /// The file, or the index of the shards, that should hold it.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The shape that the configuration calls for.
        required: Vec<usize>,
    },
    /// A tensor's shape contradicts the configuration.
    #[error("{}: tensor `{tensor}` has shape {found:?}, required by config.json: {required:?}", path.display())]
    TensorShape {
        /// The file that holds the tensor.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that the configuration calls for.
        required: Vec<usize>,
    },
    /// A tensor's numbers are in a format that is not read.
    #[error("{}: tensor `{tensor}` is stored as {found}, required: F32, BF16 or F16", path.display())]
    TensorType {
        /// The file that holds the tensor.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The type in the file.
        found: String,
    },
    /// The files hold a tensor that the configured model would ignore, such as a bias or a layer too many.
    #[error("{}: tensor `{tensor}` has no place in the model that config.json describes; computing without it would give another model", path.display())]
    TensorUnexpected {
        /// The file that holds the tensor.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A layer beyond the model's depth was asked for.
    #[error("layer {found} asked for, the model has layers 0..{layers}")]
    LayerOutOfRange {
        /// The layer asked for.
        found: usize,
        /// The number of layers.
        layers: usize,
    },
    /// The tokenizer refused a text or a token.
    #[error("tokenizer cannot {operation}: {reason}")]
    Tokenizer {
        /// "encode" or "decode".
        operation: &'static str,
        /// Its own words.
        reason: String,
    },
    /// A beginning-of-sequence token was asked for, and the configuration names none.
    #[error("a beginning-of-sequence token was asked for, but config.json has no `bos_token_id`; encode without it")]
    NoBeginningToken,
    /// A block of several prompts was to be continued.
    #[error("{found} prompts in the block, required: one to continue; give each a block of its own")]
    SeveralPrompts {
        /// Number of prompts.
        found: usize,
    },
    /// A prompt that is to be continued does not follow its prefix at once: what lies between would count as tokens of the sequence.
    #[error(
        "the prompt starts at position {found} of its block, required: {required}, right behind the prefix; make it a token longer or shorter, or the block larger"
    )]
    PromptBehindGap {
        /// Its first position.
        found: usize,
        /// Tokens of the prefix.
        required: usize,
    },
    /// Caches of another model than that of a step.
    #[error(
        "caches of {found} layers, required: one for each of the model's {required}; pass those that its prompt left"
    )]
    CachesOfOtherDepth {
        /// Number of caches.
        found: usize,
        /// Layers of the model.
        required: usize,
    },
    /// Caches of a step hold different tokens, or fewer than its prompt has.
    #[error(
        "a cache of {found} tokens, required: {required} in every layer; pass caches that a prompt or a whole step left"
    )]
    CachesOfOtherLength {
        /// Tokens of a cache.
        found: usize,
        /// Tokens of the others, or of the prompt.
        required: usize,
    },
    /// A sequence would get longer than what the circuit was calibrated for.
    #[error(
        "token {found} of a sequence, required: at most {required}, the tokens of a calibrated block; calibrate a larger one, or stop here"
    )]
    CacheFull {
        /// Tokens with the new one.
        found: usize,
        /// Most tokens.
        required: usize,
    },
    /// A prompt has no token, or there is no prompt at all.
    #[error("prompt {prompt} is empty: at least one token is required")]
    EmptyPrompt {
        /// The prompt's place in the list, counted from 0.
        prompt: usize,
    },
    /// A token does not exist in the model's embedding.
    #[error(
        "prompt {prompt}, position {position}: token {token} is outside the model's vocabulary of {vocabulary}; the tokenizer and the weights belong to different models"
    )]
    TokenOutOfVocabulary {
        /// The prompt's place in the list, counted from 0.
        prompt: usize,
        /// The token's place in the prompt, counted from 0.
        position: usize,
        /// The token.
        token: u32,
        /// The number of rows of the embedding.
        vocabulary: usize,
    },
    /// A public prefix that no block can have.
    #[error("the public prefix has {found}, required: {required}")]
    Prefix {
        /// What is wrong with it.
        found: String,
        /// What it must be.
        required: String,
    },
    /// A public context that no block can have.
    #[error("the public context has {found}, required: {required}")]
    Context {
        /// What is wrong with it.
        found: String,
        /// What it must be.
        required: String,
    },
    /// Something in a circuit behind a public context that has no part for one.
    #[error(
        "{found} beside a public context; required: attention.products = \"lanes\" and softmax.variant = \"normalize-and-square\""
    )]
    ContextBeside {
        /// What it is.
        found: &'static str,
    },
    /// The float model was to run a block behind other public tokens than those whose keys and values it has.
    #[error(
        "the float model has keys and values of {found}, the block lies behind {required}; prefill the context of the block"
    )]
    OtherContext {
        /// The context of the tensors.
        found: PublicContext,
        /// The context of the block.
        required: PublicContext,
    },
    /// Keys and values of a public context were computed by other weights.
    #[error(
        "keys and values of the context are those of weights {found}, this model has {required}; prefill it with these"
    )]
    ContextOfOtherWeights {
        /// The hash of the weights that computed them.
        found: String,
        /// The hash of the model at hand.
        required: String,
    },
    /// The prompts do not fit into one block.
    #[error(
        "prompts too long: {needed} tokens are needed, one block has {available}; shorten or drop prompts, or use a larger block"
    )]
    PromptTooLong {
        /// Tokens of the public prefix and of all prompts together.
        needed: usize,
        /// Tokens of the block.
        available: usize,
    },
    /// A prompt is longer than the positions that the model knows.
    #[error(
        "prompt {prompt} has {found} tokens, public ones before it included, the model has {available} positions \
         (`max_position_embeddings`); shorten it"
    )]
    PositionBeyondModel {
        /// The prompt's place in the list, counted from 0.
        prompt: usize,
        /// Its tokens and those of context and prefix.
        found: usize,
        /// `max_position_embeddings`.
        available: usize,
    },
    /// The number of tokens of a block is not a power of two.
    #[error("a block of {found} tokens was asked for, required: a power of two, at least 2")]
    BlockSize {
        /// The tokens asked for.
        found: usize,
    },
    /// Two operands of a matrix operation do not fit each other.
    #[error("{operation}: found {found:?}, required {required:?} (rows, columns)")]
    Shape {
        /// The operation.
        operation: &'static str,
        /// The shape given.
        found: (usize, usize),
        /// The shape required.
        required: (usize, usize),
    },
    /// The float model produced an infinity or a NaN.
    #[error("the float model gives {found} at {location}; the weights hold values that no circuit can carry")]
    NotFinite {
        /// Where it first appeared.
        location: Location,
        /// The value.
        found: f64,
    },
    /// The text is too short for the windows asked for.
    #[error(
        "the text has {found} tokens, required: at least {required}; name a longer one, or ask for fewer or shorter windows"
    )]
    TextTooShort {
        /// Tokens of the text.
        found: usize,
        /// Tokens required.
        required: usize,
    },
    /// A setting of the calibration is outside its domain.
    #[error("calibration setting `{key}` is {found}, required: {required}")]
    CalibrationSetting {
        /// The setting's name.
        key: &'static str,
        /// The value given.
        found: f64,
        /// Its domain.
        required: &'static str,
    },
    /// Stored ranges were measured on other weights.
    #[error("{}: measured on weights {found}, this model has {required}; calibrate this model", path.display())]
    RangesOfOtherWeights {
        /// The ranges file.
        path: PathBuf,
        /// The hash in the file.
        found: String,
        /// The hash of the model at hand.
        required: String,
    },
    /// Ranges were measured after another public prefix than the one of the block.
    #[error("the ranges were measured after {found}, the block has {required}; calibrate with the prefix of the block")]
    RangesOfOtherPrefix {
        /// The prefix of the ranges.
        found: Prefix,
        /// The prefix of the block.
        required: Prefix,
    },
    /// Ranges were measured behind fewer public tokens than the block lies behind.
    #[error(
        "the ranges were measured behind up to {found} public tokens, the block lies behind {required}; calibrate with as many"
    )]
    RangesOfShorterContext {
        /// Most public tokens that they hold behind.
        found: usize,
        /// Those of the block.
        required: usize,
    },
    /// Ranges were measured behind more public tokens than the block lies behind.
    #[error(
        "the ranges were measured behind {least} to {most} public tokens, the block lies behind {required}, where sums over keys are smaller; \
         `fhe-llama calibrate --context-tokens {required}` measures behind as few"
    )]
    RangesOfLongerContext {
        /// Fewest public tokens that they hold behind.
        least: usize,
        /// Most public tokens that they hold behind.
        most: usize,
        /// Those of the block.
        required: usize,
    },
    /// The first token of a prompt leaves the calibrated windows by itself.
    #[error("prompt {prompt} begins with token {token}, which leaves the ranges by itself after {prefix}: {source}")]
    FirstToken {
        /// The prompt's place in the list, counted from 0.
        prompt: usize,
        /// The token.
        token: u32,
        /// The prefix before it.
        prefix: Prefix,
        /// Where it leaves them.
        source: OutOfRange,
    },
    /// A value left the calibrated window.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A circuit refused at some place of the model.
    #[error("{location}: {source}")]
    Circuit {
        /// Layer and site.
        location: Location,
        /// What was refused.
        source: Box<CircuitError>,
    },
    /// The parameter set has fewer levels than the circuit needs at some place of the model.
    #[error(
        "{location}: the circuit needs {found} levels after its half bootstrap, the parameter set leaves {required}; \
         use a larger set, or a tolerance or mitigation that allows lower degrees"
    )]
    Levels {
        /// Layer and site.
        location: Location,
        /// Levels needed.
        found: usize,
        /// Levels there are.
        required: usize,
    },
    /// A tensor between two products would wrap around modulo the lowest prime.
    #[error(
        "{location}: values up to {found:.4} do not fit below q_0 / 2 at the unit that the weights ask for, \
         at most {required:.4} do; calibrate again, or use an outlier mitigation"
    )]
    Headroom {
        /// Layer and site.
        location: Location,
        /// The calibrated bound.
        found: f64,
        /// The bound that fits.
        required: f64,
    },
    /// Products over lanes were asked for with windows of live scores alone.
    #[error(
        "products of attention over lanes compute the scores of masked pairs too, which the ranges leave out; use ranges \
         whose margins cover masked scores, or products in slots"
    )]
    MaskedScores,
    /// A model without weights met an evaluator with data.
    #[error(
        "{operation} needs weights, and of this model only the shape is known; meter it, or open a model folder with weights"
    )]
    ShapeAlone {
        /// What was to be computed.
        operation: &'static str,
    },
    /// A block whose prompts lie elsewhere than those that a circuit was prepared for.
    #[error("the circuit is prepared for a block of {required}, found {found}; prepare it for this block")]
    OtherBlock {
        /// The block at hand.
        found: String,
        /// The block that the circuit was prepared for.
        required: String,
    },
    /// The ranges belong to a model of another depth.
    #[error("the ranges describe {found} layers, the model has {required}; calibrate this model")]
    RangesOfOtherDepth {
        /// Layers in the ranges.
        found: usize,
        /// Layers of the model.
        required: usize,
    },
}

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A file error, for `map_err`.
    pub(crate) fn file(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File { operation, path: path.to_owned(), source }
    }

    /// A format error, for `map_err`.
    pub(crate) fn malformed<E: std::fmt::Display>(format: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        move |reason| Self::Malformed { path: path.to_owned(), format, reason: reason.to_string() }
    }
}
