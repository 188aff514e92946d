//! The one error type of the harness: every variant names what was asked, what was found, what is needed, and a remedy.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use crate::execute::session::SessionError;
use crate::spec::ComputeDevice;

/// Everything that can stop a command of the harness.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// The operating system refused a file operation.
    #[error("cannot {operation} `{}`: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        operation: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A write ran out of disk space; the file that was to be replaced is unharmed.
    #[error(
        "no space left while writing `{}`: what was recorded before is unharmed; free some space and run the same \
         command again, finished work is picked up from the run folder",
        path.display()
    )]
    DiskFull {
        /// The file that was to be replaced.
        path: PathBuf,
    },
    /// A spec file is not there.
    #[error(
        "no spec at `{}`: paths are relative to the folder the command runs in, `{}` (the repository root is expected)",
        path.display(), directory.display()
    )]
    SpecNotFound {
        /// The path as given.
        path: PathBuf,
        /// The folder the command runs in.
        directory: PathBuf,
    },
    /// A spec file is not TOML.
    #[error("{file}: not valid TOML: {message}")]
    SpecSyntax {
        /// The spec.
        file: String,
        /// The parser's message, with line and column.
        message: String,
    },
    /// A key that no experiment knows.
    #[error("{origin}: unknown key `{key}`; {}", suggestion(nearest.as_deref(), known))]
    UnknownKey {
        /// The spec file or command-line argument that holds the key.
        origin: String,
        /// The full dotted key.
        key: String,
        /// The known key closest to it, when one is close.
        nearest: Option<String>,
        /// All keys allowed at that place.
        known: Vec<String>,
    },
    /// A value of the wrong type, or outside what the key accepts.
    #[error("{origin}: `{key}` {problem}")]
    InvalidValue {
        /// The spec file or command-line argument that holds the value.
        origin: String,
        /// The full dotted key.
        key: String,
        /// What was found and what is required.
        problem: String,
    },
    /// Values that do not fit the spec's types, in the words of the TOML reader.
    #[error("{origin}: {message}")]
    SpecType {
        /// The spec file.
        origin: String,
        /// The reader's message, with the key.
        message: String,
    },
    /// A feature that a spec may name but that this version does not carry.
    #[error("{origin}: `{key} = {found}` is not available in this version; available: {available}")]
    Unavailable {
        /// The spec file.
        origin: String,
        /// The full dotted key.
        key: String,
        /// The value that was asked for.
        found: String,
        /// The values that can be had.
        available: String,
    },
    /// A `--set` argument that is not `key=value`.
    #[error("--set `{argument}`: expected key=value, as in --set engine.threads=2")]
    MalformedOverride {
        /// The argument as given.
        argument: String,
    },
    /// A file or folder that a spec names is not there.
    #[error(
        "`{key}` names `{}`, which does not exist; relative paths start at the folder the command runs in, `{}` (the \
         repository root is expected){}",
        path.display(), directory.display(), fetched_by(path)
    )]
    InputNotFound {
        /// The key that names it.
        key: String,
        /// The path as given.
        path: PathBuf,
        /// The folder the command runs in.
        directory: PathBuf,
    },
    /// A model that a spec names by preset has not been fetched.
    #[error(
        "`model.preset = \"{preset}\"` needs `{}`, which does not exist in `{}`; `{command}` fetches it (run it in the \
         repository root)",
        missing.display(), directory.display()
    )]
    ModelNotFetched {
        /// The preset.
        preset: &'static str,
        /// The first file that is not there.
        missing: PathBuf,
        /// The folder the command runs in.
        directory: PathBuf,
        /// The command that fetches it.
        command: &'static str,
    },
    /// A model that was never calibrated, and no text to do it on.
    #[error(
        "model `{}` has no calibrated ranges; name a text with model.calibration_text, or run `fhe-llama calibrate`",
        model.display()
    )]
    NoRanges {
        /// The model's folder.
        model: PathBuf,
    },
    /// A model of which only the shape is there, and nothing to assume about it.
    #[error(
        "model `{}` has neither weights nor assumed ranges, on which the degrees of its polynomials depend; put \
         assumed-ranges.toml beside its config.json, or name a file by model.assumed_ranges", model.display()
    )]
    ShapeWithoutRanges {
        /// The model's folder.
        model: PathBuf,
    },
    /// A prompt without a single visible character.
    #[error("{place}: the prompt is empty; every prompt needs at least one visible character")]
    EmptyPrompt {
        /// File and line, or position in the spec's list.
        place: String,
    },
    /// Another process works on the same cell.
    #[error("another process is running cell {identity} (its run folder `{}` is locked); wait for it or stop it", folder.display())]
    CellBusy {
        /// The cell's identity.
        identity: String,
        /// Its run folder.
        folder: PathBuf,
    },
    /// A checkpoint or seed file of a run folder does not match its checksum.
    #[error("`{}` is damaged ({problem}); run again with --force, which starts this cell from its beginning", path.display())]
    CheckpointDamaged {
        /// The damaged file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A name that cannot become a file of a run folder.
    #[error("`{name}` cannot name a checkpoint: lower-case letters, digits, `-`, `_` and `.` only, and no leading dot")]
    CheckpointName {
        /// The name as given.
        name: String,
    },
    /// A line of a journal is not a record.
    #[error("{}:{line}: not a record: {message}; remove or repair that line (`git diff` shows what changed)", path.display())]
    RecordDamaged {
        /// The journal.
        path: PathBuf,
        /// One-based line number.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A record written by a version of the harness that this one does not know.
    #[error(
        "{}:{line}: a record of schema {found}, this version reads {}: {}; the file is as it was",
        path.display(),
        if oldest == newest { newest.to_string() } else { format!("{oldest} to {newest}") },
        if found > newest { "a newer one wrote it, so update this program" } else { "no version is known to have written it" }
    )]
    RecordSchema {
        /// The journal.
        path: PathBuf,
        /// One-based line number.
        line: usize,
        /// The schema number found.
        found: u64,
        /// The oldest schema that this version reads.
        oldest: u64,
        /// The schema that it writes.
        newest: u64,
    },
    /// A suite without records was asked for its tables or figures.
    #[error("no records of suite `{suite}` at `{}`; make them with `{writer}`", path.display())]
    NoRecords {
        /// The suite.
        suite: String,
        /// Where its records would be.
        path: PathBuf,
        /// The command that makes them.
        writer: &'static str,
    },
    /// A report was asked for where nothing has been recorded.
    #[error(
        "nothing recorded under `{}`: a report needs the records of one suite at least; `fhe-llama run \
         experiments/suites/quickstart.toml` makes some",
        path.display()
    )]
    NoResults {
        /// The folder of all records.
        path: PathBuf,
    },
    /// A derived table could not be made.
    #[error("table `{}`: {message}", path.display())]
    Table {
        /// The file that was to be written.
        path: PathBuf,
        /// The data-frame library's reason.
        message: String,
    },
    /// A figure could not be drawn.
    #[error("figure `{name}`: {message}")]
    Figure {
        /// The figure.
        name: String,
        /// The drawing library's reason.
        message: String,
    },
    /// A cell's executor failed; the engine's own message says why.
    #[error("cannot {stage}: {source}")]
    Execution {
        /// What was to be done, such as `open the model`.
        stage: String,
        /// The engine's error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A circuit that these parameters do not carry, or a text that leaves the ranges it is made for: an answer about a cell, not a failure.
    #[error("cannot {stage}: {source}")]
    Refused {
        /// What was to be done, such as `prepare the circuit`.
        stage: &'static str,
        /// Layer, site, what was found and what is required.
        source: Box<fhe_model::Error>,
    },
    /// No polynomials of a suite are stored.
    #[error("no polynomials at `{}`: store them first with `fhe-llama approximations SPEC`", path.display())]
    NoApproximations {
        /// Where they would be.
        path: PathBuf,
    },
    /// What is derived now is not what is stored.
    #[error("`{}` holds {found}, but {required} is derived: ranges, spec or code have changed; store them again", path.display())]
    ApproximationDiffers {
        /// The file.
        path: PathBuf,
        /// The stored polynomial, or how many there are.
        found: String,
        /// The derived one.
        required: String,
    },
    /// A child process could not be understood or did not report a result.
    #[error("cell {identity}: {problem}")]
    Child {
        /// The cell's identity.
        identity: String,
        /// What went wrong between parent and child.
        problem: String,
    },
    /// The engine panicked while a cell ran.
    #[error("internal error: {message}; this is a defect, please report it with the lines above")]
    Panic {
        /// The panic's message.
        message: String,
    },
    /// Some cells failed; each has its row and was reported when it happened.
    #[error("{failed} of {total} cells did not succeed; the reasons stand above and in the records")]
    CellsFailed {
        /// Cells without an answer; those that were refused count where no cell is ok.
        failed: usize,
        /// Cells asked for.
        total: usize,
    },
    /// A cell that a suite does not have.
    #[error(
        "--cell {cell}: suite `{suite}` has {cells} cells, counted from 0; `fhe-llama run --dry-run SPEC` lists them"
    )]
    NoSuchCell {
        /// The position asked for.
        cell: usize,
        /// The suite.
        suite: String,
        /// How many cells it has.
        cells: usize,
    },
    /// Slurm did not take a job.
    #[error(
        "cannot submit with `sbatch`: {problem}; `fhe-llama submit --slurm --dry-run` prints the script, to be submitted in another way"
    )]
    NotSubmitted {
        /// What kept it from being submitted.
        problem: String,
    },
    /// Something that was checked does not hold; every finding was printed.
    #[error("{found} {} not hold; each stands above with its place and a remedy", if *found == 1 { "thing does" } else { "things do" })]
    ChecksFailed {
        /// How many.
        found: usize,
    },
    /// A name that no parameter set, or no device profile, has.
    #[error("`{name}` is no {kind}; {}", suggestion(nearest.as_deref(), known))]
    UnknownName {
        /// What it should be the name of.
        kind: &'static str,
        /// The name as given.
        name: String,
        /// The known name closest to it, when one is close.
        nearest: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
    /// Parameters below 128 bits that the spec did not ask for by name.
    #[error(
        "engine.parameters = \"{name}\" is below 128 bits of security; use \"n16-llama\", or allow it with engine.insecure = true"
    )]
    InsecureParameters {
        /// The set.
        name: String,
    },
    /// A public prefix that cannot be had.
    #[error("`mitigation.prefix`, {text}: {source}")]
    PublicPrefix {
        /// The prefix as text.
        text: String,
        /// The model's reason.
        source: Box<fhe_model::Error>,
    },
    /// A GPU that was asked for and cannot be used.
    #[error("engine.device = {device}: {source}")]
    Gpu {
        /// The device asked for.
        device: ComputeDevice,
        /// The backend's reason.
        source: fhe_cuda::CudaError,
    },
    /// Ranges that hold after another public prefix.
    #[error("`{}` was measured after {found}, this cell prepends {required}; `{command}` measures after that", path.display())]
    RangesOfOtherPrefix {
        /// The ranges file.
        path: PathBuf,
        /// The prefix of the ranges.
        found: String,
        /// The prefix of the cell.
        required: String,
        /// The command that makes the right ones.
        command: String,
    },
    /// Ranges that hold behind fewer public tokens than a cell has.
    #[error(
        "`{}` was measured behind at most {found} public tokens, this cell has {required}; `{command}` measures behind as many",
        path.display()
    )]
    RangesOfShorterContext {
        /// The ranges file.
        path: PathBuf,
        /// Most public tokens that the ranges hold behind.
        found: usize,
        /// Those of the cell.
        required: usize,
        /// The command that makes the right ones.
        command: String,
    },
    /// Ranges that hold behind more public tokens than a cell has.
    #[error(
        "`{}` was measured behind {least} to {most} public tokens, this cell has {required}; `{command}` measures behind as few",
        path.display()
    )]
    RangesOfLongerContext {
        /// The ranges file.
        path: PathBuf,
        /// Fewest public tokens that the ranges hold behind.
        least: usize,
        /// Most public tokens that they hold behind.
        most: usize,
        /// Those of the cell.
        required: usize,
        /// The command that makes the right ones.
        command: String,
    },
    /// A text has fewer tokens than a context is to have, or the context is shorter than what is prepended.
    #[error(
        "`context.tokens` is {required}: `{}` has {found} tokens behind what is prepended, which are {prepended}; at least \
         these and at most all of them are possible", text.display()
    )]
    ContextTokens {
        /// The text.
        text: PathBuf,
        /// Tokens there are, those prepended included.
        found: usize,
        /// Tokens prepended.
        prepended: usize,
        /// `context.tokens`.
        required: usize,
    },
    /// A prompt that this model cannot take.
    #[error("{place}: {source}")]
    Prompt {
        /// File and line, or position in the spec's list.
        place: String,
        /// The tokenizer's or the model's reason.
        source: Box<fhe_model::Error>,
    },
    /// A tensor of a run has no counterpart in the run it is compared with.
    #[error(
        "cannot compare {location} with the {against}: this run has {}, the {against} {}; this is a defect, please report it",
        size(*found), required.map_or("no such tensor".into(), size)
    )]
    NotComparable {
        /// Layer and site.
        location: String,
        /// The reference.
        against: String,
        /// Rows and columns of this run.
        found: (usize, usize),
        /// Rows and columns of the reference, if it has the tensor.
        required: Option<(usize, usize)>,
    },
    /// A generated token cannot be chosen: a logit is no number.
    #[error(
        "logits of position {position} are not numbers, and no token follows from them; the run left what its circuit carries"
    )]
    NotNumbers {
        /// Of the sequence.
        position: usize,
    },
    /// A session between client and server did not go on.
    #[error(transparent)]
    Session(SessionError),
    /// The server of a conversation ended before the conversation did.
    #[error("the server {ended} ({source}); what it was sent is lost, the conversation so far is not: start again")]
    ServerEnded {
        /// How: its exit status or signal.
        ended: String,
        /// What the client saw of it.
        source: SessionError,
    },
    /// A mode that must produce logits produced none.
    #[error("the run produced no logits although its mode computes with data; this is a defect, please report it")]
    NoData,
}

impl HarnessError {
    /// Wraps an error of the engine, naming what could not be done because of it.
    pub fn execution(stage: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Execution { stage: stage.into(), source: Box::new(source) }
    }

    /// A refusal, naming what could not be done because of it.
    pub fn refused(stage: &'static str, source: fhe_model::Error) -> Self {
        Self::Refused { stage, source: Box::new(source) }
    }

    /// Whether this answers what a cell asks: no such circuit, or not for such a text.
    pub fn is_refusal(&self) -> bool {
        use fhe_model::Error::{FirstToken, OutOfRange};
        match self {
            Self::Refused { .. } => true,
            Self::Prompt { source, .. } => matches!(**source, OutOfRange(_) | FirstToken { .. }),
            _ => false,
        }
    }

    /// Wraps a file error, telling a full disk from the rest.
    pub fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path: path.into() },
            _ => Self::Io { operation, path: path.into(), source },
        }
    }
}

fn size((rows, columns): (usize, usize)) -> String {
    format!("{rows} x {columns} values")
}

fn suggestion(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// What makes a file that is not committed, if a script does.
fn fetched_by(path: &Path) -> &'static str {
    if path.starts_with(".cache/texts") { "; `scripts/fetch-texts` makes it" } else { "" }
}
