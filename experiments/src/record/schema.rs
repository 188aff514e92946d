//! Layouts of a record: which ones this version reads, and how an older one becomes the present one.
//!
//! A journal is never rewritten. What an older version wrote is brought up to date in memory, one step a schema, each time it is read.

use super::CellRecord;
use crate::randomness::Randomness;
use serde_json::Value;

/// The layout of [`CellRecord`]; raised whenever a field changes its meaning.
pub const SCHEMA: u64 = 2;
/// The oldest layout that can be read.
pub const OLDEST_SCHEMA: u64 = 1;

/// What makes a record of one schema one of the next.
type Step = fn(&mut Value) -> Result<(), String>;

/// The step that leaves each schema, from the oldest.
const STEPS: [Step; (SCHEMA - OLDEST_SCHEMA) as usize] = [randomness_of_cells];

/// Why a line is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is not what any version wrote.
    Damaged(String),
    /// A version wrote it that this one does not know.
    Schema(u64),
}

/// Reads a line, whatever known schema it has; returns that, too.
pub(crate) fn read(line: &[u8]) -> Result<(CellRecord, u64), Unreadable> {
    let damaged = |message: String| Unreadable::Damaged(message);
    let mut value: Value = serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
    let schema = value.get("schema").and_then(Value::as_u64).ok_or_else(|| damaged("no `schema` number".into()))?;
    if !(OLDEST_SCHEMA..=SCHEMA).contains(&schema) {
        return Err(Unreadable::Schema(schema));
    }
    for step in &STEPS[(schema - OLDEST_SCHEMA) as usize..] {
        step(&mut value).map_err(|problem| damaged(format!("of schema {schema}: {problem}")))?;
    }
    value["schema"] = SCHEMA.into();
    let record = serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
    Ok((record, schema))
}

/// From 1 to 2: `provenance.seed`, a number in words or `os`, and `provenance.keys_private` become `provenance.randomness`, which states
/// what the cell derived.
fn randomness_of_cells(record: &mut Value) -> Result<(), String> {
    let repetition = record.get("repetition").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    let repetition = repetition.ok_or("no `repetition` number")?;
    let provenance = record.get_mut("provenance").and_then(Value::as_object_mut).ok_or("no `provenance` table")?;
    let seed = provenance.remove("seed").ok_or("no `provenance.seed`")?;
    provenance.remove("keys_private");
    let randomness = match seed.as_str() {
        Some("os") => Randomness::OperatingSystem,
        text => {
            let stated = text.and_then(|text| text.parse().ok());
            Randomness::of_schema_1(
                stated.ok_or(format!("`provenance.seed` is {seed}, a number or `os` is required"))?,
                repetition,
            )
        }
    };
    let randomness = serde_json::to_value(randomness).map_err(|error| error.to_string())?;
    provenance.insert("randomness".into(), randomness);
    Ok(())
}
