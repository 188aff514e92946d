//! What a run would do, found out without running anything.

use super::{RunRequest, stands_for};
use crate::error::HarnessError;
use crate::identity::ResolvedCell;
use crate::journal::Journal;
use crate::record::CellRecord;
use crate::spec::Suite;
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
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recorded => "recorded",
            Self::Run => "to run",
            Self::Resume => "to resume",
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
    /// The last record of the same configuration, whatever code, data and machine it was made with.
    pub last: Option<CellRecord>,
}

/// Reads, checks and identifies all cells of a request as [`super::run`] does, and stops there. What only the engine
/// can check is left out, and with it calibration: a model without stored ranges is identified without them.
///
/// # Errors
/// What is wrong with a spec, a named file that cannot be read, or a damaged journal.
pub fn plan(workspace: &Workspace, request: &RunRequest) -> Result<Vec<PlannedCell>, HarnessError> {
    let mut planned = Vec::new();
    for spec in &request.specs {
        let suite = Suite::load(spec, &request.overrides, workspace.root())?;
        let records = Journal::of(workspace, &suite.name).read()?.records;
        for cell in request.of(suite)? {
            let cell = ResolvedCell::identify(cell, workspace.root())?;
            let recorded = records.iter().any(|record| stands_for(record, &cell));
            let intent = match recorded && !request.force {
                true => Intent::Recorded,
                // A run that is forced starts from the beginning.
                false if !request.force && workspace.run_folder(&cell.identity).is_dir() => Intent::Resume,
                false => Intent::Run,
            };
            let last = records.iter().rev().find(|record| record.config_hash == cell.config_hash).cloned();
            planned.push(PlannedCell { cell, intent, last });
        }
    }
    Ok(planned)
}
