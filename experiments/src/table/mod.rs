//! Tables derived from a suite's journal, and from nothing else.
//!
//! | file | rows |
//! |---|---|
//! | `SUITE.parquet`, `SUITE.csv` | one per standing cell, every number a column |
//! | `SUITE-layers.parquet`, `.csv` | one per cell, reference, layer and site: errors of intermediate values |
//! | `SUITE-positions.parquet`, `.csv` | one per cell, reference and token position: agreement of the logits |
//! | `SUITE-heads.parquet`, `.csv` | one per cell and query head, where SoftMax was computed alone |
//! | `SUITE.tex` | for a paper: one per cell, what was varied and what came of it |
//! | `SUITE.md` | for people: rounded, with units and provenance; many cells are rows there, too |
//!
//! A comparison has one `SUITE.parquet` and `SUITE.csv` with a row per line of its `SUITE.md`, and those as
//! `SUITE.tex`.

mod comparison;
mod frame;
mod generation;
mod grid;
mod heading;
mod latex;
mod markdown;
mod metrics;
mod names;
mod plan;
mod regression;
mod softmax;
mod sweep;
mod terminal;
mod windows;

pub(crate) use comparison::{
    LEGEND as COMPARISON_LEGEND, Origin, lines as comparison_lines, origin, targets as comparison_targets,
};
pub(crate) use generation::tokens as generated_tokens;
pub(crate) use grid::{Grid, Line, Side};
pub(crate) use heading::heading;
pub(crate) use markdown::{LAYERS_EXPLAINED, continuations, layer_errors, summary as all_metrics};
pub(crate) use metrics::{Section, named, sections};

use crate::atomic::{Access, OsDisk, replace};
use crate::check::Regression;
use crate::comparison::Comparison;
use crate::error::HarnessError;
use crate::journal::Journal;
use crate::record::{CellRecord, standing};
use crate::runner::PlannedCell;
use crate::workspace::Workspace;
use polars::prelude::{CsvWriter, DataFrame, ParquetWriter, SerWriter};
use std::path::{Path, PathBuf};

/// So many cells are shown side by side, with all that is known of each; more than that are rows.
const FEW: usize = 4;

/// Writes all tables of a suite and returns their paths; the last one is the Markdown table.
///
/// # Errors
/// [`HarnessError::NoRecords`], a damaged journal, or a failed write. Each file is replaced whole or not at all.
pub fn derive(workspace: &Workspace, suite: &str) -> Result<Vec<PathBuf>, HarnessError> {
    if let Some(comparison) = Comparison::of_suite(workspace, suite)? {
        return derive_comparison(workspace, &comparison);
    }
    let journal = Journal::of(workspace, suite);
    let records = journal.read()?.records;
    if records.is_empty() {
        return Err(HarnessError::NoRecords {
            suite: suite.into(),
            path: journal.path().into(),
            writer: "fhe-llama run",
        });
    }
    let rows = standing(&records);
    let mut written = Vec::new();
    for (suffix, frame) in [
        ("", frame::cells(&rows)),
        ("-layers", frame::layer_errors(&rows)),
        ("-positions", frame::positions(&rows)),
        ("-heads", softmax::heads(&rows)),
    ] {
        let parquet = workspace.result(suite, &format!("{suffix}.parquet"));
        let csv = workspace.result(suite, &format!("{suffix}.csv"));
        let failed = |message| HarnessError::Table { path: parquet.clone(), message };
        let mut frame = frame.map_err(failed)?;
        // A mode without numbers, such as metered, has no rows by layer or position.
        if frame.height() > 0 {
            write_frame(&mut frame, &parquet, &csv)?;
            written.extend([parquet, csv]);
        }
    }
    let paper = workspace.result(suite, ".tex");
    replace(&OsDisk, &paper, latex::file(suite, &rows).as_bytes(), Access::Shared)?;
    written.push(paper);
    let page = workspace.result(suite, ".md");
    replace(&OsDisk, &page, markdown::page(suite, &rows).as_bytes(), Access::Shared)?;
    written.push(page);
    Ok(written)
}

/// As [`derive`], for a comparison that need not be a committed suite.
///
/// # Errors
/// A failed write. Each file is replaced whole or not at all.
pub fn derive_comparison(workspace: &Workspace, comparison: &Comparison) -> Result<Vec<PathBuf>, HarnessError> {
    let [parquet, csv, paper, page] =
        [".parquet", ".csv", ".tex", ".md"].map(|suffix| workspace.result(&comparison.spec.name, suffix));
    let failed = |message| HarnessError::Table { path: parquet.clone(), message };
    write_frame(&mut comparison::frame(comparison).map_err(failed)?, &parquet, &csv)?;
    replace(&OsDisk, &paper, comparison::paper(comparison).as_bytes(), Access::Shared)?;
    replace(&OsDisk, &page, comparison::page(comparison).as_bytes(), Access::Shared)?;
    Ok(vec![parquet, csv, paper, page])
}

/// What a terminal shows of a comparison.
pub fn comparison_summary(comparison: &Comparison) -> String {
    comparison::summary(comparison)
}

/// What a terminal shows after a run.
pub fn summary(records: &[CellRecord]) -> String {
    terminal::summary(&records.iter().collect::<Vec<_>>())
}

/// What a terminal shows of a run that is only planned.
pub fn plan(planned: &[PlannedCell]) -> String {
    plan::plan(planned)
}

/// What a terminal shows of results beside their baseline.
pub fn regressions(regressions: &[Regression]) -> String {
    regression::regressions(regressions)
}

/// What a reader must not miss.
pub(crate) fn remarks(records: &[&CellRecord]) -> Vec<String> {
    let (mut remarks, mut insecure, mut assumed) = (Vec::new(), Vec::new(), Vec::new());
    let many = records.len() > FEW;
    for record in records {
        let cell = if many { sweep::row_name(record, records) } else { heading::heading(record, records) };
        // A reason is longer than a column is wide.
        remarks.extend(record.reason.iter().map(|reason| {
            let reason = reason.trim_end_matches('.');
            format!("{} ({cell}): {reason}.", capitalised(&record.status.to_string()))
        }));
        remarks.extend(record.broken_limits().iter().map(|limit| format!("Limit not kept ({cell}): {limit}.")));
        if record.model.assumed_ranges.is_some() {
            assumed.push(cell.clone());
        }
        if record.provenance.insecure {
            insecure.push(cell);
        }
    }
    let named =
        |cells: Vec<String>| if many && cells.len() == records.len() { "all cells".into() } else { cells.join("; ") };
    if !assumed.is_empty() {
        let cells = named(assumed);
        remarks.push(format!("Assumed ranges: degrees and levels follow from windows that nobody measured ({cells})."));
    }
    if !insecure.is_empty() {
        remarks.push(format!("Insecure parameters were allowed ({}).", named(insecure)));
    }
    remarks
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A token with its spaces and line ends made visible.
fn visible(token: &str) -> String {
    token.replace(' ', "␣").replace('\n', "⏎").replace('`', "'")
}

fn write_frame(frame: &mut DataFrame, parquet: &Path, csv: &Path) -> Result<(), HarnessError> {
    let failed = |path: &Path, message: String| HarnessError::Table { path: path.into(), message };
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(frame).map_err(|error| failed(parquet, error.to_string()))?;
    replace(&OsDisk, parquet, &bytes, Access::Shared)?;
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(frame).map_err(|error| failed(csv, error.to_string()))?;
    replace(&OsDisk, csv, &bytes, Access::Shared)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_token_is_visible() {
        assert_eq!(super::visible(" a`b\n"), "␣a'b⏎");
    }
}
