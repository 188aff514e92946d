//! `fhe-llama check` finds what was doctored, and names the line, the key and a remedy.

use crate::fixture;

use experiments::atomic::OsDisk;
use experiments::check::{Baseline, Outcome, check, store};
use experiments::error::HarnessError;
use experiments::identity::hashes_of;
use experiments::journal::Journal;
use experiments::record::{CellRecord, FLOAT, LayerError, Status};
use experiments::workspace::Workspace;
use fhe_model::Site;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const README: &str = "\
# A project

```sh
cargo run --release -- run experiments/suites/sample.toml
```

## Claims

| claim | command | measured | cost |
|---|---|---|---|
| it runs | the first command: [table](results/sample/sample.md) | top-1 82 of 84 | 93 half bootstraps |
| it runs again | the same with `--set engine.seed=1` | equal | - |
| it is tested | `cargo test --release -p sample --test laws`, then `scripts/try-it` | equal | seconds |

## Other things
";

/// A workspace in which everything holds: a suite with a record and a README with claims.
struct Stage {
    _folder: TempDir,
    workspace: Workspace,
    record: CellRecord,
}

impl Stage {
    fn new() -> Self {
        let (folder, workspace) = fixture::workspace();
        let mut record = fixture::record(fixture::SPEC, folder.path());
        record.provenance.data.model = "0123456789abcdef".into();
        record.provenance.data.prompts = "fedcba9876543210".into();
        record.provenance.parameter_fingerprint = "c3a1fffe".into();
        record.layer_errors.push(LayerError {
            against: FLOAT.into(),
            layer: None,
            site: Site::Logits.to_string(),
            max_error_bits: -7.0,
            mean_error_bits: -10.5,
            max_abs: 0.01,
            mean_abs: 0.001,
            rms: 1.0,
        });
        let record = renamed(record);
        Journal::of(&workspace, "sample").append(&record, &OsDisk).unwrap();
        let stage = Self { _folder: folder, workspace, record };
        stage.write("experiments/suites/sample.toml", fixture::SPEC);
        stage.write("README.md", README);
        stage.write("results/sample/sample.md", "a table");
        stage.write("scripts/try-it", "");
        stage.write("Cargo.toml", "[workspace]\nmembers = [\"sample\"]\n");
        stage.write("sample/Cargo.toml", "[package]\nname = \"sample\"\n");
        stage.write("sample/tests/laws.rs", "");
        stage
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.workspace.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// What is found, one sentence each.
    fn findings(&self) -> Vec<String> {
        sentences(&check(&self.workspace, &[]).unwrap())
    }

    /// What is found after a second record was appended.
    fn findings_beside(&self, record: &CellRecord) -> Vec<String> {
        let journal = Journal::of(&self.workspace, "sample");
        let before = std::fs::read(journal.path()).unwrap();
        journal.append(record, &OsDisk).unwrap();
        let found = self.findings();
        std::fs::write(journal.path(), before).unwrap();
        found
    }
}

fn sentences(outcome: &Outcome) -> Vec<String> {
    outcome.findings.iter().map(ToString::to_string).collect()
}

/// A record under the hashes of what it holds, as its writer would have called it.
fn renamed(mut record: CellRecord) -> CellRecord {
    (record.config_hash, record.identity) = hashes_of(&record);
    record
}

#[test]
fn records_and_claims_of_this_repository_hold() {
    let outcome = check(&Workspace::at(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")), &[]).unwrap();
    assert_eq!(sentences(&outcome), [""; 0]);
}

#[test]
fn what_holds_is_said_to_hold() {
    let stage = Stage::new();
    let outcome = check(&stage.workspace, &[]).unwrap();
    assert_eq!(sentences(&outcome), [""; 0]);
    assert!(outcome.verdict().is_ok());
    let expected = [
        "results: 1 records in 1 suites, 0 of GPUs",
        "README.md: 3 claims: 4 commands and links, 2 quoted numbers held against records",
    ];
    assert_eq!(outcome.looked_at, expected);
}

#[test]
fn rejects_doctored_records_by_line_and_key() {
    let stage = Stage::new();
    type Doctor = fn(&mut CellRecord);
    let doctored: [(Doctor, &str); 16] = [
        (|record| record.suite = "other".into(), "`suite` is `other`, but this is the journal of `sample`"),
        (|record| record.provenance.code.commit = "12ab".into(), "`provenance.code.commit` is `12ab`"),
        (|record| record.provenance.code.lock_hash.clear(), "`provenance.code.lock_hash` is empty"),
        (|record| record.provenance.machine.cores = 0, "`provenance.machine.cores` is 0"),
        (|record| record.provenance.data.model.clear(), "`provenance.data.model` is empty"),
        (|record| record.provenance.started_at = "yesterday".into(), "`provenance.started_at` is `yesterday`"),
        (|record| record.provenance.security_bits = Some(90.0), "`provenance.security_bits` is 90, below 128"),
        (|record| record.reason = Some("tired".into()), "`reason` is `tired`, but the cell ended ok"),
        (|record| record.status = Status::Failed, "`reason` is missing; a cell that ended as failed says why"),
        (|record| record.seconds.linear = 1e3, "`seconds.total` is 381.2 s, but its phases sum up to"),
        (|record| record.seconds.keys = f64::NAN, "`seconds` has NaN for `keys`"),
        (|record| record.footprint.key_bytes = 0, "`footprint.key_bytes` is 0"),
        (|record| record.agreement.truncate(1), "`agreement` has nothing against the clear circuit"),
        (|record| record.agreement[0].top1 = 84, "`agreement[float].top1` is 84, but 82 of its samples agree"),
        (|record| record.agreement[0].kl_mean /= 2.0, "`agreement[float].kl_mean` is"),
        (
            |record| record.agreement[1].by_position.truncate(7),
            "`agreement[clear circuit].by_position` holds 7 samples of 84",
        ),
    ];
    for (doctor, expected) in doctored {
        let mut record = stage.record.clone();
        doctor(&mut record);
        let found = stage.findings_beside(&renamed(record));
        let [one] = found.as_slice() else { panic!("{expected}: {found:#?}") };
        assert!(one.starts_with(&format!("results/sample/sample.jsonl:2: {expected}")), "{one}");
        assert!(one.contains("`git diff` shows what changed"), "{one}");
    }
}

/// What could be doctored without a trace in any other field changes a hash.
#[test]
fn rejects_records_whose_contents_were_changed_afterwards() {
    let stage = Stage::new();
    let mut config = stage.record.clone();
    config.config.insert("engine.threads".into(), 64.into());
    let mut machine = stage.record.clone();
    machine.provenance.machine.cpu = "A faster one".into();
    for (record, key) in [(config, "config_hash"), (machine, "identity")] {
        let found = stage.findings_beside(&record);
        assert!(found.len() == 1 && found[0].contains(&format!(":2: `{key}` is ")), "{found:?}");
        assert!(found[0].contains("hash to"), "{found:?}");
    }
}

#[test]
fn rejects_lines_that_are_no_records_and_reads_the_others() {
    let stage = Stage::new();
    let path = Journal::of(&stage.workspace, "sample").path().to_path_buf();
    let line = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{line}{{\"schema\":2}}\n{line}nonsense\n{{\"half a rec")).unwrap();
    let found = stage.findings();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].contains("sample.jsonl:2: not a record: missing field"), "{}", found[0]);
    assert!(found[1].contains("sample.jsonl:4: not a record"), "{}", found[1]);
    assert!(found[2].starts_with("results/sample/sample.jsonl:5: the last line has no end"), "{}", found[2]);
}

#[test]
fn rejects_a_folder_of_results_without_records() {
    let stage = Stage::new();
    stage.write("results/left-over/left-over.md", "a table of nothing");
    let found = stage.findings();
    assert!(found.len() == 1 && found[0].starts_with("results/left-over: no `left-over.jsonl`"), "{found:?}");
}

#[test]
fn a_record_of_uncommitted_code_is_remarked_on() {
    let stage = Stage::new();
    let mut record = stage.record.clone();
    record.provenance.code.dirty = true;
    Journal::of(&stage.workspace, "sample").append(&renamed(record), &OsDisk).unwrap();
    let outcome = check(&stage.workspace, &[]).unwrap();
    assert!(outcome.findings.is_empty());
    let [remark] = outcome.remarks.as_slice() else { panic!("{:?}", outcome.remarks) };
    assert!(remark.starts_with("results/sample/sample.jsonl:2: made from code that no commit holds"), "{remark}");
}

#[test]
fn rejects_claims_that_lead_nowhere() {
    let changes = [
        (
            "[table](results/sample/sample.md)",
            "[table](results/sample/gone.md)",
            "`results/sample/gone.md` does not exist",
        ),
        ("top-1 82 of 84", "top-1 84 of 84", "`top-1 84 of 84` is in no record of experiments/suites/sample.toml"),
        ("93 half", "92 half", "`92 half bootstraps` is in no record"),
        ("engine.seed=1", "engine.sed=1", "did you mean `engine.seed`?"),
        ("--test laws", "--test lores", "`sample` has no `lores` in its tests"),
        ("-p sample", "-p simple", "no member of the workspace is called `simple`"),
        ("cargo test", "cargo tset", "cargo has no command or alias `tset` here"),
        ("`scripts/try-it`", "`scripts/try-that`", "`scripts/try-that` does not exist"),
        ("`scripts/try-it`", "`rnu it`", "is no command of cargo, of this program, or of scripts/"),
        ("`scripts/try-it`", "`run experiments/suites/gone.toml`", "`experiments/suites/gone.toml` does not exist"),
        ("| equal | seconds |", "| - | seconds |", "the claim `it is tested` has no measured"),
        ("| equal | seconds |", "| equal | |", "the claim `it is tested` has no cost"),
        ("the same with `--set engine.seed=1`", "in some way", "the claim `it runs again` names no command"),
        (
            "| claim | command |",
            "| claim | how |",
            "no table of claims with the columns claim, command, measured, cost",
        ),
    ];
    for (from, to, expected) in changes {
        let stage = Stage::new();
        let readme = README.replacen(from, to, 1);
        assert_ne!(readme, README, "{from}");
        stage.write("README.md", &readme);
        let found = stage.findings();
        assert!(found.iter().any(|finding| finding.contains(expected)), "{expected}: {found:#?}");
        assert!(found.iter().all(|finding| finding.starts_with("README.md")), "{found:#?}");
    }
}

#[test]
fn rejects_a_claim_whose_suite_has_no_record() {
    let stage = Stage::new();
    stage.write("experiments/suites/other.toml", &fixture::SPEC.replace("\"sample\"", "\"other\""));
    stage.write("README.md", &README.replace("`scripts/try-it`", "`run experiments/suites/other.toml`"));
    let found = stage.findings();
    assert!(found.len() == 1, "{found:#?}");
    assert!(
        found[0].starts_with("README.md:13: `experiments/suites/other.toml` has no record of an answer"),
        "{found:?}"
    );
}

#[test]
fn rejects_to_look_for_claims_where_there_is_no_readme() {
    let stage = Stage::new();
    std::fs::remove_file(stage.workspace.root().join("README.md")).unwrap();
    assert!(check(&stage.workspace, &[]).unwrap_err().to_string().contains("README.md`"));
}

/// A stage with a baseline of its record, and the baseline's path.
fn with_baseline() -> (Stage, PathBuf) {
    let stage = Stage::new();
    let (path, cells) = store(&stage.workspace, "usual", &["sample".into()]).unwrap();
    assert_eq!(cells, 1);
    let path = path.strip_prefix(stage.workspace.root()).unwrap().to_path_buf();
    assert_eq!(path, Path::new("experiments/baselines/regression/usual.toml"));
    (stage, path)
}

#[test]
fn a_baseline_holds_for_what_it_was_made_of() {
    let (stage, path) = with_baseline();
    let outcome = check(&stage.workspace, &[path]).unwrap();
    assert!(outcome.verdict().is_ok(), "{:?}", outcome.findings);
    let metrics: Vec<&str> = outcome.regressions[0].changes.iter().map(|change| change.metric.as_str()).collect();
    let expected =
        ["layers and head", "half bootstraps", "peak memory", "keys", "logit error against the float model, bits"];
    assert_eq!(metrics, expected);
}

#[test]
fn rejects_a_record_that_is_worse_in_any_metric() {
    let (stage, path) = with_baseline();
    type Worsen = fn(&mut CellRecord);
    let worse: [(Worsen, &str); 5] = [
        (|record| (record.seconds.bootstrapping, record.seconds.total) = (500.0, 1e3), "layers and head: 10 min 16 s"),
        (|record| *record.counts.get_mut("half_bootstraps").unwrap() += 1, "half bootstraps: 94"),
        (|record| record.footprint.peak_memory_bytes *= 2, "peak memory: 18.4 GiB"),
        (|record| record.footprint.key_bytes += 1 << 20, "keys: 2.99 GiB"),
        (
            |record| record.layer_errors.last_mut().unwrap().mean_error_bits = -9.9,
            "logit error against the float model, bits: -9.9",
        ),
    ];
    for (worsen, expected) in worse {
        let mut record = stage.record.clone();
        worsen(&mut record);
        let journal = Journal::of(&stage.workspace, "sample");
        journal.append(&record, &OsDisk).unwrap();
        let outcome = check(&stage.workspace, std::slice::from_ref(&path)).unwrap();
        let found = sentences(&outcome);
        assert!(found.len() == 1 && found[0].contains(&format!(": {expected} (record ")), "{expected}: {found:#?}");
        assert!(matches!(outcome.verdict(), Err(HarnessError::ChecksFailed { found: 1 })));
    }
}

#[test]
fn better_and_within_the_thresholds_is_no_regression() {
    let (stage, path) = with_baseline();
    let mut record = stage.record.clone();
    record.seconds.bootstrapping *= 1.3;
    record.seconds.total *= 1.3;
    record.footprint.peak_memory_bytes /= 2;
    record.layer_errors.last_mut().unwrap().mean_error_bits += 0.4;
    Journal::of(&stage.workspace, "sample").append(&record, &OsDisk).unwrap();
    assert_eq!(sentences(&check(&stage.workspace, &[path]).unwrap()), [""; 0]);
}

#[test]
fn rejects_a_metric_or_a_record_that_is_there_no_more() {
    let (stage, path) = with_baseline();
    let journal = Journal::of(&stage.workspace, "sample");
    let mut record = stage.record.clone();
    record.layer_errors.clear();
    journal.append(&record, &OsDisk).unwrap();
    let found = sentences(&check(&stage.workspace, std::slice::from_ref(&path)).unwrap());
    assert!(found.len() == 1 && found[0].contains("bits: nothing (record "), "{found:?}");
    let failed = CellRecord { status: Status::Failed, reason: Some("tired".into()), ..stage.record.clone() };
    journal.append(&failed, &OsDisk).unwrap();
    let found = sentences(&check(&stage.workspace, std::slice::from_ref(&path)).unwrap());
    assert!(found.len() == 1 && found[0].contains("it was ok and ended as failed on"), "{found:?}");
    std::fs::write(journal.path(), "").unwrap();
    let found = sentences(&check(&stage.workspace, &[path]).unwrap());
    assert!(found.iter().any(|found| found.contains("no record of this configuration on `Imaginary CPU")), "{found:?}");
    assert!(found.iter().any(|found| found.contains("`fhe-llama run experiments/suites/sample.toml`")), "{found:?}");
}

#[test]
fn a_baseline_made_again_keeps_its_thresholds() {
    let (stage, path) = with_baseline();
    let full = stage.workspace.root().join(&path);
    let text = std::fs::read_to_string(&full).unwrap();
    std::fs::write(&full, text.replace("time_ratio = 1.5", "time_ratio = 2.25")).unwrap();
    store(&stage.workspace, "usual", &["sample".into()]).unwrap();
    assert_eq!(Baseline::load(&stage.workspace, &path).unwrap().thresholds.time_ratio, 2.25);
}

#[test]
fn rejects_baselines_that_would_let_anything_pass() {
    let (stage, path) = with_baseline();
    let full = stage.workspace.root().join(&path);
    let text = std::fs::read_to_string(&full).unwrap();
    for (from, to, expected) in [
        ("time_ratio = 1.5", "time_ratio = 0.5", "`thresholds.time_ratio` is 0.5, at least 1 is required"),
        ("error_bits = 0.5", "error_bits = nan", "`thresholds.error_bits` is NaN"),
        ("memory_ratio", "memory_ration", "unknown field `memory_ration`"),
        ("config_hash", "config", "unknown field `config`"),
    ] {
        std::fs::write(&full, text.replacen(from, to, 1)).unwrap();
        let error = check(&stage.workspace, std::slice::from_ref(&path)).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("regression/usual.toml"), "{error}");
    }
    let empty = format!("cells = []\n{}", &text[..text.find("[[cells]]").unwrap()]);
    std::fs::write(&full, empty).unwrap();
    let error = check(&stage.workspace, &[path]).unwrap_err().to_string();
    assert!(error.contains("`cells` is empty"), "{error}");
    let error = check(&stage.workspace, &["gone.toml".into()]).unwrap_err().to_string();
    assert!(error.contains("`--against` names `gone.toml`"), "{error}");
}

#[test]
fn rejects_to_record_a_baseline_of_nothing_or_outside_its_folder() {
    let stage = Stage::new();
    let refusal =
        |name: &str, suite: &str| store(&stage.workspace, name, &[suite.to_string()]).unwrap_err().to_string();
    assert!(refusal("../usual", "sample").contains("`--record` is `../usual`"));
    assert!(refusal("usual", "absent").contains("no records of suite `absent`"));
}
