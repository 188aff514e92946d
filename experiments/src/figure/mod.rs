//! Figures derived from a suite's journal, and from nothing else.
//!
//! A figure is first a list of shapes and then, unchanged, an SVG and a PNG. The same records give the same bytes: no
//! clock, no system font, no randomness.

mod axis;
mod comparison;
mod drawing;
mod font;
mod mitigation;
mod overview;
mod panel;
mod render;
mod sweep;

use crate::atomic::{Access, OsDisk, replace};
use crate::comparison::Comparison;
use crate::error::HarnessError;
use crate::journal::Journal;
use crate::record::{CellRecord, Status, standing};
use crate::spec::Mode;
use crate::workspace::Workspace;
use drawing::Drawing;
use std::path::PathBuf;

/// So many cells are shown one by one; of more than that there is the figure of the sweep alone.
const FEW: usize = 4;

/// Draws all figures of a suite and returns their paths. `figures/SUITE.{svg,png}` is its first encrypted cell, and
/// `figures/SUITE-N.{svg,png}` cell N of several, as long as they are few. A suite without an encrypted cell shows its
/// clear ones. Where cells differ in a setting, `figures/SUITE-sweep.{svg,png}` shows all of them over what was varied.
///
/// # Errors
/// [`HarnessError::NoRecords`], a damaged journal, [`HarnessError::Figure`] or a failed write.
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
    let mut written = Vec::new();
    for (name, drawing) in drawings(suite, &records)? {
        written.extend(write(workspace, &name, &drawing)?);
    }
    Ok(written)
}

/// The figures of a suite's records as SVG documents, with their names.
pub(crate) fn svgs(suite: &str, records: &[CellRecord]) -> Result<Vec<(String, String)>, HarnessError> {
    drawings(suite, records)?.into_iter().map(rendered).collect()
}

/// As [`svgs`], for a comparison.
pub(crate) fn comparison_svgs(comparison: &Comparison) -> Result<Vec<(String, String)>, HarnessError> {
    comparison_drawings(comparison)?.into_iter().map(rendered).collect()
}

fn rendered((name, drawing): (String, Drawing)) -> Result<(String, String), HarnessError> {
    let svg = render::svg(&drawing).map_err(|message| HarnessError::Figure { name: name.clone(), message })?;
    Ok((name, svg))
}

/// Everything there is to draw of a suite's records, with the names of the figures.
fn drawings(suite: &str, records: &[CellRecord]) -> Result<Vec<(String, Drawing)>, HarnessError> {
    let name = format!("{suite}-sweep");
    let failed = |message: String| HarnessError::Figure { name: name.clone(), message };
    let swept = sweep::draw(suite, &standing(records)).map_err(failed)?;
    let subjects = subjects(suite, records);
    let few = subjects.len() <= FEW || swept.is_none();
    let cells = subjects.into_iter().filter(|_| few);
    let mut drawings: Vec<_> = cells.filter_map(|(name, record)| Some((name, overview::draw(record)?))).collect();
    drawings.extend(swept.map(|drawing| (name, drawing)));
    drawings.extend(mitigation::draw(&standing(records)).map(|drawing| (format!("{suite}-ranges"), drawing)));
    Ok(drawings)
}

/// As [`derive`], for a comparison that need not be a committed suite: a chart for each machine, the one with the newest
/// measurement first.
///
/// # Errors
/// [`HarnessError::Figure`] or a failed write.
pub fn derive_comparison(workspace: &Workspace, comparison: &Comparison) -> Result<Vec<PathBuf>, HarnessError> {
    let mut written = Vec::new();
    for (name, drawing) in comparison_drawings(comparison)? {
        written.extend(write(workspace, &name, &drawing)?);
    }
    Ok(written)
}

fn comparison_drawings(comparison: &Comparison) -> Result<Vec<(String, Drawing)>, HarnessError> {
    let drawn = comparison.machines.iter().enumerate().map(|(index, machine)| {
        let name = numbered(&comparison.spec.name, index);
        let failed = |message: String| HarnessError::Figure { name: name.clone(), message };
        let drawing = comparison::draw(&comparison.spec, machine).map_err(failed)?;
        Ok((name, drawing))
    });
    drawn.collect()
}

/// Renders a drawing to its two files.
fn write(workspace: &Workspace, name: &str, drawing: &Drawing) -> Result<[PathBuf; 2], HarnessError> {
    let failed = |message: String| HarnessError::Figure { name: name.into(), message };
    let (svg, png) = (workspace.figure(name, "svg"), workspace.figure(name, "png"));
    replace(&OsDisk, &svg, render::svg(drawing).map_err(failed)?.as_bytes(), Access::Shared)?;
    replace(&OsDisk, &png, &render::png(drawing).map_err(failed)?, Access::Shared)?;
    Ok([svg, png])
}

/// The first figure of a suite has its name, the others a number behind it.
fn numbered(suite: &str, index: usize) -> String {
    if index == 0 { suite.to_string() } else { format!("{suite}-{index}") }
}

/// The records that get a figure, with its name.
fn subjects<'a>(suite: &str, records: &'a [CellRecord]) -> Vec<(String, &'a CellRecord)> {
    let succeeded: Vec<_> = standing(records).into_iter().filter(|record| record.status == Status::Ok).collect();
    let of = |mode: Mode| succeeded.iter().copied().filter(move |record| record.mode == mode).collect::<Vec<_>>();
    let chosen = [of(Mode::Encrypted), of(Mode::Clear)].into_iter().find(|chosen| !chosen.is_empty());
    chosen.unwrap_or_default().into_iter().enumerate().map(|(index, record)| (numbered(suite, index), record)).collect()
}
