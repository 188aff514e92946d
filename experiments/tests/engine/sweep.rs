//! A sweep that is nothing but TOML: it runs, goes on where it stopped, and yields its table and its figure.

use crate::stage::{Stage, stderr};
use experiments::record::Status;
use std::fs;

/// The stage with a sweep behind its spec.
fn staged() -> Stage {
    let stage = Stage::new();
    let spec = fs::read_to_string(stage.path().join("toy.toml")).unwrap();
    let prompts = spec.replace("prompts = [\"It was a cold\", \"The sea\"]", "prompts = [\"The sea\"]");
    assert_ne!(prompts, spec);
    let sweep = "[sweep.product]\ninput.block_tokens = [8, 16, 32]\nmitigation.prepend = [false, true]\n";
    fs::write(stage.path().join("toy.toml"), format!("{prompts}\n{sweep}")).unwrap();
    stage
}

#[test]
fn a_swept_suite_runs_resumes_and_is_shown_whole() {
    let stage = staged();
    let planned = |stage: &Stage| {
        let output = stage.succeed(&["--mode", "clear", "--dry-run"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let before = planned(&stage);
    assert!(before.ends_with("6 cells: 0 recorded, 0 to resume, 6 to run\n"), "{before}");
    assert!(before.lines().next().unwrap().contains("cell  block_tokens  prepend  intent"), "{before}");
    assert!(!stage.path().join("results").exists() && !stage.path().join(".runs").exists(), "a dry run leaves nothing");

    stage.succeed(&["--mode", "clear"]);
    assert!(stage.records().iter().all(|record| record.status == Status::Ok));
    assert_eq!(stage.records().len(), 6);

    // As if it had been stopped after four cells.
    let journal = stage.path().join("results/toy/toy.jsonl");
    let lines = fs::read_to_string(&journal).unwrap();
    let kept: String = lines.split_inclusive('\n').take(4).collect();
    fs::write(&journal, &kept).unwrap();
    let between = planned(&stage);
    assert!(between.ends_with("6 cells: 4 recorded, 0 to resume, 2 to run\n"), "{between}");
    let measured =
        between.lines().filter(|line| line.contains("recorded") && line.contains("when measured on")).count();
    assert_eq!(measured, 4, "{between}");
    let resumed = stage.succeed(&["--mode", "clear"]);
    assert_eq!(stderr(&resumed).matches("recorded on").count(), 4, "{}", stderr(&resumed));
    assert!(fs::read_to_string(&journal).unwrap().starts_with(&kept));
    assert_eq!(stage.records().len(), 6);

    let page = fs::read_to_string(stage.path().join("results/toy/toy.md")).unwrap();
    assert!(page.contains("| row | block_tokens | prepend | status | top-1 |"), "{page}");
    assert!(page.contains("| 6 | 32 | true | ok |"), "{page}");
    assert!(stage.path().join("results/toy/toy.tex").is_file());
    let svg = fs::read_to_string(stage.path().join("figures/toy-sweep.svg")).unwrap();
    assert!(svg.contains("KL divergence from float, mean") && svg.contains("prepend = true"));
    assert!(!stage.path().join("figures/toy.svg").exists(), "six cells are not shown one by one");
}
