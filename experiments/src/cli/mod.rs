//! The command line of `fhe-llama`.

mod arguments;

use crate::calibrate::{CalibrationRequest, calibrate};
use crate::chat::{self, Terminal};
use crate::comparison::Comparison;
use crate::context_band::ContextBand;
use crate::error::HarnessError;
use crate::executor::CellExecutor;
use crate::lock::{self, Lock};
use crate::runner::{self, Reporter, RunRequest};
use crate::spec::{self, MitigationSection, Override, Suite};
use crate::workspace::Workspace;
use crate::{approximations, check, comparison, figure, params, report, slurm, table};
use arguments::{Cli, Command, ModelArguments};
use clap::{CommandFactory, Parser};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

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
        // The client has been told why over the line; what came before that nobody else has seen.
        Command::Serve { model } => match serve(model) {
            Ok(()) => ExitCode::SUCCESS,
            Err(HarnessError::Session(_)) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: the server: {error}");
                ExitCode::from(2)
            }
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
        Command::Run { asked, jobs, dry_run } => {
            let request = RunRequest { jobs: Some(jobs), ..asked.request()? };
            if dry_run {
                print!("{}", table::plan(&runner::plan(&workspace, &request)?));
                return Ok(());
            }
            run(&workspace, executor, &request)
        }
        Command::Submit { asked, options, dry_run, .. } => {
            submit(&workspace, executor, &asked.request()?, &options, dry_run)
        }
        Command::Calibrate {
            model,
            text,
            prefix,
            output,
            block_tokens,
            context_tokens,
            context_least,
            windows,
            rotate,
        } => {
            let mitigation = MitigationSection { prepend: prefix.is_some(), prefix, rotate };
            let context = ContextBand { least: context_least, most: context_tokens };
            let request = CalibrationRequest { model, text, mitigation, output, block_tokens, context, windows };
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
        Command::Chat { model, tokens } => {
            let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
            let interactive = input.is_terminal();
            let terminal = Terminal { input: &mut input, output: &mut output, interactive };
            chat::chat(&model.setting(tokens)?, workspace.root(), terminal, &Reporter::new())
        }
        // Handled before: a child prints no errors of its own.
        Command::Cell { .. } | Command::Serve { .. } => Ok(()),
    }
}

fn serve(model: ModelArguments) -> Result<(), HarnessError> {
    chat::serve(&model.setting(None)?, Workspace::current()?.root())
}

fn run(workspace: &Workspace, executor: &dyn CellExecutor, request: &RunRequest) -> Result<(), HarnessError> {
    let summary = runner::run(workspace, executor, request, &Reporter::new())?;
    println!("\n{}", table::summary(&summary.records));
    let suites: Vec<String> = summary.suites.iter().cloned().collect();
    derive_all(workspace, suites.clone(), table::derive)?;
    derive_all(workspace, suites, figure::derive)?;
    summary.verdict()
}

fn submit(
    workspace: &Workspace,
    executor: &dyn CellExecutor,
    request: &RunRequest,
    options: &[String],
    dry_run: bool,
) -> Result<(), HarnessError> {
    let arrays = slurm::arrays(workspace, request, options)?;
    if dry_run {
        arrays.iter().for_each(|array| println!("{}", array.script()));
        return Ok(());
    }
    if arrays.is_empty() {
        println!("every cell has a record or is being run; --force runs recorded ones again");
        return Ok(());
    }
    // Once here, so that what is wrong is said before anything is queued, and ranges are calibrated once for all tasks.
    runner::checked(workspace, executor, request, &Reporter::new())?;
    for array in arrays {
        let job = array.submit(workspace)?;
        println!("submitted {array} as job {job}; what its tasks say stands in {}", array.logs(&job));
    }
    Ok(())
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
