//! What a run would do, found out without running anything.

use super::{RunRequest, stands_for};
use crate::error::HarnessError;
use crate::identity::ResolvedCell;
use crate::journal::Journal;
use crate::lock::{self, Lock};
use crate::machine::Machine;
use crate::record::{CellRecord, Prediction};
use crate::spec::{ComputeDevice, Mode, Suite};
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
    /// The last record of the same configuration, whatever code, data and machine it was made with.
    pub last: Option<CellRecord>,
    /// What was predicted last of encrypting the same circuit and input, in whatever mode.
    pub predicted: Option<Prediction>,
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
            let last = records.iter().rev().find(|record| record.config_hash == cell.config_hash).cloned();
            let predicted = predicted(&CellRecord::begin(&cell), &records);
            planned.push(PlannedCell { cell, intent, last, predicted });
        }
    }
    Ok(planned)
}

/// Who computes and how does not change what encryption takes in operations and bytes, and a prediction names its devices.
fn predicted(begun: &CellRecord, records: &[CellRecord]) -> Option<Prediction> {
    let of_circuit = |record: &CellRecord| {
        let is_how =
            |key: &str| matches!(key, "mode" | "engine.device" | "engine.threads") || key.starts_with("limits.");
        let asked = record.config.iter().filter(|(key, _)| !is_how(key));
        asked.map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>()
    };
    let wanted = of_circuit(begun);
    let same =
        records.iter().rev().filter(|record| record.repetition == begun.repetition && of_circuit(record) == wanted);
    same.filter(|_| begun.mode == Mode::Encrypted).find_map(|record| record.predicted.clone())
}
