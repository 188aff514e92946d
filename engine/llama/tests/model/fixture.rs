//! Model folders with random weights of odd sizes, in any number format, single or sharded.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const VOCABULARY: usize = 512;
pub(crate) const LAYERS: usize = 2;

/// A `config.json` whose sizes are no powers of two where they need not be.
pub(crate) fn config() -> Value {
    json!({
        "model_type": "llama", "hidden_act": "silu", "attention_bias": false, "mlp_bias": false, "rope_scaling": null,
        "hidden_size": 72, "num_hidden_layers": LAYERS, "num_attention_heads": 8, "num_key_value_heads": 4,
        "head_dim": 8, "intermediate_size": 172, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "vocab_size": VOCABULARY, "tie_word_embeddings": false, "max_position_embeddings": 128,
        "bos_token_id": 1, "eos_token_id": [2, 3]
    })
}

/// The same configuration with other values for some keys; `null` removes one.
pub(crate) fn config_with(changes: Value) -> Value {
    let mut config = config();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// Tensors by name, as shape and numbers.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Seeded random tensors for a configuration: projections of unit gain, gammas around 1.
pub(crate) fn tensors(config: &Value, seed: u64) -> Tensors {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let size = |key: &str| config[key].as_u64().unwrap() as usize;
    let (hidden, ffn) = (size("hidden_size"), size("intermediate_size"));
    let (q, kv) = (size("num_attention_heads") * size("head_dim"), size("num_key_value_heads") * size("head_dim"));
    let mut tensors = Tensors::new();
    let mut add = |name: String, shape: &[usize]| {
        let count = shape.iter().product();
        // A uniform number in [-1, 1) has variance 1/3.
        let gain = (3.0 / *shape.last().unwrap() as f32).sqrt();
        let number = |_| {
            let uniform = rng.random_range(-1.0_f32..1.0);
            if shape.len() == 1 { 1.0 + 0.3 * uniform } else { gain * uniform }
        };
        tensors.insert(name, (shape.to_vec(), (0..count).map(number).collect()));
    };
    add("model.embed_tokens.weight".into(), &[size("vocab_size"), hidden]);
    for layer in 0..size("num_hidden_layers") {
        for (part, shape) in [
            ("input_layernorm", &[hidden][..]),
            ("self_attn.q_proj", &[q, hidden]),
            ("self_attn.k_proj", &[kv, hidden]),
            ("self_attn.v_proj", &[kv, hidden]),
            ("self_attn.o_proj", &[hidden, q]),
            ("post_attention_layernorm", &[hidden]),
            ("mlp.gate_proj", &[ffn, hidden]),
            ("mlp.up_proj", &[ffn, hidden]),
            ("mlp.down_proj", &[hidden, ffn]),
        ] {
            add(format!("model.layers.{layer}.{part}.weight"), shape);
        }
    }
    add("model.norm.weight".into(), &[hidden]);
    if config["tie_word_embeddings"] == json!(false) {
        add("lm_head.weight".into(), &[size("vocab_size"), hidden]);
    }
    tensors
}

/// Every number rounded to what a format holds, so that formats can be compared exactly.
pub(crate) fn rounded(mut tensors: Tensors, dtype: Dtype) -> Tensors {
    for (_, numbers) in tensors.values_mut() {
        for number in numbers {
            *number = match dtype {
                Dtype::BF16 => bf16::from_f32(*number).to_f32(),
                Dtype::F16 => f16::from_f32(*number).to_f32(),
                _ => *number,
            };
        }
    }
    tensors
}

pub(crate) fn write_safetensors(path: &Path, tensors: &Tensors, dtype: Dtype) {
    let bytes = |numbers: &[f32]| -> Vec<u8> {
        match dtype {
            Dtype::F32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Dtype::BF16 => numbers.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
            Dtype::F16 => numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
            Dtype::F64 => numbers.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect(),
            other => panic!("no fixture of type {other:?}"),
        }
    };
    let stored: Vec<_> = tensors.iter().map(|(name, (shape, numbers))| (name, shape.clone(), bytes(numbers))).collect();
    let views = stored.iter().map(|(name, shape, bytes)| (name, TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    serialize_to_file(views, None, path).unwrap();
}

/// A folder with `config.json` and one `model.safetensors`.
pub(crate) fn folder(config: &Value, tensors: &Tensors, dtype: Dtype) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    write_safetensors(&folder.path().join("model.safetensors"), tensors, dtype);
    folder
}

/// A folder with the tensors spread over several files, every tensor in another file than the one before.
pub(crate) fn sharded_folder(config: &Value, tensors: &Tensors, dtype: Dtype, shards: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let mut parts = vec![Tensors::new(); shards];
    let mut weight_map = BTreeMap::new();
    for (index, (name, tensor)) in tensors.iter().enumerate() {
        parts[index % shards].insert(name.clone(), tensor.clone());
        weight_map.insert(name, shard_name(index % shards, shards));
    }
    for (shard, part) in parts.iter().enumerate() {
        write_safetensors(&folder.path().join(shard_name(shard, shards)), part, dtype);
    }
    let index = json!({"metadata": {"total_size": 0}, "weight_map": weight_map});
    std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    folder
}

pub(crate) fn shard_name(shard: usize, shards: usize) -> String {
    format!("model-{:05}-of-{shards:05}.safetensors", shard + 1)
}

/// The folder that most tests use, with its weights opened.
pub(crate) fn random_model(seed: u64) -> (TempDir, fhe_model::Weights) {
    let config = config();
    let folder = folder(&config, &tensors(&config, seed), Dtype::F32);
    let weights = fhe_model::Weights::open(folder.path()).unwrap();
    (folder, weights)
}

pub(crate) fn random_tokens(count: usize, seed: u64) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(0..VOCABULARY as u32)).collect()
}
