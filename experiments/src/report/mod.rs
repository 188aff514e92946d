//! All committed results as one web page that needs nothing beside itself: no request leaves it, and it can be mailed.
//!
//! ```text
//! results/*/*.jsonl, results/gpu/*.toml --contents--> suites, comparisons, devices, each with its anchors and commands
//!     --page--> front page and table of contents
//!         --suite--cell--> tables, figures, errors, then the command and the provenance of every record
//!         --comparison-->  the same of what was measured beside other libraries
//!         --gpu-->         what a device was found to do
//! ```
//!
//! Numbers and remarks are those of [`crate::table`], figures those of [`crate::figure`]; nothing is computed here. The
//! page is a function of the records and of the program: no clock goes in, so it is made twice byte for byte. Text from
//! records reaches it through maud, which escapes it.

mod anchors;
mod cell;
mod command;
mod comparison;
mod contents;
mod gpu;
mod grid;
mod overview;
mod page;
mod quantity;
mod suite;

use crate::atomic::{Access, OsDisk, replace};
use crate::error::HarnessError;
use crate::workspace::Workspace;
use contents::Contents;
use std::path::{Path, PathBuf};

/// What is wrong with a file of `results/gpu/`, if something is.
pub(crate) fn problem_of_device(path: &Path) -> Option<HarnessError> {
    gpu::read(path).err()
}

/// Writes the page and returns its path: `output` relative to the workspace, or `report.html` there.
///
/// # Errors
/// [`HarnessError::NoResults`] where nothing is recorded, a damaged record, or a failed write. The file is replaced whole
/// or not at all.
pub fn derive(workspace: &Workspace, output: Option<&Path>) -> Result<PathBuf, HarnessError> {
    let page = page::page(&Contents::read(workspace)?);
    let path = workspace.root().join(output.unwrap_or(Path::new("report.html")));
    replace(&OsDisk, &path, page.into_string().as_bytes(), Access::Shared)?;
    Ok(path)
}
