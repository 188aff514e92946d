//! Runs a cell on the engine: client, server, comparison with the float model.

use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::executor::CellExecutor;
use crate::identity::ResolvedCell;
use crate::record::CellRecord;
use crate::spec::Cell;
use std::path::Path;

/// The engine of this workspace.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineExecutor;

impl CellExecutor for EngineExecutor {
    fn preflight(&self, _cell: &Cell, _root: &Path, _progress: &dyn ProgressSink) -> Result<(), HarnessError> {
        Err(HarnessError::NotBuilt { what: "the encrypted model" })
    }

    fn execute(
        &self,
        _cell: &ResolvedCell,
        _folder: &RunFolder,
        _progress: &dyn ProgressSink,
    ) -> Result<CellRecord, HarnessError> {
        Err(HarnessError::NotBuilt { what: "the encrypted model" })
    }
}
