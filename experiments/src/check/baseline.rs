//! A named set of results that later ones are held against: `experiments/baselines/regression/NAME.toml`.
//!
//! `fhe-llama check --record NAME SUITE...` writes it from the records that stand; the thresholds in it are edited by hand and kept.

use crate::atomic::{Access, OsDisk, replace};
use crate::error::HarnessError;
use crate::journal::Journal;
use crate::record::{CellRecord, Status, standing};
use crate::spec::{Mode, is_folder_name, one_line};
use crate::table;
use crate::workspace::Workspace;
use fhe_model::Site;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const HEADER: &str = "# What later records are held against by `fhe-llama check --against` this file. Written by `fhe-llama check --record`,\n\
                      # which keeps the thresholds as they stand here.\n\n";

/// A baseline as its file holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// How much worse a result may be.
    pub thresholds: Thresholds,
    /// The results.
    pub cells: Vec<BaselineCell>,
}

/// How much worse than the baseline a result may be before it counts as a regression.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Seconds of layers and head, divided by the baseline's.
    pub time_ratio: f64,
    /// Bits that the mean error of the logits may be larger.
    pub error_bits: f64,
    /// Half bootstraps more.
    pub half_bootstraps: u64,
    /// Peak memory of the process, divided by the baseline's.
    pub memory_ratio: f64,
    /// Bytes of evaluation keys, divided by the baseline's.
    pub key_bytes_ratio: f64,
}

impl Default for Thresholds {
    /// Fresh secrets move an error by a tenth of a bit, other work on a machine its times by more than code does.
    fn default() -> Self {
        Self { time_ratio: 1.5, error_bits: 0.5, half_bootstraps: 0, memory_ratio: 1.1, key_bytes_ratio: 1.0 }
    }
}

/// One result: which configuration, on which class of machine, and what it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineCell {
    /// The suite.
    pub suite: String,
    /// What the cell is called among those of its suite, for people.
    pub name: String,
    /// Hash over configuration and repetition.
    pub config_hash: String,
    /// Processor, instruction set, vector extension, GPU.
    pub machine_class: String,
    /// Identity of the record that this is taken from.
    pub record: String,
    /// What it took.
    pub metrics: Metrics,
}

/// What regressions are looked for in; what a cell's mode does not have is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Wall-clock seconds of layers and head, of an encrypted cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers_and_head_seconds: Option<f64>,
    /// Half bootstraps of layers and head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_bootstraps: Option<u64>,
    /// Peak memory of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// Evaluation keys in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_bytes: Option<u64>,
    /// log2 of the mean error of the logits over their rms, by reference.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub logit_error_bits: BTreeMap<String, f64>,
}

impl Metrics {
    /// Those of a record.
    pub fn of(record: &CellRecord) -> Self {
        let seconds = record.seconds.linear + record.seconds.bootstrapping + record.seconds.nonlinear;
        let logits = record.layer_errors.iter().filter(|error| error.is_at(Site::Logits));
        Self {
            layers_and_head_seconds: Some(seconds).filter(|_| record.mode == Mode::Encrypted),
            half_bootstraps: record.counts.get("half_bootstraps").copied(),
            peak_memory_bytes: Some(record.footprint.peak_memory_bytes).filter(|bytes| *bytes > 0),
            key_bytes: Some(record.footprint.key_bytes).filter(|bytes| *bytes > 0),
            logit_error_bits: logits.map(|error| (error.against.clone(), error.mean_error_bits)).collect(),
        }
    }
}

impl Baseline {
    /// Reads a baseline; `path` is relative to the workspace.
    ///
    /// # Errors
    /// [`HarnessError::InputNotFound`], [`HarnessError::SpecType`] with line and key, [`HarnessError::InvalidValue`] for a threshold
    /// that lets nothing or everything pass.
    pub fn load(workspace: &Workspace, path: &Path) -> Result<Self, HarnessError> {
        let full = workspace.root().join(path);
        if !full.is_file() {
            let directory = workspace.root().to_path_buf();
            return Err(HarnessError::InputNotFound { key: "--against".into(), path: path.into(), directory });
        }
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(&full).map_err(|source| HarnessError::io("read", &full, source))?;
        let baseline: Self = toml::from_str(&text).map_err(|source| HarnessError::SpecType {
            origin: origin.clone(),
            message: one_line(&source.to_string()),
        })?;
        let Thresholds { time_ratio, error_bits, memory_ratio, key_bytes_ratio, .. } = baseline.thresholds;
        let ratios = [("time_ratio", time_ratio), ("memory_ratio", memory_ratio), ("key_bytes_ratio", key_bytes_ratio)];
        let unusable = ratios.into_iter().find(|(_, ratio)| !ratio.is_finite() || *ratio < 1.0);
        let refuse = |key: &str, problem: String| {
            Err(HarnessError::InvalidValue { origin: origin.clone(), key: format!("thresholds.{key}"), problem })
        };
        match unusable {
            Some((key, ratio)) => {
                refuse(key, format!("is {ratio}, at least 1 is required: the baseline itself must pass"))
            }
            None if !error_bits.is_finite() || error_bits < 0.0 => {
                refuse("error_bits", format!("is {error_bits}, at least 0 is required"))
            }
            None if baseline.cells.is_empty() => Err(HarnessError::InvalidValue {
                origin: origin.clone(),
                key: "cells".into(),
                problem: "is empty, so that nothing would be compared; `fhe-llama check --record` fills it".into(),
            }),
            None => Ok(baseline),
        }
    }
}

/// Makes the ok records that stand of some suites the baseline of a name, and returns its file and how many they are.
///
/// # Errors
/// [`HarnessError::InvalidValue`] for a name that cannot be a file's, [`HarnessError::NoRecords`] for a suite without an ok record, what is
/// wrong with the file that is to be replaced, or a failed write.
pub fn store(workspace: &Workspace, name: &str, suites: &[String]) -> Result<(PathBuf, usize), HarnessError> {
    if !is_folder_name(name) {
        let problem = format!("is `{name}`; it names a file: lower-case letters, digits and hyphens only");
        return Err(HarnessError::InvalidValue { origin: "check".into(), key: "--record".into(), problem });
    }
    let path = workspace.regression_baseline(name);
    let thresholds = if path.is_file() { Baseline::load(workspace, &path)?.thresholds } else { Thresholds::default() };
    let mut cells = Vec::new();
    for suite in suites {
        let of_suite = cells_of(workspace, suite)?;
        if of_suite.is_empty() {
            let path = Journal::of(workspace, suite).path().to_path_buf();
            return Err(HarnessError::NoRecords { suite: suite.clone(), path, writer: "fhe-llama run" });
        }
        cells.extend(of_suite);
    }
    let count = cells.len();
    let text = toml::to_string(&Baseline { thresholds, cells })
        .map_err(|source| HarnessError::execution("write a baseline as TOML", source))?;
    replace(&OsDisk, &path, format!("{HEADER}{text}").as_bytes(), Access::Shared)?;
    Ok((path, count))
}

fn cells_of(workspace: &Workspace, suite: &str) -> Result<Vec<BaselineCell>, HarnessError> {
    let records = Journal::of(workspace, suite).read()?.records;
    let standing: Vec<&CellRecord> =
        standing(&records).into_iter().filter(|record| record.status == Status::Ok).collect();
    let cells = standing.iter().map(|record| BaselineCell {
        suite: suite.into(),
        name: table::heading(record, &standing),
        config_hash: record.config_hash.clone(),
        machine_class: record.provenance.machine.class(),
        record: record.identity.to_string(),
        metrics: Metrics::of(record),
    });
    Ok(cells.collect())
}
