//! Records as data frames: one type per column, absent values null, columns in a fixed order.

use super::softmax;
use crate::record::{CellRecord, PhaseSeconds};
use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use serde_json::Value;
use std::collections::BTreeMap;

/// One value of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Text(String),
    Integer(i64),
    Float(f64),
    Truth(bool),
    Absent,
}

impl From<&str> for Scalar {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<u64> for Scalar {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::Float(value as f64), Self::Integer)
    }
}

impl From<usize> for Scalar {
    fn from(value: usize) -> Self {
        Self::from(value as u64)
    }
}

impl From<f64> for Scalar {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Self::Truth(value)
    }
}

impl<T: Into<Scalar>> From<Option<T>> for Scalar {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

impl From<&Value> for Scalar {
    fn from(value: &Value) -> Self {
        match value {
            Value::Bool(truth) => Self::Truth(*truth),
            Value::Number(number) => match number.as_i64() {
                Some(integer) => Self::Integer(integer),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::Text(text.clone()),
            Value::Null => Self::Absent,
            other => Self::Text(other.to_string()),
        }
    }
}

pub(super) type Row = Vec<(String, Scalar)>;

/// One row per cell.
pub(super) fn cells(records: &[&CellRecord]) -> Result<DataFrame, String> {
    frame(records.iter().map(|record| cell_row(record)).collect())
}

/// One row per layer error.
pub(super) fn layer_errors(records: &[&CellRecord]) -> Result<DataFrame, String> {
    let rows = records.iter().flat_map(|record| {
        record.layer_errors.iter().map(|error| {
            let mut row = key_of(record);
            push(&mut row, "against", error.against.as_str());
            push(&mut row, "layer", error.layer);
            push(&mut row, "site", error.site.as_str());
            push(&mut row, "max_error_bits", error.max_error_bits);
            push(&mut row, "mean_error_bits", error.mean_error_bits);
            push(&mut row, "max_abs", error.max_abs);
            push(&mut row, "mean_abs", error.mean_abs);
            push(&mut row, "rms", error.rms);
            row
        })
    });
    frame(rows.collect())
}

/// One row per compared position.
pub(super) fn positions(records: &[&CellRecord]) -> Result<DataFrame, String> {
    let rows = records.iter().flat_map(|record| {
        record.agreement.iter().flat_map(|agreement| {
            agreement.by_position.iter().map(|at| {
                let mut row = key_of(record);
                push(&mut row, "against", agreement.against.as_str());
                push(&mut row, "prompt", at.prompt);
                push(&mut row, "position", at.position);
                push(&mut row, "kl", at.kl);
                push(&mut row, "top5_logit_error", at.top5_logit_error);
                push(&mut row, "top1", at.top1);
                row
            })
        })
    });
    frame(rows.collect())
}

pub(super) fn push(row: &mut Row, name: &str, value: impl Into<Scalar>) {
    row.push((name.into(), value.into()));
}

pub(super) fn key_of(record: &CellRecord) -> Row {
    let mut row = Row::new();
    push(&mut row, "identity", record.identity.as_str());
    push(&mut row, "suite", record.suite.as_str());
    push(&mut row, "cell", record.cell);
    push(&mut row, "repetition", u64::from(record.repetition));
    push(&mut row, "mode", record.mode.to_string().as_str());
    row
}

fn cell_row(record: &CellRecord) -> Row {
    let mut row = key_of(record);
    push(&mut row, "status", record.status.to_string().as_str());
    push(&mut row, "reason", record.reason.as_deref());
    push_map(&mut row, "config", &record.config);
    push_provenance(&mut row, record);
    push(&mut row, "model.parameters", record.model.parameters);
    push(&mut row, "model.layers", record.model.layers);
    if record.model.stored_bytes > 0 {
        push(&mut row, "model.stored_bytes", record.model.stored_bytes);
        push(&mut row, "model.integer_bytes", record.model.integer_bytes);
    }
    if let Some(reason) = &record.model.assumed_ranges {
        push(&mut row, "model.assumed_ranges", reason.as_str());
    }
    push(&mut row, "input.prompts", record.input.prompts);
    push(&mut row, "input.live_tokens", record.input.live_tokens);
    push(&mut row, "input.block_tokens", record.input.block_tokens);
    if record.input.context_tokens > 0 {
        push(&mut row, "input.context_tokens", record.input.context_tokens);
    }
    push_seconds(&mut row, &record.seconds);
    for (name, value) in &record.counts {
        push(&mut row, &format!("counts.{name}"), *value);
    }
    for (name, value) in &record.kernels {
        push(&mut row, &format!("kernels.{name}"), *value);
    }
    for (name, value) in &record.levels {
        push(&mut row, &format!("levels.{name}"), *value);
    }
    if let Some(of_heads) = &record.softmax {
        softmax::push_cell(&mut row, of_heads);
    }
    for polynomial in &record.polynomials {
        let layer = polynomial.layer.map(|layer| format!("layer_{layer}.")).unwrap_or_default();
        push(&mut row, &format!("degree.{layer}{}", polynomial.site.replace(' ', "_")), polynomial.degree);
    }
    for predicted in record.predicted.iter().flat_map(|prediction| &prediction.seconds) {
        push(&mut row, &format!("predicted.seconds.{}", predicted.device), predicted.seconds);
    }
    let predicted_memory = record.predicted.as_ref().map(|prediction| prediction.server_memory_bytes);
    push(&mut row, "predicted.server_memory_bytes", predicted_memory);
    if let Some(predicted) = record.predicted.as_ref().filter(|prediction| prediction.peak_memory_bytes > 0) {
        push(&mut row, "predicted.peak_memory_bytes", predicted.peak_memory_bytes);
        push(&mut row, "predicted.moved_bytes", predicted.moved_bytes);
        let largest = predicted.half_bootstraps_by_layer.iter().max().copied();
        push(&mut row, "predicted.half_bootstraps_of_a_layer", largest);
        for (site, count) in &predicted.half_bootstraps_by_site {
            push(&mut row, &format!("predicted.half_bootstraps_of_a_layer.{}", site.replace(' ', "_")), *count);
        }
    }
    push(&mut row, "peak_memory_bytes", record.footprint.peak_memory_bytes);
    if record.footprint.device_memory_bytes > 0 {
        push(&mut row, "device_memory_bytes", record.footprint.device_memory_bytes);
    }
    push(&mut row, "key_bytes", record.footprint.key_bytes);
    push(&mut row, "key_wire_bytes", record.footprint.key_wire_bytes);
    push(&mut row, "client_to_server_bytes", record.footprint.client_to_server_bytes);
    push(&mut row, "server_to_client_bytes", record.footprint.server_to_client_bytes);
    push(&mut row, "failure_probability_log2", record.failure_probability_log2);
    if let Some(windows) = &record.windows {
        push(&mut row, "windows.run", windows.windows);
        push(&mut row, "windows.outside", windows.outside.windows);
        push(&mut row, "windows.outside.by_first_token", windows.by_first_token);
        push(&mut row, "windows.outside.above", windows.outside.above);
        push(&mut row, "windows.outside.below", windows.outside.below);
        push(&mut row, "windows.invalid", windows.invalid.windows);
        push(&mut row, "windows.valid", windows.valid());
    }
    for range in &record.ranges {
        let site = range.site.replace(' ', "_");
        push(&mut row, &format!("range.{site}.low"), range.low);
        push(&mut row, &format!("range.{site}.high"), range.high);
        push(&mut row, &format!("range.{site}.ratio"), range.ratio);
    }
    for needed in &record.needed_degrees {
        push(&mut row, &format!("needed_degree.{}", needed.function.replace(' ', "_")), needed.degree);
    }
    for agreement in &record.agreement {
        let mut put = |name: &str, value: Scalar| {
            row.push((format!("{}.{name}", agreement.against.replace(' ', "_")), value));
        };
        put("positions", agreement.positions.into());
        put("top1", agreement.top1.into());
        put("kl_mean", agreement.kl_mean.into());
        put("kl_max", agreement.kl_max.into());
        put("top5_logit_error_max", agreement.top5_logit_error_max.into());
        put("top5_logit_error_mean", agreement.top5_logit_error_mean.into());
        put("perplexity_reference", agreement.perplexity_reference.into());
        put("perplexity", agreement.perplexity.into());
        put("largest_margin_lost", agreement.largest_margin_lost.into());
    }
    row
}

fn push_map(row: &mut Row, prefix: &str, map: &BTreeMap<String, Value>) {
    for (key, value) in map {
        push(row, &format!("{prefix}.{key}"), value);
    }
}

fn push_provenance(row: &mut Row, record: &CellRecord) {
    let from = &record.provenance;
    push(row, "commit", from.code.commit.as_str());
    push(row, "dirty", from.code.dirty);
    push(row, "source_hash", from.code.source_hash.as_str());
    push(row, "lock_hash", from.code.lock_hash.as_str());
    push(row, "compiler", from.code.compiler.as_str());
    push(row, "profile", from.code.profile.as_str());
    push(row, "cpu", from.machine.cpu.as_str());
    push(row, "arch", from.machine.arch.as_str());
    push(row, "vector_extension", from.machine.vector_extension.as_str());
    push(row, "cores", from.machine.cores);
    push(row, "memory_bytes", from.machine.memory_bytes);
    if let Some(gpu) = &from.machine.gpu {
        push(row, "gpu", gpu.as_str());
    }
    push(row, "threads", from.threads);
    let stated = from.randomness.stated().map_or("os".into(), |seed| seed.to_string());
    push(row, "seed", stated.as_str());
    push(row, "keys_private", from.randomness.keys_private());
    push(row, "started_at", from.started_at.as_str());
    push(row, "parameters", from.parameters.as_str());
    push(row, "parameter_fingerprint", from.parameter_fingerprint.as_str());
    push(row, "security_bits", from.security_bits);
    push(row, "security_source", from.security_source.as_str());
    push(row, "insecure", from.insecure);
    push(row, "resumptions", u64::from(from.resumptions));
    if from.cells_beside > 0 {
        push(row, "cells_beside", from.cells_beside);
    }
    push(row, "model_hash", from.data.model.as_str());
    push(row, "prompts_hash", from.data.prompts.as_str());
    push(row, "ranges_hash", from.data.ranges.as_deref());
    if let Some(hash) = &from.data.text {
        push(row, "text_hash", hash.as_str());
    }
}

fn push_seconds(row: &mut Row, seconds: &PhaseSeconds) {
    push(row, "seconds.set_up", seconds.set_up);
    push(row, "seconds.plan", seconds.plan);
    push(row, "seconds.keys", seconds.keys);
    push(row, "seconds.encrypt", seconds.encrypt);
    push(row, "seconds.linear", seconds.linear);
    push(row, "seconds.bootstrapping", seconds.bootstrapping);
    push(row, "seconds.nonlinear", seconds.nonlinear);
    push(row, "seconds.decrypt", seconds.decrypt);
    push(row, "seconds.comparison", seconds.comparison);
    push(row, "seconds.total", seconds.total);
    push(row, "seconds.client", seconds.client);
}

/// Rows may have different columns (a count that only one mode knows); a column keeps the place where it first came up,
/// after the column that preceded it there.
pub(super) fn frame(rows: Vec<Row>) -> Result<DataFrame, String> {
    let mut names: Vec<String> = Vec::new();
    for row in &rows {
        let mut place = 0;
        for (name, _) in row {
            match names.iter().position(|known| known == name) {
                Some(found) => place = found + 1,
                None => {
                    names.insert(place, name.clone());
                    place += 1;
                }
            }
        }
    }
    let columns = names.iter().map(|name| {
        let values = rows.iter().map(|row| row.iter().find(|(key, _)| key == name).map(|(_, value)| value));
        column(name, &values.map(|value| value.cloned().unwrap_or(Scalar::Absent)).collect::<Vec<_>>())
    });
    DataFrame::new(columns.collect()).map_err(|error| error.to_string())
}

/// The narrowest type that holds all values of a column; a mixture becomes text.
fn column(name: &str, values: &[Scalar]) -> Column {
    let all = |fits: fn(&Scalar) -> bool| values.iter().all(|value| fits(value) || *value == Scalar::Absent);
    let series = if all(|value| matches!(value, Scalar::Truth(_))) {
        let truths = values.iter().map(|value| if let Scalar::Truth(truth) = value { Some(*truth) } else { None });
        Series::new(name.into(), truths.collect::<Vec<_>>())
    } else if all(|value| matches!(value, Scalar::Integer(_))) {
        let integers = values.iter().map(|value| if let Scalar::Integer(value) = value { Some(*value) } else { None });
        Series::new(name.into(), integers.collect::<Vec<_>>())
    } else if all(|value| matches!(value, Scalar::Integer(_) | Scalar::Float(_))) {
        let floats = values.iter().map(|value| match value {
            Scalar::Integer(value) => Some(*value as f64),
            Scalar::Float(value) => Some(*value),
            _ => None,
        });
        Series::new(name.into(), floats.collect::<Vec<_>>())
    } else {
        let texts = values.iter().map(|value| match value {
            Scalar::Text(text) => Some(text.clone()),
            Scalar::Integer(value) => Some(value.to_string()),
            Scalar::Float(value) => Some(value.to_string()),
            Scalar::Truth(truth) => Some(truth.to_string()),
            Scalar::Absent => None,
        });
        Series::new(name.into(), texts.collect::<Vec<_>>())
    };
    series.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::DataType;

    #[test]
    fn columns_keep_their_order_and_find_their_type() {
        let row =
            |pairs: &[(&str, Scalar)]| pairs.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
        let frame = frame(vec![
            row(&[("a", Scalar::Integer(1)), ("c", Scalar::Absent)]),
            row(&[("a", Scalar::Float(0.5)), ("b", Scalar::Truth(true)), ("c", "x".into())]),
        ])
        .unwrap();
        assert_eq!(frame.get_column_names_str(), ["a", "b", "c"]);
        assert_eq!(frame.dtypes(), [DataType::Float64, DataType::Boolean, DataType::String]);
    }
}
