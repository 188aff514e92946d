//! A comparison as a page and on a terminal. A time stands in the column of its kind alone.

mod cells;
mod rows;

pub(super) use rows::frame;

use super::grid::{Grid, Side};
use super::latex;
use crate::comparison::{Compared, Comparison, Entry, OnMachine};
use crate::format;
use cells::Cells;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What is explained wherever the columns are shown.
pub(crate) const LEGEND: &str = "Measured: median (least to greatest) on this machine. Predicted: from counts of the engine's kernels \
     and the constants of a device. Reported: published by others, mostly on other hardware. A ratio is between two \
     measurements with equally many threads. Bits are minus log2 of the mean and the worst error of values in [-1, 1].";

/// The whole page.
pub(super) fn page(comparison: &Comparison) -> String {
    let spec = &comparison.spec;
    let records = spec.records.display();
    let mut page = format!("# {}\n\n{}\n\n", spec.name, spec.question);
    let _ = writeln!(page, "Derived from `{records}` by `fhe-llama compare`; do not edit.\n\n{LEGEND}\n");
    for machine in &comparison.machines {
        let memory = format::bytes(machine.machine.memory_bytes);
        let _ = writeln!(page, "## {}, {memory}\n", machine.machine.name());
        page += &lines(comparison, machine).markdown();
        if !machine.verdicts(&spec.ours).is_empty() {
            let _ = write!(page, "### Targets\n\n{}", targets(comparison, machine).markdown());
        }
        let _ = write!(page, "### Provenance\n\n{}", provenance(machine).markdown());
    }
    page.trim_end().to_string() + "\n"
}

/// The same lines without remarks for LaTeX, a table for each machine.
pub(super) fn paper(comparison: &Comparison) -> String {
    let spec = &comparison.spec;
    let mut text = latex::head(&spec.records.display().to_string(), "fhe-llama compare");
    for (index, machine) in comparison.machines.iter().enumerate() {
        let mut grid = grid(false);
        for (title, lines) in sections(comparison, machine) {
            grid.group(&title);
            lines.into_iter().for_each(|cells| grid.row(cells.shown(false)));
        }
        let label = if index == 0 { spec.name.clone() } else { format!("{}-{index}", spec.name) };
        text += &latex::table(&label, &format!("{} {}.", spec.question, machine.machine.name()), &grid);
    }
    text
}

/// Every line of a machine with all that is known of it, operation by operation.
pub(crate) fn lines(comparison: &Comparison, machine: &OnMachine) -> Grid {
    let mut grid = grid(true);
    for (title, lines) in sections(comparison, machine) {
        grid.group(&title);
        lines.into_iter().for_each(|cells| grid.row(cells.shown(true)));
    }
    grid
}

/// The same lines for a terminal, without remarks; why something was not measured follows the table, once a reason.
pub(super) fn summary(comparison: &Comparison) -> String {
    let mut text = format!("{}\n", comparison.spec.question);
    for machine in &comparison.machines {
        let _ = writeln!(text, "\n{}\n", machine.machine.name());
        let mut grid = grid(false);
        let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut disturbed: Vec<String> = Vec::new();
        for (title, lines) in sections(comparison, machine) {
            grid.group(&title);
            for cells in lines {
                if let Some(reason) = &cells.missing {
                    add_once(reasons.entry(reason.clone()).or_default(), &cells.library);
                }
                if cells.disturbed {
                    add_once(&mut disturbed, &cells.library);
                }
                grid.row(cells.shown(false));
            }
        }
        text += &grid.text();
        for (reason, libraries) in reasons {
            let _ = writeln!(text, "not measured ({}): {reason}", libraries.join(", "));
        }
        if !disturbed.is_empty() {
            let _ = writeln!(text, "DISTURBED by other work, the remarks say how much: {}", disturbed.join(", "));
        }
        if !machine.verdicts(&comparison.spec.ours).is_empty() {
            let _ = write!(text, "\nTargets\n{}", targets(comparison, machine).text());
        }
    }
    text
}

fn add_once(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.into());
    }
}

fn grid(whole: bool) -> Grid {
    let start = [("library", Side::Left), ("threads", Side::Right)];
    let numbers = ["measured", "predicted", "reported", "x ours", "bits mean / worst", "levels left"];
    let numbers = numbers.map(|name| (name, Side::Right));
    let end = [("memory", Side::Right), ("parameters", Side::Left), ("remark", Side::Left)];
    Grid::new(start.into_iter().chain(numbers).chain(end.into_iter().filter(|_| whole)))
}

/// Title and lines of each operation of which anything is known.
fn sections(comparison: &Comparison, machine: &OnMachine) -> Vec<(String, Vec<Cells>)> {
    let known = machine.operations.iter().filter(|compared| !compared.entries.is_empty());
    let section = |compared: &Compared| {
        let operation = &compared.operation;
        let lines = compared.entries.iter().map(|entry| Cells::of(comparison, operation, entry));
        (format!("{}, {}", operation.label, operation.unit.symbol()), lines.collect())
    };
    known.map(section).collect()
}

/// Our times held against the spec's targets.
pub(crate) fn targets(comparison: &Comparison, machine: &OnMachine) -> Grid {
    let numbers = ["threads", "must", "goal", "measured"].map(|name| (name, Side::Right));
    let mut grid = Grid::new([("operation", Side::Left)].into_iter().chain(numbers).chain([("", Side::Left)]));
    for verdict in machine.verdicts(&comparison.spec.ours) {
        let symbol = verdict.operation.unit.symbol();
        let time = |value: Option<f64>| {
            value.map_or("-".into(), |value| format!("{} {symbol}", format::significant(value, 3)))
        };
        grid.row([
            verdict.operation.label.clone(),
            verdict.target.threads.to_string(),
            time(verdict.target.must),
            time(verdict.target.goal),
            time(verdict.measured),
            verdict.outcome().into(),
        ]);
    }
    grid
}

/// The versions and commits that a machine's rows come from, each once.
fn provenance(machine: &OnMachine) -> Grid {
    let mut grid = Grid::new(["library", "basis", "commit", "sources", "date"].map(|name| (name, Side::Left)));
    let mut seen: Vec<Origin> = Vec::new();
    for origin in machine.operations.iter().flat_map(|compared| &compared.entries).filter_map(origin) {
        if !seen.contains(&origin) {
            seen.push(origin);
        }
    }
    for Origin { library, basis, commit, sources, day, .. } in seen {
        grid.row([library, basis.into(), commit, format!("`{sources}`"), day]);
    }
    grid
}

/// Where a row comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Origin {
    /// The library by its name in records.
    pub(crate) id: String,
    /// The same with its version.
    pub(crate) library: String,
    /// `measured` or `predicted`.
    pub(crate) basis: &'static str,
    /// The commit in short, marked if files differed from it.
    pub(crate) commit: String,
    /// Hash of the files that the figure depends on.
    pub(crate) sources: String,
    /// The day it was made.
    pub(crate) day: String,
}

/// Where an entry comes from, if a row of the records is behind it.
pub(crate) fn origin(entry: &Entry) -> Option<Origin> {
    let (row, basis) = match entry {
        Entry::Measured { row, .. } => (row, "measured"),
        Entry::Predicted { row, .. } => (row, "predicted"),
        Entry::Reported(_) | Entry::Missing { .. } => return None,
    };
    let commit = row.commit.get(..10).unwrap_or("no commit").to_string();
    Some(Origin {
        id: row.library.clone(),
        library: format!("{} {}", row.library, row.version),
        basis,
        commit: if row.dirty { format!("{commit}, modified") } else { commit },
        sources: row.sources.clone(),
        day: row.date.get(..10).unwrap_or(&row.date).to_string(),
    })
}
