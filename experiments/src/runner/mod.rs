//! Runs the missing cells of suites, each in a child process, and records how every one of them ended.
//!
//! All specs are read, checked and identified before the first child starts. A cell that already has an ok record of
//! the same identity is not run again. Whatever a child does, including being killed, its cell ends as a row.
//!
//! Processes that run the same suite in one workspace share its cells: each is run by one of them, and the others, once
//! they have done what was free, wait for its record. One process runs several beside each other where it is asked to and what they
//! will hold fits into the memory that is free.

mod child;
mod expectation;
mod gate;
mod plan;
mod pool;
mod progress;

pub use child::execute_cell;
pub use expectation::Expectation;
pub use plan::{Intent, PlannedCell, plan, plan_elsewhere};
pub use progress::Reporter;

use crate::error::HarnessError;
use crate::executor::CellExecutor;
use crate::identity::ResolvedCell;
use crate::record::{CellRecord, Status};
use crate::spec::{Cell, Override, Suite};
use crate::workspace::Workspace;
use pool::Pool;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
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
    /// How many cells may run at once; absent, one. Cells that would take all cores of this machine each take their share of them.
    pub jobs: Option<NonZeroUsize>,
}

impl RunRequest {
    fn at_once(&self) -> usize {
        self.jobs.map_or(1, NonZeroUsize::get)
    }

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
    let at_once = request.at_once().min(cells.len());
    let identified = cells.into_iter().map(|cell| ResolvedCell::identify(cell, workspace.root()));
    let identified = identified.map(|cell| cell.map(|cell| ResolvedCell { at_once, ..cell }));
    let cells: Vec<ResolvedCell> = identified.collect::<Result<_, _>>()?;
    let records = Pool::new(workspace, &cells, at_once, request.force, reporter).run()?;
    let suites = cells.iter().map(|cell| cell.cell.suite.clone()).collect();
    Ok(RunSummary { suites, records, has_others })
}
