//! A cell that prepends: one question in three modes behind a public prefix, over lanes.

use crate::model;
use crate::stage::{Stage, stderr};
use experiments::record::{CLEAR_CIRCUIT, FLOAT};
use experiments::spec::Mode;
use fhe_ckks::OperationCounts;

const PREPENDING: [&str; 6] =
    ["--set", "mitigation.prepend=true", "--set", "attention.products=lanes", "--set", "input.bos=false"];

#[test]
fn all_modes_prepend_the_same_and_count_the_same() {
    let stage = Stage::new();
    let with = |arguments: &[&'static str]| [&PREPENDING[..], arguments].concat();
    stage.succeed(&with(&["--mode", "metered"]));
    // The model's beginning-of-sequence token, for want of a better one.
    assert!(stage.path().join("odd/ranges-after-0.toml").is_file());
    assert!(!stage.path().join("odd/ranges.toml").exists());
    let second = stage.succeed(&with(&["--mode", "clear"]));
    assert!(!stderr(&second).contains("calibrating"), "ranges are measured once");
    stage.succeed(&with(&[]));
    let [encrypted, clear, metered] = [Mode::Encrypted, Mode::Clear, Mode::Metered].map(|mode| stage.record(mode));
    for (name, _) in OperationCounts::default().entries() {
        assert_eq!(clear.counts.get(name), encrypted.counts.get(name), "{name}, clear");
        assert_eq!(metered.counts.get(name), encrypted.counts.get(name), "{name}, metered");
    }
    assert_eq!(metered.kernels, encrypted.kernels);
    for record in [&encrypted, &clear] {
        assert_eq!(record.input.prefix_tokens, [0]);
        let float = record.agreement_with(FLOAT).unwrap();
        assert_eq!(float.positions, record.input.live_tokens);
        assert!(float.kl_mean <= 4e-6 && float.top5_logit_error_max <= 0.02, "{}: {float:?}", record.mode);
    }
    let added = encrypted.agreement_with(CLEAR_CIRCUIT).unwrap();
    assert!(added.top1 == added.positions && added.kl_mean <= 1e-6, "{added:?}");
}

#[test]
fn rejects_ranges_of_another_prefix_with_the_command_that_measures_the_right_ones() {
    let stage = Stage::new();
    stage.succeed(&["--mode", "metered"]);
    std::fs::remove_dir_all(stage.path().join("results")).unwrap();
    let output = stage.run(&["--set", "model.ranges=odd/ranges.toml", "--set", "mitigation.prepend=true"]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    for part in [
        "odd/ranges.toml` was measured after no prefix, this cell prepends token 0",
        "`fhe-llama calibrate odd --text calibration.txt --prefix '",
    ] {
        assert!(message.contains(part), "`{part}` is missing from: {message}");
    }
}

#[test]
fn rejects_a_prefix_that_no_block_has_room_for() {
    let stage = Stage::new();
    let refusal = |prefix: &str| {
        let output = stage.run(&["--set", "mitigation.prepend=true", "--set", prefix]);
        assert_eq!(output.status.code(), Some(2));
        stderr(&output)
    };
    assert!(refusal("mitigation.prefix=The old captain looked at the sea").contains("required: at most 4 tokens"));
    assert!(refusal("mitigation.prefix=\"\"").contains("no tokens, required: at least one token"));
}

/// The command writes the file that a cell with the same prefix looks for.
#[test]
fn calibrate_measures_after_a_prefix() {
    let stage = Stage::new();
    let text = stage.path().join("small.txt");
    let whole = std::fs::read_to_string(model::committed().join("calibration.txt")).unwrap();
    std::fs::write(&text, whole.chars().take(8000).collect::<String>()).unwrap();
    let output = stage.calibrate(&["odd", "--text", "small.txt", "--block-tokens", "16", "--prefix", "e"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let written = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(written.contains("odd/ranges-after-"), "{written}");
    let arguments = ["--mode", "metered", "--set", "mitigation.prepend=true", "--set", "mitigation.prefix=e"];
    assert!(!stderr(&stage.succeed(&arguments)).contains("calibrating"));
}
