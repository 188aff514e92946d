//! The `fhe-llama` program: the harness of this package around the engine of this workspace.

use experiments::execute::EngineExecutor;
use std::process::ExitCode;

fn main() -> ExitCode {
    experiments::cli::main_with(&EngineExecutor)
}
