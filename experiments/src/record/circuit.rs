//! What the circuit is made of and what it is predicted to cost, known before it runs.

use super::nan_if_null;
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
}

/// A predicted duration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictedSeconds {
    /// The device profile.
    pub device: String,
    /// Seconds.
    pub seconds: f64,
}
