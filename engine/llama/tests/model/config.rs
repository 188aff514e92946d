//! `config.json`: what is understood and what is refused.

use std::path::Path;

use fhe_model::{Config, Error};
use serde_json::{Value, json};

use crate::fixture::{config, config_with};

fn parse(config: &Value) -> Result<Config, Error> {
    Config::parse(&config.to_string(), Path::new("some/config.json"))
}

#[test]
fn reads_every_key() {
    let config = parse(&config()).unwrap();
    assert_eq!((config.hidden_size, config.num_hidden_layers, config.intermediate_size), (72, 2, 172));
    assert_eq!((config.num_attention_heads, config.num_key_value_heads, config.head_dim), (8, 4, 8));
    assert_eq!((config.query_width(), config.key_value_width(), config.queries_per_key_value()), (64, 32, 2));
    assert_eq!((config.bos_token_id, config.eos_token_ids.as_slice()), (Some(1), &[2, 3][..]));
    assert_eq!((0..8).map(|head| config.key_value_head(head)).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2, 3, 3]);
}

#[test]
fn absent_keys_have_the_defaults_of_the_format() {
    let config = parse(&json!({"model_type": "llama", "hidden_size": 48, "num_hidden_layers": 1,
        "num_attention_heads": 3, "intermediate_size": 10, "vocab_size": 7}))
    .unwrap();
    assert_eq!((config.num_key_value_heads, config.head_dim, config.max_position_embeddings), (3, 16, 2048));
    assert_eq!((config.rms_norm_eps, config.rope_theta, config.tie_word_embeddings), (1e-6, 10_000.0, false));
    assert_eq!((config.bos_token_id, config.eos_token_ids.len()), (None, 0));
}

#[test]
fn reads_rotary_parameters_where_newer_writers_put_them() {
    let nested = json!({"rope_theta": null, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}});
    assert_eq!(parse(&config_with(nested)).unwrap().rope_theta, 5e5);
    let without_kind = json!({"rope_theta": null, "rope_parameters": {"rope_theta": 1e5}});
    assert_eq!(parse(&config_with(without_kind)).unwrap().rope_theta, 1e5);
}

/// Entries of all weights: two norms and seven projections a layer, the final norm, the embedding and, untied, the head.
fn parameters(config: &Config) -> usize {
    let (hidden, kv) = (config.hidden_size, config.key_value_width());
    let attention = 2 * hidden * config.query_width() + 2 * hidden * kv;
    let layer = attention + 3 * hidden * config.intermediate_size + 2 * hidden;
    let tables = if config.tie_word_embeddings { 1 } else { 2 };
    config.num_hidden_layers * layer + hidden + tables * config.vocab_size * hidden
}

#[test]
fn reads_the_committed_shape_of_llama_3_8b() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/models/llama-3-8b");
    let config = Config::read(&folder.join("config.json")).unwrap();
    assert_eq!(parameters(&config), 8_030_261_248);
    assert_eq!((config.rope_theta, config.rms_norm_eps, config.max_position_embeddings), (5e5, 1e-5, 8192));
    assert_eq!((config.head_dim, config.queries_per_key_value()), (128, 4));
    assert_eq!((config.bos_token_id, config.eos_token_ids), (Some(128_000), vec![128_001]));
}

/// The keys of SmolLM2-135M-Instruct as its authors publish them, which are more than `scripts/fetch-smollm2` writes.
#[test]
fn reads_the_published_shape_of_smollm2() {
    let config =
        parse(&json!({"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041,
        "intermediate_size": 1536, "is_llama_config": true, "max_position_embeddings": 8192, "mlp_bias": false,
        "model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3,
        "pad_token_id": 2, "pretraining_tp": 1, "rms_norm_eps": 1e-5, "rope_interleaved": false, "rope_scaling": null,
        "rope_theta": 100_000, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true,
        "vocab_size": 49152}))
        .unwrap();
    assert_eq!(parameters(&config), 134_515_008);
    assert_eq!((config.head_dim, config.queries_per_key_value(), config.rope_theta), (64, 3, 1e5));
    assert_eq!((config.bos_token_id, config.eos_token_ids), (Some(1), vec![2]));
}

#[test]
fn reads_one_token_or_several_at_either_end() {
    let ends = |bos: Value, eos: Value| {
        let config = parse(&config_with(json!({"bos_token_id": bos, "eos_token_id": eos}))).unwrap();
        (config.bos_token_id, config.eos_token_ids)
    };
    assert_eq!(ends(json!(3), json!([5, 9])), (Some(3), vec![5, 9]));
    assert_eq!(ends(json!([3]), json!(5)), (Some(3), vec![5]));
    assert_eq!(ends(Value::Null, Value::Null), (None, vec![]));
}

#[test]
fn rejects_other_mathematics_and_sizes_that_do_not_fit_naming_the_key() {
    for (key, changes) in [
        ("model_type", json!({"model_type": "mistral"})),
        ("model_type", json!({"model_type": null})),
        ("hidden_act", json!({"hidden_act": "gelu"})),
        ("attention_bias", json!({"attention_bias": true})),
        ("mlp_bias", json!({"mlp_bias": true})),
        ("rope_scaling", json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}})),
        ("rope_parameters", json!({"rope_parameters": {"rope_type": "yarn"}})),
        ("rope_parameters", json!({"rope_parameters": 5e5})),
        ("rope_scaling", json!({"rope_scaling": {"factor": 8.0}})),
        ("rope_interleaved", json!({"rope_interleaved": true})),
        ("sliding_window", json!({"sliding_window": 4096})),
        ("quantization_config", json!({"quantization_config": {"bits": 4}})),
        ("partial_rotary_factor", json!({"partial_rotary_factor": 0.5})),
        ("hidden_size", json!({"hidden_size": null})),
        ("hidden_size", json!({"hidden_size": 0})),
        ("hidden_size", json!({"hidden_size": "72"})),
        ("hidden_size", json!({"hidden_size": u64::MAX})),
        ("hidden_size", json!({"hidden_size": 70, "head_dim": null})),
        ("hidden_size", json!({"hidden_size": 24, "head_dim": null})),
        ("head_dim", json!({"head_dim": 7})),
        ("num_key_value_heads", json!({"num_key_value_heads": 3})),
        ("num_key_value_heads", json!({"num_key_value_heads": 16})),
        ("rms_norm_eps", json!({"rms_norm_eps": -1.0})),
        ("rope_theta", json!({"rope_theta": "1e4"})),
        ("tie_word_embeddings", json!({"tie_word_embeddings": 1})),
        ("bos_token_id", json!({"bos_token_id": 512})),
        ("eos_token_id", json!({"eos_token_id": [2, -1]})),
    ] {
        let refused = parse(&config_with(changes.clone())).expect_err(&changes.to_string());
        assert!(matches!(&refused, Error::ConfigKey { key: named, .. } if named == key), "{changes}: {refused}");
        assert!(refused.to_string().starts_with("some/config.json: key `"), "{refused}");
    }
}

#[test]
fn rejects_text_that_is_no_configuration() {
    for text in ["", "[]", "{\"model_type\": "] {
        assert!(matches!(Config::parse(text, Path::new("config.json")), Err(Error::Malformed { .. })));
    }
}
