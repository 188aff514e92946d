//! Assumed ranges: a few numbers, and what is no window.

use fhe_model::calibration::{AssumedRanges, Interval};
use fhe_model::{Config, Error};

use crate::fixture::random_model;

const TEXT: &str = r#"
reason = "a test"
embedding = 1.0
final-mean-square = [1.0, 9.0]
normalised-final-input = 5.0
logits = 40.0
largest-head-weight = 0.5
largest-weights = { q = 0.5, k = 0.5, v = 0.5, o = 0.5, gate = 0.5, up = 0.5, down = 0.5 }

[[layers]]
count = 1
residual = 10.0
attention-mean-square = [0.01, 1.0]
ffn-mean-square = [0.02, 2.0]
normalised-input = 6.0
query = 8.0
key = 9.0
value = 3.0
score-half-width = 12.0
log-denominator = [-8.0, -2.0]
gate = 11.0
up = 7.0
gated = 30.0

[[layers]]
count = 1
residual = 20.0
attention-mean-square = [0.1, 1.0]
ffn-mean-square = [0.2, 2.0]
normalised-input = 6.0
query = 8.0
key = 9.0
value = 3.0
score-half-width = 12.0
log-denominator = [-8.0, -2.0]
gate = 22.0
up = 7.0
gated = 30.0
"#;

fn load(text: &str) -> Result<AssumedRanges, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("assumed-ranges.toml");
    std::fs::write(&path, text).unwrap();
    AssumedRanges::load(&path)
}

#[test]
fn groups_of_layers_become_windows_of_every_layer_and_head() {
    let (_folder, weights) = random_model(1);
    let config: &Config = weights.config();
    let assumed = load(TEXT).unwrap();
    let model = assumed.model(config).unwrap();
    assert_eq!([&model.layers[0], &model.layers[1]].map(|layer| layer.gate), [11.0, 22.0]);
    assert_eq!(model.layers[1].score_centre, vec![0.0; config.num_attention_heads]);
    assert_eq!(model.layers[0].denominator, Interval::new((-8.0_f64).exp(), (-2.0_f64).exp()));
    assert!(model.covers_masked_scores);
    assert!(model.layers[0].rotated_query >= 2.0_f64.sqrt() * model.layers[0].query);
    assumed.shape(config).unwrap();
}

#[test]
fn rejects_another_depth() {
    let (_folder, weights) = random_model(1);
    let refused = load(&TEXT.replacen("count = 1", "count = 2", 1)).unwrap().model(weights.config()).unwrap_err();
    assert!(matches!(refused, Error::RangesOfOtherDepth { found: 3, required: 2 }));
}

#[test]
fn rejects_what_is_no_window() {
    for (from, to) in [
        ("reason = \"a test\"", "reason = \" \""),
        ("logits = 40.0", "logits = 0.0"),
        ("gate = 22.0", "gate = inf"),
        ("q = 0.5", "q = -0.5"),
        ("ffn-mean-square = [0.2, 2.0]", "ffn-mean-square = [2.0, 0.2]"),
        ("attention-mean-square = [0.1, 1.0]", "attention-mean-square = [0.0, 1.0]"),
        ("log-denominator = [-8.0, -2.0]", "log-denominator = [-2.0, -8.0]"),
        ("up = 7.0", "upp = 7.0"),
    ] {
        assert!(TEXT.contains(from), "{from}");
        let refused = load(&TEXT.replacen(from, to, 1));
        assert!(matches!(refused, Err(Error::Malformed { .. })), "{to}: {refused:?}");
    }
    assert!(matches!(AssumedRanges::load("nowhere".as_ref()), Err(Error::File { .. })));
}
