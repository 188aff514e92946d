//! What `scripts/gpu-check` recorded of devices: whether the backend equals the CPU's, and how long its kernels take.

use super::grid::{Links, table};
use super::page::shell;
use crate::error::HarnessError;
use crate::format;
use crate::table::{Grid, Side};
use maud::{Markup, html};
use serde::Deserialize;
use std::path::Path;

/// One file of `results/gpu/`.
pub(super) struct DeviceRecord {
    /// The file's name without its ending, the record's place in the page.
    stem: String,
    recorded: Recorded,
}

#[derive(Deserialize)]
struct Recorded {
    device: Device,
    #[serde(default)]
    figures: Vec<Figure>,
}

#[derive(Deserialize)]
struct Device {
    name: String,
    architecture: String,
    memory_bytes: u64,
    cuda: String,
    commit: String,
    date: String,
}

#[derive(Deserialize)]
struct Figure {
    name: String,
    value: f64,
    unit: String,
    /// How often it was measured.
    count: u64,
    /// Least and greatest.
    range: Option<[f64; 2]>,
    /// Moved between kernel and memory.
    bytes: Option<u64>,
    /// Of the time that moving these bytes takes at the speed of a copy.
    share_of_floor: Option<f64>,
}

/// Reads a file.
///
/// # Errors
/// [`HarnessError::Io`], or [`HarnessError::RecordDamaged`] with the line.
pub(super) fn read(path: &Path) -> Result<DeviceRecord, HarnessError> {
    let text = std::fs::read_to_string(path).map_err(|source| HarnessError::io("read", path, source))?;
    let recorded = toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        HarnessError::RecordDamaged { path: path.into(), line, message: error.message().into() }
    })?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(DeviceRecord { stem: format!("gpu-{stem}"), recorded })
}

impl DeviceRecord {
    /// What the device calls itself.
    pub(super) fn name(&self) -> &str {
        &self.recorded.device.name
    }

    /// The day it was measured.
    pub(super) fn date(&self) -> &str {
        &self.recorded.device.date
    }

    /// How many figures there are.
    pub(super) fn figures(&self) -> usize {
        self.recorded.figures.len()
    }
}

/// The section of all devices.
pub(super) fn section(devices: &[DeviceRecord]) -> Markup {
    html! {
        section id="gpu" {
            h2 { "GPUs" }
            p.question { "Does the CUDA backend equal the CPU's word by word, and how long do its kernels take?" }
            @for device in devices { (on_device(device)) }
        }
    }
}

fn on_device(record: &DeviceRecord) -> Markup {
    let device = &record.recorded.device;
    html! {
        article id=(record.stem) {
            h3 { (device.name) }
            (shell("scripts/gpu-check"))
            dl.facts {
                dt { "Device" } dd { (device.architecture) ", " (format::bytes(device.memory_bytes)) ", CUDA " (device.cuda) }
                dt { "Commit" } dd { code { (device.commit) } }
                dt { "Measured" } dd { (device.date) }
            }
            (table(&figures(&record.recorded.figures), &Links::None))
        }
    }
}

fn figures(figures: &[Figure]) -> Grid {
    let right = ["value", "least", "greatest", "runs", "bytes moved", "of the speed of a copy"];
    let right = right.map(|name| (name, Side::Right));
    let mut grid = Grid::new([("figure", Side::Left)].into_iter().chain(right));
    for figure in figures {
        let shown = |value: f64| measured(value, &figure.unit);
        let [least, greatest] = figure.range.map_or([const { String::new() }; 2], |range| range.map(shown));
        grid.row([
            figure.name.clone(),
            shown(figure.value),
            least,
            greatest,
            format::count(figure.count),
            figure.bytes.map_or(String::new(), |bytes| format::scaled(bytes, "B")),
            figure.share_of_floor.map_or(String::new(), |share| format!("{:.0} %", 100.0 * share)),
        ]);
    }
    grid
}

/// A value in the unit it was recorded in; whole numbers to the last digit.
fn measured(value: f64, unit: &str) -> String {
    let symbol = if unit == "us" { "µs" } else { unit };
    match value {
        value if value >= 0.0 && value.fract() == 0.0 && value < 1e15 => {
            format!("{} {symbol}", format::count(value as u64))
        }
        value if value.abs() < 1e-3 => format!("{} {symbol}", format::small(value)),
        value => format!("{} {symbol}", format::significant(value, 3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_their_units() {
        assert_eq!(measured(13.02, "us"), "13.0 µs");
        assert_eq!(measured(1765.98, "ms"), "1766 ms");
        assert_eq!(measured(15_859_712.0, "words"), "15,859,712 words");
        assert_eq!(measured(3006.3, "GB/s"), "3006 GB/s");
        assert_eq!(measured(1e-9, "bits"), "1.0e-9 bits");
    }

    #[test]
    fn a_damaged_file_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.toml");
        std::fs::write(&path, "[device]\nname = \"GPU\"\narchitecture = 9\n").unwrap();
        let error = read(&path).err().map(|error| error.to_string()).unwrap();
        assert!(error.contains("device.toml:3: not a record"), "{error}");
    }
}
