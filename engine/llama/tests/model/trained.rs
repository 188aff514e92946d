//! The committed trained model against the logits that its training framework gave.

use std::path::{Path, PathBuf};

use fhe_model::calibration::{Corpus, Margins, WindowPlan, calibrate};
use fhe_model::{Beginning, FloatModel, PromptBlock, Tokenizer, Weights};
use serde::Deserialize;

fn tiny_llama() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/models/tiny-llama")
}

/// `reference.json`: prompts with their logits at the last position and the most likely token at every position.
#[derive(Deserialize)]
struct Reference {
    prompts: Vec<ReferencePrompt>,
}

#[derive(Deserialize)]
struct ReferencePrompt {
    text: String,
    ids: Vec<u32>,
    argmax: Vec<usize>,
    last_logits: Vec<f32>,
}

#[test]
fn equals_the_training_framework() {
    let folder = tiny_llama();
    let weights = Weights::open(&folder).unwrap();
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).unwrap();
    let text = std::fs::read_to_string(folder.join("reference.json")).unwrap();
    let Reference { prompts } = serde_json::from_str(&text).unwrap();
    assert!(!prompts.is_empty());
    for prompt in &prompts {
        assert_eq!(tokenizer.encode_prompt(&prompt.text, Beginning::Prepend).unwrap(), prompt.ids);
        let size = prompt.ids.len().next_power_of_two().max(2);
        let block = PromptBlock::new(std::slice::from_ref(&prompt.ids), size, weights.config()).unwrap();
        let logits = FloatModel::new(&weights).logits(&block).unwrap();
        let span = block.prompts()[0];
        let last = logits.column(span.start + span.len - 1);
        let error = last.iter().zip(&prompt.last_logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(last.len() == prompt.last_logits.len() && error <= 2e-3, "{error} for {:?}", prompt.text);
        for (position, &expected) in span.positions().zip(&prompt.argmax) {
            let logits = logits.column(position);
            let largest = logits.iter().copied().fold(f32::MIN, f32::max);
            assert!(largest - logits[expected] <= 2e-3, "position {position} of {:?}", prompt.text);
        }
    }
}

#[test]
fn stays_inside_its_ranges_on_held_out_text() {
    let folder = tiny_llama();
    let weights = Weights::open(&folder).unwrap();
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).unwrap();
    let corpus =
        |name: &str| Corpus::from_text(&std::fs::read_to_string(folder.join(name)).unwrap(), &tokenizer).unwrap();
    let model = FloatModel::new(&weights);
    let plan = WindowPlan::default();
    let ranges = calibrate(&model, &corpus("calibration.txt"), &plan, Margins::default(), |_, _| ()).unwrap();
    let validation = ranges.validate(&model, &corpus("heldout.txt"), &plan, |_, _| ()).unwrap();
    assert_eq!(validation.windows_outside, 0, "{validation:#?}");
}
