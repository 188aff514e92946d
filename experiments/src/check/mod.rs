//! `fhe-llama check`: whether what is recorded can be believed, whether what is claimed is recorded, and whether it has become worse.
//!
//! | what | where | looked at by |
//! |---|---|---|
//! | records | every file under `results/` | [`results`] file by file, [`record`] and [`samples`] line by line |
//! | claims | the table of `README.md` | [`claims`] row by row, [`quoted`] number by number |
//! | regressions | `experiments/baselines/regression/*.toml` | [`regression`], against a [`Baseline`] |
//!
//! Nothing is run and nothing is repaired: a [`Finding`] says where, what, and what to do about it.

mod baseline;
mod claims;
mod command;
mod measurement;
mod quoted;
mod record;
mod regression;
mod results;
mod samples;

pub use baseline::{Baseline, BaselineCell, Metrics, Thresholds, store};
pub use regression::{Change, Regression};

use crate::error::HarnessError;
use crate::workspace::Workspace;
use std::fmt;
use std::path::PathBuf;

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// File and line.
    pub place: String,
    /// What was found there, and what is required.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    fn new(place: impl fmt::Display, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: place.to_string(), problem: problem.into(), remedy: remedy.into() }
    }

    /// An error that already names place and remedy.
    fn of_error(error: &HarnessError) -> Self {
        Self::new(error, "", "")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.place, &self.problem, &self.remedy].map(String::as_str);
        match parts {
            [place, "", ""] => f.write_str(place),
            [place, problem, remedy] => write!(f, "{place}: {problem}; {remedy}"),
        }
    }
}

/// What came of a check.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was looked at, one line a subject, for people.
    pub looked_at: Vec<String>,
    /// What holds and weakens a number all the same.
    pub remarks: Vec<String>,
    /// What does not hold, in the order it was found.
    pub findings: Vec<Finding>,
    /// Every cell of the named baselines beside what is recorded now.
    pub regressions: Vec<Regression>,
}

impl Outcome {
    /// Fails when something does not hold.
    ///
    /// # Errors
    /// [`HarnessError::ChecksFailed`].
    pub fn verdict(&self) -> Result<(), HarnessError> {
        match self.findings.len() {
            0 => Ok(()),
            found => Err(HarnessError::ChecksFailed { found }),
        }
    }
}

/// Looks at all records, at the claims, and at the baselines named, whose paths are relative to the workspace.
///
/// # Errors
/// What keeps a file from being looked at, such as a baseline that is not there; what is wrong inside one is a finding.
pub fn check(workspace: &Workspace, baselines: &[PathBuf]) -> Result<Outcome, HarnessError> {
    let mut outcome = Outcome::default();
    results::check(workspace, &mut outcome)?;
    claims::check(workspace, &mut outcome)?;
    for path in baselines {
        regression::check(workspace, path, &mut outcome)?;
    }
    Ok(outcome)
}
