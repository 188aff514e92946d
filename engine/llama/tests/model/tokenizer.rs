//! A word-level tokenizer written on the spot.

use std::path::Path;

use fhe_model::{Beginning, Config, Error, Tokenizer};
use serde_json::{Value, json};

use crate::fixture::{config, config_with};

/// Words `w0` .. `w599`, of which a model of 512 tokens knows the first 512. The file asks for truncation to 4 tokens
/// and for padding to 16, as files saved in training do.
fn tokenizer(config: &Value) -> Tokenizer {
    let vocabulary: serde_json::Map<String, Value> = (0..600).map(|id| (format!("w{id}"), json!(id))).collect();
    let file = json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "w0"},
        "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null,
        "decoder": null, "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w5"}
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, file.to_string()).unwrap();
    Tokenizer::open(&path, &Config::parse(&config.to_string(), Path::new("config.json")).unwrap()).unwrap()
}

#[test]
fn encodes_the_whole_text_and_nothing_else() {
    let tokenizer = tokenizer(&config());
    assert_eq!(tokenizer.encode("w7 w8 w9 w10 w11 w12").unwrap(), [7, 8, 9, 10, 11, 12]);
    assert_eq!(tokenizer.decode(&[7, 8]).unwrap(), "w7 w8");
}

#[test]
fn prepends_a_beginning_only_when_told() {
    let tokenizer = tokenizer(&config());
    assert_eq!(tokenizer.encode_prompt("w7 w8", Beginning::Prepend).unwrap(), [1, 7, 8]);
    assert_eq!(tokenizer.encode_prompt("w7 w8", Beginning::Omit).unwrap(), [7, 8]);
}

#[test]
fn rejects_an_empty_prompt() {
    for beginning in [Beginning::Prepend, Beginning::Omit] {
        let refused = tokenizer(&config()).encode_prompt(" \n", beginning);
        assert!(matches!(refused, Err(Error::EmptyPrompt { .. })));
    }
}

#[test]
fn rejects_tokens_that_the_model_does_not_know() {
    let tokenizer = tokenizer(&config());
    let refused = tokenizer.encode_prompt("w7 w512", Beginning::Prepend).unwrap_err();
    assert!(matches!(refused, Error::TokenOutOfVocabulary { position: 1, token: 512, vocabulary: 512, .. }));
    assert!(matches!(tokenizer.decode(&[599]), Err(Error::TokenOutOfVocabulary { .. })));
}

#[test]
fn rejects_a_beginning_that_the_model_does_not_have() {
    let tokenizer = tokenizer(&config_with(json!({"bos_token_id": null})));
    assert!(matches!(tokenizer.encode_prompt("w7", Beginning::Prepend), Err(Error::NoBeginningToken)));
    assert_eq!(tokenizer.encode_prompt("w7", Beginning::Omit).unwrap(), [7]);
}

#[test]
fn rejects_files_that_are_no_tokenizer() {
    let config = Config::parse(&config().to_string(), Path::new("config.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    assert!(matches!(Tokenizer::open(&path, &config), Err(Error::File { .. })));
    std::fs::write(&path, "{}").unwrap();
    assert!(matches!(Tokenizer::open(&path, &config), Err(Error::Malformed { format: "tokenizer.json", .. })));
}
