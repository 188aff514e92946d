//! Figures that others published, mostly of other hardware. They were not measured here and never mix with what was.

use super::spec::{items, table_of};
use crate::error::HarnessError;
use crate::spec::{check_fields, one_line};
use serde::Deserialize;
use std::fmt;
use std::path::Path;
use toml::Value;

/// A published time of one operation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reported {
    /// Its name.
    pub id: String,
    /// The system that was timed.
    pub system: String,
    /// The operation, by the name that specs and records use.
    pub operation: String,
    /// What is known of the parameters.
    pub parameters: String,
    /// What it ran on.
    pub hardware: String,
    /// Seconds of one operation.
    pub seconds: f64,
    /// How the figure is known.
    pub confidence: Confidence,
    /// Where it stands.
    pub source: String,
    /// What a reader has to know to compare with it.
    #[serde(default)]
    pub note: String,
}

/// How a published figure is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Read in the paper itself.
    Paper,
    /// Read in the text of the system's own repository.
    Repository,
    /// Read in a third party's text.
    Quoted,
    /// Put together from other figures.
    Inferred,
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paper => "paper",
            Self::Repository => "repository",
            Self::Quoted => "quoted by others",
            Self::Inferred => "inferred",
        })
    }
}

/// A file of published figures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BaselineFile {
    reported: Vec<Reported>,
}

/// Reads the published figures of a file, `path` relative to `root`.
///
/// # Errors
/// One error naming the file, the dotted key, what was found and what is accepted.
pub(super) fn load(path: &Path, root: &Path) -> Result<Vec<Reported>, HarnessError> {
    let full = root.join(path);
    let text = std::fs::read_to_string(&full).map_err(|source| HarnessError::io("read", &full, source))?;
    parse(&text, &path.display().to_string())
}

fn parse(text: &str, file: &str) -> Result<Vec<Reported>, HarnessError> {
    let table = table_of(text, file)?;
    check_fields::<BaselineFile>(&table, "", file)?;
    for (key, item) in items(&table, &["reported"]) {
        check_fields::<Reported>(item, &key, file)?;
    }
    let read: BaselineFile = Value::Table(table).try_into().map_err(|source: toml::de::Error| {
        HarnessError::SpecType { origin: file.into(), message: one_line(&source.to_string()) }
    })?;
    match read.reported.iter().position(|entry| !entry.seconds.is_finite() || entry.seconds <= 0.0) {
        Some(index) => Err(HarnessError::InvalidValue {
            origin: file.into(),
            key: format!("reported[{index}].seconds"),
            problem: format!("is {}, a positive number is required", read.reported[index].seconds),
        }),
        None => Ok(read.reported),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "[[reported]]\nid = \"a\"\nsystem = \"b\"\noperation = \"c\"\nparameters = \"d\"\n\
                         hardware = \"e\"\nseconds = 0.5\nconfidence = \"quoted\"\nsource = \"f\"\n";

    #[test]
    fn reads_an_entry() {
        let entries = parse(ENTRY, "file.toml").unwrap();
        assert_eq!((entries.len(), entries[0].seconds, entries[0].confidence), (1, 0.5, Confidence::Quoted));
    }

    #[test]
    fn rejects_what_is_no_entry() {
        let refusal = |text: &str| parse(text, "file.toml").unwrap_err().to_string();
        let misspelt = ENTRY.replace("hardware", "hardwear");
        assert!(
            refusal(&misspelt).contains("unknown key `reported[0].hardwear`; did you mean `reported[0].hardware`?")
        );
        assert!(refusal(&ENTRY.replace("0.5", "0.0")).contains("`reported[0].seconds` is 0"));
        assert!(refusal(&ENTRY.replace("quoted", "rumour")).contains("rumour"));
        assert!(refusal(&ENTRY.replace("[[reported]]", "[[report]]")).contains("did you mean `reported`?"));
    }
}
