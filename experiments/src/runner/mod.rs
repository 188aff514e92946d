//! Runs the missing cells of suites, each in a child process, and records how every one of them ended.
//!
//! All specs are read, checked and identified before the first child starts. A cell that already has an ok record of
//! the same identity is not run again. Whatever a child does, including being killed, its cell ends as a row.
//!
//! Processes that run the same suite in one workspace share its cells: each is run by one of them, and the others, once
//! they have done what was free, wait for its record.

mod child;
mod plan;
mod progress;

pub use child::execute_cell;
pub use plan::{Intent, PlannedCell, plan, plan_elsewhere};
pub use progress::Reporter;

use crate::atomic::{Disk, OsDisk};
use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::executor::CellExecutor;
use crate::identity::ResolvedCell;
use crate::journal::Journal;
use crate::lock::{self, Lock};
use crate::record::{CellRecord, Status};
use crate::spec::{Cell, Override, Suite};
use crate::workspace::Workspace;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What `fhe-llama run` was asked to do.
#[derive(Clone, Debug, Default)]
pub struct RunRequest {
    /// Spec files.
    pub specs: Vec<PathBuf>,
    /// Changes to every spec, in order.
    pub overrides: Vec<Override>,
    /// Of each spec these cells alone, by their position in the suite; all if empty.
    pub cells: Vec<usize>,
    /// Run cells that have a record, too, and from their beginning.
    pub force: bool,
}

impl RunRequest {
    /// The cells of a suite that are asked for.
    ///
    /// # Errors
    /// [`HarnessError::NoSuchCell`].
    fn of(&self, suite: Suite) -> Result<Vec<Cell>, HarnessError> {
        let Suite { name, mut cells } = suite;
        if let Some(&cell) = self.cells.iter().find(|cell| **cell >= cells.len()) {
            return Err(HarnessError::NoSuchCell { cell, suite: name, cells: cells.len() });
        }
        cells.retain(|cell| self.cells.is_empty() || self.cells.contains(&cell.index));
        Ok(cells)
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct RunSummary {
    /// Suites touched, for tables and figures.
    pub suites: BTreeSet<String>,
    /// Records of this request: new ones and those that made a run unnecessary.
    pub records: Vec<CellRecord>,
    /// Whether the suites have cells that were not asked for.
    pub has_others: bool,
}

impl RunSummary {
    /// Fails when a cell did.
    ///
    /// # Errors
    /// [`HarnessError::CellsFailed`].
    pub fn verdict(&self) -> Result<(), HarnessError> {
        // To be refused is an answer beside others; a run without any other has not done what it was asked.
        let ran = self.has_others || self.records.iter().any(|record| record.status == Status::Ok);
        let is_failed = |status: Status| if ran { !status.is_answer() } else { status != Status::Ok };
        let failed = self.records.iter().filter(|record| is_failed(record.status)).count();
        if failed == 0 { Ok(()) } else { Err(HarnessError::CellsFailed { failed, total: self.records.len() }) }
    }
}

/// The cells of a request, checked by the engine, and whether their suites have others.
///
/// # Errors
/// What is wrong with a spec or its inputs.
pub fn checked(
    workspace: &Workspace,
    executor: &dyn CellExecutor,
    request: &RunRequest,
    reporter: &Reporter,
) -> Result<(Vec<Cell>, bool), HarnessError> {
    let (mut asked, mut of_suites) = (Vec::new(), 0);
    for spec in &request.specs {
        let suite = Suite::load(spec, &request.overrides, workspace.root())?;
        of_suites += suite.cells.len();
        asked.extend(request.of(suite)?);
    }
    let has_others = of_suites > asked.len();
    for cell in &asked {
        match executor.preflight(cell, workspace.root(), reporter) {
            // Among others it is a result, to be recorded as such.
            Err(refusal) if refusal.is_refusal() && of_suites > 1 => {
                reporter.note(&format!("cell {}: {refusal}", cell.index));
            }
            other => other?,
        }
    }
    Ok((asked, has_others))
}

/// Runs what is missing.
///
/// # Errors
/// What is wrong with a spec, before anything ran; or what kept a result from being recorded. A cell that failed is no
/// error here: see [`RunSummary::verdict`].
pub fn run(
    workspace: &Workspace,
    executor: &dyn CellExecutor,
    request: &RunRequest,
    reporter: &Reporter,
) -> Result<RunSummary, HarnessError> {
    let (cells, has_others) = checked(workspace, executor, request, reporter)?;
    let identified = cells.into_iter().map(|cell| ResolvedCell::identify(cell, workspace.root()));
    let cells: Vec<ResolvedCell> = identified.collect::<Result<_, _>>()?;
    let mut records = vec![None; cells.len()];
    let mut busy = Vec::new();
    for (position, cell) in cells.iter().enumerate() {
        reporter.cell(position + 1, cells.len(), cell);
        match Lock::try_take(workspace, &lock::of_claim(&cell.identity))? {
            Some(_claim) => records[position] = Some(run_missing(workspace, cell, request.force, reporter, &OsDisk)?),
            None => {
                reporter.note("another process is running it; its record is waited for when all others are done");
                busy.push(position);
            }
        }
    }
    for position in busy {
        let cell = &cells[position];
        reporter.cell(position + 1, cells.len(), cell);
        let _claim = Lock::wait(workspace, &lock::of_claim(&cell.identity))?;
        records[position] = Some(run_missing(workspace, cell, request.force, reporter, &OsDisk)?);
    }
    let suites = cells.iter().map(|cell| cell.cell.suite.clone()).collect();
    Ok(RunSummary { suites, records: records.into_iter().flatten().collect(), has_others })
}

/// Whether a record makes a run of this cell unnecessary.
fn stands_for(record: &CellRecord, cell: &ResolvedCell) -> bool {
    record.identity == cell.identity && record.status.is_answer() && record.cell == cell.cell.index
}

/// The record of one cell: the one it has, or that of a run.
fn run_missing(
    workspace: &Workspace,
    cell: &ResolvedCell,
    force: bool,
    reporter: &Reporter,
    disk: &dyn Disk,
) -> Result<CellRecord, HarnessError> {
    let journal = Journal::of(workspace, &cell.cell.suite);
    let contents = journal.read()?;
    if contents.torn.is_some() {
        reporter.note(&format!("{}: an unfinished last line is dropped", journal.path().display()));
    }
    let done = contents.records.into_iter().rev().find(|record| stands_for(record, cell));
    if let Some(record) = done.filter(|_| !force) {
        reporter.note(&format!(
            "recorded on {} with the same configuration, code, data and machine class; --force runs it again",
            record.provenance.started_at
        ));
        return Ok(record);
    }
    if force {
        // Opening first makes sure that no orphan is using what is about to be deleted.
        child::open_when_free(workspace, cell, reporter)?.finish()?;
    }
    let record = child::run_in_child(workspace, cell, reporter)?;
    journal.append(&record, disk)?;
    if record.status.is_answer() {
        RunFolder::discard(workspace, &cell.identity)?;
    }
    reporter.finished(&record);
    Ok(record)
}
