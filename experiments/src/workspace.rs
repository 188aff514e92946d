//! Where things lie, relative to the folder a command runs in.

use crate::error::HarnessError;
use crate::identity::Identity;
use std::path::{Path, PathBuf};

/// The root that specs, results, figures and run folders are found under.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The folder the command runs in.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when it no longer exists.
    pub fn current() -> Result<Self, HarnessError> {
        let root = std::env::current_dir()
            .map_err(|source| HarnessError::io("find the current folder", Path::new("."), source))?;
        Ok(Self { root })
    }

    /// A given root.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All suites' records.
    pub fn results(&self) -> PathBuf {
        self.root.join("results")
    }

    /// The suites that have records, by name.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when the results cannot be listed.
    pub fn suites(&self) -> Result<Vec<String>, HarnessError> {
        let mut suites = self.result_folders()?;
        suites.retain(|suite| self.result(suite, ".jsonl").is_file());
        Ok(suites)
    }

    /// The folders under `results/`, by name.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when the results cannot be listed.
    pub fn result_folders(&self) -> Result<Vec<String>, HarnessError> {
        let results = self.results();
        let entries = std::fs::read_dir(&results).map_err(|source| HarnessError::io("list", &results, source))?;
        let folders = entries.flatten().filter(|entry| entry.path().is_dir());
        let mut names: Vec<String> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// What `scripts/gpu-check` has recorded, one file a device, by name.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when the folder is there and cannot be listed.
    pub fn gpu_records(&self) -> Result<Vec<PathBuf>, HarnessError> {
        let folder = self.results().join("gpu");
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|source| HarnessError::io("list", &folder, source))?,
        };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        Ok(files)
    }

    /// A file of a suite's results, `results/SUITE/SUITE{suffix}`.
    pub fn result(&self, suite: &str, suffix: &str) -> PathBuf {
        self.results().join(suite).join(format!("{suite}{suffix}"))
    }

    /// The committed spec of a suite, `experiments/suites/SUITE.toml`; a suite may have been run from elsewhere.
    pub fn suite_spec(&self, suite: &str) -> PathBuf {
        self.root.join("experiments").join("suites").join(format!("{suite}.toml"))
    }

    /// A named set of results that later ones are held against.
    pub fn regression_baseline(&self, name: &str) -> PathBuf {
        self.root.join("experiments").join("baselines").join("regression").join(format!("{name}.toml"))
    }

    /// A figure, `figures/NAME.EXTENSION`.
    pub fn figure(&self, name: &str, extension: &str) -> PathBuf {
        self.root.join("figures").join(format!("{name}.{extension}"))
    }

    /// The folder of all run folders; never committed.
    pub fn runs(&self) -> PathBuf {
        self.root.join(".runs")
    }

    /// A cell's run folder.
    pub fn run_folder(&self, identity: &Identity) -> PathBuf {
        self.runs().join(identity.as_str())
    }
}
