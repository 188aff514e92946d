//! Model folders in every accepted form, and the refusals.

use std::path::Path;

use fhe_model::{Error, Weights};
use safetensors::tensor::Dtype;
use serde_json::json;

use crate::fixture::{
    Tensors, config, config_with, folder, rounded, shard_name, sharded_folder, tensors, write_safetensors,
};

const UP: &str = "model.layers.1.mlp.up_proj.weight";

fn assert_holds(weights: &Weights, expected: &Tensors) {
    let numbers = |name: &str| expected[name].1.as_slice();
    assert_eq!(weights.embedding().data(), numbers("model.embed_tokens.weight"));
    let (table, rows) = (weights.embedding(), weights.embed(&[7, 0, 7, 511]).unwrap());
    assert_eq!([0, 1, 2, 3].map(|row| rows.row(row)), [7, 0, 7, 511].map(|token| table.row(token)));
    assert!(matches!(weights.embed(&[1, 512]), Err(Error::TokenOutOfVocabulary { position: 1, token: 512, .. })));
    assert_eq!(weights.final_norm(), numbers("model.norm.weight"));
    assert_eq!(weights.lm_head().data(), numbers("lm_head.weight"));
    for index in 0..weights.config().num_hidden_layers {
        let layer = weights.layer(index).unwrap();
        let named = |part: &str| numbers(&format!("model.layers.{index}.{part}.weight")).to_vec();
        assert_eq!(layer.input_norm, named("input_layernorm"));
        assert_eq!(layer.post_norm, named("post_attention_layernorm"));
        for (matrix, part) in [
            (&layer.q, "self_attn.q_proj"),
            (&layer.k, "self_attn.k_proj"),
            (&layer.v, "self_attn.v_proj"),
            (&layer.o, "self_attn.o_proj"),
            (&layer.gate, "mlp.gate_proj"),
            (&layer.up, "mlp.up_proj"),
            (&layer.down, "mlp.down_proj"),
        ] {
            assert_eq!(matrix.data(), named(part), "{part}");
        }
    }
    assert_eq!(weights.layer(0).unwrap().down.shape(), (72, 172));
}

#[test]
fn reads_every_number_format() {
    for dtype in [Dtype::F32, Dtype::BF16, Dtype::F16] {
        let expected = rounded(tensors(&config(), 1), dtype);
        let folder = folder(&config(), &expected, dtype);
        assert_holds(&Weights::open(folder.path()).unwrap(), &expected);
    }
}

#[test]
fn reads_shards_as_one_model_with_one_hash() {
    let expected = tensors(&config(), 2);
    let (single, shards) =
        (folder(&config(), &expected, Dtype::F32), sharded_folder(&config(), &expected, Dtype::F32, 3));
    let (single, shards) = (Weights::open(single.path()).unwrap(), Weights::open(shards.path()).unwrap());
    assert_holds(&shards, &expected);
    assert_eq!(single.hash(), shards.hash());
}

#[test]
fn the_hash_follows_every_weight_and_the_configuration() {
    let expected = tensors(&config(), 3);
    let hash = |config, tensors: &Tensors| {
        let folder = folder(&config, tensors, Dtype::F32);
        Weights::open(folder.path()).unwrap().hash().to_owned()
    };
    let original = hash(config(), &expected);
    let mut changed = expected.clone();
    *changed.get_mut(UP).unwrap().1.last_mut().unwrap() += 1e-3;
    assert_ne!(original, hash(config(), &changed));
    assert_ne!(original, hash(config_with(json!({"rope_theta": 20000.0})), &expected));
    assert_eq!(original, hash(config_with(json!({"torch_dtype": "float32"})), &expected));
}

#[test]
fn a_tied_head_is_the_embedding() {
    let config = config_with(json!({"tie_word_embeddings": true}));
    let folder = folder(&config, &tensors(&config, 4), Dtype::BF16);
    let weights = Weights::open(folder.path()).unwrap();
    assert_eq!(weights.lm_head(), weights.embedding());
}

#[test]
fn rejects_a_missing_tensor() {
    let mut tensors = tensors(&config(), 5);
    tensors.remove(UP);
    let folder = folder(&config(), &tensors, Dtype::F32);
    let refused = Weights::open(folder.path()).unwrap_err();
    let Error::TensorMissing { path, tensor, required } = &refused else { panic!("{refused}") };
    assert!(path.ends_with("model.safetensors"));
    assert_eq!((tensor.as_str(), required.as_slice()), (UP, &[172, 72][..]));
}

#[test]
fn rejects_a_tensor_of_wrong_shape() {
    let mut tensors = tensors(&config(), 6);
    tensors.get_mut(UP).unwrap().0 = vec![72, 172];
    let folder = folder(&config(), &tensors, Dtype::F32);
    let refused = Weights::open(folder.path()).unwrap_err();
    let Error::TensorShape { tensor, found, required, .. } = &refused else { panic!("{refused}") };
    assert_eq!((tensor.as_str(), found.as_slice(), required.as_slice()), (UP, &[72, 172][..], &[172, 72][..]));
}

#[test]
fn rejects_a_tensor_of_another_type() {
    let folder = folder(&config(), &tensors(&config(), 7), Dtype::F64);
    let refused = Weights::open(folder.path()).unwrap_err();
    assert!(matches!(&refused, Error::TensorType { found, .. } if found == "F64"), "{refused}");
}

#[test]
fn rejects_tensors_that_the_model_would_ignore() {
    for name in ["model.layers.0.self_attn.q_proj.bias", "model.layers.2.input_layernorm.weight"] {
        let mut tensors = tensors(&config(), 8);
        tensors.insert(name.to_owned(), (vec![64], vec![0.5; 64]));
        let folder = folder(&config(), &tensors, Dtype::F32);
        let refused = Weights::open(folder.path()).unwrap_err();
        assert!(matches!(&refused, Error::TensorUnexpected { tensor, .. } if tensor == name), "{refused}");
    }
}

#[test]
fn rejects_a_file_cut_short_anywhere() {
    let folder = folder(&config(), &tensors(&config(), 9), Dtype::F32);
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let refused = Weights::open(folder.path()).unwrap_err();
        let Error::Malformed { path: named, reason, .. } = &refused else { panic!("{length}: {refused}") };
        assert_eq!(*named, path);
        assert!(reason.contains("truncated"), "{length}: {reason}");
    }
    let mut corrupt = bytes.clone();
    corrupt[10] ^= 0xff;
    std::fs::write(&path, corrupt).unwrap();
    assert!(matches!(Weights::open(folder.path()), Err(Error::Malformed { .. })));
}

#[test]
fn rejects_a_folder_without_files() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Weights::open(folder.path()), Err(Error::File { operation: "read", .. })));
    std::fs::write(folder.path().join("config.json"), config().to_string()).unwrap();
    assert!(matches!(Weights::open(folder.path()), Err(Error::NoWeights { .. })));
}

#[test]
fn rejects_shards_that_contradict_their_index() {
    let open = |change: &dyn Fn(&Path)| {
        let folder = sharded_folder(&config(), &tensors(&config(), 10), Dtype::F32, 2);
        change(folder.path());
        Weights::open(folder.path()).unwrap_err()
    };
    let missing = open(&|folder| std::fs::remove_file(folder.join(shard_name(1, 2))).unwrap());
    assert!(matches!(missing, Error::File { operation: "open", .. }), "{missing}");

    let index = |entries: serde_json::Value| {
        move |folder: &Path| {
            let index = json!({"weight_map": entries});
            std::fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
        }
    };
    let outside = open(&index(json!({UP: "../model.safetensors"})));
    assert!(outside.to_string().contains("plain file name"), "{outside}");
    let misplaced = open(&index(json!({"model.none": shard_name(0, 2)})));
    assert!(misplaced.to_string().contains("does not hold it"), "{misplaced}");
    let twice = open(&|folder| {
        for shard in 0..2 {
            let tensor = Tensors::from([(UP.to_owned(), (vec![172, 72], vec![0.0; 172 * 72]))]);
            write_safetensors(&folder.join(shard_name(shard, 2)), &tensor, Dtype::F32);
        }
    });
    assert!(twice.to_string().contains("is also in"), "{twice}");
}

#[test]
fn rejects_a_layer_beyond_the_model() {
    let folder = folder(&config(), &tensors(&config(), 11), Dtype::F32);
    let weights = Weights::open(folder.path()).unwrap();
    assert!(matches!(weights.layer(2), Err(Error::LayerOutOfRange { found: 2, layers: 2 })));
}
