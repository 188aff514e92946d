//! A HuggingFace-style model folder with random weights and sizes that are no powers of two.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// 8 heads of 8 channels on 4 key-value heads; 72 channels, 172 in the feed-forward network; 520 logits for a tokenizer
/// of 512.
pub(crate) fn config() -> Value {
    json!({
        "model_type": "llama", "hidden_act": "silu", "attention_bias": false, "mlp_bias": false, "rope_scaling": null,
        "hidden_size": 72, "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 8,
        "intermediate_size": 172, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "vocab_size": 520,
        "tie_word_embeddings": false, "max_position_embeddings": 24, "bos_token_id": 0, "eos_token_id": 1
    })
}

/// The committed model, for its tokenizer and its text.
pub(crate) fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-llama")
}

/// Tensors by name, as shape and numbers.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Seeded random tensors for a configuration: projections of unit gain, gammas around 1; scores as tame as those of a
/// trained model.
pub(crate) fn tensors(config: &Value) -> Tensors {
    let mut random = StdRng::seed_from_u64(1);
    let size = |key: &str| config[key].as_u64().unwrap() as usize;
    let (hidden, ffn, vocabulary) = (size("hidden_size"), size("intermediate_size"), size("vocab_size"));
    let (q, kv) = (size("num_attention_heads") * size("head_dim"), size("num_key_value_heads") * size("head_dim"));
    let mut shapes = vec![("model.embed_tokens".to_string(), vec![vocabulary, hidden])];
    for layer in 0..size("num_hidden_layers") {
        let parts = [
            ("input_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![q, hidden]),
            ("self_attn.k_proj", vec![kv, hidden]),
            ("self_attn.v_proj", vec![kv, hidden]),
            ("self_attn.o_proj", vec![hidden, q]),
            ("post_attention_layernorm", vec![hidden]),
            ("mlp.gate_proj", vec![ffn, hidden]),
            ("mlp.up_proj", vec![ffn, hidden]),
            ("mlp.down_proj", vec![hidden, ffn]),
        ];
        shapes.extend(parts.map(|(part, shape)| (format!("model.layers.{layer}.{part}"), shape)));
    }
    shapes.push(("model.norm".into(), vec![hidden]));
    shapes.push(("lm_head".into(), vec![vocabulary, hidden]));
    let tensor = |(name, shape): (String, Vec<usize>)| {
        // A uniform number in [-1, 1) has variance 1/3.
        let damping = if name.ends_with("q_proj") || name.ends_with("k_proj") { 0.5 } else { 1.0 };
        let gain = damping * (3.0 / *shape.last().unwrap() as f32).sqrt();
        let count = shape.iter().product();
        let mut number = |_| {
            let uniform = random.random_range(-1.0_f32..1.0);
            if shape.len() == 1 { 1.0 + 0.3 * uniform } else { gain * uniform }
        };
        let numbers = (0..count).map(&mut number).collect();
        (format!("{name}.weight"), (shape, numbers))
    };
    shapes.into_iter().map(tensor).collect()
}

/// Writes configuration, tokenizer and weights.
pub(crate) fn write(folder: &Path, config: &Value, tensors: &Tensors) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::copy(committed().join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    let bytes = |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let stored: Vec<_> = tensors.iter().map(|(name, (shape, numbers))| (name, shape.clone(), bytes(numbers))).collect();
    let views =
        stored.iter().map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}
