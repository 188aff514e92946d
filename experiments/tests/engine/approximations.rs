//! Polynomials as data: what is stored is what is derived, and what the circuit's functions are.

use std::process::{Command, Output};

use experiments::approximations::StoredPolynomial;

use crate::stage::{Stage, stderr};

fn approximations(stage: &Stage, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fhe-llama"));
    let usual = ["approximations", "toy.toml", "--set", "model.path=odd"];
    command.args(usual).args(arguments).current_dir(stage.path()).output().unwrap()
}

fn stored(stage: &Stage) -> Vec<StoredPolynomial> {
    let text = std::fs::read_to_string(stage.path().join("results/toy/toy-approximations.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// By Clenshaw's recurrence.
fn value(coefficients: &[f64], y: f64) -> f64 {
    let (first, others) = coefficients.split_first().unwrap();
    let (b, c) = others.iter().rev().fold((0.0, 0.0), |(b, c), coefficient| (coefficient + 2.0 * y * b - c, b));
    first + y * b - c
}

#[test]
fn what_is_stored_is_what_is_derived() {
    let stage = Stage::new();
    let output = approximations(&stage, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let stored = stored(&stage);
    // Two norms, SiLU, an exponential and a reciprocal in each of two layers, and the last norm.
    assert_eq!(stored.len(), 2 * 5 + 1);
    for polynomial in &stored {
        assert_eq!(polynomial.coefficients.len(), polynomial.degree + 1, "{polynomial:?}");
        assert!(polynomial.error < 1.0 / 64.0 && polynomial.levels >= 4);
    }
    // An inverse root falls over its window, an exponential and SiLU rise, whatever their windows are.
    let falls =
        |polynomial: &&StoredPolynomial| value(&polynomial.coefficients, -1.0) > value(&polynomial.coefficients, 1.0);
    let falling = stored.iter().filter(falls).count();
    assert_eq!(falling, 2 * 3 + 1, "inverse roots and reciprocals");
    let again = approximations(&stage, &["--check"]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(String::from_utf8_lossy(&again.stdout).contains("11 polynomials are what is derived"));
}

#[test]
fn rejects_polynomials_that_are_missing_changed_or_damaged() {
    let stage = Stage::new();
    let missing = approximations(&stage, &["--check"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("no polynomials at `") && stderr(&missing).contains("store them first"));
    assert!(approximations(&stage, &[]).status.success());
    let changed = approximations(&stage, &["--check", "--set", "softmax.variant=normalize-and-square"]);
    assert!(stderr(&changed).contains("is derived"), "{}", stderr(&changed));
    let path = stage.path().join("results/toy/toy-approximations.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut polynomials = stored(&stage);
    polynomials[3].coefficients[1] *= 1.0 + 1e-6;
    let lines: Vec<String> = polynomials.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let found = approximations(&stage, &["--check"]);
    assert!(!found.status.success() && stderr(&found).contains(&polynomials[3].function), "{}", stderr(&found));
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert!(stderr(&approximations(&stage, &["--check"])).contains("read line"));
}
