//! The sweep of a spec: every combination of the listed values.

use super::keys;
use crate::error::HarnessError;
use toml::{Table, Value};

/// One setting of a combination: dotted key and value.
pub(super) type Assignment = (String, Value);

/// The axes of `[sweep.product]`, in key order: a dotted key and its values.
pub(super) fn axes(spec: &Table, file: &str) -> Result<Vec<(String, Vec<Value>)>, HarnessError> {
    let Some(product) = spec.get("sweep").and_then(|sweep| sweep.get("product")) else { return Ok(Vec::new()) };
    let mut leaves = Vec::new();
    flatten("", product, &mut leaves);
    leaves
        .into_iter()
        .map(|(key, value)| {
            check_axis(&key, &value, &format!("{file}, [sweep.product]"))?;
            match value {
                Value::Array(values) if !values.is_empty() => Ok((key, values)),
                found => Err(HarnessError::InvalidValue {
                    origin: format!("{file}, [sweep.product]"),
                    problem: format!("is {found}, expected a list with at least one value"),
                    key,
                }),
            }
        })
        .collect()
}

/// An axis is one key with its values, or a section with tables of its keys that go together: `softmax = [{ variant = .. }, { .. }]`.
fn check_axis(key: &str, value: &Value, origin: &str) -> Result<(), HarnessError> {
    let tables: Option<Vec<&Table>> = value.as_array().and_then(|values| values.iter().map(Value::as_table).collect());
    match tables {
        Some(tables) if !key.contains('.') && !tables.is_empty() => {
            let mut inner = tables.into_iter().flat_map(Table::keys);
            inner.try_for_each(|inner| keys::check_settable(&format!("{key}.{inner}"), origin))
        }
        _ => keys::check_settable(key, origin),
    }
}

/// Whether an axis sets a dotted key, alone or as one of its section.
pub(super) fn sets(axis: &str, key: &str) -> bool {
    axis == key || key.strip_prefix(axis).is_some_and(|rest| rest.starts_with('.'))
}

/// The cartesian product of the axes; the last axis varies fastest. No axis: one empty combination.
pub(super) fn product(axes: &[(String, Vec<Value>)]) -> Vec<Vec<Assignment>> {
    axes.iter().fold(vec![Vec::new()], |combinations, (key, values)| {
        combinations
            .iter()
            .flat_map(|combination| {
                values.iter().map(move |value| {
                    let mut longer = combination.clone();
                    longer.push((key.clone(), value.clone()));
                    longer
                })
            })
            .collect()
    })
}

/// Sets a dotted key, creating the table it lies in. Of a section the keys of a table are set, and others stay.
pub(super) fn assign(spec: &mut Table, key: &str, value: Value) {
    match (key.split_once('.'), value) {
        (None, Value::Table(inner)) => {
            inner.into_iter().for_each(|(name, value)| assign(spec, &format!("{key}.{name}"), value))
        }
        (None, value) => {
            spec.insert(key.into(), value);
        }
        (Some((section, rest)), value) => {
            let inner = spec.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                assign(inner, rest, value);
            }
        }
    }
}

/// Removes a dotted key, if it is there.
pub(super) fn remove(spec: &mut Table, key: &str) {
    match key.split_once('.') {
        None => {
            spec.remove(key);
        }
        Some((section, rest)) => {
            if let Some(Value::Table(inner)) = spec.get_mut(section) {
                remove(inner, rest);
            }
        }
    }
}

/// Quoted (`"engine.threads" = [..]`) and plain (`engine.threads = [..]`) keys mean the same axis.
fn flatten(prefix: &str, value: &Value, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, leaves);
            }
        }
        leaf => leaves.push((prefix.into(), leaf.clone())),
    }
}
