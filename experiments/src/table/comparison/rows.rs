//! A comparison as a data frame.

use crate::comparison::{Comparison, Entry, Measurement, Operation, Spread};
use crate::table::frame::{self, Row, push};
use polars::prelude::DataFrame;

/// One row per line of the page, every number a column. Times are those of one operation.
pub(in crate::table) fn frame(comparison: &Comparison) -> Result<DataFrame, String> {
    let mut rows = Vec::new();
    for machine in &comparison.machines {
        for compared in &machine.operations {
            let entries = compared.entries.iter();
            rows.extend(entries.map(|entry| record(&machine.machine.name(), &compared.operation, entry)));
        }
    }
    frame::frame(rows)
}

fn record(machine: &str, operation: &Operation, entry: &Entry) -> Row {
    let mut row = Row::new();
    push(&mut row, "machine", machine);
    push(&mut row, "operation", operation.id.as_str());
    match entry {
        Entry::Measured { row: from, each, times_ours } => {
            push(&mut row, "basis", "measured");
            record_row(&mut row, from, each);
            push(&mut row, "times_ours", *times_ours);
        }
        Entry::Predicted { row: from, seconds } => {
            push(&mut row, "basis", "predicted");
            record_row(&mut row, from, &Spread { median: *seconds, min: *seconds, max: *seconds });
        }
        Entry::Reported(reported) => {
            push(&mut row, "basis", "reported");
            push(&mut row, "library", reported.system.as_str());
            push(&mut row, "parameters", reported.parameters.as_str());
            push(&mut row, "hardware", reported.hardware.as_str());
            push(&mut row, "seconds_median", reported.seconds);
            push(&mut row, "confidence", reported.confidence.to_string().as_str());
            push(&mut row, "source", reported.source.as_str());
            push(&mut row, "note", reported.note.as_str());
        }
        Entry::Missing { library, threads, parameters, reason, .. } => {
            push(&mut row, "basis", "missing");
            push(&mut row, "library", library.as_str());
            push(&mut row, "parameters", parameters.as_str());
            push(&mut row, "threads", *threads);
            push(&mut row, "reason", reason.as_str());
        }
    }
    row
}

fn record_row(row: &mut Row, from: &Measurement, each: &Spread) {
    push(row, "library", from.library.as_str());
    push(row, "version", from.version.as_str());
    push(row, "parameters", from.parameters.as_str());
    push(row, "limbs", from.limbs);
    push(row, "batch", from.batch);
    push(row, "threads", from.threads);
    push(row, "seconds_median", each.median);
    push(row, "seconds_min", each.min);
    push(row, "seconds_max", each.max);
    push(row, "runs", from.runs);
    push(row, "processor_seconds", from.processor_seconds);
    push(row, "bits_mean", from.bits.map(|bits| bits.mean));
    push(row, "bits_worst", from.bits.map(|bits| bits.worst));
    push(row, "levels_left", from.levels_left);
    push(row, "level_bits", from.level_bits);
    push(row, "modulus_bits", from.modulus_bits);
    push(row, "memory_bytes", from.memory_bytes);
    push(row, "key_bytes", from.key_bytes);
    push(row, "table_bytes", from.table_bytes);
    push(row, "waiting_share", from.waiting_share);
    push(row, "note", from.note.as_str());
    push(row, "date", from.date.as_str());
    push(row, "commit", from.commit.as_str());
    push(row, "dirty", from.dirty);
    push(row, "sources", from.sources.as_str());
}
