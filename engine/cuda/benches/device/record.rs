//! What was measured, where and when.

use std::path::Path;

use fhe_cuda::{CudaError, Driver};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Record {
    device: DeviceRecord,
    figures: Vec<Figure>,
}

#[derive(Serialize)]
struct DeviceRecord {
    name: String,
    architecture: String,
    memory_bytes: u64,
    /// Newest CUDA version that the driver supports.
    cuda: String,
    commit: String,
    date: String,
}

/// One measured number.
#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// Samples of which the value is the median; 1 for what was measured or counted once.
    pub(crate) count: usize,
    /// Smallest and largest sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<[f64; 2]>,
    /// Bytes that must be moved, each operand read and each result written once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
    /// Of the time measured, the share that a plain copy of so many bytes would take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) share_of_floor: Option<f64>,
}

impl Record {
    pub(crate) fn new(driver: &Driver, commit: &str, date: &str) -> Result<Self, CudaError> {
        let version = driver.driver_version()?;
        let device = DeviceRecord {
            name: driver.name().into(),
            architecture: driver.architecture().into(),
            memory_bytes: driver.memory()?[1],
            cuda: format!("{}.{}", version / 1000, version % 1000 / 10),
            commit: commit.into(),
            date: date.into(),
        };
        println!("{} ({}), CUDA {}", device.name, device.architecture, device.cuda);
        Ok(Self { device, figures: Vec::new() })
    }

    /// A number that was measured or counted once.
    pub(crate) fn note(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.add(Figure { name: name.into(), value, unit, count: 1, range: None, bytes: None, share_of_floor: None });
    }

    /// The median of samples, in the order in which they were taken.
    pub(crate) fn median(&mut self, name: impl Into<String>, mut samples: Vec<f64>, unit: &'static str) -> f64 {
        samples.sort_by(f64::total_cmp);
        let value = samples[samples.len() / 2];
        let range = Some([samples[0], samples[samples.len() - 1]]);
        let (count, name) = (samples.len(), name.into());
        self.add(Figure { name, value, unit, count, range, bytes: None, share_of_floor: None });
        value
    }

    pub(crate) fn add(&mut self, figure: Figure) {
        let Figure { name, value, unit, count, range, share_of_floor, .. } = &figure;
        let range = range.map_or(String::new(), |[least, most]| format!(" ({least:.4} .. {most:.4}, {count} samples)"));
        let share = share_of_floor.map_or(String::new(), |share| format!(", {:.0} % of the floor", 100.0 * share));
        println!("{name}: {value:.4} {unit}{range}{share}");
        self.figures.push(figure);
    }

    /// Writes all of it, in a file named after the device.
    pub(crate) fn write(&self, folder: &Path) {
        let text = toml::to_string(self).expect("the record has a form in TOML");
        let name: String = (self.device.name.to_lowercase().chars())
            .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
            .collect();
        std::fs::create_dir_all(folder).expect("the folder of the record is writable");
        std::fs::write(folder.join(format!("{name}.toml")), text).expect("the record is writable");
    }
}
