//! The boundary between the harness and what it measures.

use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::identity::ResolvedCell;
use crate::record::CellRecord;
use crate::spec::Cell;
use std::path::Path;

/// Runs cells. The harness knows nothing about encryption beyond this trait; tests run it with a scripted one.
pub trait CellExecutor: Sync {
    /// Checks in the parent process, before any cell runs, what only the engine can check: parameter names, security,
    /// the model's files, prompts against tokenizer, block and ranges. May store derived inputs such as calibrated
    /// ranges; the cell is identified afterwards. Relative paths of the configuration start at `root`.
    ///
    /// # Errors
    /// What is wrong with the spec or its inputs, naming the key or file.
    fn preflight(&self, cell: &Cell, root: &Path, progress: &dyn ProgressSink) -> Result<(), HarnessError>;

    /// Runs one cell in a process of its own and returns its record, begun with [`CellRecord::begin`]. Finished layers
    /// are stored in `folder`; what is found there already is not computed again.
    ///
    /// # Errors
    /// What stopped it. The cell then becomes a row with status failed and this message.
    fn execute(
        &self,
        cell: &ResolvedCell,
        folder: &RunFolder,
        progress: &dyn ProgressSink,
    ) -> Result<CellRecord, HarnessError>;
}
