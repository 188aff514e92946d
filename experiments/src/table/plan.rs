//! What a terminal shows of a run that is only planned.

use super::grid::{Grid, Side};
use crate::format;
use crate::record::{CellRecord, Prediction, Status, repetitions, short_names, varied};
use crate::runner::{Intent, PlannedCell};
use std::fmt::Write;

/// A row for each cell: its settings where they differ, what would become of it, and what is known of its last run.
pub(super) fn plan(planned: &[PlannedCell]) -> String {
    let begun: Vec<CellRecord> = planned.iter().map(|planned| CellRecord::begin(&planned.cell)).collect();
    let begun: Vec<&CellRecord> = begun.iter().collect();
    let settings: Vec<_> = varied(&begun).into_iter().chain(repetitions(&begun)).collect();
    let names = short_names(&settings.iter().collect::<Vec<_>>());
    let suites = begun.iter().any(|record| record.suite != begun[0].suite);
    let start = suites.then(|| ("suite".to_string(), Side::Left)).into_iter().chain([("cell".into(), Side::Right)]);
    let is_predicted = planned.iter().any(|planned| planned.expected.predicted.is_some());
    let end = ["intent", "last record of this configuration"].into_iter();
    let end =
        end.chain(is_predicted.then_some("predicted of its encryption")).map(|name| (name.to_string(), Side::Left));
    let columns = start.chain(names.into_iter().map(|name| (name, Side::Left))).chain(end);
    let mut grid = Grid::new(columns);
    let labels: Vec<Vec<String>> = settings.iter().map(|setting| setting.labels()).collect();
    for (index, planned) in planned.iter().enumerate() {
        let suite = suites.then(|| planned.cell.cell.suite.clone());
        let cell = planned.cell.cell.index.to_string();
        let choices = labels.iter().map(|labels| labels[index].clone());
        let last = planned.expected.last.as_ref().map_or("none".into(), last);
        let row = suite.into_iter().chain([cell]).chain(choices);
        let predicted = is_predicted.then(|| planned.expected.predicted.as_ref().map_or("nothing".into(), predicted));
        grid.row(row.chain([planned.intent.to_string(), last]).chain(predicted));
    }
    let mut text = grid.text();
    let count = |intent: Intent| planned.iter().filter(|planned| planned.intent == intent).count();
    // What other processes do is news only where there are some.
    let shown = [Intent::Recorded, Intent::Resume, Intent::Run, Intent::Wait];
    let shown = shown.into_iter().filter(|intent| *intent != Intent::Wait || count(*intent) > 0);
    let counted: Vec<String> = shown.map(|intent| format!("{} {intent}", count(intent))).collect();
    let _ = writeln!(text, "{} cells: {}", planned.len(), counted.join(", "));
    text
}

/// How the last run of a configuration ended: what it took is no promise for another machine or other code.
fn last(record: &CellRecord) -> String {
    let from = &record.provenance;
    let outcome = match record.status {
        Status::Ok => format!("took {} when measured", format::seconds(record.seconds.total)),
        status => format!("{status}, recorded"),
    };
    format!(
        "{outcome} on {} ({}, {} threads, code {})",
        from.started_at,
        from.machine.name(),
        from.threads,
        from.code.short()
    )
}

/// Memory, and time where it is predicted to be longest and shortest.
fn predicted(prediction: &Prediction) -> String {
    let memory = format::bytes(prediction.peak_memory_bytes.max(prediction.server_memory_bytes));
    let on = |index: Option<usize>| {
        let predicted = prediction.seconds.get(index?)?;
        Some(format!("{} on {}", format::seconds(predicted.seconds), predicted.device))
    };
    let last = prediction.seconds.len().checked_sub(1);
    let times = [on(Some(0)), on(last.filter(|last| *last > 0))];
    [Some(memory)].into_iter().chain(times).flatten().collect::<Vec<_>>().join(", ")
}
