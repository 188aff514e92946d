//! What every row of a comparison must hold to be believed.

use super::record::Problems;
use crate::comparison::{Basis, Measurement};
use crate::record::Status;

/// What is wrong with a row, each with its key.
pub(super) fn problems(row: &Measurement) -> Vec<String> {
    let mut problems = Problems::default();
    problems.require_machine("machine", &row.machine);
    problems.require_commit("commit", &row.commit);
    problems.require_time_stamp("date", &row.date);
    let ok = row.status == Status::Ok;
    match &row.reason {
        Some(reason) if ok => problems.add("reason", format!("is `{reason}`, but measuring ended ok")),
        None if !ok => problems.add("reason", format!("is missing; a row that ended as {} says why", row.status)),
        _ => {}
    }
    for (key, text) in [("library", &row.library), ("operation", &row.operation), ("sources", &row.sources)] {
        if text.trim().is_empty() {
            problems.add(key, "is empty, and nothing else says it");
        }
    }
    if row.batch == 0 || row.threads == 0 {
        problems.add("batch", format!("is {} on {} threads, both must be positive", row.batch, row.threads));
    }
    match row.seconds {
        None if ok => problems.add("seconds", "is missing, but measuring ended ok"),
        Some(spread) if !(0.0 < spread.min && spread.min <= spread.median && spread.median <= spread.max) => {
            let (min, median, max) = (spread.min, spread.median, spread.max);
            let problem = format!("has least {min}, median {median} and greatest {max}, which are in no order");
            problems.add("seconds", problem);
        }
        _ => {}
    }
    if ok && row.basis == Basis::Measured && row.runs.is_none_or(|runs| runs == 0) {
        problems.add("runs", "is missing, but a measured time is that of so many calls");
    }
    problems.into_vec()
}
