//! When two runs are the same run: a hash over everything that can change the answer.
//!
//! Configuration, code, data and machine class go in; the spec's name, its question and what the answer `must` keep do not. The hash is over
//! canonical JSON (keys sorted, no spaces), so it depends neither on the order of keys nor on how a spec is laid out.

use crate::calibrate::stored_ranges;
use crate::error::HarnessError;
use crate::machine::Machine;
use crate::provenance::CodeVersion;
use crate::record::{CellRecord, Provenance, nested};
use crate::spec::{Cell, ModelSection};
use fhe_model::Weights;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The name of a cell's content: 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(String);

impl Identity {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Hashes of what a cell reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataHashes {
    /// Configuration, tokenizer and weights of the model.
    pub model: String,
    /// The prompts.
    pub prompts: String,
    /// The text whose windows are run in place of prompts. Left out where there is none, so that records keep their identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The text that begins with the public context. Left out where there is none, so that records keep their identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The calibrated ranges, where they are stored.
    pub ranges: Option<String>,
    /// The calibration text, where the spec names one.
    pub calibration_text: Option<String>,
    /// Assumed ranges in place of calibrated ones. Left out where there are none, so that records keep their identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed_ranges: Option<String>,
}

/// A cell with everything that identifies it: what a child process is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedCell {
    /// The cell.
    pub cell: Cell,
    /// Hash over configuration, code, data and machine class.
    pub identity: Identity,
    /// Hash over configuration and repetition alone: what stays when code or machine change.
    pub config_hash: String,
    /// Hashes of the data.
    pub data: DataHashes,
    /// The code.
    pub code: CodeVersion,
    /// The machine.
    pub machine: Machine,
    /// The folder that relative paths of the configuration start at.
    pub root: PathBuf,
    /// How many cells its parent may run at once, itself included: no part of what it is, but of what its times mean.
    pub at_once: usize,
}

impl ResolvedCell {
    /// Reads and hashes the data a cell names, and identifies it on this machine with this binary.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when a named file cannot be read; [`HarnessError::Gpu`] when the cell asks for a GPU that is not there.
    pub fn identify(cell: Cell, root: &Path) -> Result<Self, HarnessError> {
        let machine = Machine::detect().computing_on(cell.config.engine.device)?;
        Self::identify_on(machine, cell, root)
    }

    /// The same on a given machine.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when a named file cannot be read.
    pub fn identify_on(machine: Machine, cell: Cell, root: &Path) -> Result<Self, HarnessError> {
        let data = DataHashes::of(&cell, root)?;
        Ok(Self::with(cell, data, CodeVersion::of_this_binary(), machine, root.into()))
    }

    /// Identifies a cell from parts that are already known.
    pub fn with(cell: Cell, data: DataHashes, code: CodeVersion, machine: Machine, root: PathBuf) -> Self {
        let (config_hash, identity) = hashes(&json!(cell.config), cell.repetition, &code, &data, &machine);
        Self { cell, identity, config_hash, data, code, machine, root, at_once: 1 }
    }

    /// Threads that it computes with: those of its configuration, or its share where these are all that the machine has and others run beside it.
    pub fn threads(&self) -> usize {
        let threads = self.cell.config.threads();
        if threads < self.machine.cores { threads } else { (threads / self.at_once.max(1)).max(1) }
    }
}

/// What a record's own contents hash to: its configuration, and all of it.
pub fn hashes_of(record: &CellRecord) -> (String, Identity) {
    let mut config = nested(&record.config);
    // A section without a single setting leaves nothing behind in dotted keys.
    config.entry("limits").or_insert_with(|| json!({}));
    let Provenance { code, data, machine, .. } = &record.provenance;
    hashes(&Value::Object(config), record.repetition, code, data, machine)
}

/// The hash of a configuration and its repetition, and that of everything that can change the answer.
fn hashes(
    config: &Value,
    repetition: u32,
    code: &CodeVersion,
    data: &DataHashes,
    machine: &Machine,
) -> (String, Identity) {
    let config = json!({ "config": config, "repetition": repetition });
    let everything = json!({
        "config": config,
        "code": code_identity(code),
        "data": data,
        "machine": machine.class(),
    });
    let identity = Identity(short_hash(canonical_json(&everything).as_bytes()));
    (short_hash(canonical_json(&config).as_bytes()), identity)
}

/// A clean tree is its commit; anything else is its sources. The lock file fixes the dependencies in both cases.
fn code_identity(code: &CodeVersion) -> Value {
    let tree = if code.dirty || code.commit.is_empty() { &code.source_hash } else { "" };
    json!({ "commit": code.commit, "dirty": code.dirty, "sources": tree, "lock": code.lock_hash,
            "compiler": code.compiler, "profile": code.profile })
}

impl DataHashes {
    /// Reads and hashes them.
    ///
    /// # Errors
    /// [`HarnessError::Io`] when a named file cannot be read.
    pub(crate) fn of(cell: &Cell, root: &Path) -> Result<Self, HarnessError> {
        let model = &cell.config.model;
        let hash_named = |path: &Option<PathBuf>| path.as_ref().map(|path| hash_file(&root.join(path))).transpose();
        let assumed = cell.config.input.tokens.and_then(|_| assumed_ranges(model, root));
        let folder = root.join(&model.path);
        Ok(Self {
            // Of a shape nothing else is read, whatever has been fetched.
            model: if assumed.is_some() { hash_file(&folder.join("config.json")) } else { hash_model(&folder) }?,
            prompts: short_hash(canonical_json(&json!(cell.prompts)).as_bytes()),
            text: hash_named(&cell.config.input.text)?,
            context: hash_named(&cell.config.context.as_ref().and_then(|context| context.text.clone()))?,
            ranges: stored_ranges(&cell.config, root)?.map(|path| hash_file(&path)).transpose()?,
            calibration_text: hash_named(&model.calibration_text)?,
            assumed_ranges: assumed.map(|path| hash_file(&path)).transpose()?,
        })
    }
}

/// Where the assumed ranges of a metered model lie: the file the spec names, else `assumed-ranges.toml` beside a `config.json` without
/// weights if it exists.
pub fn assumed_ranges(model: &ModelSection, root: &Path) -> Option<PathBuf> {
    let folder = root.join(&model.path);
    match &model.assumed_ranges {
        Some(path) => Some(root.join(path)),
        None if Weights::lie_in(&folder) => None,
        None => Some(folder.join("assumed-ranges.toml")).filter(|path| path.is_file()),
    }
}

/// Hash of the files of a model folder that determine what it computes; a model card may change freely.
fn hash_model(folder: &Path) -> Result<String, HarnessError> {
    let matters = |name: &str| {
        matches!(name, "config.json" | "tokenizer.json" | "model.safetensors.index.json")
            || name.ends_with(".safetensors")
    };
    let entries = std::fs::read_dir(folder).map_err(|source| HarnessError::io("list", folder, source))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| matters(name));
    names.sort();
    let mut hasher = blake3::Hasher::new();
    for name in names {
        hasher.update(name.as_bytes()).update(&[0]).update(hash_file(&folder.join(&name))?.as_bytes());
    }
    Ok(hasher.finalize().to_hex()[..16].to_string())
}

fn hash_file(path: &Path) -> Result<String, HarnessError> {
    let failed = |source| HarnessError::io("read", path, source);
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).map_err(failed)?).map_err(failed)?;
    Ok(hasher.finalize().to_hex()[..16].to_string())
}

/// The first 16 hexadecimal digits of a BLAKE3 hash.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_string()
}

/// JSON with sorted keys and no spaces, whatever order the value holds them in.
pub fn canonical_json(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{}:{}", json!(key), canonical_json(value))).collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical_json).collect::<Vec<_>>().join(","))
        }
        leaf => leaf.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_sorts_keys_at_every_level() {
        let value = json!({ "b": [ { "z": 1, "a": "\"" } ], "a": null });
        assert_eq!(canonical_json(&value), r#"{"a":null,"b":[{"a":"\"","z":1}]}"#);
    }
}
