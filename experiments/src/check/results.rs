//! Every file of records under `results/`, each read as what it is.

use super::{Finding, Outcome, measurement, record};
use crate::approximations::{self, StoredPolynomial};
use crate::comparison;
use crate::error::HarnessError;
use crate::journal::{Journal, JournalLines};
use crate::record::SCHEMA;
use crate::report;
use crate::workspace::Workspace;
use std::path::Path;

/// The folder of `scripts/gpu-check`, which is no suite.
const DEVICES: &str = "gpu";
/// Rows state what happened; there is no way to mend one by hand.
const RESTORE: &str =
    "a record is never edited: `git diff` shows what changed; restore it, or delete it and run the cell again";

pub(super) fn check(workspace: &Workspace, outcome: &mut Outcome) -> Result<(), HarnessError> {
    let suites = workspace.suites()?;
    for folder in workspace.result_folders()? {
        if folder != DEVICES && !suites.contains(&folder) {
            let path = workspace.results().join(&folder);
            let problem = format!("no `{folder}.jsonl` in this folder, from which all else in it would be derived");
            let remedy = "delete the folder, or run its suite";
            outcome.findings.push(Finding::new(shown(workspace, &path), problem, remedy));
        }
    }
    let (mut rows, mut migrated) = (0, 0);
    for suite in &suites {
        if comparison::is_suite(workspace, suite) {
            rows += measurements(workspace, suite, outcome)?;
        } else {
            let lines = records(workspace, suite, outcome)?;
            rows += lines.whole.len();
            migrated += lines.migrated;
        }
        polynomials(workspace, suite, outcome)?;
    }
    let devices = workspace.gpu_records()?;
    for path in &devices {
        outcome.findings.extend(report::problem_of_device(path).as_ref().map(Finding::of_error));
    }
    outcome.looked_at.push(format!("results: {rows} records in {} suites, {} of GPUs", suites.len(), devices.len()));
    if migrated > 0 {
        let line = format!(
            "results: {migrated} records have an older schema and are read as schema {SCHEMA}; no file is changed"
        );
        outcome.looked_at.push(line);
    }

    Ok(())
}

/// The journal of an experiment; returns its lines.
fn records(workspace: &Workspace, suite: &str, outcome: &mut Outcome) -> Result<JournalLines, HarnessError> {
    let journal = Journal::of(workspace, suite);
    let lines = journal.lines()?;
    for (number, line) in (1..).zip(&lines.whole) {
        let place = format!("{}:{number}", shown(workspace, journal.path()));
        match line {
            Ok(record) => {
                let problems = record::problems(record, suite).into_iter();
                outcome.findings.extend(problems.map(|problem| Finding::new(&place, problem, RESTORE)));
                let code = &record.provenance.code;
                if code.dirty {
                    let remark = format!("{place}: made from code that no commit holds: {}", code.short());
                    outcome.remarks.push(remark);
                }
            }
            Err(error) => outcome.findings.push(Finding::of_error(error)),
        }
    }
    if lines.torn.is_some() {
        let place = format!("{}:{}", shown(workspace, journal.path()), lines.whole.len() + 1);
        let problem = "the last line has no end: its writer was interrupted, and it counts as never written";
        outcome.findings.push(Finding::new(place, problem, "run the suite again, which drops the line"));
    }
    Ok(lines)
}

/// The rows of a comparison; returns how many there are.
fn measurements(workspace: &Workspace, suite: &str, outcome: &mut Outcome) -> Result<usize, HarnessError> {
    let path = workspace.result(suite, ".jsonl");
    let lines = comparison::lines(&path)?;
    for (number, line) in (1..).zip(&lines) {
        let place = format!("{}:{number}", shown(workspace, &path));
        match line {
            Ok(row) => outcome
                .findings
                .extend(measurement::problems(row).into_iter().map(|problem| Finding::new(&place, problem, RESTORE))),
            Err(error) => outcome.findings.push(Finding::of_error(error)),
        }
    }
    Ok(lines.len())
}

/// The stored polynomials of a suite, where there are some. What they should be is `approximations --check`'s business.
fn polynomials(workspace: &Workspace, suite: &str, outcome: &mut Outcome) -> Result<(), HarnessError> {
    let path = workspace.result(suite, approximations::SUFFIX);
    if !path.is_file() {
        return Ok(());
    }
    let stored = match approximations::read(&path) {
        Ok(stored) => stored,
        Err(error) => {
            outcome.findings.push(Finding::of_error(&error));
            return Ok(());
        }
    };
    // An iteration has none.
    let is_whole = |polynomial: &StoredPolynomial| [0, polynomial.degree + 1].contains(&polynomial.coefficients.len());
    for (number, polynomial) in (1..).zip(&stored).filter(|(_, polynomial)| !is_whole(polynomial)) {
        let (found, required) = (polynomial.coefficients.len(), polynomial.degree + 1);
        let problem = format!("`coefficients` holds {found}, a polynomial of this degree has {required}");
        let place = format!("{}:{number}", shown(workspace, &path));
        outcome.findings.push(Finding::new(place, problem, "store them again with `fhe-llama approximations SPEC`"));
    }
    Ok(())
}

/// A path as a reader in the workspace would type it.
pub(super) fn shown(workspace: &Workspace, path: &Path) -> String {
    path.strip_prefix(workspace.root()).unwrap_or(path).display().to_string()
}
