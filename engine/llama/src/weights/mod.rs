//! The weights of a Llama model, memory-mapped and handed out layer by layer as `f32`.
//!
//! Opening a folder reads headers only: every tensor that the configuration calls for is found and its shape and type
//! checked before the first number is touched. A layer is converted when it is asked for, so a model larger than memory
//! can be walked through.

mod orthogonal;
mod rotation;
mod shards;
mod source;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::tokenizer::check_vocabulary;
use shards::Shards;

pub use orthogonal::Orthogonal;
pub use rotation::Rotation;
pub use source::{LargestWeights, ModelShape, ModelSource};

const EMBEDDING: &str = "model.embed_tokens.weight";
const FINAL_NORM: &str = "model.norm.weight";
const LM_HEAD: &str = "lm_head.weight";

/// A model folder: `config.json` beside `model.safetensors`, or beside shards and `model.safetensors.index.json`. Clones share the
/// mapped files.
#[derive(Clone, Debug)]
pub struct Weights {
    config: Config,
    shards: Arc<Shards>,
    /// Applied to every tensor that is handed out.
    rotation: Option<Rotation>,
    hash: Arc<OnceLock<String>>,
}

/// The weights of one decoder layer; projections have one row per output channel.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LayerWeights {
    /// RMSNorm before attention, one factor per channel of the residual.
    pub input_norm: Vec<f32>,
    /// Query projection, query width x hidden.
    pub q: Matrix,
    /// Key projection, key width x hidden.
    pub k: Matrix,
    /// Value projection, value width x hidden.
    pub v: Matrix,
    /// Output projection of attention, hidden x query width.
    pub o: Matrix,
    /// RMSNorm before the feed-forward network.
    pub post_norm: Vec<f32>,
    /// Gate projection, intermediate x hidden.
    pub gate: Matrix,
    /// Up projection, intermediate x hidden.
    pub up: Matrix,
    /// Down projection, hidden x intermediate.
    pub down: Matrix,
}

impl Weights {
    /// Opens a model folder and checks all of it against its `config.json`.
    ///
    /// # Errors
    /// Those of [`Config::read`]; [`Error::NoWeights`]; [`Error::Malformed`] for a truncated or corrupt file;
    /// [`Error::TensorMissing`], [`Error::TensorShape`], [`Error::TensorType`]; [`Error::TensorUnexpected`] for a
    /// tensor that this model would ignore.
    pub fn open(folder: &Path) -> Result<Self> {
        let config = Config::read(&folder.join("config.json"))?;
        let shards = Shards::open(folder)?;
        let required = required_tensors(&config);
        for (name, shape) in &required {
            shards.check(name, shape)?;
        }
        let ignorable =
            |name: &str| name.ends_with("rotary_emb.inv_freq") || (config.tie_word_embeddings && name == LM_HEAD);
        let known: std::collections::HashSet<&str> = required.iter().map(|(name, _)| name.as_str()).collect();
        if let Some((path, name)) = shards.first_unless(|name| known.contains(name) || ignorable(name)) {
            return Err(Error::TensorUnexpected { path: path.to_owned(), tensor: name.to_owned() });
        }
        Ok(Self { config, shards: Arc::new(shards), rotation: None, hash: Arc::default() })
    }

    /// Whether a folder holds weights, or an index of them; not whether they are any good.
    pub fn lie_in(folder: &Path) -> bool {
        Shards::lie_in(folder)
    }

    /// The same model with rotations of this seed merged into what is stored: another hash, another basis of the residual and of the values,
    /// the same logits up to the rounding of its weights to `f32`. Every gamma is one. Nothing is read yet.
    #[must_use]
    pub fn rotated(&self, seed: u32) -> Self {
        Self {
            config: self.config.clone(),
            shards: Arc::clone(&self.shards),
            rotation: Some(Rotation::new(&self.config, seed)),
            hash: Arc::default(),
        }
    }

    /// The rotations merged into what is stored, if any.
    pub fn rotation(&self) -> Option<&Rotation> {
        self.rotation.as_ref()
    }

    /// The architecture.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The weights of one decoder layer.
    ///
    /// # Errors
    /// [`Error::LayerOutOfRange`].
    pub fn layer(&self, layer: usize) -> Result<LayerWeights> {
        let layers = self.config.num_hidden_layers;
        if layer >= layers {
            return Err(Error::LayerOutOfRange { found: layer, layers });
        }
        let named = |part: &str| layer_tensor(layer, part);
        let stored = LayerWeights {
            input_norm: self.vector(&named("input_layernorm")),
            q: self.matrix(&named("self_attn.q_proj")),
            k: self.matrix(&named("self_attn.k_proj")),
            v: self.matrix(&named("self_attn.v_proj")),
            o: self.matrix(&named("self_attn.o_proj")),
            post_norm: self.vector(&named("post_attention_layernorm")),
            gate: self.matrix(&named("mlp.gate_proj")),
            up: self.matrix(&named("mlp.up_proj")),
            down: self.matrix(&named("mlp.down_proj")),
        };
        Ok(match &self.rotation {
            Some(rotation) => rotation.layer(stored),
            None => stored,
        })
    }

    /// The embedding, vocabulary x hidden: row `i` is the residual that token `i` starts with.
    pub fn embedding(&self) -> Matrix {
        let stored = self.matrix(EMBEDDING);
        match &self.rotation {
            Some(rotation) => rotation.embedding(stored),
            None => stored,
        }
    }

    /// The rows of the embedding for these tokens, tokens x hidden: what a block starts with, without reading the whole table.
    ///
    /// # Errors
    /// [`Error::TokenOutOfVocabulary`](crate::Error::TokenOutOfVocabulary).
    pub fn embed(&self, tokens: &[u32]) -> Result<Matrix> {
        check_vocabulary(0, tokens, self.config.vocab_size)?;
        let table = self.shards.tensor(EMBEDDING);
        let rows = tokens.iter().flat_map(|&token| table.row_to_f32(token as usize)).collect();
        let stored = Matrix::new(tokens.len(), self.config.hidden_size, rows)?;
        Ok(match &self.rotation {
            Some(rotation) => rotation.embedding(stored),
            None => stored,
        })
    }

    /// The RMSNorm before the LM head.
    pub fn final_norm(&self) -> Vec<f32> {
        let stored = self.vector(FINAL_NORM);
        if self.rotation.is_some() { vec![1.0; stored.len()] } else { stored }
    }

    /// The LM head, vocabulary x hidden; the embedding itself where the configuration ties them, unless rotations part them.
    pub fn lm_head(&self) -> Matrix {
        let stored = self.matrix(if self.config.tie_word_embeddings { EMBEDDING } else { LM_HEAD });
        match &self.rotation {
            Some(rotation) => rotation.reader(stored, &self.vector(FINAL_NORM)),
            None => stored,
        }
    }

    /// Number of trained parameters, tied ones counted once.
    pub fn parameter_count(&self) -> u64 {
        source::parameter_count(&self.config)
    }

    /// Bytes that the weights take in their files.
    pub fn stored_bytes(&self) -> u64 {
        required_tensors(&self.config).iter().map(|(name, _)| self.shards.tensor(name).bytes.len() as u64).sum()
    }

    /// A BLAKE3 hash, in hexadecimal, of the configuration, of every stored tensor's name, type, shape and bytes, and of the seed of
    /// rotations merged into them. It does not depend on how the tensors are spread over files. The first call reads all weights.
    pub fn hash(&self) -> &str {
        self.hash.get_or_init(|| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(
                &serde_json::to_vec(&self.config).expect("a configuration has no map with other keys than text"),
            );
            for (name, _) in required_tensors(&self.config) {
                let tensor = self.shards.tensor(&name);
                hasher.update(format!("\n{name} {:?} {:?}\n", tensor.dtype, tensor.shape).as_bytes());
                hasher.update(tensor.bytes);
            }
            if let Some(rotation) = &self.rotation {
                hasher.update(format!("\nrotated {}\n", rotation.seed()).as_bytes());
            }
            hasher.finalize().to_hex().to_string()
        })
    }

    fn matrix(&self, name: &str) -> Matrix {
        let tensor = self.shards.tensor(name);
        Matrix::new(tensor.shape[0], tensor.shape[1], tensor.to_f32()).expect("shape and size checked on opening")
    }

    fn vector(&self, name: &str) -> Vec<f32> {
        self.shards.tensor(name).to_f32()
    }
}

fn layer_tensor(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}.weight")
}

/// Every tensor that the configuration calls for, in the order of the computation, with its shape.
fn required_tensors(config: &Config) -> Vec<(String, Vec<usize>)> {
    let (hidden, ffn) = (config.hidden_size, config.intermediate_size);
    let (queries, keys) = (config.query_width(), config.key_value_width());
    let mut tensors = vec![(EMBEDDING.to_owned(), vec![config.vocab_size, hidden])];
    for layer in 0..config.num_hidden_layers {
        for (part, shape) in [
            ("input_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![queries, hidden]),
            ("self_attn.k_proj", vec![keys, hidden]),
            ("self_attn.v_proj", vec![keys, hidden]),
            ("self_attn.o_proj", vec![hidden, queries]),
            ("post_attention_layernorm", vec![hidden]),
            ("mlp.gate_proj", vec![ffn, hidden]),
            ("mlp.up_proj", vec![ffn, hidden]),
            ("mlp.down_proj", vec![hidden, ffn]),
        ] {
            tensors.push((layer_tensor(layer, part), shape));
        }
    }
    tensors.push((FINAL_NORM.to_owned(), vec![hidden]));
    if !config.tie_word_embeddings {
        tensors.push((LM_HEAD.to_owned(), vec![config.vocab_size, hidden]));
    }
    tensors
}
