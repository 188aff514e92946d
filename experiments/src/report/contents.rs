//! What the page is made of, read from `results/` before a word of it is written.

use super::anchors::Anchors;
use super::command;
use super::gpu::{self, DeviceRecord};
use crate::comparison::{Comparison, Entry};
use crate::error::HarnessError;
use crate::figure;
use crate::journal::Journal;
use crate::record::{CellRecord, standing};
use crate::table::{self, Origin};
use crate::workspace::Workspace;

/// Everything that is recorded.
pub(super) struct Contents {
    /// Experiments, by name.
    pub(super) suites: Vec<Suite>,
    /// Comparisons, by name.
    pub(super) comparisons: Vec<Compared>,
    /// Devices, by file.
    pub(super) devices: Vec<DeviceRecord>,
}

/// An experiment with records.
pub(super) struct Suite {
    /// Its name.
    pub(super) name: String,
    /// How many records its journal holds, those that newer ones replaced among them.
    pub(super) recorded: usize,
    /// The records that stand.
    pub(super) records: Vec<CellRecord>,
    /// Names and SVG documents.
    pub(super) figures: Vec<(String, String)>,
    /// Its committed spec, if there is one.
    spec: Option<String>,
    /// A place for each record.
    anchors: Vec<String>,
}

/// A record with what the page says around it.
pub(super) struct Cell<'a> {
    /// The record.
    pub(super) record: &'a CellRecord,
    /// What it is called among the others.
    pub(super) heading: String,
    /// Where command and provenance stand.
    pub(super) anchor: String,
    /// The line that makes it again.
    pub(super) command: Option<String>,
}

/// A comparison.
pub(super) struct Compared {
    /// What is compared.
    pub(super) comparison: Comparison,
    /// Names and SVG documents, one a machine.
    pub(super) figures: Vec<(String, String)>,
    /// Where the rows of each machine come from, each once, with its place.
    pub(super) origins: Vec<Vec<(Origin, String)>>,
}

impl Contents {
    /// Reads all of `results/`.
    ///
    /// # Errors
    /// [`HarnessError::NoResults`] where there is nothing, or what is wrong with a record.
    pub(super) fn read(workspace: &Workspace) -> Result<Self, HarnessError> {
        let nothing = || HarnessError::NoResults { path: workspace.results() };
        if !workspace.results().is_dir() {
            return Err(nothing());
        }
        let mut anchors = Anchors::default();
        let mut contents = Self { suites: Vec::new(), comparisons: Vec::new(), devices: Vec::new() };
        for name in workspace.suites()? {
            match Comparison::of_suite(workspace, &name)? {
                Some(comparison) => contents.comparisons.push(Compared::of(comparison, &mut anchors)?),
                None => contents.suites.extend(Suite::read(workspace, name, &mut anchors)?),
            }
        }
        for path in workspace.gpu_records()? {
            contents.devices.push(gpu::read(&path)?);
        }
        let empty = contents.suites.is_empty() && contents.comparisons.is_empty() && contents.devices.is_empty();
        if empty { Err(nothing()) } else { Ok(contents) }
    }

    /// All standing records of experiments.
    pub(super) fn records(&self) -> impl Iterator<Item = &CellRecord> {
        self.suites.iter().flat_map(|suite| &suite.records)
    }
}

impl Suite {
    /// A suite's records; `None` where its journal is empty.
    fn read(workspace: &Workspace, name: String, anchors: &mut Anchors) -> Result<Option<Self>, HarnessError> {
        let all = Journal::of(workspace, &name).read()?.records;
        let records: Vec<CellRecord> = standing(&all).into_iter().cloned().collect();
        if records.is_empty() {
            return Ok(None);
        }
        let figures = figure::svgs(&name, &records)?;
        let spec = std::fs::read_to_string(workspace.suite_spec(&name)).ok();
        let anchors = records.iter().map(|record| anchors.take(record.identity.as_str())).collect();
        Ok(Some(Self { name, recorded: all.len(), records, figures, spec, anchors }))
    }

    /// The question it asks, as its last record has it.
    pub(super) fn question(&self) -> &str {
        self.records.last().map_or("", |record| &record.question)
    }

    /// Whether its spec is one of the committed ones.
    pub(super) fn is_committed(&self) -> bool {
        self.spec.is_some()
    }

    /// Its records with headings, places and commands.
    pub(super) fn cells(&self) -> Vec<Cell<'_>> {
        let records: Vec<&CellRecord> = self.records.iter().collect();
        let cells = records.iter().zip(&self.anchors).map(|(record, anchor)| Cell {
            record,
            heading: table::heading(record, &records),
            anchor: anchor.clone(),
            command: self.spec.as_ref().and_then(|spec| command::of_record(record, spec)),
        });
        cells.collect()
    }
}

impl Compared {
    fn of(comparison: Comparison, anchors: &mut Anchors) -> Result<Self, HarnessError> {
        let figures = figure::comparison_svgs(&comparison)?;
        let mut origins = Vec::new();
        for machine in &comparison.machines {
            let mut here: Vec<(Origin, String)> = Vec::new();
            for origin in machine.operations.iter().flat_map(|compared| &compared.entries).filter_map(table::origin) {
                if !here.iter().any(|(known, _)| *known == origin) {
                    let place = anchors.take(&format!("{}-{}", origin.id, origin.sources));
                    here.push((origin, place));
                }
            }
            origins.push(here);
        }
        Ok(Self { comparison, figures, origins })
    }

    /// Where an entry of a machine leads to; nowhere if no row of the records is behind it.
    pub(super) fn place(&self, machine: usize, entry: &Entry) -> Option<String> {
        let wanted = table::origin(entry)?;
        let (_, place) = self.origins.get(machine)?.iter().find(|(origin, _)| *origin == wanted)?;
        Some(place.clone())
    }
}
