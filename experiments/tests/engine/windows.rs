//! Windows of a text: what holds of a model, and what its ranges and the scheme's precision do not carry.

use crate::stage::{Stage, stderr};
use experiments::record::{CellRecord, FLOAT, Status};
use experiments::spec::Mode;
use fhe_model::calibration::Margins;
use std::path::PathBuf;

use crate::refusals::{refused, store_ranges};

const CLEAR: [&str; 2] = ["--mode", "clear"];

/// The text that the stage calibrates on, in place of prompts.
fn text<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let input = ["--set", "input.text=calibration.txt", "--set", "input.windows=5"];
    [&CLEAR, &input[..], more].concat()
}

fn only(stage: &Stage) -> CellRecord {
    let records = stage.records();
    assert_eq!(records.len(), 1);
    records.into_iter().next().unwrap()
}

#[test]
fn windows_agree_with_float_together_and_like_single_prompts() {
    let stage = Stage::new();
    stage.succeed(&text(&[]));
    let record = stage.record(Mode::Clear);
    let windows = record.windows.as_ref().unwrap();
    assert_eq!((windows.windows, windows.valid()), (5, 5), "{windows:?}");
    assert_eq!(record.input.live_tokens, 5 * 16);
    let float = record.agreement_with(FLOAT).unwrap();
    assert_eq!((float.positions, float.top1), (5 * 16, 5 * 16));
    assert!(float.kl_mean <= 1.6e-6, "{}", float.kl_mean);
    assert!(float.perplexity_reference.is_some_and(|perplexity| perplexity > 1.0));
    assert!(record.counts["half_bootstraps"] > 0 && !record.polynomials.is_empty());
    let mean_square = record.ranges.iter().find(|range| range.site == "attention mean square").unwrap();
    assert!(mean_square.low > 0.0 && mean_square.ratio.is_some_and(|ratio| ratio > 1.0), "{mean_square:?}");
    assert!(record.ranges.iter().any(|range| range.site == "gate" && range.low < 0.0 && range.ratio.is_none()));
    let degrees: Vec<_> = record.needed_degrees.iter().map(|needed| needed.degree).collect();
    assert_eq!(degrees.len(), 4);
    assert!(degrees.iter().all(|degree| degree.is_some_and(|degree| (degree + 1).is_power_of_two())), "{degrees:?}");
    let table = std::fs::read_to_string(stage.path().join("results/toy/toy.md")).unwrap();
    assert!(table.contains("| valid, compared with float | 5 |"), "{table}");
    // Nothing is run twice.
    stage.succeed(&text(&[]));
    only(&stage);
}

#[test]
fn fewer_bits_of_bootstrapping_are_further_from_float_until_a_window_is_left() {
    let stage = Stage::new();
    let at = |bits: &str| {
        let bits = format!("engine.bootstrap_bits={bits}");
        stage.run(&text(&["--set", "engine.noise=modelled", "--set", &bits]));
        let record = stage.records().pop().unwrap();
        assert_eq!(record.config["engine.bootstrap_bits"].as_f64(), bits.split('=').nth(1).unwrap().parse().ok());
        record
    };
    let divergences: Vec<f64> = ["20", "14", "11"].map(|bits| at(bits).agreement_with(FLOAT).unwrap().kl_mean).to_vec();
    assert!(divergences.windows(2).all(|pair| pair[0] < pair[1]), "{divergences:?}");
    let record = at("3");
    assert_eq!(record.status, Status::Invalid, "{:?}", record.windows);
    assert!(record.agreement.is_empty(), "what says nothing is compared with nothing");
    let windows = record.windows.unwrap();
    assert_eq!((windows.invalid.windows, windows.valid()), (5, 0));
    assert!(record.reason.unwrap().starts_with("window 0: "));
}

#[test]
fn windows_outside_the_ranges_are_counted_and_not_run() {
    let stage = Stage::new();
    let small = stage.path().join("small.txt");
    std::fs::write(&small, "The old captain looked at the sea. ".repeat(20)).unwrap();
    store_ranges(&stage, &small, Margins::NONE);
    let output = stage.run(&text(&[]));
    assert!(!output.status.success(), "{}", stderr(&output));
    let record = only(&stage);
    assert_eq!(record.status, Status::Refused);
    let windows = record.windows.unwrap();
    assert_eq!((windows.outside.windows, windows.valid()), (5, 0));
    assert!(windows.outside.above + windows.outside.below >= 5);
    assert!(windows.outside.first.unwrap().contains("layer 0, "));
    assert!(record.agreement.is_empty() && !record.ranges.is_empty());
}

/// Among others a cell that no circuit carries is a row, and the others run.
#[test]
fn a_cell_that_is_refused_does_not_keep_others_from_running() {
    let stage = Stage::new();
    let small = stage.path().join("small.txt");
    std::fs::write(&small, "The old captain looked at the sea. ".repeat(20)).unwrap();
    for (text, margins, name) in [(&small, Margins::NONE, "narrow"), (&calibration(&stage), Margins::default(), "wide")]
    {
        store_ranges(&stage, text, margins);
        std::fs::rename(stage.path().join("odd/ranges.toml"), stage.path().join(format!("{name}.toml"))).unwrap();
    }
    let file = stage.path().join("toy.toml");
    let sweep = "\n[sweep.product]\nmodel.ranges = [\"narrow.toml\", \"wide.toml\"]\n";
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + sweep).unwrap();
    for input in [text(&[]), CLEAR.to_vec()] {
        let output = stage.succeed(&input);
        let records = stage.records();
        let statuses: Vec<Status> = records[records.len() - 2..].iter().map(|record| record.status).collect();
        assert_eq!(statuses, [Status::Refused, Status::Ok], "{}", stderr(&output));
        // An answer is not asked for twice.
        stage.succeed(&input);
        assert_eq!(stage.records().len(), records.len());
    }
}

fn calibration(stage: &Stage) -> PathBuf {
    stage.path().join("calibration.txt")
}

#[test]
fn rejects_texts_that_give_no_windows_and_modes_that_run_none() {
    let stage = Stage::new();
    let set = |value: &'static str| ["--set", value];
    refused(&stage, &[&CLEAR, &set("input.windows=3")[..]].concat(), &["input.windows", "no input.text"]);
    refused(&stage, &set("input.text=calibration.txt"), &["input.text", "mode `encrypted`", "input.prompts"]);
    refused(&stage, &[&CLEAR, &set("input.text=nowhere.txt")[..]].concat(), &["input.text", "nowhere.txt"]);
    let alone = text(&["--set", "circuit=softmax", "--set", "attention.products=lanes"]);
    refused(&stage, &alone, &["input.text", "SoftMax alone", "input.prompts"]);
    refused(&stage, &text(&["--set", "input.windows=0"]), &["input.windows", "at least 1"]);
    refused(&stage, &text(&["--set", "input.windows=9000000"]), &["calibration.txt", "135000000", "fewer"]);
    refused(&stage, &text(&["--set", "engine.bootstrap_bits=12"]), &["engine.bootstrap_bits", "modelled"]);
    let noisy = text(&["--set", "engine.noise=modelled", "--set", "engine.bootstrap_bits=0"]);
    refused(&stage, &noisy, &["engine.bootstrap_bits", "1 to 40"]);
}
