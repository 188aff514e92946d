//! What the circuit is made of and what it is predicted to cost, known before it runs.

use super::{CellRecord, Status, nan_if_null};
use crate::spec::Mode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One polynomial of the circuit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolynomialSummary {
    /// The decoder layer it lies in, from 0; absent after the last.
    pub layer: Option<usize>,
    /// The site of its argument.
    pub site: String,
    /// Its degree.
    pub degree: usize,
    /// How far it is from its function: relative for inverses and roots, of the window for SiLU.
    #[serde(deserialize_with = "nan_if_null")]
    pub error: f64,
}

/// What metering the circuit predicts of its encrypted run. A prediction is never mixed with a measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Layers and head on named devices, fastest last.
    pub seconds: Vec<PredictedSeconds>,
    /// Most bytes of keys, tables and ciphertexts that the server holds at once.
    pub server_memory_bytes: u64,
    /// The same with the weights of the layer under way, or of the LM head, beside them; zero in older records.
    #[serde(default)]
    pub peak_memory_bytes: u64,
    /// Bytes that kernels read from memory and write to it; zero in older records.
    #[serde(default)]
    pub moved_bytes: u64,
    /// Half bootstraps of every layer.
    #[serde(default)]
    pub half_bootstraps_by_layer: Vec<u64>,
    /// Of the layer with the most, by the site of what is bootstrapped; those of keys and values are the query's, with which they
    /// climb.
    #[serde(default)]
    pub half_bootstraps_by_site: BTreeMap<String, u64>,
    /// Of the last generated token, where some are generated; the seconds above are those of prompt and tokens together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepPrediction>,
}

/// What one generated token takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepPrediction {
    /// Half bootstraps.
    pub half_bootstraps: u64,
    /// Key switches.
    pub key_switches: u64,
    /// Bytes that kernels read from memory and write to it.
    pub moved_bytes: u64,
    /// Layers and head on named devices.
    pub seconds: Vec<PredictedSeconds>,
}

impl Prediction {
    /// Seconds of layers and head on a device, if it was predicted for.
    pub fn seconds_on(&self, device: &str) -> Option<f64> {
        self.seconds.iter().find(|predicted| predicted.device == device).map(|predicted| predicted.seconds)
    }
}

/// A predicted duration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictedSeconds {
    /// The device profile.
    pub device: String,
    /// Seconds.
    pub seconds: f64,
}

/// The fastest device that all metered records with predictions name: each names the fastest last.
pub fn common_device(records: &[&CellRecord]) -> Option<String> {
    let metered = || {
        let of_kind = records.iter().filter(|record| record.mode == Mode::Metered && record.status == Status::Ok);
        of_kind.filter_map(|record| record.predicted.as_ref())
    };
    let named = |device: &str| metered().all(|prediction| prediction.seconds_on(device).is_some());
    metered().next()?.seconds.iter().rev().map(|predicted| predicted.device.clone()).find(|device| named(device))
}
