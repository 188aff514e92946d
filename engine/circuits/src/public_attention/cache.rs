//! Public keys and values.

use crate::error::{Result, refuse};

/// Keys and values of public tokens, of one layer: heads of keys x keys x channels. Keys have their rotary positions.
#[derive(Clone, Debug)]
pub struct PublicCache {
    heads: usize,
    head_dim: usize,
    length: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl PublicCache {
    /// Takes over keys and values of `heads` heads of `head_dim` channels.
    ///
    /// # Errors
    /// If there is no key, the sizes differ, or an entry is not finite.
    pub fn new(heads: usize, head_dim: usize, keys: Vec<f32>, values: Vec<f32>) -> Result<Self> {
        const OPERATION: &str = "PublicCache::new";
        let of_key = heads * head_dim;
        if of_key == 0 || keys.is_empty() || !keys.len().is_multiple_of(of_key) {
            let required = format!("a positive multiple of {heads} heads x {head_dim} channels");
            return Err(refuse(
                OPERATION,
                "entries of the keys",
                keys.len(),
                required,
                "check the model's configuration",
            ));
        }
        if values.len() != keys.len() {
            return Err(refuse(
                OPERATION,
                "entries of the values",
                values.len(),
                keys.len(),
                "give a value for each key",
            ));
        }
        if keys.iter().chain(&values).any(|entry| !entry.is_finite()) {
            return Err(refuse(OPERATION, "an entry", "not finite", "a number", "check the public prefill"));
        }
        Ok(Self { heads, head_dim, length: keys.len() / of_key, keys, values })
    }

    /// Keys and values that nobody knows, for evaluators without data: zeros.
    ///
    /// # Errors
    /// If a size is zero.
    pub fn unknown(heads: usize, head_dim: usize, length: usize) -> Result<Self> {
        if heads * head_dim * length == 0 {
            let found = format!("{heads} heads x {length} keys x {head_dim} channels");
            let remedy = "leave public attention out";
            return Err(refuse("PublicCache::unknown", "sizes", found, "none of zero", remedy));
        }
        Ok(Self { heads, head_dim, length, keys: Vec::new(), values: Vec::new() })
    }

    /// Heads of keys and values.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Channels of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Number of keys.
    pub fn length(&self) -> usize {
        self.length
    }

    /// An entry of the keys; zero beyond the last one.
    pub fn key(&self, head: usize, key: usize, channel: usize) -> f64 {
        self.entry(&self.keys, head, key, channel)
    }

    /// An entry of the values; zero beyond the last key.
    pub fn value(&self, head: usize, key: usize, channel: usize) -> f64 {
        self.entry(&self.values, head, key, channel)
    }

    fn entry(&self, entries: &[f32], head: usize, key: usize, channel: usize) -> f64 {
        if key >= self.length {
            return 0.0;
        }
        let index = (head * self.length + key) * self.head_dim + channel;
        entries.get(index).map_or(0.0, |&entry| entry.into())
    }
}
