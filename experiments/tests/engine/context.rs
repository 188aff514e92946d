//! A prompt that goes on from a public text: its ranges are measured behind texts, and what cannot be is refused by name.

use crate::model;
use crate::stage::{Stage, stderr};
use experiments::record::{CellRecord, FLOAT};
use experiments::spec::Mode;
use fhe_ckks::OperationCounts;
use serde_json::json;

/// What a context asks of a circuit.
const JOINT: [&str; 10] = [
    "--set",
    "attention.products=lanes",
    "--set",
    "softmax.variant=normalize-and-square",
    "--set",
    "softmax.rounds=2",
    "--set",
    "engine.parameters=n13-toy",
    "--set",
    "engine.weight_scales=per-row",
];

const BEHIND: [&str; 8] = [
    "--set",
    "context.text=calibration.txt",
    "--set",
    "input.prompts=[\"The sea\"]",
    "--set",
    "input.bos=false",
    "--set",
    "mitigation.prepend=true",
];

/// The stage's model with positions for a context.
fn staged() -> Stage {
    let stage = Stage::new();
    let mut config = model::config();
    config["max_position_embeddings"] = json!(128);
    model::write(&stage.path().join("odd"), &config, &model::tensors(&config));
    stage
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let metered = ["--mode", "metered"];
    metered.iter().chain(&JOINT).chain(&BEHIND).chain(more).copied().collect()
}

fn refusal(stage: &Stage, more: &[&str]) -> String {
    let output = stage.run(&with(more));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    stderr(&output)
}

#[test]
fn ranges_are_measured_behind_a_context_once_and_hold_behind_those_of_about_its_length() {
    let stage = staged();
    stage.succeed(&with(&["--set", "context.tokens=40"]));
    let file = |name: &str| stage.path().join("odd").join(name);
    assert!(file("ranges-after-0-behind-30-to-40.toml").is_file() && !file("ranges-after-0.toml").exists());
    let record = stage.record(Mode::Metered);
    assert_eq!((record.input.context_tokens, record.input.prefix_tokens.len()), (40, 0));
    assert!(record.provenance.data.context.is_some());
    let shorter = stage.succeed(&with(&["--set", "context.tokens=33"]));
    assert!(!stderr(&shorter).contains("calibrating"), "{}", stderr(&shorter));
    assert!(!file("ranges-after-0-behind-24-to-33.toml").exists());
    let longer = stage.succeed(&with(&["--set", "context.tokens=41"]));
    assert!(stderr(&longer).contains("calibrating") && file("ranges-after-0-behind-30-to-41.toml").is_file());
    // Without a context the cell is what it always was: ranges of its own, in whose name nothing has changed.
    stage.succeed(&with(&["--set", "context.tokens=0"]));
    assert!(file("ranges-after-0.toml").is_file());
    let last = stage.records().pop().unwrap();
    assert_eq!((last.input.context_tokens, last.input.prefix_tokens), (0, vec![0]));
    assert!(!last.config.keys().any(|key| key.starts_with("context")));
}

#[test]
fn rejects_ranges_of_shorter_and_of_longer_contexts_with_the_command_that_measures_the_right_ones() {
    let stage = staged();
    // Ranges are measured and stored before a circuit is prepared, whatever becomes of that.
    stage.run(&with(&["--set", "context.tokens=40"]));
    let ranges = ["--set", "model.ranges=odd/ranges-after-0-behind-30-to-40.toml", "--set"];
    for (tokens, measured, options) in [
        ("context.tokens=60", "at most 40 public tokens, this cell has 60", " --context-tokens 60 --context-least 45`"),
        ("context.tokens=29", "30 to 40 public tokens, this cell has 29", " --context-tokens 29 --context-least 21`"),
        (
            "context.tokens=0",
            "30 to 40 public tokens, this cell has 0",
            "`fhe-llama calibrate odd --text calibration.txt --prefix '",
        ),
    ] {
        let message = refusal(&stage, &[ranges.as_slice(), &[tokens]].concat());
        for part in [measured, options] {
            assert!(message.contains(part), "`{part}` is missing from: {message}");
        }
    }
}

#[test]
fn calibrate_measures_behind_a_context() {
    let stage = staged();
    let output = stage.calibrate(&[
        "odd",
        "--text",
        "calibration.txt",
        "--block-tokens",
        "16",
        "--prefix",
        "e",
        "--context-tokens",
        "32",
        "--context-least",
        "16",
        "--windows",
        "10",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let written = std::fs::read_dir(stage.path().join("odd")).unwrap().flatten();
    let file = written.map(|file| file.path()).find(|path| path.to_string_lossy().ends_with("-behind-16-to-32.toml"));
    let written = std::fs::read_to_string(file.unwrap()).unwrap();
    for line in ["windows = 10", "context = 32", "context-least = 16"] {
        assert!(written.contains(line), "{written}");
    }
}

/// The prompt, and tokens behind it, attend to public keys and to encrypted ones: alike in every mode, and as float does.
#[test]
fn all_modes_go_on_from_a_context_and_count_alike() {
    for products in ["context.products=weights", "context.products=slots"] {
        let stage = staged();
        let settings = [&JOINT[..], &BEHIND, &["--set", "context.tokens=40", "--set", products]].concat();
        for mode in ["metered", "clear", "encrypted"] {
            stage.succeed(&[&settings[..], &["--mode", mode, "--set", "generation.tokens=3"]].concat());
        }
        let [encrypted, clear, metered] = [Mode::Encrypted, Mode::Clear, Mode::Metered].map(|mode| stage.record(mode));
        for (name, _) in OperationCounts::default().entries() {
            let count = |record: &CellRecord| record.counts.get(name).copied();
            assert_eq!(count(&clear), count(&encrypted), "{products}, {name}, clear");
            assert_eq!(count(&metered), count(&encrypted), "{products}, {name}, metered");
        }
        assert_eq!(metered.footprint.key_bytes, encrypted.footprint.key_bytes);
        for record in [&encrypted, &clear] {
            assert_eq!(record.input.context_tokens, 40);
            let generation = record.generation.as_ref().unwrap();
            assert_eq!((generation.tokens.len(), generation.left_ranges.as_ref()), (3, None));
            let float = record.agreement_with(FLOAT).unwrap();
            assert!(float.kl_max <= 1e-4, "{products}: {}", float.kl_max);
        }
    }
}

/// A number of tokens is all that metering needs.
#[test]
fn a_block_of_tokens_is_metered_behind_a_number_of_tokens() {
    let stage = staged();
    let metered = ["--mode", "metered", "--set", "input.tokens=16", "--set", "context.tokens=50"];
    stage.succeed(&[&JOINT[..], &metered].concat());
    let record = stage.record(Mode::Metered);
    assert_eq!((record.input.context_tokens, record.input.live_tokens, record.input.block_tokens), (50, 16, 16));
    assert!(record.provenance.data.context.is_none());
    let page = std::fs::read_to_string(stage.path().join("results/toy/toy.md")).unwrap();
    assert!(page.contains("16 tokens, whatever they are, in a block of 16 behind 50 public ones"), "{page}");
}

#[test]
fn rejects_a_context_that_the_text_or_the_model_does_not_have() {
    let stage = staged();
    std::fs::write(stage.path().join("short.txt"), "It was a cold evening").unwrap();
    let message = refusal(&stage, &["--set", "context.text=short.txt", "--set", "context.tokens=100"]);
    assert!(message.contains("`context.tokens` is 100: `short.txt` has "), "{message}");
    let message = refusal(&stage, &["--set", "context.tokens=128"]);
    assert!(message.contains("128 tokens, required: fewer than the model's 128 positions"), "{message}");
    let message = refusal(&stage, &["--set", "context.tokens=127"]);
    assert!(message.contains("the model has 128 positions"), "{message}");
}
