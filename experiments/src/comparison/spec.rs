//! What a comparison asks: a strict TOML file that names records, published figures, operations and targets.

use crate::error::HarnessError;
use crate::spec::{check_fields, is_folder_name, one_line};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What tells a comparison from an experiment.
const KIND: &str = "comparison";

/// A comparison as its file states it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparisonSpec {
    /// Always `comparison`.
    kind: String,
    /// The folder of what is derived from it.
    pub name: String,
    /// The question it answers.
    pub question: String,
    /// The record file: JSON Lines, one measurement a row.
    pub records: PathBuf,
    /// Files of published figures.
    #[serde(default)]
    pub baselines: Vec<PathBuf>,
    /// The library that the others are compared with.
    pub ours: String,
    /// The libraries, in the order in which tables and charts show them.
    pub libraries: Vec<Library>,
    /// The operations, in the order in which they are shown.
    pub operations: Vec<Operation>,
}

/// A library by the name that records use.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// Its name in records.
    pub id: String,
    /// Its name for readers.
    pub label: String,
}

/// An operation that libraries are compared by.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Its name in records.
    pub id: String,
    /// Its name for readers.
    pub label: String,
    /// The unit that all its times are given in.
    pub unit: Unit,
    /// Libraries that are expected to have measurements of it; a gap is shown with its reason.
    pub libraries: Vec<String>,
    /// Whether the chart has a panel for it.
    #[serde(default = "yes")]
    pub chart: bool,
    /// What our measurements are held against.
    #[serde(default)]
    pub targets: Vec<Target>,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Unit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
}

impl Unit {
    /// Its symbol.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
        }
    }

    /// How many of it a second has.
    pub fn per_second(self) -> f64 {
        match self {
            Self::Seconds => 1.0,
            Self::Milliseconds => 1e3,
            Self::Microseconds => 1e6,
        }
    }
}

/// Upper limits on our time with a number of threads, in the operation's unit.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Worker threads it is meant for.
    pub threads: usize,
    /// What has to be reached.
    pub must: Option<f64>,
    /// What is striven for.
    pub goal: Option<f64>,
}

fn yes() -> bool {
    true
}

impl ComparisonSpec {
    /// Reads and checks a spec; its path is relative to `root`.
    ///
    /// # Errors
    /// One error naming the file, the dotted key, what was found and what is accepted.
    pub fn load(path: &Path, root: &Path) -> Result<Self, HarnessError> {
        let full = root.join(path);
        if !full.is_file() {
            return Err(HarnessError::SpecNotFound { path: path.into(), directory: root.into() });
        }
        let text = std::fs::read_to_string(&full).map_err(|source| HarnessError::io("read", &full, source))?;
        Self::parse(&text, &path.display().to_string(), root)
    }

    /// As [`ComparisonSpec::load`], from text; `file` is the name that errors carry.
    ///
    /// # Errors
    /// As [`ComparisonSpec::load`].
    pub fn parse(text: &str, file: &str, root: &Path) -> Result<Self, HarnessError> {
        let table = table_of(text, file)?;
        if !is_comparison(&table) {
            let found = table.get("kind").map_or("missing".into(), |kind| format!("is {kind}"));
            let problem = format!("{found}, \"{KIND}\" is required; an experiment is run with `fhe-llama run`");
            return Err(HarnessError::InvalidValue { origin: file.into(), key: "kind".into(), problem });
        }
        check_fields::<Self>(&table, "", file)?;
        for (key, item) in items(&table, &["libraries"]) {
            check_fields::<Library>(item, &key, file)?;
        }
        for (key, item) in items(&table, &["operations"]) {
            check_fields::<Operation>(item, &key, file)?;
            for (inner, target) in items(item, &["targets"]) {
                check_fields::<Target>(target, &format!("{key}.{inner}"), file)?;
            }
        }
        let spec: Self = Value::Table(table).try_into().map_err(|source: toml::de::Error| HarnessError::SpecType {
            origin: file.into(),
            message: one_line(&source.to_string()),
        })?;
        spec.check(file, root)?;
        Ok(spec)
    }

    /// What readers call a library.
    pub fn label<'a>(&'a self, library: &'a str) -> &'a str {
        self.libraries.iter().find(|known| known.id == library).map_or(library, |known| &known.label)
    }

    fn check(&self, file: &str, root: &Path) -> Result<(), HarnessError> {
        let refuse = |key: &str, problem: String| {
            Err(HarnessError::InvalidValue { origin: file.into(), key: key.into(), problem })
        };
        if !is_folder_name(&self.name) {
            let problem = format!("is `{}`; it names a folder: lower-case letters, digits and hyphens only", self.name);
            return refuse("name", problem);
        }
        for (key, names) in [
            ("libraries", self.libraries.iter().map(|library| &library.id).collect::<Vec<_>>()),
            ("operations", self.operations.iter().map(|operation| &operation.id).collect()),
        ] {
            let distinct: BTreeSet<_> = names.iter().collect();
            match names.iter().find(|name| names.iter().filter(|other| other == name).count() > 1) {
                Some(name) => return refuse(key, format!("has `{name}` more than once, once is required")),
                None if distinct.is_empty() => return refuse(key, "is empty, at least one is required".into()),
                None => {}
            }
        }
        let known: Vec<&str> = self.libraries.iter().map(|library| library.id.as_str()).collect();
        let unknown = |name: &String| format!("names `{name}`, which is none of libraries: {}", known.join(", "));
        if !known.contains(&self.ours.as_str()) {
            return refuse("ours", unknown(&self.ours));
        }
        for (index, operation) in self.operations.iter().enumerate() {
            let key = |field: &str| format!("operations[{index}].{field}");
            if let Some(name) = operation.libraries.iter().find(|name| !known.contains(&name.as_str())) {
                return refuse(&key("libraries"), unknown(name));
            }
            for target in &operation.targets {
                if target.threads == 0 {
                    return refuse(&key("targets"), "has a target for 0 threads, at least 1 is required".into());
                }
                let limits = [target.must, target.goal];
                if limits.iter().all(Option::is_none) {
                    return refuse(&key("targets"), "has a target without must and goal, one is required".into());
                }
                if let Some(limit) = limits.into_iter().flatten().find(|limit| !limit.is_finite() || *limit <= 0.0) {
                    return refuse(&key("targets"), format!("has the limit {limit}, a positive number is required"));
                }
            }
        }
        match self.baselines.iter().find(|path| !root.join(path).is_file()) {
            Some(path) => {
                Err(HarnessError::InputNotFound { key: "baselines".into(), path: path.clone(), directory: root.into() })
            }
            None => Ok(()),
        }
    }
}

/// Whether a spec file states a comparison; one that cannot be read states none.
pub(super) fn states_a_comparison(text: &str) -> bool {
    text.parse::<Table>().is_ok_and(|table| is_comparison(&table))
}

fn is_comparison(table: &Table) -> bool {
    table.get("kind").and_then(Value::as_str) == Some(KIND)
}

/// The table that a TOML text holds.
pub(super) fn table_of(text: &str, file: &str) -> Result<Table, HarnessError> {
    text.parse::<Table>()
        .map_err(|source| HarnessError::SpecSyntax { file: file.into(), message: source.to_string().trim_end().into() })
}

/// The tables of an array of tables, each with its key. What is no such array is left to the types to refuse.
pub(super) fn items<'a>(table: &'a Table, keys: &'a [&'a str]) -> impl Iterator<Item = (String, &'a Table)> {
    let arrays = keys.iter().filter_map(move |key| Some((*key, table.get(*key)?.as_array()?)));
    arrays.flat_map(|(key, array)| {
        array.iter().enumerate().filter_map(move |(index, item)| Some((format!("{key}[{index}]"), item.as_table()?)))
    })
}
