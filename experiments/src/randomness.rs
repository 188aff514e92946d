//! Where a cell's randomness comes from: the operating system, or a seed that no other cell of its suite has.
//!
//! A spec states one seed; every cell derives its own from it and from all that it asks. Who computes and how fast, that is device, threads
//! and limits, changes nothing, so that runs on other machines can be compared word by word.

use crate::identity::canonical_json;
use crate::spec::{Cell, Noise};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The seed that modelled noise is drawn from where a spec states none.
const UNSTATED: u64 = 0;

/// The origin of keys, encryptions and modelled noise, as a record states it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum Randomness {
    /// Drawn anew: nobody knows the keys.
    #[default]
    OperatingSystem,
    /// Made from a seed: reproducible, and no key is private.
    Seed {
        /// The spec's seed, or that of modelled noise where a spec states none.
        stated: u64,
        /// What the cell derived from it: 32 bytes in hexadecimal digits.
        of_cell: String,
    },
}

impl Randomness {
    /// That of a cell.
    pub fn of(cell: &Cell) -> Self {
        let engine = &cell.config.engine;
        match (engine.seed, engine.noise) {
            (None, Noise::None) => Self::OperatingSystem,
            (stated, _) => {
                let stated = stated.unwrap_or(UNSTATED);
                Self::Seed { stated, of_cell: hexadecimal(&derived(stated, cell)) }
            }
        }
    }

    /// As schema 1 derived it: from seed and repetition alone, so that cells of a sweep shared their secrets.
    pub(crate) fn of_schema_1(stated: u64, repetition: u32) -> Self {
        let mut material = stated.to_le_bytes().to_vec();
        material.extend_from_slice(&repetition.to_le_bytes());
        let derived = blake3::derive_key("fhe-llama 2026 seed of a cell from its spec", &material);
        Self::Seed { stated, of_cell: hexadecimal(&derived) }
    }

    /// The seed that was stated, if one was.
    pub fn stated(&self) -> Option<u64> {
        if let Self::Seed { stated, .. } = self { Some(*stated) } else { None }
    }

    /// Whether keys are known to nobody.
    pub fn keys_private(&self) -> bool {
        *self == Self::OperatingSystem
    }
}

/// The secret of a cell whose spec states a seed.
pub fn seed_of(cell: &Cell) -> Option<[u8; 32]> {
    cell.config.engine.seed.map(|stated| derived(stated, cell))
}

/// The seed of a cell's modelled noise.
pub fn noise_seed(cell: &Cell) -> u64 {
    let derived = derived(cell.config.engine.seed.unwrap_or(UNSTATED), cell);
    u64::from_le_bytes(std::array::from_fn(|byte| derived[byte]))
}

fn derived(stated: u64, cell: &Cell) -> [u8; 32] {
    let mut asked = json!(cell.config);
    if let Some(engine) = asked.get_mut("engine").and_then(Value::as_object_mut) {
        engine.retain(|key, _| !matches!(key.as_str(), "device" | "threads" | "seed"));
    }
    if let Some(config) = asked.as_object_mut() {
        config.remove("limits");
    }
    let material = json!({ "seed": stated, "repetition": cell.repetition, "config": asked });
    blake3::derive_key(
        "fhe-llama 2026 seed of a cell from its spec and its configuration",
        canonical_json(&material).as_bytes(),
    )
}

fn hexadecimal(bytes: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*bytes).to_hex().to_string()
}
