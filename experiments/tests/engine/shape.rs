//! A model of which nothing is there but its shape: metered, and refused wherever data is needed.

use crate::model;
use crate::stage::{Stage, stderr};
use experiments::record::Status;
use experiments::spec::Mode;
use std::fs;

const ASSUMED: &str = r#"
reason = "nothing at all"
embedding = 3.0
final-mean-square = [0.2, 8.0]
normalised-final-input = 6.0
logits = 20.0
largest-head-weight = 0.5
largest-weights = { q = 0.5, k = 0.5, v = 0.5, o = 0.5, gate = 0.5, up = 0.5, down = 0.5 }

[[layers]]
count = 2
residual = 12.0
attention-mean-square = [0.1, 6.0]
ffn-mean-square = [0.1, 6.0]
normalised-input = 6.0
query = 6.0
key = 6.0
value = 6.0
score-half-width = 6.0
log-denominator = [-8.0, -2.0]
gate = 8.0
up = 8.0
gated = 20.0
"#;

/// A folder `shape` with `config.json` and assumed ranges.
fn staged() -> Stage {
    let stage = Stage::new();
    let folder = stage.path().join("shape");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), model::config().to_string()).unwrap();
    fs::write(folder.join("assumed-ranges.toml"), ASSUMED).unwrap();
    stage
}

const METERED: [&str; 4] = ["--set", "model.path=shape", "--mode", "metered"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    METERED.iter().chain(more).copied().collect()
}

#[test]
fn a_shape_is_metered_by_its_number_of_tokens() {
    let stage = staged();
    let spec = fs::read_to_string(stage.path().join("toy.toml")).unwrap();
    let swept = spec.replace("prompts = [\"It was a cold\", \"The sea\"]\nblock_tokens = 16\n", "tokens = 16\n");
    let swept = format!("{swept}\n[sweep.product]\n\"input.tokens\" = [8, 16]\n");
    fs::write(stage.path().join("toy.toml"), swept).unwrap();
    stage.succeed(&METERED);
    let records = stage.records();
    assert_eq!(records.len(), 2);
    for (record, tokens) in records.iter().zip([8, 16]) {
        assert_eq!((record.status, record.mode), (Status::Ok, Mode::Metered));
        assert_eq!((record.input.live_tokens, record.input.block_tokens), (tokens, tokens));
        assert_eq!(record.model.assumed_ranges.as_deref(), Some("nothing at all"));
        assert_eq!(record.model.stored_bytes, 2 * record.model.parameters);
        assert!(record.model.integer_bytes > 0 && record.footprint.key_bytes > 0);
        let predicted = record.predicted.as_ref().unwrap();
        assert!(predicted.peak_memory_bytes > predicted.server_memory_bytes && predicted.moved_bytes > 0);
        assert_eq!(predicted.half_bootstraps_by_layer.len(), 2);
        assert!(record.provenance.data.assumed_ranges.is_some());
    }
    assert!(records[0].identity != records[1].identity);
    let page = fs::read_to_string(stage.path().join("results/toy/toy.md")).unwrap();
    for part in [
        "ASSUMED, not calibrated: nothing at all",
        "**Assumed ranges: ",
        "16 tokens, whatever they are, in a block of 16",
        "half bootstraps, layer by layer",
        "peak memory, with the weights at work",
        "weights, as integers",
    ] {
        assert!(page.contains(part), "{part} is missing from\n{page}");
    }
    let csv = fs::read_to_string(stage.path().join("results/toy/toy.csv")).unwrap();
    for column in ["predicted.peak_memory_bytes", "predicted.half_bootstraps_of_a_layer.gate", "model.stored_bytes"] {
        assert!(csv.contains(column), "{column} is missing");
    }
}

/// Weights and calibrated ranges without a tokenizer: what the tokens are does not matter.
#[test]
fn tokens_take_the_place_of_prompts_where_there_are_weights() {
    let stage = Stage::new();
    stage.succeed(&["--mode", "metered"]);
    fs::remove_file(stage.path().join("odd/tokenizer.json")).unwrap();
    stage.succeed(&["--mode", "metered", "--set", "input.tokens=16"]);
    let [prompts, tokens] = stage.records().try_into().unwrap();
    assert_eq!((prompts.input.prompts, tokens.input.prompts), (2, 0));
    assert_eq!(tokens.model.assumed_ranges, None);
    assert_eq!(prompts.polynomials, tokens.polynomials);
}

fn refused(stage: &Stage, arguments: &[&str], parts: &[&str]) {
    let output = stage.run(arguments);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(stage.records().is_empty(), "a refusal leaves no record");
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing from\n{message}");
    }
}

#[test]
fn rejects_a_shape_where_data_is_needed() {
    let stage = staged();
    for mode in ["encrypted", "clear"] {
        let arguments = ["--set", "model.path=shape", "--mode", mode, "--set", "input.tokens=16"];
        refused(&stage, &arguments, &["`input.tokens` is 16, but mode", mode, "mode `metered`"]);
        let arguments = ["--set", "model.path=shape", "--mode", mode];
        refused(&stage, &arguments, &["no weights in", "shape"]);
    }
    refused(&stage, &METERED, &["no weights in", "shape"]);
}

#[test]
fn rejects_assumed_ranges_where_there_is_data() {
    let stage = staged();
    let assumed = ["--set", "model.assumed_ranges=shape/assumed-ranges.toml"];
    let parts = ["`model.assumed_ranges` is given", "only a metered run of input.tokens", "calibrate"];
    refused(&stage, &assumed, &parts);
    refused(&stage, &[assumed[0], assumed[1], "--mode", "metered"], &parts);
}

#[test]
fn rejects_a_shape_without_ranges_and_ranges_of_another_shape() {
    let stage = staged();
    let file = stage.path().join("shape/assumed-ranges.toml");
    fs::write(&file, ASSUMED.replace("count = 2", "count = 3")).unwrap();
    refused(&stage, &with(&["--set", "input.tokens=16"]), &["assumed ranges", "3 layers, the model has 2"]);
    fs::write(&file, ASSUMED.replace("gate = 8.0", "gate = -8.0")).unwrap();
    refused(&stage, &with(&["--set", "input.tokens=16"]), &["assumed-ranges.toml", "-8 bounds nothing"]);
    fs::remove_file(&file).unwrap();
    let parts = ["model `shape` has neither weights nor assumed ranges", "model.assumed_ranges"];
    refused(&stage, &with(&["--set", "input.tokens=16"]), &parts);
}
