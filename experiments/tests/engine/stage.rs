//! A temporary workspace in which the program runs.

use crate::model;
use experiments::journal::Journal;
use experiments::record::CellRecord;
use experiments::spec::Mode;
use experiments::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The spec names a model that is not there: what runs is the folder that `--set model.path` names.
const SPEC: &str = r#"
name = "toy"
question = "Does a folder that nobody has seen run?"
mode = "encrypted"

[model]
path = "no-such-model"
calibration_text = "calibration.txt"

[input]
prompts = ["It was a cold", "The sea"]
block_tokens = 16

[softmax]
variant = "exp-inverse"

[engine]
parameters = "n11-toy"
insecure = true
threads = 2
seed = 7
"#;

pub(crate) struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    /// A workspace with [`model::config`] at `odd`, `toy.toml` and a text to calibrate on.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(model::committed().join("calibration.txt")).unwrap();
        std::fs::write(folder.path().join("calibration.txt"), text).unwrap();
        std::fs::write(folder.path().join("toy.toml"), SPEC).unwrap();
        let config = model::config();
        model::write(&folder.path().join("odd"), &config, &model::tensors(&config));
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `fhe-llama run toy.toml --set model.path=odd` and further arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fhe-llama"));
        command.args(["run", "toy.toml", "--set", "model.path=odd"]).args(arguments).current_dir(self.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// `fhe-llama calibrate` with these arguments.
    pub(crate) fn calibrate(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fhe-llama"));
        command.arg("calibrate").args(arguments).current_dir(self.path()).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs and expects success.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        output
    }

    pub(crate) fn records(&self) -> Vec<CellRecord> {
        Journal::of(&Workspace::at(self.path()), "toy").read().unwrap().records
    }

    pub(crate) fn record(&self, mode: Mode) -> CellRecord {
        self.records().into_iter().find(|record| record.mode == mode).unwrap()
    }

    /// Run folders that exist.
    pub(crate) fn run_folders(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path().join(".runs")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
