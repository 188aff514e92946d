//! What can be typed behind `fhe-llama`.

use crate::chat::Setting;
use crate::error::HarnessError;
use crate::runner::RunRequest;
use crate::spec::{Mode, Override};
use clap::{Args, Parser, Subcommand, ValueEnum};
use fhe_model::calibration::WindowPlan;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Homomorphically encrypted inference of Llama models: experiments, records, tables, figures.
#[derive(Debug, Parser)]
#[command(name = "fhe-llama", version, propagate_version = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the missing cells of experiments, then derive their tables and figures.
    ///
    /// Each cell runs in a process of its own and ends as a row of results/SUITE/SUITE.jsonl, also when it fails. A cell
    /// that is recorded with the same configuration, code, data and machine class is not run again. Interrupt at any
    /// time: the same command resumes, within a cell after its last finished layer.
    Run {
        #[command(flatten)]
        asked: Asked,
        /// Run up to N cells at once, as long as the memory they will hold is free: by their limits, records or predictions, and one of
        /// which none tells runs alone. Each has its share of the cores where its experiment states no threads.
        #[arg(long, value_name = "N", default_value = "1")]
        jobs: NonZeroUsize,
        /// List the cells and what would become of each, and run none.
        #[arg(long)]
        dry_run: bool,
    },
    /// Submit the missing cells of experiments to a cluster: one task a cell, records in this folder, which all nodes must see.
    ///
    /// A task that is interrupted is queued again and resumes, on whatever node. Tasks ask for the memory and the time that a cell's limits
    /// state, that it took when it was last recorded here, or that were predicted, each with a margin; where nothing is known they ask for none.
    Submit {
        #[command(flatten)]
        asked: Asked,
        /// To Slurm, as job arrays: the only scheduler there is a way to submit to.
        #[arg(long, required = true)]
        slurm: bool,
        /// One more option of sbatch, such as --partition=long. May be repeated.
        #[arg(long = "sbatch", value_name = "OPTION", allow_hyphen_values = true)]
        options: Vec<String>,
        /// Print the batch scripts and submit none.
        #[arg(long)]
        dry_run: bool,
    },
    /// Measure the ranges of a model's activations on a text, in float, and store them for encrypted runs.
    Calibrate {
        /// Model folder: config.json, tokenizer.json, safetensors weights.
        model: PathBuf,
        /// Plain text to run the model over.
        #[arg(long)]
        text: PathBuf,
        /// Public tokens before every prompt, as text such as '<|endoftext|>'.
        #[arg(long)]
        prefix: Option<String>,
        /// Where to store the ranges [default: in the model folder, ranges.toml or ranges-rotated-after-TOKENS-behind-LEAST-to-N.toml].
        #[arg(long)]
        output: Option<PathBuf>,
        /// Tokens of a calibration window, as many as the encrypted block will have.
        #[arg(long, default_value_t = 128)]
        block_tokens: usize,
        /// Most public tokens before a block, the prefix included: windows are then cut from texts of so many tokens and a block.
        #[arg(long, value_name = "N", default_value_t = 0)]
        context_tokens: usize,
        /// Fewest public tokens before a block that is looked at: ranges that hold behind LEAST to N tokens are narrower than those behind 0 to N.
        #[arg(long, value_name = "LEAST", default_value_t = 0)]
        context_least: usize,
        /// Windows to look at, one block each.
        #[arg(long, value_name = "N", default_value_t = WindowPlan::default().windows)]
        windows: usize,
        /// Merge the rotations of `mitigation.rotate` into the weights first.
        #[arg(long)]
        rotate: bool,
    },
    /// Store the polynomials of an experiment's circuits as data, or check that stored ones are still what is derived.
    ///
    /// Writes results/SUITE/SUITE-approximations.jsonl: function, degree, levels, error, and coefficients in the Chebyshev basis.
    Approximations {
        /// An experiment, such as experiments/suites/quickstart.toml.
        spec: PathBuf,
        /// Change a setting, as in softmax.rounds=2. May be repeated.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        overrides: Vec<String>,
        /// Derive them again and compare with the stored ones, without writing.
        #[arg(long)]
        check: bool,
    },
    /// Talk to a model under encryption: this process keeps the secrets, a server that it starts has the weights and sees ciphertexts alone.
    ///
    /// Each line continues the conversation so far and is answered token by token, with the seconds and half bootstraps of each and, at the end, what the
    /// server received. Every turn is one encrypted prompt under new keys; a conversation longer than the block is refused.
    Chat {
        #[command(flatten)]
        model: ModelArguments,
        /// Most tokens of an answer, at least 2.
        #[arg(long, value_name = "N")]
        tokens: Option<usize>,
    },
    /// Serve encrypted prompts over standard input and output, in frames: what `chat` starts as its server.
    ///
    /// It reads the same spec and model as its client and holds no secret. It ends when its input does.
    Serve {
        #[command(flatten)]
        model: ModelArguments,
    },
    /// Print a parameter set: security, levels, precision claims, memory.
    Params {
        /// Its name, such as n16-llama.
        name: String,
    },
    /// Compare this engine with other libraries: measured, predicted and reported times side by side, never mixed.
    ///
    /// The measurements are those of scripts/bench-peers. Writes the table and the chart, and needs nothing but files.
    Compare {
        /// A comparison, such as experiments/suites/micro-cpu.toml.
        spec: PathBuf,
    },
    /// Predict single operations from their counts, as rows for a comparison: one JSON object a line.
    Predict {
        /// A parameter set, such as n16-llama.
        parameters: String,
        /// A device profile, such as zen4-2-threads.
        #[arg(long)]
        device: String,
    },
    /// Print the schema of an experiment: every section and key with its type, default, meaning and choices.
    Schema,
    /// Derive Parquet, CSV, Markdown and LaTeX tables from the records of suites.
    Tables {
        /// Suites by name [default: all under results/].
        suites: Vec<String>,
    },
    /// Draw the figures of suites from their records.
    Figures {
        /// Suites by name [default: all under results/].
        suites: Vec<String>,
    },
    /// Make one self-contained web page of everything under results/: tables, figures, commands, provenance.
    Report {
        /// Where to write the page [default: report.html in the current folder].
        #[arg(long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Look whether records, claims and named baselines hold; fails with 1 if something does not.
    ///
    /// Every record under results/: its layout, where it comes from, its hashes, how it ended, its raw samples. Every claim of README.md: its
    /// command, its links, the numbers it quotes. With --against, what is recorded now beside results that were made a baseline.
    Check {
        /// A baseline to hold records against, such as experiments/baselines/regression/whole-models.toml. May be repeated.
        #[arg(long, value_name = "FILE")]
        against: Vec<PathBuf>,
        /// Make what is recorded of the named suites the baseline NAME, if everything else holds.
        #[arg(long, value_name = "NAME", requires = "suites")]
        record: Option<String>,
        /// The suites of that baseline.
        #[arg(requires = "record")]
        suites: Vec<String>,
    },
    /// Execute the cell whose run folder is given: what `run` starts for every cell.
    #[command(hide = true)]
    Cell {
        /// The run folder.
        folder: PathBuf,
    },
}

/// Which model to talk to, and by which circuit.
#[derive(Debug, Args)]
pub(super) struct ModelArguments {
    /// An experiment that generates; its prompts play no part.
    #[arg(default_value = "experiments/suites/chat.toml")]
    spec: PathBuf,
    /// Which of its cells, counted from 0.
    #[arg(long = "cell", value_name = "N", default_value_t = 0)]
    cell: usize,
    /// Another model folder: the same as --set model.path=DIR.
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Change a setting, as in engine.device=cuda; the value is TOML or a bare string. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl ModelArguments {
    /// # Errors
    /// What is wrong with a change of a setting.
    pub(super) fn setting(self, tokens: Option<usize>) -> Result<Setting, HarnessError> {
        let Self { spec, cell, model, overrides } = self;
        let model = model.map(|folder| format!("model.path={}", folder.display()));
        let tokens = tokens.map(|tokens| format!("generation.tokens={tokens}"));
        let texts = overrides.into_iter().chain(model).chain(tokens);
        let overrides = texts.map(|text| Override::parse(&text)).collect::<Result<_, _>>()?;
        Ok(Setting { spec, cell, overrides })
    }
}

/// Which cells of which experiments, and how.
#[derive(Debug, Args)]
pub(super) struct Asked {
    /// Experiment files, such as experiments/suites/quickstart.toml.
    #[arg(required = true)]
    specs: Vec<PathBuf>,
    /// Change a setting, as in engine.threads=2; the value is TOML or a bare string. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// How to run the circuit, in place of the experiment's own mode.
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    /// This cell of the suite alone, counted from 0. May be repeated.
    #[arg(long = "cell", value_name = "N")]
    cells: Vec<usize>,
    /// Run cells that have a record, too, and from their beginning.
    #[arg(long)]
    force: bool,
}

impl Asked {
    /// # Errors
    /// What is wrong with a change of a setting.
    pub(super) fn request(self) -> Result<RunRequest, HarnessError> {
        let Self { specs, overrides, mode, cells, force } = self;
        let mut overrides = overrides.iter().map(|text| Override::parse(text)).collect::<Result<Vec<_>, _>>()?;
        overrides.extend(mode.map(|mode| Override::mode(mode.into())));
        Ok(RunRequest { specs, overrides, cells, force, jobs: None })
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ModeArgument {
    Encrypted,
    Clear,
    Metered,
}

impl From<ModeArgument> for Mode {
    fn from(argument: ModeArgument) -> Self {
        match argument {
            ModeArgument::Encrypted => Self::Encrypted,
            ModeArgument::Clear => Self::Clear,
            ModeArgument::Metered => Self::Metered,
        }
    }
}
