//! Tokens behind an encrypted prompt: the same in every mode, counted alike, beside float, and whatever interrupts.

use crate::refusals::{calibrated, refused};
use crate::stage::{Stage, stderr};
use experiments::record::{CLEAR_CIRCUIT, CellRecord, FLOAT, PhaseSeconds, Status};
use experiments::spec::Mode;
use fhe_ckks::OperationCounts;
use std::time::Duration;

/// One prompt and three tokens behind it.
const GENERATING: [&str; 10] = [
    "--set",
    r#"input.prompts=["It was a"]"#,
    "--set",
    "generation.tokens=3",
    "--set",
    "attention.products=lanes",
    "--set",
    "engine.weight_scales=per-row",
    "--set",
    "engine.parameters=n13-toy",
];

fn generating<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&GENERATING[..], more].concat()
}

fn tokens(record: &CellRecord) -> Vec<u32> {
    record.generation.as_ref().unwrap().tokens.iter().map(|token| token.token).collect()
}

#[test]
fn all_modes_generate_and_count_alike() {
    let stage = Stage::new();
    for mode in ["metered", "clear", "encrypted"] {
        stage.succeed(&generating(&["--mode", mode]));
    }
    assert!(stage.run_folders().is_empty());
    let [encrypted, clear, metered] = [Mode::Encrypted, Mode::Clear, Mode::Metered].map(|mode| stage.record(mode));
    for (name, _) in OperationCounts::default().entries() {
        let count = |record: &CellRecord| record.counts.get(name).copied();
        assert_eq!(count(&clear), count(&encrypted), "{name}, clear");
        assert_eq!(count(&metered), count(&encrypted), "{name}, metered");
    }
    assert!(encrypted.counts["vector_splits"] > 0 && encrypted.counts["vector_joins"] > 0);
    assert_eq!(metered.kernels, encrypted.kernels);
    assert_eq!(metered.footprint.key_bytes, encrypted.footprint.key_bytes);

    assert_eq!(tokens(&clear), tokens(&encrypted));
    for record in [&encrypted, &clear] {
        let generation = record.generation.as_ref().unwrap();
        assert_eq!((generation.tokens.len(), generation.steps().count()), (3, 2));
        assert_eq!(generation.left_ranges, None);
        // Weights of 13 bits leave a divergence below 1e-5, and every lead of these leads is larger than what they are off by.
        for token in &generation.tokens {
            assert!(token.kl <= 1e-5, "{token:?}");
            assert!(token.agrees() || token.float_margin <= token.logit_error, "{token:?}");
        }
        // Of prompt and tokens together; the last token is not fed back.
        let float = record.agreement_with(FLOAT).unwrap();
        assert_eq!(float.positions, record.prompts[0].tokens + 2);
        assert_eq!(float.by_position.len(), float.positions);
    }
    let generation = encrypted.generation.as_ref().unwrap();
    assert!(encrypted.agreement_with(CLEAR_CIRCUIT).unwrap().kl_max <= 1e-6);
    assert!(generation.tokens.iter().all(|token| token.kl_from_clear.is_some_and(|kl| kl <= 1e-6)));
    let step = metered.predicted.as_ref().unwrap().step.as_ref().unwrap();
    assert!(generation.steps().all(|effort| effort.half_bootstraps == step.half_bootstraps));
    let steps: u64 = generation.steps().map(|effort| effort.half_bootstraps).sum();
    assert_eq!(generation.prompt.half_bootstraps + steps, encrypted.counts["half_bootstraps"]);
    // The seconds of prompt and steps are those of the run.
    for phase in [|s: &PhaseSeconds| s.linear, |s: &PhaseSeconds| s.bootstrapping, |s: &PhaseSeconds| s.nonlinear] {
        let parts =
            phase(&generation.prompt.seconds) + generation.steps().map(|step| phase(&step.seconds)).sum::<f64>();
        assert!((parts - phase(&encrypted.seconds)).abs() <= 1e-9 * parts, "{parts} of {}", phase(&encrypted.seconds));
        assert!(generation.steps().all(|step| phase(&step.seconds) > 0.0));
    }
    let steps: f64 = generation.steps().map(|step| step.seconds.total).sum();
    assert!(generation.steps().all(|step| step.server_seconds() <= step.seconds.total));
    assert!(generation.prompt.seconds.total + steps <= encrypted.seconds.total);
    let page = std::fs::read_to_string(stage.path().join("results/toy/toy.md")).unwrap();
    assert!(page.contains("Generated tokens") && page.contains("a token over its prompt"), "{page}");
}

#[test]
fn what_is_drawn_at_a_temperature_is_drawn_again() {
    let stage = Stage::new();
    let drawing = ["--mode", "clear", "--set", "generation.temperature=4.0", "--set"];
    for seed in ["generation.seed=1", "generation.seed=1", "generation.seed=2"] {
        stage.succeed(&generating(&[&drawing[..], &[seed, "--force"]].concat()));
    }
    let drawn: Vec<Vec<u32>> = stage.records().iter().map(tokens).collect();
    assert_eq!(drawn[0], drawn[1]);
    assert_ne!(drawn[0], drawn[2]);
    // So hot that the float model, drawing with it, has its own say only where an error of a logit decides.
    let record = &stage.records()[2];
    assert!(record.generation.as_ref().unwrap().agreeing() >= 2);
}

/// Killed with some tokens done, a run goes on after the last of them.
#[test]
fn a_killed_generation_ends_like_one_that_was_not() {
    let stage = Stage::new();
    let mut parent = stage.command(&generating(&[])).spawn().unwrap();
    // However long that takes: a run that goes wrong ends.
    loop {
        let stored = stage.run_folders().into_iter().any(|folder| folder.join("stage-2").is_file());
        if stored {
            break;
        }
        assert!(parent.try_wait().unwrap().is_none(), "the run ended before its second token");
        std::thread::sleep(Duration::from_millis(2));
    }
    parent.kill().unwrap();
    parent.wait().unwrap();
    // A child without a parent ends by itself, but not at once.
    let resumed = loop {
        let output = stage.run(&generating(&[]));
        if !stderr(&output).contains("another process") {
            break output;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(
        resumed.status.success() && stderr(&resumed).contains("resuming after generated token"),
        "{}",
        stderr(&resumed)
    );
    stage.succeed(&generating(&["--force"]));
    let records: Vec<CellRecord> = stage.records().into_iter().filter(|record| record.status == Status::Ok).collect();
    let [resumed, whole] = &records[..] else { panic!("{} records", records.len()) };
    assert_eq!((resumed.provenance.resumptions, whole.provenance.resumptions), (1, 0));
    assert_eq!(tokens(resumed), tokens(whole));
    assert_eq!(resumed.counts, whole.counts);
    for (name, count) in &whole.kernels {
        assert_eq!(resumed.kernels.get(name), Some(count), "{name}");
    }
    assert_eq!((&resumed.agreement, &resumed.layer_errors), (&whole.agreement, &whole.layer_errors));
    assert!(stage.run_folders().is_empty());
}

#[test]
fn rejects_prompts_that_cannot_be_continued() {
    let stage = Stage::new();
    let of = |arguments: &[&str], parts: &[&str]| refused(&stage, arguments, parts);
    of(&["--set", "generation.tokens=1"], &["generation.tokens", "at least 2"]);
    of(&generating(&["--set", "generation.temperature=0.0"]), &["generation.temperature", "positive"]);
    of(&generating(&["--set", "generation.temperature=1.0"]), &["generation.seed", "missing"]);
    of(&generating(&["--set", "generation.seed=1"]), &["generation.seed", "nothing is drawn"]);
    of(&generating(&["--set", "generation.rounds=5"]), &["generation.rounds", "1 to 4"]);
    of(&generating(&["--set", "generation.rounds=2"]), &["generation.rounds", "normalize-and-square"]);
    of(&generating(&["--set", "circuit=softmax"]), &["generation.tokens", "whole decoder"]);
    let stage = calibrated();
    let of = |arguments: &[&str], parts: &[&str]| refused(&stage, arguments, parts);
    of(&["--set", "generation.tokens=2"], &["2 prompts in the block"]);
    // What is calibrated is a block.
    of(&generating(&["--set", "generation.tokens=200"]), &["of a sequence", "at most 16", "calibrated"]);
}
