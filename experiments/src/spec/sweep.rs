//! The sweep of a spec: which settings vary, which of them together, and which combinations are left out.
//!
//! Each key of `[sweep.product]` varies on its own, those of `[sweep.zip]` together, from the first value of each to
//! the last; the cells are all combinations but those that a `[[sweep.exclude]]` describes.

use super::keys;
use crate::error::HarnessError;
use toml::{Table, Value};

/// One setting of a combination: dotted key and value.
pub(super) type Assignment = (String, Value);

/// A key and the values it takes.
type Axis = (String, Vec<Value>);

const PRODUCT: &str = "sweep.product";
const ZIP: &str = "sweep.zip";
const EXCLUDE: &str = "sweep.exclude";

/// What a spec varies, checked: axes in key order.
#[derive(Clone, Debug, Default)]
pub(super) struct Sweep {
    product: Vec<Axis>,
    zip: Vec<Axis>,
    exclude: Vec<Vec<Assignment>>,
    /// What overrides have made of axes: the one value each of them has in all cells.
    fixed: Vec<Assignment>,
    file: String,
}

impl Sweep {
    /// The sweep of a spec; one empty combination where it has none.
    ///
    /// # Errors
    /// [`HarnessError::UnknownKey`] for a key that no cell has, [`HarnessError::InvalidValue`] for what is no list of
    /// values, zipped lists of unequal length, a key swept twice, and an exclusion that leaves nothing out or
    /// everything.
    pub(super) fn of(spec: &Table, file: &str) -> Result<Self, HarnessError> {
        let part = |name: &str| spec.get("sweep").and_then(|sweep| sweep.get(name));
        let mut sweep = Self { file: file.into(), ..Self::default() };
        sweep.product = sweep.axes(part("product"), PRODUCT)?;
        sweep.zip = sweep.axes(part("zip"), ZIP)?;
        sweep.check_zip()?;
        sweep.exclude = sweep.exclusions(part("exclude"))?;
        let all = sweep.every_combination();
        for (index, exclusion) in sweep.exclude.iter().enumerate() {
            if !all.iter().any(|combination| matches(combination, exclusion)) {
                let problem =
                    format!("number {} leaves nothing out: no combination has {}", index + 1, shown(exclusion));
                return Err(sweep.refuse(EXCLUDE, EXCLUDE, problem));
            }
        }
        Ok(sweep)
    }

    /// Takes a key out of the sweep, because all cells now have one value of it. The other keys of a zip stay together;
    /// what is excluded is held against the new value.
    pub(super) fn fix(&mut self, key: &str, value: &Value) {
        self.release(key);
        self.fixed.push((key.into(), value.clone()));
    }

    /// Takes a key out of the sweep, because no cell has it any more.
    pub(super) fn release(&mut self, key: &str) {
        self.product.retain(|(axis, _)| !sets(axis, key));
        self.zip.retain(|(axis, _)| !sets(axis, key));
        self.fixed.retain(|(axis, _)| !sets(axis, key));
    }

    /// What every cell sets, cell by cell: the axes of the product from the slowest to the fastest, then those of the
    /// zip.
    ///
    /// # Errors
    /// [`HarnessError::InvalidValue`] where nothing is left.
    pub(super) fn combinations(&self) -> Result<Vec<Vec<Assignment>>, HarnessError> {
        let mut combinations = self.every_combination();
        combinations.retain(|combination| !self.exclude.iter().any(|exclusion| matches(combination, exclusion)));
        if combinations.is_empty() {
            let problem = "leaves no combination; leave some of it out, or override other keys".into();
            return Err(self.refuse(EXCLUDE, EXCLUDE, problem));
        }
        Ok(combinations)
    }

    fn every_combination(&self) -> Vec<Vec<Assignment>> {
        let together = self.zip.first().map_or(1, |(_, values)| values.len());
        let zipped = |index: usize| self.zip.iter().map(move |(key, values)| (key.clone(), values[index].clone()));
        product(&self.product)
            .into_iter()
            .flat_map(|combination| {
                (0..together).map(move |index| {
                    let fixed = self.fixed.iter().cloned();
                    combination.iter().cloned().chain(zipped(index)).chain(fixed).collect()
                })
            })
            .collect()
    }

    /// The axes of a table in key order: a dotted key and its values.
    fn axes(&self, table: Option<&Value>, place: &str) -> Result<Vec<Axis>, HarnessError> {
        let Some(table) = table else { return Ok(Vec::new()) };
        let mut leaves = Vec::new();
        flatten("", table, &mut leaves);
        let axis = |(key, value): (String, Value)| {
            check_axis(&key, &value, &self.origin(place))?;
            match value {
                Value::Array(values) if !values.is_empty() => Ok((key, values)),
                found => Err(self.refuse(place, &key, format!("is {found}, expected a list with at least one value"))),
            }
        };
        leaves.into_iter().map(axis).collect()
    }

    fn check_zip(&self) -> Result<(), HarnessError> {
        let Some((first, values)) = self.zip.first() else { return Ok(()) };
        if let Some((key, others)) = self.zip.iter().find(|(_, others)| others.len() != values.len()) {
            let problem = format!(
                "has {} values, but `{first}` has {}; settings that vary together need equally many",
                others.len(),
                values.len()
            );
            return Err(self.refuse(ZIP, key, problem));
        }
        match self.zip.iter().find(|(key, _)| self.product.iter().any(|(other, _)| other == key)) {
            Some((key, _)) => Err(self.refuse(ZIP, key, format!("varies in [{PRODUCT}], too; name it once"))),
            None => Ok(()),
        }
    }

    fn exclusions(&self, found: Option<&Value>) -> Result<Vec<Vec<Assignment>>, HarnessError> {
        let tables = match found {
            None => return Ok(Vec::new()),
            Some(Value::Array(tables)) => tables,
            Some(other) => {
                let problem = format!("is {}, expected tables [[{EXCLUDE}]]", other.type_str());
                return Err(self.refuse(EXCLUDE, EXCLUDE, problem));
            }
        };
        tables.iter().map(|table| self.exclusion(table)).collect()
    }

    /// One exclusion: every key is an axis, and every value one that the axis has.
    fn exclusion(&self, table: &Value) -> Result<Vec<Assignment>, HarnessError> {
        let mut conditions = Vec::new();
        flatten("", table, &mut conditions);
        if !table.is_table() || conditions.is_empty() {
            let problem = format!("holds {table}, expected a table with at least one key of the sweep and its value");
            return Err(self.refuse(EXCLUDE, EXCLUDE, problem));
        }
        for (key, value) in &conditions {
            keys::check_settable(key, &self.origin(EXCLUDE))?;
            let axes: Vec<&Axis> = self.product.iter().chain(&self.zip).collect();
            let Some((_, values)) = axes.iter().find(|(axis, _)| axis == key) else {
                let swept = axes.iter().map(|(axis, _)| axis.as_str()).collect::<Vec<_>>().join(", ");
                let swept = if swept.is_empty() { "nothing".into() } else { swept };
                let problem = format!("is excluded, but does not vary; the sweep varies {swept}");
                return Err(self.refuse(EXCLUDE, key, problem));
            };
            if !values.contains(value) {
                let values = values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let problem = format!("is {value}, which leaves nothing out; it varies over {values}");
                return Err(self.refuse(EXCLUDE, key, problem));
            }
        }
        Ok(conditions)
    }

    fn origin(&self, place: &str) -> String {
        let file = &self.file;
        if place == EXCLUDE { format!("{file}, [[{place}]]") } else { format!("{file}, [{place}]") }
    }

    fn refuse(&self, place: &str, key: &str, problem: String) -> HarnessError {
        HarnessError::InvalidValue { origin: self.origin(place), key: key.into(), problem }
    }
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
fn sets(axis: &str, key: &str) -> bool {
    axis == key || key.strip_prefix(axis).is_some_and(|rest| rest.starts_with('.'))
}

/// Whether a combination has everything that an exclusion asks for.
fn matches(combination: &[Assignment], exclusion: &[Assignment]) -> bool {
    exclusion.iter().all(|condition| combination.contains(condition))
}

fn shown(assignments: &[Assignment]) -> String {
    assignments.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(" and ")
}

/// The cartesian product of the axes; the last axis varies fastest. No axis: one empty combination.
fn product(axes: &[Axis]) -> Vec<Vec<Assignment>> {
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
            inner.into_iter().for_each(|(name, value)| assign(spec, &format!("{key}.{name}"), value));
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
