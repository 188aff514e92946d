//! What is known of a cell before it runs.

use crate::identity::ResolvedCell;
use crate::record::{CellRecord, Prediction, Status};
use crate::spec::{CellConfig, ComputeDevice, Mode};

/// What a cell held before, or is predicted to hold, times this: another run may be on another machine.
const MEMORY_MARGIN: f64 = 1.25;

/// What the records of a suite say of a cell that is to run.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// The last record of the same configuration, whatever code, data and machine it was made with.
    pub last: Option<CellRecord>,
    /// What was predicted last of encrypting the same circuit and input, in whatever mode.
    pub predicted: Option<Prediction>,
    /// Most memory that a cell of this suite, mode and device held.
    sibling_memory_bytes: Option<u64>,
}

impl Expectation {
    /// Of a cell, from its suite's records in the order they were made.
    pub(super) fn of(cell: &ResolvedCell, records: &[CellRecord]) -> Self {
        let begun = CellRecord::begin(cell);
        let alike = |record: &&CellRecord| {
            let device = |of: &CellRecord| of.config.get("engine.device").cloned();
            record.status == Status::Ok && record.mode == begun.mode && device(record) == device(&begun)
        };
        Self {
            last: records.iter().rev().find(|record| record.config_hash == cell.config_hash).cloned(),
            predicted: predicted(&begun, records),
            sibling_memory_bytes: records.iter().filter(alike).filter_map(held).max(),
        }
    }

    /// The last record, if that run ended well.
    pub fn last_ok(&self) -> Option<&CellRecord> {
        self.last.as_ref().filter(|record| record.status == Status::Ok)
    }

    /// The prediction, where it is one of this machine's: it is of ciphertexts in a processor's memory.
    pub fn predicted_here(&self, config: &CellConfig) -> Option<&Prediction> {
        let is_here = config.mode == Mode::Encrypted && config.engine.device == ComputeDevice::Cpu;
        self.predicted.as_ref().filter(|_| is_here)
    }

    /// The most memory that a cell of this configuration may hold: its limit, else what it held when it was last recorded, else what is
    /// predicted, the last two with a margin.
    pub fn memory_bytes(&self, config: &CellConfig) -> Option<u64> {
        let recorded = || self.last_ok().and_then(held);
        let predicted = || self.predicted_here(config).map(|of| of.peak_memory_bytes.max(of.server_memory_bytes));
        config.limits.memory_bytes().or_else(|| recorded().or_else(predicted).map(with_margin))
    }

    /// The same, and where nothing is known of the cell itself, what others of its suite held.
    pub(super) fn memory_bytes_beside_siblings(&self, config: &CellConfig) -> Option<u64> {
        self.memory_bytes(config).or(self.sibling_memory_bytes.map(with_margin))
    }
}

/// What a cell held, where the system told.
fn held(record: &CellRecord) -> Option<u64> {
    Some(record.footprint.peak_memory_bytes).filter(|bytes| *bytes > 0)
}

fn with_margin(bytes: u64) -> u64 {
    (MEMORY_MARGIN * bytes as f64) as u64
}

/// Who computes and how does not change what encryption takes in operations and bytes, and a prediction names its devices.
fn predicted(begun: &CellRecord, records: &[CellRecord]) -> Option<Prediction> {
    let of_circuit = |record: &CellRecord| {
        let is_how =
            |key: &str| matches!(key, "mode" | "engine.device" | "engine.threads") || key.starts_with("limits.");
        let asked = record.config.iter().filter(|(key, _)| !is_how(key));
        asked.map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>()
    };
    let wanted = of_circuit(begun);
    let same =
        records.iter().rev().filter(|record| record.repetition == begun.repetition && of_circuit(record) == wanted);
    same.filter(|_| begun.mode == Mode::Encrypted).find_map(|record| record.predicted.clone())
}
