//! Comparisons: strict specs, tables and charts that never mix kinds of times. No number here was ever measured.

use experiments::comparison::{Comparison, ComparisonSpec, Entry};
use experiments::error::HarnessError;
use experiments::spec::Suite;
use experiments::workspace::Workspace;
use experiments::{figure, table};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

const SPEC: &str = r#"
kind = "comparison"
name = "sample"
question = "Who is faster?"
records = "results/sample/sample.jsonl"
baselines = ["published.toml"]
ours = "us"

[[libraries]]
id = "us"
label = "this engine"

[[libraries]]
id = "peer"
label = "Peer"

[[libraries]]
id = "absent"
label = "Absent"

[[operations]]
id = "rotate"
label = "rotation"
unit = "ms"
libraries = ["us", "peer", "absent"]

[[operations.targets]]
threads = 1
must = 30.0
goal = 5.0

[[operations]]
id = "batched"
label = "one of four"
unit = "s"
libraries = ["us"]
"#;

const PUBLISHED: &str = r#"
[[reported]]
id = "gpu-rotate"
system = "Faraway"
operation = "rotate"
parameters = "N = 2^16"
hardware = "a large GPU"
seconds = 0.000125
confidence = "quoted"
source = "https://example.org"
"#;

fn row(library: &str, operation: &str, threads: usize, seconds: f64) -> Value {
    json!({
        "schema": 1, "basis": "measured", "status": "ok", "reason": null,
        "library": library, "version": "1.2.3", "operation": operation, "parameters": format!("setting of {library}"),
        "limbs": 10, "batch": 1, "threads": threads,
        "seconds": { "median": seconds, "min": 0.9 * seconds, "max": 1.5 * seconds }, "runs": 7,
        "machine": { "cpu": "Imaginary CPU", "arch": "x86_64", "vector_extension": "avx2", "cores": 2,
                     "memory_bytes": 25769803776u64 },
        "date": "2026-01-02T03:04:05Z", "commit": "0123456789abcdef", "dirty": false, "sources": "feedface",
    })
}

/// A row with some of its fields replaced.
fn with(mut row: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        row[key] = value.clone();
    }
    row
}

fn skipped(library: &str, reason: &str) -> Value {
    with(row(library, "rotate", 1, 0.0), json!({ "status": "skipped", "reason": reason, "seconds": null }))
}

fn rows() -> Vec<Value> {
    vec![
        row("us", "rotate", 1, 0.02),
        with(row("us", "rotate", 1, 0.011), json!({ "basis": "predicted", "parameters": "metered" })),
        with(row("peer", "rotate", 1, 0.05), json!({ "bits": { "mean": 21.9, "worst": 19.6 }, "waiting_share": 0.4 })),
        row("peer", "rotate", 2, 0.03),
        skipped("absent", "needs 20.0 GiB of free memory"),
        with(row("us", "batched", 1, 6.0), json!({ "batch": 4 })),
    ]
}

/// A workspace with the suite `sample` as a committed one.
fn workspace(rows: &[Value]) -> (TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    for (path, text) in [
        ("experiments/suites/sample.toml", SPEC),
        ("published.toml", PUBLISHED),
        ("results/sample/sample.jsonl", lines.as_str()),
    ] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let workspace = Workspace::at(folder.path());
    (folder, workspace)
}

fn load(workspace: &Workspace) -> Result<Comparison, HarnessError> {
    Comparison::load(workspace, Path::new("experiments/suites/sample.toml"))
}

fn page(rows: &[Value]) -> String {
    let (_folder, workspace) = workspace(rows);
    table::derive(&workspace, "sample").unwrap();
    std::fs::read_to_string(workspace.result("sample", ".md")).unwrap()
}

fn refusal(spec: &str) -> String {
    let (folder, _) = workspace(&rows());
    ComparisonSpec::parse(spec, "spec.toml", folder.path()).expect_err("must be refused").to_string()
}

#[test]
fn the_committed_comparison_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let spec = ComparisonSpec::load(Path::new("experiments/suites/micro-cpu.toml"), root).unwrap();
    assert_eq!((spec.name.as_str(), spec.ours.as_str()), ("micro-cpu", "fhe-llama"));
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::at(folder.path());
    let records = format!("{}\n", row("fhe-llama", "bootstrap-full", 1, 2.0));
    for path in spec.baselines.iter().map(|path| path.to_str().unwrap()).chain(["experiments/suites/micro-cpu.toml"]) {
        let copy = folder.path().join(path);
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(root.join(path), copy).unwrap();
    }
    std::fs::create_dir_all(folder.path().join("results/micro-cpu")).unwrap();
    std::fs::write(workspace.result("micro-cpu", ".jsonl"), records).unwrap();
    let comparison = Comparison::of_suite(&workspace, "micro-cpu").unwrap().unwrap();
    let entries = comparison.machines[0].operations.iter().flat_map(|compared| &compared.entries);
    assert!(entries.filter(|entry| matches!(entry, Entry::Reported(_))).count() > 5);
}

#[test]
fn rejects_unknown_keys_at_every_level_with_the_nearest_one() {
    let misspelt = |right: &str, wrong: &str| refusal(&SPEC.replacen(right, wrong, 1));
    assert_eq!(misspelt("question", "qestion"), "spec.toml: unknown key `qestion`; did you mean `question`?");
    assert!(
        misspelt("label", "lable").contains("unknown key `libraries[0].lable`; did you mean `libraries[0].label`?")
    );
    assert!(misspelt("unit", "units").contains("did you mean `operations[0].unit`?"));
    assert!(misspelt("goal", "gaol").contains("did you mean `operations[0].targets[0].goal`?"));
}

#[test]
fn rejects_values_that_do_not_fit() {
    for (right, wrong, part) in [
        ("\"comparison\"", "\"experiment\"", "`kind` is \"experiment\", \"comparison\" is required"),
        ("kind = \"comparison\"", "", "`kind` missing, \"comparison\" is required"),
        ("\"sample\"", "\"../escape\"", "it names a folder"),
        ("\"ms\"", "\"minutes\"", "minutes"),
        ("ours = \"us\"", "ours = \"them\"", "`ours` names `them`, which is none of libraries: us, peer, absent"),
        ("[\"us\", \"peer\", \"absent\"]", "[\"stranger\"]", "`operations[0].libraries` names `stranger`"),
        ("id = \"peer\"", "id = \"us\"", "`libraries` has `us` more than once"),
        ("threads = 1", "threads = 0", "a target for 0 threads"),
        ("must = 30.0", "must = -1.0", "has the limit -1, a positive number is required"),
        ("must = 30.0\ngoal = 5.0", "", "a target without must and goal"),
        ("published.toml", "nowhere.toml", "`baselines` names `nowhere.toml`, which does not exist"),
        ("question = \"Who is faster?\"", "", "missing field `question`"),
        ("[[libraries]]", "[[libraries", "not valid TOML"),
    ] {
        let message = refusal(&SPEC.replacen(right, wrong, 1));
        assert!(message.contains(part), "{wrong}: {message}");
    }
}

#[test]
fn rejects_a_comparison_as_an_experiment_and_the_reverse() {
    let error = Suite::parse(SPEC, "spec.toml", &[], Path::new(".")).unwrap_err().to_string();
    assert!(error.contains("a comparison is made with `fhe-llama compare`"), "{error}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let error = ComparisonSpec::load(Path::new("experiments/suites/quickstart.toml"), root).unwrap_err().to_string();
    assert!(error.contains("an experiment is run with `fhe-llama run`"), "{error}");
}

#[test]
fn rejects_missing_and_damaged_records() {
    let (_folder, empty) = workspace(&[]);
    let error = load(&empty).unwrap_err().to_string();
    assert!(error.contains("results/sample/sample.jsonl") && error.contains("scripts/bench-peers"), "{error}");
    let (_folder, newer) = workspace(&[with(rows().remove(0), json!({ "schema": 9 }))]);
    assert!(matches!(load(&newer), Err(HarnessError::RecordSchema { found: 9, line: 1, .. })));
    let (_folder, torn) = workspace(&rows());
    let path = torn.result("sample", ".jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 9]).unwrap();
    assert!(matches!(load(&torn), Err(HarnessError::RecordDamaged { line: 6, .. })));
}

#[test]
fn a_table_holds_times_ratios_targets_and_gaps() {
    let page = page(&rows());
    for part in [
        "## Imaginary CPU, avx2, 2 cores, 24.0 GiB",
        "| this engine 1.2.3 | 1 | 20.0 (18.0 to 30.0) |",
        "| Peer 1.2.3 | 1 | 50.0 (45.0 to 75.0) |  |  | 2.5 | 21.9 / 19.6 |",
        "DISTURBED by other work 40 % of the time",
        "| Absent | 1 | not measured |",
        "skipped: needs 20.0 GiB of free memory",
        "| Faraway, a large GPU |  |  |  | 0.125 |",
        "| this engine 1.2.3 | 1 | 1.50 (1.35 to 2.25) |",
        "| rotation | 1 | 30.0 ms | 5.00 ms | 20.0 ms | must kept |",
        "| us 1.2.3 | measured | 0123456789 |",
    ] {
        assert!(page.contains(part), "{part} is missing from\n{page}");
    }
}

/// Of the three columns of times each line fills one, and a ratio stands only beside a measurement.
#[test]
fn kinds_of_times_are_never_mixed() {
    let page = page(&rows());
    let lines = page.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 12);
    let mut seen = [0; 3];
    for line in lines.filter(|line| !line.starts_with("| library") && !line.starts_with("| **")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let times = &cells[3..6];
        assert_eq!(times.iter().filter(|time| !time.is_empty()).count(), 1, "{line}");
        (0..3).filter(|kind| !times[*kind].is_empty()).for_each(|kind| seen[kind] += 1);
        assert!(cells[6].is_empty() || (!times[0].is_empty() && cells[2] == "1"), "{line}");
    }
    assert_eq!(seen, [5, 1, 1], "{page}");
}

#[test]
fn machines_are_apart_and_the_newest_is_first() {
    let elsewhere = json!({
        "machine": { "cpu": "Other CPU", "arch": "x86_64", "vector_extension": "avx2", "cores": 8, "memory_bytes": 1 },
        "date": "2027-01-01T00:00:00Z",
    });
    let mut rows = rows();
    rows.push(with(row("peer", "rotate", 1, 0.001), elsewhere));
    let (_folder, workspace) = workspace(&rows);
    let comparison = load(&workspace).unwrap();
    let names: Vec<_> = comparison.machines.iter().map(|machine| machine.machine.cpu.as_str()).collect();
    assert_eq!(names, ["Other CPU", "Imaginary CPU"]);
    // Our gap comes first, then the peer's row, which has nothing to be a multiple of.
    let entries = &comparison.machines[0].operations[0].entries;
    assert!(matches!(entries[1], Entry::Measured { times_ours: None, .. }), "{entries:?}");
    assert_eq!(figure::derive(&workspace, "sample").unwrap().len(), 4);
}

#[test]
fn a_measurement_stands_until_it_is_made_again() {
    let mut rows = rows();
    rows.push(skipped("us", "no memory today"));
    rows[6]["parameters"] = rows[0]["parameters"].clone();
    assert!(!page(&rows).contains("no memory today"));
    rows.push(with(row("absent", "rotate", 1, 0.04), json!({ "version": "2.0.0" })));
    rows.push(with(row("peer", "rotate", 2, 0.07), json!({ "version": "2.0.0" })));
    let page = page(&rows);
    assert!(page.contains("| Absent 2.0.0 | 1 | 40.0") && !page.contains("needs 20.0 GiB"), "{page}");
    assert!(page.contains("| Peer 2.0.0 | 2 | 70.0") && !page.contains("| Peer 1.2.3 | 2 |"), "{page}");
}

#[test]
fn a_terminal_names_gaps_and_disturbances() {
    let (_folder, workspace) = workspace(&rows());
    let summary = table::comparison_summary(&load(&workspace).unwrap());
    for part in [
        "Who is faster?",
        "rotation, ms",
        "not measured (Absent): skipped: needs 20.0 GiB of free memory",
        "DISTURBED by other work, the remarks say how much: Peer 1.2.3",
        "must kept",
    ] {
        assert!(summary.contains(part), "`{part}` is missing from\n{summary}");
    }
}

#[test]
fn tables_and_charts_regenerate_bit_for_bit() {
    let (_folder, workspace) = workspace(&rows());
    let derive = || {
        let written = table::derive(&workspace, "sample").unwrap().into_iter();
        let written = written.chain(figure::derive(&workspace, "sample").unwrap());
        written.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect::<Vec<_>>()
    };
    let (first, second) = (derive(), derive());
    assert_eq!(first.len(), 6);
    assert!(first == second);
    let csv = std::fs::read_to_string(workspace.result("sample", ".csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 7);
    let svg = std::fs::read_to_string(workspace.figure("sample", "svg")).unwrap();
    for part in ["rotation", "Peer, 2 threads", "2.5×", "a large GPU", "not measured", "predicted from counts"] {
        assert!(svg.contains(part), "{part} is missing from the chart");
    }
    assert!(std::fs::read(workspace.figure("sample", "png")).unwrap().starts_with(b"\x89PNG"));
}
