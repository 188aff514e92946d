//! Executes a cell on the engine: encrypted, in the clear, or metered.
//!
//! [`prepared`] reads and checks everything public; [`encrypted`], [`in_clear`] and [`metered`] run the same [`decoder`] over their
//! evaluators, attended by [`attendant`], which times phases and compares what passes by with a [`reference`]. After every
//! layer an encrypted run stores its [`state`].

mod attendant;
mod decoder;
mod encrypted;
mod in_clear;
mod metered;
mod pace;
mod prepared;
mod reference;
mod state;

use std::path::Path;
use std::time::Instant;

use prepared::Prepared;

use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::executor::CellExecutor;
use crate::identity::ResolvedCell;
use crate::machine;
use crate::record::CellRecord;
use crate::spec::{Cell, Mode};

/// Runs cells on this project's engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineExecutor;

impl CellExecutor for EngineExecutor {
    fn preflight(&self, cell: &Cell, root: &Path, progress: &dyn ProgressSink) -> Result<(), HarnessError> {
        Prepared::new(cell, root, progress)?.reference()?;
        Ok(())
    }

    fn execute(
        &self,
        cell: &ResolvedCell,
        folder: &RunFolder,
        progress: &dyn ProgressSink,
    ) -> Result<CellRecord, HarnessError> {
        let start = Instant::now();
        use_threads(cell.cell.config.threads())?;
        let mut record = CellRecord::begin(cell);
        let (prepared, seconds) = progress.phase("set-up", || Prepared::new(&cell.cell, &cell.root, progress));
        let prepared = prepared?;
        record.seconds.set_up = seconds;
        prepared.describe(&mut record);
        match cell.cell.config.mode {
            Mode::Encrypted => encrypted::run(&prepared, folder, start, progress, &mut record)?,
            Mode::Clear => in_clear::run(&prepared, progress, &mut record)?,
            Mode::Metered => metered::run(&prepared, progress, &mut record)?,
        }
        record.seconds.total += start.elapsed().as_secs_f64();
        record.footprint.peak_memory_bytes = record.footprint.peak_memory_bytes.max(machine::peak_memory_bytes());
        Ok(record)
    }
}

/// Sets the number of worker threads of this process, once.
fn use_threads(threads: usize) -> Result<(), HarnessError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .or_else(|error| if rayon::current_num_threads() == threads { Ok(()) } else { Err(error) })
        .map_err(|error| HarnessError::execution("start the worker threads", error))
}
