//! The shape of a Llama model, read from a Hugging Face `config.json`.
//!
//! A configuration that this crate accepts describes exactly the mathematics it computes: pre-norm decoder layers with
//! RMSNorm, rotary positions over whole heads, grouped-query attention without biases, and SwiGLU (Touvron et al.,
//! arXiv 2302.13971 and 2307.09288). A key that would change the mathematics is refused by name instead of ignored.
//! Sizes need not be powers of two; packing pads them.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The architecture of a Llama model. All sizes are positive and fit each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Config {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of decoder layers.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key and value heads; divides the number of query heads.
    pub num_key_value_heads: usize,
    /// Channels of one head; even, for the rotary position pairs.
    pub head_dim: usize,
    /// Width of the feed-forward network.
    pub intermediate_size: usize,
    /// Added to the mean square before the inverse square root of RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Whether the LM head is the embedding.
    pub tie_word_embeddings: bool,
    /// Longest prompt that the model was built for.
    pub max_position_embeddings: usize,
    /// Beginning-of-sequence token, if the model has one.
    pub bos_token_id: Option<u32>,
    /// End-of-sequence tokens, any number.
    pub eos_token_ids: Vec<u32>,
    /// How the weights were made, if they were not trained: the key `synthetic`, which is this project's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<String>,
}

/// Keys that change what a Llama layer computes, each with the only value this circuit carries. `null` and an absent
/// key count as that value.
const FIXED_KEYS: [(&str, Fixed); 9] = [
    ("hidden_act", Fixed::Text("silu")),
    ("attention_bias", Fixed::False),
    ("mlp_bias", Fixed::False),
    ("sliding_window", Fixed::Null),
    ("quantization_config", Fixed::Null),
    ("partial_rotary_factor", Fixed::One),
    ("rope_interleaved", Fixed::False),
    ("layer_types", Fixed::Null),
    ("num_local_experts", Fixed::Null),
];

enum Fixed {
    Text(&'static str),
    False,
    Null,
    One,
}

impl Config {
    /// Reads and validates a `config.json`.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Malformed`] (not a JSON object), [`Error::ConfigKey`] naming the first key that is
    /// missing, out of its domain, or asks for mathematics that is not computed here.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        Self::parse(&text, path)
    }

    /// Validates the text of a `config.json`; `path` is only named in errors.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let keys: Map<String, Value> = serde_json::from_str(text).map_err(Error::malformed("config.json", path))?;
        let keys = Keys { path, keys: &keys };
        keys.refuse_other_mathematics()?;

        let hidden_size = keys.size("hidden_size", None)?;
        let num_attention_heads = keys.size("num_attention_heads", None)?;
        let num_key_value_heads = keys.size("num_key_value_heads", Some(num_attention_heads))?;
        if !num_attention_heads.is_multiple_of(num_key_value_heads) {
            let required = format!("a divisor of num_attention_heads = {num_attention_heads}");
            return Err(keys.refuse("num_key_value_heads", required));
        }
        let head_dim = match keys.get("head_dim") {
            Some(_) => keys.size("head_dim", None)?,
            None if hidden_size.is_multiple_of(num_attention_heads) => hidden_size / num_attention_heads,
            None => {
                let required =
                    format!("a multiple of num_attention_heads = {num_attention_heads}, or a key `head_dim`");
                return Err(keys.refuse("hidden_size", required));
            }
        };
        if !head_dim.is_multiple_of(2) {
            return Err(match keys.get("head_dim") {
                Some(_) => keys.refuse("head_dim", "an even number (rotary positions turn pairs of channels)"),
                None => keys.refuse("hidden_size", "an even number of channels per head (rotary positions)"),
            });
        }
        let vocab_size = keys.size("vocab_size", None)?;
        Ok(Self {
            hidden_size,
            num_hidden_layers: keys.size("num_hidden_layers", None)?,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            intermediate_size: keys.size("intermediate_size", None)?,
            rms_norm_eps: keys.positive("rms_norm_eps", 1e-6)?,
            rope_theta: keys.rope_theta()?,
            vocab_size,
            tie_word_embeddings: keys.flag("tie_word_embeddings", false)?,
            max_position_embeddings: keys.size("max_position_embeddings", Some(2048))?,
            bos_token_id: keys.tokens("bos_token_id", vocab_size)?.first().copied(),
            eos_token_ids: keys.tokens("eos_token_id", vocab_size)?,
            synthetic: keys.text("synthetic")?,
        })
    }

    /// Channels of all query heads together; the rows of the query projection.
    pub fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Channels of all key (or value) heads together; the rows of the key and value projections.
    pub fn key_value_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// How many query heads share one key and value head.
    pub fn queries_per_key_value(&self) -> usize {
        self.num_attention_heads / self.num_key_value_heads
    }

    /// The key and value head that a query head attends with.
    pub fn key_value_head(&self, query_head: usize) -> usize {
        query_head / self.queries_per_key_value()
    }
}

/// A configuration's keys beside the file they come from, so that every refusal can name both.
struct Keys<'a> {
    path: &'a Path,
    keys: &'a Map<String, Value>,
}

impl Keys<'_> {
    /// The value of a key; `null` counts as absent.
    fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    fn refuse(&self, key: &str, required: impl Into<String>) -> Error {
        let found = self.keys.get(key).map_or_else(|| "missing".to_owned(), Value::to_string);
        Error::ConfigKey { path: self.path.to_owned(), key: key.to_owned(), found, required: required.into() }
    }

    fn size(&self, key: &str, default: Option<usize>) -> Result<usize> {
        // A bound on each size keeps every product of two of them, and so every shape, inside a usize.
        const LARGEST: u64 = 1 << 30;
        match (self.get(key), default) {
            (None, Some(default)) => Ok(default),
            (value, _) => value
                .and_then(Value::as_u64)
                .filter(|size| (1..=LARGEST).contains(size))
                .map(|size| size as usize)
                .ok_or_else(|| self.refuse(key, "a positive integer")),
        }
    }

    fn positive(&self, key: &str, default: f64) -> Result<f64> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value
            .as_f64()
            .filter(|number| number.is_finite() && *number > 0.0)
            .ok_or_else(|| self.refuse(key, "a positive number"))
    }

    fn text(&self, key: &str) -> Result<Option<String>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(|text| Some(text.to_owned())).ok_or_else(|| self.refuse(key, "a text"))
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.refuse(key, "true or false"))
    }

    /// A token or a list of tokens; newer configurations list several ends of a sequence.
    fn tokens(&self, key: &str, vocabulary: usize) -> Result<Vec<u32>> {
        let values = match self.get(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
        };
        let token = |value: &Value| value.as_u64().filter(|&id| id < vocabulary as u64).map(|id| id as u32);
        let refusal = || self.refuse(key, format!("tokens below vocab_size = {vocabulary}"));
        values.iter().map(|value| token(value).ok_or_else(refusal)).collect()
    }

    /// `rope_theta`, at the top level or inside `rope_parameters`, where newer writers put it.
    fn rope_theta(&self) -> Result<f64> {
        for key in ["rope_scaling", "rope_parameters"] {
            let Some(value) = self.get(key) else { continue };
            let kind = value.get("rope_type").or_else(|| value.get("type"));
            // Only the newer key may leave its kind out; an older `rope_scaling` exists in order to scale.
            let plain = kind.map_or(key == "rope_parameters" && value.is_object(), |kind| kind == "default");
            if !plain {
                return Err(self.refuse(key, "null, or rope type \"default\" (plain rotary positions)"));
            }
        }
        match self.get("rope_parameters").and_then(Value::as_object) {
            Some(nested) if self.get("rope_theta").is_none() => {
                Keys { path: self.path, keys: nested }.positive("rope_theta", 10_000.0)
            }
            _ => self.positive("rope_theta", 10_000.0),
        }
    }

    fn refuse_other_mathematics(&self) -> Result<()> {
        if self.get("model_type").is_none_or(|kind| kind != "llama") {
            return Err(self.refuse("model_type", "\"llama\""));
        }
        for (key, fixed) in FIXED_KEYS {
            let Some(value) = self.get(key) else { continue };
            let (same, required) = match fixed {
                Fixed::Text(text) => (value == text, format!("\"{text}\"")),
                Fixed::False => (*value == Value::Bool(false), "false".to_owned()),
                Fixed::Null => (false, "null or absent".to_owned()),
                Fixed::One => (value.as_f64() == Some(1.0), "1".to_owned()),
            };
            if !same {
                return Err(self.refuse(key, required));
            }
        }
        Ok(())
    }
}
