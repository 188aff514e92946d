//! Bad input is refused before anything runs: an error that says what and where, and not a file written.

use crate::model;
use crate::stage::{Stage, stderr};
use fhe_model::calibration::{Corpus, Margins, WindowPlan, calibrate};
use fhe_model::{FloatModel, Tokenizer, Weights};
use serde_json::json;

/// Runs and expects to be refused with one line that holds all of these parts.
pub(crate) fn refused(stage: &Stage, arguments: &[&str], parts: &[&str]) {
    let output = stage.run(arguments);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with("error: ") && message.len() < 400, "{message}");
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing from: {message}");
    }
    assert!(output.stdout.is_empty());
    assert!(!stage.path().join("results").exists() && !stage.path().join("figures").exists());
    assert!(stage.run_folders().is_empty());
}

/// A stage whose model has ranges already, so that nothing is calibrated on the way to a refusal.
pub(crate) fn calibrated() -> Stage {
    let stage = Stage::new();
    store_ranges(&stage, &model::committed().join("calibration.txt"), Margins::default());
    stage
}

pub(crate) fn store_ranges(stage: &Stage, text: &std::path::Path, margins: Margins) {
    let folder = stage.path().join("odd");
    let weights = Weights::open(&folder).unwrap();
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).unwrap();
    let corpus = Corpus::from_text(&std::fs::read_to_string(text).unwrap(), &tokenizer).unwrap();
    let plan = WindowPlan { windows: 8, block: 16, ..WindowPlan::default() };
    let ranges = calibrate(&FloatModel::new(&weights), &corpus, &plan, margins, |_, _| {}).unwrap();
    ranges.save(&folder.join("ranges.toml")).unwrap();
}

#[test]
fn rejects_what_a_spec_cannot_say() {
    let stage = Stage::new();
    refused(&stage, &["--set", "engine.thread=2"], &["unknown key `engine.thread`", "`engine.threads`"]);
    refused(&stage, &["--set", "model.path=nowhere"], &["`model.path`", "`nowhere`, which does not exist"]);
    refused(&stage, &["--set", "engine.parameters=n17"], &["engine.parameters", "`n17`", "n16-llama"]);
    refused(&stage, &["--set", "engine.device=cuda:0,0"], &["engine.device", "`cuda:0,0` is no device", "`cuda`"]);
    refused(&stage, &["--set", "engine.device=cuda", "--mode", "clear"], &["engine.device", "`cuda`", "mode `clear`"]);
    refused(&stage, &["--set", "engine.insecure=false"], &["n11-toy", "below 128 bits", "engine.insecure = true"]);
}

#[test]
fn rejects_weights_that_are_missing_cut_or_misshapen() {
    let stage = Stage::new();
    let file = stage.path().join("odd/model.safetensors");
    let whole = std::fs::read(&file).unwrap();
    for length in [whole.len() - 1, whole.len() / 2, 100, 0] {
        std::fs::write(&file, &whole[..length]).unwrap();
        refused(&stage, &[], &["odd/model.safetensors is not a valid safetensors file"]);
    }
    std::fs::remove_file(&file).unwrap();
    refused(&stage, &[], &["no weights in", "odd", "model.safetensors"]);

    let config = model::config();
    let mut tensors = model::tensors(&config);
    let name = "model.layers.1.mlp.up_proj.weight";
    tensors.get_mut(name).unwrap().0 = vec![72, 172];
    model::write(&stage.path().join("odd"), &config, &tensors);
    refused(&stage, &[], &["odd/model.safetensors", name, "[72, 172]", "[172, 72]"]);
    tensors.remove(name);
    model::write(&stage.path().join("odd"), &config, &tensors);
    refused(&stage, &[], &["odd/model.safetensors", name, "missing", "[172, 72]"]);
}

#[test]
fn rejects_a_gpu_that_is_not_there() {
    refused(&calibrated(), &["--set", "engine.device=cuda:62,63"], &["engine.device = cuda:62,63: driver: "]);
}

#[test]
fn rejects_prompts_that_do_not_fit() {
    let stage = calibrated();
    let long = format!("input.prompts=[\"ok\", \"{}\"]", "Of all the sciences ".repeat(12));
    refused(&stage, &["--set", "input.prompts=[\"ok\", \" \"]"], &["toy.toml: input.prompts[1]", "empty"]);
    refused(&stage, &["--set", &long, "--set", "input.block_tokens=256"], &["input.prompts[1]", "24 positions"]);
    refused(&stage, &["--set", "input.block_tokens=4"], &["input.block_tokens = 4", "too long", "one block has 4"]);
    std::fs::write(stage.path().join("prompts.txt"), "ok\n\n").unwrap();
    refused(&stage, &["--set", "input.prompts=prompts.txt"], &["prompts.txt:2", "empty"]);
}

#[test]
fn rejects_a_tokenizer_of_a_larger_model() {
    let stage = Stage::new();
    let mut config = model::config();
    config["vocab_size"] = json!(300);
    model::write(&stage.path().join("odd"), &config, &model::tensors(&config));
    std::fs::write(stage.path().join("prompts.txt"), "e\nThe sea was calm\n").unwrap();
    let arguments = ["--set", "input.prompts=prompts.txt"];
    refused(&stage, &arguments, &["prompts.txt:2", "prompt 1, position", "outside the model's vocabulary of 300"]);
}

/// Ranges of a small text, without margins, hold for hardly any other.
#[test]
fn rejects_prompts_outside_the_calibrated_ranges() {
    let stage = Stage::new();
    let text = stage.path().join("small.txt");
    std::fs::write(&text, "The old captain looked at the sea. ".repeat(20)).unwrap();
    store_ranges(&stage, &text, Margins::NONE);
    let arguments =
        ["--set", "input.prompts=[\"The old\", \"Where 17!\"]", "--set", "model.calibration_text=small.txt"];
    refused(
        &stage,
        &arguments,
        &["input.prompts[1]: layer 0, ", " is outside the calibrated range ", "calibrate on text like it"],
    );
}

#[test]
fn rejects_ranges_of_other_weights() {
    let stage = calibrated();
    std::fs::copy(model::committed().join("ranges.toml"), stage.path().join("odd/ranges.toml")).unwrap();
    refused(&stage, &[], &["odd/ranges.toml", "calibrate this model"]);
}
