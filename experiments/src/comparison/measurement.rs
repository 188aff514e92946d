//! One row of a comparison's record file, as `scripts/bench-peers` writes it (`scripts/peers/record.py`).

use crate::error::HarnessError;
use crate::machine::Machine;
use crate::record::Status;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The layout of [`Measurement`]; raised whenever a field changes its meaning.
pub const SCHEMA: u64 = 1;

/// Where a row's time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// It was measured on the row's machine.
    Measured,
    /// It was computed from counts, for a named device.
    Predicted,
}

/// Median, least and greatest of repeated runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of the runs took at most so long.
    pub median: f64,
    /// The shortest.
    pub min: f64,
    /// The longest.
    pub max: f64,
}

/// Precision of values in [-1, 1], in bits: minus log2 of an error. Larger is better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Precision {
    /// Of the mean error.
    pub mean: f64,
    /// Of the largest error.
    pub worst: f64,
}

/// One row. What was not measured is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// [`SCHEMA`] when it was written.
    pub schema: u64,
    /// Where its time comes from.
    pub basis: Basis,
    /// How measuring ended.
    pub status: Status,
    /// Why, unless it is ok.
    pub reason: Option<String>,
    /// The library.
    pub library: String,
    /// Its version.
    pub version: String,
    /// The operation, which means the same for every library.
    pub operation: String,
    /// The setting in words.
    pub parameters: String,
    /// Primes of the ciphertexts, for libraries that have such.
    pub limbs: Option<u64>,
    /// Operations that one timed call does; `seconds` are those of the call.
    pub batch: u64,
    /// Worker threads.
    pub threads: usize,
    /// Wall-clock seconds of a call.
    #[serde(default)]
    pub seconds: Option<Spread>,
    /// Calls that were timed.
    #[serde(default)]
    pub runs: Option<u64>,
    /// Median of the processor seconds of a call, over all threads.
    #[serde(default)]
    pub processor_seconds: Option<f64>,
    /// Precision of the result.
    #[serde(default)]
    pub bits: Option<Precision>,
    /// Levels that can be used before the next bootstrap.
    #[serde(default)]
    pub levels_left: Option<u64>,
    /// Bits of a level.
    #[serde(default)]
    pub level_bits: Option<f64>,
    /// Bits of the ciphertexts' modulus.
    #[serde(default)]
    pub modulus_bits: Option<f64>,
    /// Most memory that the measuring process held.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Evaluation keys in memory.
    #[serde(default)]
    pub key_bytes: Option<u64>,
    /// Precomputed tables in memory.
    #[serde(default)]
    pub table_bytes: Option<u64>,
    /// Share of the time in which some task waited for a processor: how much other work disturbed the figure.
    #[serde(default)]
    pub waiting_share: Option<f64>,
    /// What a reader has to know to compare with it.
    #[serde(default)]
    pub note: String,
    /// The machine.
    pub machine: Machine,
    /// When it was measured, RFC 3339 in UTC.
    pub date: String,
    /// The commit that was checked out.
    pub commit: String,
    /// Whether files that the figure depends on differed from the commit.
    pub dirty: bool,
    /// Hash of those files.
    pub sources: String,
}

impl Measurement {
    /// The time of one operation: that of a call, divided among those it does.
    pub fn each(&self) -> Option<Spread> {
        let batch = self.batch.max(1) as f64;
        let spread = self.seconds.filter(|_| self.status == Status::Ok)?;
        Some(Spread { median: spread.median / batch, min: spread.min / batch, max: spread.max / batch })
    }

    /// What two rows share that are the same measurement made again, of another version or code included.
    fn subject(&self) -> (Basis, [&str; 3], Option<u64>, u64, usize, String) {
        let names = [self.library.as_str(), &self.operation, &self.parameters];
        (self.basis, names, self.limbs, self.batch, self.threads, self.machine.name())
    }
}

/// Reads all rows of a record file, each by itself.
///
/// # Errors
/// [`HarnessError::Io`] when the file cannot be read; what is wrong with a line stands in its place.
pub(crate) fn lines(path: &Path) -> Result<Vec<Result<Measurement, HarnessError>>, HarnessError> {
    let text = std::fs::read_to_string(path).map_err(|source| HarnessError::io("read", path, source))?;
    Ok(text.split_inclusive('\n').enumerate().map(|(index, line)| parse(line, path, index + 1)).collect())
}

/// Reads all rows of a record file.
///
/// # Errors
/// [`HarnessError::RecordDamaged`] or [`HarnessError::RecordSchema`] with the line.
pub(super) fn read(path: &Path) -> Result<Vec<Measurement>, HarnessError> {
    lines(path)?.into_iter().collect()
}

fn parse(line: &str, path: &Path, number: usize) -> Result<Measurement, HarnessError> {
    let damaged = |message: String| HarnessError::RecordDamaged { path: path.into(), line: number, message };
    if !line.ends_with('\n') {
        return Err(damaged("the line has no end, its writer was interrupted".into()));
    }
    let value: serde_json::Value = serde_json::from_str(line).map_err(|error| damaged(error.to_string()))?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(SCHEMA) => serde_json::from_value(value).map_err(|error| damaged(error.to_string())),
        Some(found) => {
            Err(HarnessError::RecordSchema { path: path.into(), line: number, found, oldest: SCHEMA, newest: SCHEMA })
        }
        None => Err(damaged("no `schema` number".into())),
    }
}

/// The rows that stand, in the order of the file: of each subject the last that succeeded, else the last.
pub(super) fn standing(rows: Vec<Measurement>) -> Vec<Measurement> {
    let superseded = |index: usize| {
        let row = &rows[index];
        let mut same = rows.iter().enumerate().filter(|(_, other)| other.subject() == row.subject());
        same.any(|(place, other)| match (row.status == Status::Ok, other.status == Status::Ok) {
            (true, ok) => ok && place > index,
            (false, ok) => ok || place > index,
        })
    };
    let kept: Vec<bool> = (0..rows.len()).map(|index| !superseded(index)).collect();
    rows.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(row, _)| row).collect()
}
