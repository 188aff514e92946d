//! What a cell is called among others.

use crate::record::CellRecord;
use crate::spec::ComputeDevice;
use std::fmt::Write;

/// What tells a cell from the others: its mode and the settings that differ between them.
pub(crate) fn heading(record: &CellRecord, records: &[&CellRecord]) -> String {
    let mut heading = record.mode.to_string();
    for (key, value) in record.config.iter().filter(|(key, _)| *key != "mode") {
        if records.iter().any(|other| other.config.get(key) != Some(value)) {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            let _ = write!(heading, ", {} = {shown}", key.rsplit('.').next().unwrap_or(key));
        }
    }
    for (key, _) in records.iter().flat_map(|other| &other.config) {
        let absent = match key.as_str() {
            "engine.device" => format!(", device = {}", ComputeDevice::default()),
            _ => format!(", no {key}"),
        };
        if !record.config.contains_key(key) && !heading.contains(&absent) {
            heading.push_str(&absent);
        }
    }
    if records.iter().any(|other| other.repetition != record.repetition) {
        let _ = write!(heading, ", repetition {}", record.repetition);
    }
    heading
}

/// A part of a page about one cell.
pub(super) fn headed(title: &str, record: &CellRecord, text: &str) -> String {
    format!("## {title}, {}\n\n{text}", heading(record, &[record]))
}
