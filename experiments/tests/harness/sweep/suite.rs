//! A suite of made-up records that differ as those of a sweep do.

use crate::fixture;
use experiments::atomic::OsDisk;
use experiments::journal::Journal;
use experiments::record::{CellRecord, Status};
use experiments::workspace::Workspace;
use std::path::PathBuf;

/// Three sizes of block, without and with a public prefix: more cells than are shown one by one.
pub(crate) const SIZES: &str =
    "\n[sweep.product]\ninput.block_tokens = [8, 16, 32]\nmitigation.prepend = [false, true]\n";

/// The records of a sweep, in the order of its cells; larger cells are better and cost more.
pub(crate) fn records(sweep: &str, workspace: &Workspace) -> Vec<CellRecord> {
    let mut records = fixture::records(&format!("{}{sweep}", fixture::SPEC), workspace.root());
    for (index, record) in records.iter_mut().enumerate() {
        let better = 4f64.powi(-(index as i32));
        record.agreement[0].kl_mean = 3e-3 * better;
        record.agreement[0].perplexity = Some(17.8123 * (1.0 + 0.02 * better));
        *record.counts.get_mut("half_bootstraps").unwrap() += 20 * index as u64;
        record.seconds.total += 60.0 * index as f64;
    }
    records
}

/// Turns a record into that of a cell which did not succeed.
pub(crate) fn without_result(record: &mut CellRecord, status: Status, reason: &str) {
    record.status = status;
    record.reason = Some(reason.into());
    record.agreement.clear();
    record.counts.clear();
    record.layer_errors.clear();
    record.polynomials.clear();
    record.seconds = Default::default();
}

pub(crate) fn append(records: &[CellRecord], workspace: &Workspace) {
    let journal = Journal::of(workspace, "sample");
    records.iter().for_each(|record| journal.append(record, &OsDisk).unwrap());
}

/// The text of a file.
pub(crate) fn text(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
