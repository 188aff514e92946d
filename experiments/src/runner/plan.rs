//! What a run would do, found out without running anything.

use super::pool::stands_for;
use super::{Expectation, RunRequest};
use crate::error::HarnessError;
use crate::identity::ResolvedCell;
use crate::journal::Journal;
use crate::lock::{self, Lock};
use crate::machine::Machine;
use crate::spec::{ComputeDevice, Suite};
use crate::workspace::Workspace;
use std::fmt;

/// What a run would make of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Nothing: it has a record of the same identity.
    Recorded,
    /// Start it.
    Run,
    /// Go on where an interrupted run stopped.
    Resume,
    /// Wait for its record: another process is running it.
    Wait,
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recorded => "recorded",
            Self::Run => "to run",
            Self::Resume => "to resume",
            Self::Wait => "being run",
        })
    }
}

/// A cell of a request and what is known about it.
#[derive(Clone, Debug)]
pub struct PlannedCell {
    /// The cell, as it would run here and now.
    pub cell: ResolvedCell,
    /// What would become of it.
    pub intent: Intent,
    /// What is known of it beforehand.
    pub expected: Expectation,
}

/// Reads, checks and identifies all cells of a request as [`super::run`] does, and stops there. What only the engine
/// can check is left out, and with it calibration: a model without stored ranges is identified without them.
///
/// # Errors
/// What is wrong with a spec, a named file that cannot be read, or a damaged journal.
pub fn plan(workspace: &Workspace, request: &RunRequest) -> Result<Vec<PlannedCell>, HarnessError> {
    plan_on(workspace, request, |device| Machine::detect().computing_on(device))
}

/// The same for runs on other machines: a GPU need not be here, and a cell for one that is not has no record of it.
///
/// # Errors
/// As [`plan`].
pub fn plan_elsewhere(workspace: &Workspace, request: &RunRequest) -> Result<Vec<PlannedCell>, HarnessError> {
    plan_on(workspace, request, |device| {
        Ok(Machine::detect().computing_on(device).unwrap_or_else(|_| Machine::detect()))
    })
}

fn plan_on(
    workspace: &Workspace,
    request: &RunRequest,
    machine: impl Fn(ComputeDevice) -> Result<Machine, HarnessError>,
) -> Result<Vec<PlannedCell>, HarnessError> {
    let mut planned = Vec::new();
    for spec in &request.specs {
        let suite = Suite::load(spec, &request.overrides, workspace.root())?;
        let records = Journal::of(workspace, &suite.name).read()?.records;
        for cell in request.of(suite)? {
            let cell = ResolvedCell::identify_on(machine(cell.config.engine.device)?, cell, workspace.root())?;
            let recorded = records.iter().any(|record| stands_for(record, &cell));
            let intent = if recorded && !request.force {
                Intent::Recorded
            } else if !workspace.run_folder(&cell.identity).is_dir() {
                Intent::Run
            } else if Lock::try_take(workspace, &lock::of_claim(&cell.identity))?.is_none() {
                Intent::Wait
            } else if request.force {
                // A run that is forced starts from the beginning.
                Intent::Run
            } else {
                Intent::Resume
            };
            let expected = Expectation::of(&cell, &records);
            planned.push(PlannedCell { cell, intent, expected });
        }
    }
    Ok(planned)
}
