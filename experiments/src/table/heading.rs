//! What a cell is called among others.

use crate::record::CellRecord;
use crate::spec::ComputeDevice;
use std::fmt::Write;

const MODEL: &str = "model.path";

/// Whether a setting is the same wherever the model is, of several: then the model says it.
fn goes_with_the_model(key: &str, records: &[&CellRecord]) -> bool {
    let of = |record: &CellRecord, key: &str| record.config.get(key).cloned();
    let same = |key: &str, left: &CellRecord, right: &CellRecord| of(left, key) == of(right, key);
    let pairs = || records.iter().flat_map(|left| records.iter().map(move |right| (*left, *right)));
    key != MODEL
        && pairs().any(|(left, right)| !same(MODEL, left, right))
        && pairs().all(|(left, right)| !same(MODEL, left, right) || same(key, left, right))
}

/// What tells a cell from the others: its mode and the settings that differ between them, but for those that go with its model.
pub(crate) fn heading(record: &CellRecord, records: &[&CellRecord]) -> String {
    let mut heading = record.mode.to_string();
    let own = |key: &str| key != "mode" && !goes_with_the_model(key, records);
    for (key, value) in record.config.iter().filter(|(key, _)| own(key)) {
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
        if own(key) && !record.config.contains_key(key) && !heading.contains(&absent) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::CellRecord;
    use serde_json::{Value, json};

    fn record(settings: &[(&str, Value)]) -> CellRecord {
        let line = include_str!("../../tests/records/schema-1.jsonl").lines().next().unwrap_or_default();
        let Ok((mut record, _)) = crate::record::read(line.as_bytes()) else { panic!("a committed record") };
        record.config = settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        record
    }

    #[test]
    fn what_goes_with_the_model_is_not_said_beside_it() {
        let cell = |path: &str, tokens: u64, device: &str| {
            record(&[
                ("model.path", json!(path)),
                ("generation.tokens", json!(tokens)),
                ("engine.device", json!(device)),
            ])
        };
        let cells = [cell("a", 9, "cpu"), cell("a", 9, "cuda"), cell("b", 4, "cuda")];
        let all: Vec<&CellRecord> = cells.iter().collect();
        assert!(heading(&cells[0], &all).ends_with(", device = cpu, path = a"));
        assert!(heading(&cells[2], &all).ends_with(", device = cuda, path = b"));
        let own = [cell("a", 9, "cpu"), cell("a", 4, "cpu")];
        assert!(heading(&own[0], &own.iter().collect::<Vec<_>>()).ends_with(", tokens = 9"));
    }
}
