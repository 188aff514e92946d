//! The command line of `fhe-llama`.

use crate::calibrate::{CalibrationRequest, calibrate};
use crate::comparison::Comparison;
use crate::error::HarnessError;
use crate::executor::CellExecutor;
use crate::lock::{self, Lock};
use crate::runner::{self, Reporter, RunRequest};
use crate::spec::{self, MitigationSection, Mode, Override, Suite};
use crate::workspace::Workspace;
use crate::{approximations, check, comparison, figure, params, report, table};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Homomorphically encrypted inference of Llama models: experiments, records, tables, figures.
#[derive(Debug, Parser)]
#[command(name = "fhe-llama", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the missing cells of experiments, then derive their tables and figures.
    ///
    /// Each cell runs in a process of its own and ends as a row of results/SUITE/SUITE.jsonl, also when it fails. A cell
    /// that is recorded with the same configuration, code, data and machine class is not run again. Interrupt at any
    /// time: the same command resumes, within a cell after its last finished layer.
    Run {
        /// Experiment files, such as experiments/suites/quickstart.toml.
        #[arg(required = true)]
        specs: Vec<PathBuf>,
        /// Change a setting, as in engine.threads=2; the value is TOML or a bare string. May be repeated.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        overrides: Vec<String>,
        /// How to run the circuit, in place of the experiment's own mode.
        #[arg(long, value_enum)]
        mode: Option<ModeArgument>,
        /// Run this cell of the suite alone, counted from 0. May be repeated.
        #[arg(long = "cell", value_name = "N")]
        cells: Vec<usize>,
        /// Run cells that have a record, too, and from their beginning.
        #[arg(long)]
        force: bool,
        /// List the cells and what would become of each, and run none.
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
        /// Where to store the ranges [default: in the model folder, ranges.toml or ranges-rotated-after-TOKENS.toml].
        #[arg(long)]
        output: Option<PathBuf>,
        /// Tokens of a calibration window, as many as the encrypted block will have.
        #[arg(long, default_value_t = 128)]
        block_tokens: usize,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeArgument {
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

/// Whether the program has a command of this name.
pub(crate) fn is_command(name: &str) -> bool {
    Cli::command().find_subcommand(name).is_some()
}

/// Runs the program with an executor: 0 if all went well, 1 if a cell failed or a check did, 2 if the request could not be carried out.
pub fn main_with(executor: &dyn CellExecutor) -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(EnvFilter::from_default_env()).init();
    match Cli::parse().command {
        // The parent has been told why; it tells the user.
        Command::Cell { folder } => match runner::execute_cell(executor, &folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        command => match dispatch(command, executor) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                match error {
                    HarnessError::CellsFailed { .. } | HarnessError::ChecksFailed { .. } => ExitCode::FAILURE,
                    _ => ExitCode::from(2),
                }
            }
        },
    }
}

fn dispatch(command: Command, executor: &dyn CellExecutor) -> Result<(), HarnessError> {
    let workspace = Workspace::current()?;
    match command {
        Command::Run { specs, overrides, mode, cells, force, dry_run } => {
            let mut changes = overrides.iter().map(|text| Override::parse(text)).collect::<Result<Vec<_>, _>>()?;
            changes.extend(mode.map(|mode| Override::mode(mode.into())));
            let request = RunRequest { specs, overrides: changes, cells, force };
            if dry_run {
                print!("{}", table::plan(&runner::plan(&workspace, &request)?));
                return Ok(());
            }
            run(&workspace, executor, &request)
        }
        Command::Calibrate { model, text, prefix, output, block_tokens, rotate } => {
            let mitigation = MitigationSection { prepend: prefix.is_some(), prefix, rotate };
            let request = CalibrationRequest { model, text, mitigation, output, block_tokens };
            let written = calibrate(&request, workspace.root(), &Reporter::new())?;
            println!("wrote {}", written.display());
            Ok(())
        }
        Command::Approximations { spec, overrides, check } => {
            let overrides = overrides.iter().map(|change| Override::parse(change)).collect::<Result<Vec<_>, _>>()?;
            let suite = Suite::load(&spec, &overrides, workspace.root())?;
            if check {
                let count = approximations::check(&workspace, &suite, &Reporter::new())?;
                println!("{count} polynomials are what is derived");
            } else {
                let (path, count) = approximations::store(&workspace, &suite, &Reporter::new())?;
                println!("wrote {count} polynomials to {}", path.display());
            }
            Ok(())
        }
        Command::Params { name } => {
            println!("{}", params::describe(&name)?);
            Ok(())
        }
        Command::Compare { spec } => compare(&workspace, &spec),
        Command::Predict { parameters, device } => {
            comparison::predict(&parameters, &device)?.iter().for_each(|line| println!("{line}"));
            Ok(())
        }
        Command::Schema => {
            println!("{:#}", spec::schema());
            Ok(())
        }
        Command::Tables { suites } => derive_all(&workspace, suites, table::derive),
        Command::Figures { suites } => derive_all(&workspace, suites, figure::derive),
        Command::Report { output } => {
            let written = report::derive(&workspace, output.as_deref())?;
            println!("wrote {}", written.strip_prefix(workspace.root()).unwrap_or(&written).display());
            Ok(())
        }
        Command::Check { against, record, suites } => check(&workspace, &against, record.as_deref(), &suites),
        // Handled before: a child prints no errors of its own.
        Command::Cell { .. } => Ok(()),
    }
}

fn run(workspace: &Workspace, executor: &dyn CellExecutor, request: &RunRequest) -> Result<(), HarnessError> {
    let summary = runner::run(workspace, executor, request, &Reporter::new())?;
    println!("\n{}", table::summary(&summary.records));
    let suites: Vec<String> = summary.suites.iter().cloned().collect();
    derive_all(workspace, suites.clone(), table::derive)?;
    derive_all(workspace, suites, figure::derive)?;
    summary.verdict()
}

fn check(
    workspace: &Workspace,
    against: &[PathBuf],
    record: Option<&str>,
    suites: &[String],
) -> Result<(), HarnessError> {
    let outcome = check::check(workspace, against)?;
    print!("{}", table::regressions(&outcome.regressions));
    outcome.findings.iter().for_each(|finding| println!("{finding}"));
    outcome.remarks.iter().for_each(|remark| println!("{remark}"));
    outcome.looked_at.iter().for_each(|line| println!("{line}"));
    outcome.verdict()?;
    if let Some(name) = record {
        let (written, cells) = check::store(workspace, name, suites)?;
        println!("wrote {cells} cells to {}", written.strip_prefix(workspace.root()).unwrap_or(&written).display());
    }
    Ok(())
}

fn compare(workspace: &Workspace, spec: &Path) -> Result<(), HarnessError> {
    let comparison = Comparison::load(workspace, spec)?;
    println!("{}", table::comparison_summary(&comparison));
    name_files(workspace, &table::derive_comparison(workspace, &comparison)?);
    name_files(workspace, &figure::derive_comparison(workspace, &comparison)?);
    Ok(())
}

/// Derives the files of the named suites, or of all, and names them.
fn derive_all(
    workspace: &Workspace,
    mut suites: Vec<String>,
    derive: fn(&Workspace, &str) -> Result<Vec<PathBuf>, HarnessError>,
) -> Result<(), HarnessError> {
    if suites.is_empty() {
        suites = workspace.suites()?;
        if suites.is_empty() {
            println!("no records under {}; make them with `fhe-llama run`", workspace.results().display());
        }
    }
    for suite in suites {
        let _lock = Lock::wait(workspace, &lock::of_derived(&suite))?;
        name_files(workspace, &derive(workspace, &suite)?);
    }
    Ok(())
}

/// Says which files of a folder were written.
fn name_files(workspace: &Workspace, written: &[PathBuf]) {
    let folder = written.first().and_then(|path| path.parent()).unwrap_or(workspace.root());
    let names: Vec<_> = written.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy()).collect();
    if !names.is_empty() {
        let folder = folder.strip_prefix(workspace.root()).unwrap_or(folder);
        println!("wrote to {}: {}", folder.display(), names.join(", "));
    }
}
