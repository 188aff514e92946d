//! Figures derived from a suite's journal, and from nothing else.
//!
//! A figure is first a list of shapes and then, unchanged, an SVG and a PNG. The same records give the same bytes: no
//! clock, no system font, no randomness.

mod axis;
mod drawing;
mod font;
mod overview;
mod panel;
mod render;

use crate::atomic::{Access, OsDisk, replace};
use crate::error::HarnessError;
use crate::journal::Journal;
use crate::record::{CellRecord, Status, standing};
use crate::spec::Mode;
use crate::workspace::Workspace;
use std::path::PathBuf;

/// Draws all figures of a suite and returns their paths: `figures/SUITE.{svg,png}` for its first encrypted cell, or
/// `figures/SUITE-N.{svg,png}` for cell N of several. A suite without an encrypted cell shows its clear ones.
///
/// # Errors
/// [`HarnessError::NoRecords`], a damaged journal, [`HarnessError::Figure`] or a failed write.
pub fn derive(workspace: &Workspace, suite: &str) -> Result<Vec<PathBuf>, HarnessError> {
    let journal = Journal::of(workspace, suite);
    let records = journal.read()?.records;
    if records.is_empty() {
        return Err(HarnessError::NoRecords { suite: suite.into(), path: journal.path().into() });
    }
    let mut written = Vec::new();
    for (name, record) in subjects(suite, &records) {
        let Some(drawing) = overview::draw(record) else { continue };
        let failed = |message: String| HarnessError::Figure { name: name.clone(), message };
        let (svg, png) = (workspace.figure(&name, "svg"), workspace.figure(&name, "png"));
        replace(&OsDisk, &svg, render::svg(&drawing).map_err(failed)?.as_bytes(), Access::Shared)?;
        replace(&OsDisk, &png, &render::png(&drawing).map_err(failed)?, Access::Shared)?;
        written.extend([svg, png]);
    }
    Ok(written)
}

/// The records that get a figure, with its name.
fn subjects<'a>(suite: &str, records: &'a [CellRecord]) -> Vec<(String, &'a CellRecord)> {
    let succeeded: Vec<_> = standing(records).into_iter().filter(|record| record.status == Status::Ok).collect();
    let of = |mode: Mode| succeeded.iter().copied().filter(move |record| record.mode == mode).collect::<Vec<_>>();
    let chosen = [of(Mode::Encrypted), of(Mode::Clear)].into_iter().find(|chosen| !chosen.is_empty());
    let several = |index: usize| if index == 0 { suite.to_string() } else { format!("{suite}-{index}") };
    chosen.unwrap_or_default().into_iter().enumerate().map(|(index, record)| (several(index), record)).collect()
}
