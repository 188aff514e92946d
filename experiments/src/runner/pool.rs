//! The cells of a request, run beside each other where the machine has room for several.

use super::child;
use super::expectation::Expectation;
use super::gate::{Demand, Gate};
use super::progress::Reporter;
use crate::atomic::{Disk, OsDisk};
use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::identity::ResolvedCell;
use crate::journal::Journal;
use crate::lock::{self, Lock};
use crate::machine;
use crate::record::CellRecord;
use crate::workspace::Workspace;
use std::sync::{Mutex, PoisonError};

/// Whether a record makes a run of this cell unnecessary.
pub(super) fn stands_for(record: &CellRecord, cell: &ResolvedCell) -> bool {
    record.identity == cell.identity && record.status.is_answer() && record.cell == cell.cell.index
}

/// What runs cells.
#[derive(Debug)]
pub(super) struct Pool<'a> {
    workspace: &'a Workspace,
    cells: &'a [ResolvedCell],
    force: bool,
    gate: Gate,
    at_once: usize,
    reporter: &'a Reporter,
}

impl<'a> Pool<'a> {
    /// For these cells, so many of them at once as memory allows.
    pub(super) fn new(
        workspace: &'a Workspace,
        cells: &'a [ResolvedCell],
        at_once: usize,
        force: bool,
        reporter: &'a Reporter,
    ) -> Self {
        let gate = Gate::new(at_once, machine::available_memory_bytes());
        Self { workspace, cells, force, gate, at_once, reporter }
    }

    /// The record of every cell: the one it has, or that of a run. Cells that another process runs are waited for last.
    ///
    /// # Errors
    /// What kept a result from being recorded; cells that run beside it then end and are recorded, and no other is begun.
    pub(super) fn run(&self) -> Result<Vec<CellRecord>, HarnessError> {
        let first = self.each((0..self.cells.len()).collect(), |position, reporter| {
            self.run_unless_busy(&self.cells[position], reporter)
        })?;
        let busy = first.iter().filter(|(_, record)| record.is_none()).map(|(position, _)| *position).collect();
        let last = self.each(busy, |position, reporter| {
            let cell = &self.cells[position];
            let _claim = Lock::wait(self.workspace, &lock::of_claim(&cell.identity))?;
            let _place = self.enter(cell, reporter)?;
            self.run_missing(cell, reporter, &OsDisk).map(Some)
        })?;
        let mut records: Vec<_> = first.into_iter().chain(last).collect();
        records.sort_by_key(|(position, _)| *position);
        Ok(records.into_iter().filter_map(|(_, record)| record).collect())
    }

    /// Works on these cells, as many at a time as may run at once, in order.
    fn each(
        &self,
        positions: Vec<usize>,
        work: impl Fn(usize, &Reporter) -> Result<Option<CellRecord>, HarnessError> + Sync,
    ) -> Result<Vec<(usize, Option<CellRecord>)>, HarnessError> {
        let workers = self.at_once.min(positions.len());
        let (queue, done) = (Mutex::new(positions.into_iter()), Mutex::new(Ok(Vec::new())));
        let done_now = || done.lock().unwrap_or_else(PoisonError::into_inner);
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next().filter(|_| done_now().is_ok());
        let worker = || {
            while let Some(position) = next() {
                let reporter = self.reporter.of_cell((self.at_once > 1).then_some(position + 1));
                reporter.cell(position + 1, self.cells.len(), &self.cells[position]);
                let outcome = work(position, &reporter);
                let mut done = done_now();
                match (outcome, done.as_mut()) {
                    (Ok(record), Ok(records)) => records.push((position, record)),
                    (Err(error), Ok(_)) => *done = Err(error),
                    // The first error is the one that is told.
                    (_, Err(_)) => {}
                }
            }
        };
        // The last worker is this thread, so that children of a run of one cell at a time are those of the main thread.
        std::thread::scope(|scope| {
            (1..workers).for_each(|_| drop(scope.spawn(worker)));
            worker();
        });
        done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of a cell, unless another process is running it.
    fn run_unless_busy(&self, cell: &ResolvedCell, reporter: &Reporter) -> Result<Option<CellRecord>, HarnessError> {
        // One that is recorded needs no room.
        if let Some(record) = self.recorded(cell)? {
            say_recorded(&record, reporter);
            return Ok(Some(record));
        }
        let _place = self.enter(cell, reporter)?;
        match Lock::try_take(self.workspace, &lock::of_claim(&cell.identity))? {
            Some(_claim) => self.run_missing(cell, reporter, &OsDisk).map(Some),
            None => {
                reporter.note("another process is running it; its record is waited for when all others are done");
                Ok(None)
            }
        }
    }

    /// Waits until there is room for a cell.
    fn enter(&self, cell: &ResolvedCell, reporter: &Reporter) -> Result<super::gate::Place<'_>, HarnessError> {
        let config = &cell.cell.config;
        let demand = || {
            let records = Journal::of(self.workspace, &cell.cell.suite).read()?.records;
            let memory_bytes = Expectation::of(cell, &records).memory_bytes_beside_siblings(config);
            Ok(Demand { memory_bytes, device: config.engine.device })
        };
        self.gate.enter(demand, |reason| reporter.note(&reason))
    }

    /// The record that makes a run of a cell unnecessary, if it has one.
    fn recorded(&self, cell: &ResolvedCell) -> Result<Option<CellRecord>, HarnessError> {
        let records = Journal::of(self.workspace, &cell.cell.suite).read()?.records;
        Ok(records.into_iter().rev().find(|record| stands_for(record, cell) && !self.force))
    }

    /// The record of a cell that this process has the claim of: the one that another process has made meanwhile, or that of a run.
    fn run_missing(
        &self,
        cell: &ResolvedCell,
        reporter: &Reporter,
        disk: &dyn Disk,
    ) -> Result<CellRecord, HarnessError> {
        let journal = Journal::of(self.workspace, &cell.cell.suite);
        if journal.read()?.torn.is_some() {
            reporter.note(&format!("{}: an unfinished last line is dropped", journal.path().display()));
        }
        if let Some(record) = self.recorded(cell)? {
            say_recorded(&record, reporter);
            return Ok(record);
        }
        if self.force {
            // Opening first makes sure that no orphan is using what is about to be deleted.
            child::open_when_free(self.workspace, cell, reporter)?.finish()?;
        }
        let record = child::run_in_child(self.workspace, cell, reporter)?;
        journal.append(&record, disk)?;
        if record.status.is_answer() {
            RunFolder::discard(self.workspace, &cell.identity)?;
        }
        reporter.finished(&record);
        Ok(record)
    }
}

fn say_recorded(record: &CellRecord, reporter: &Reporter) {
    reporter.note(&format!(
        "recorded on {} with the same configuration, code, data and machine class; --force runs it again",
        record.provenance.started_at
    ));
}
