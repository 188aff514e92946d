//! Records of an older schema are read as they were meant, and stay in their files as they are.
//!
//! `records/schema-1.jsonl` holds a metered record of the quickstart as schema 1 wrote it, and the same with a seed, of its second repetition.

use crate::fixture;

use experiments::atomic::OsDisk;
use experiments::check::check;
use experiments::error::HarnessError;
use experiments::journal::Journal;
use experiments::randomness::Randomness;
use experiments::record::SCHEMA;
use experiments::workspace::Workspace;
use tempfile::TempDir;

const SCHEMA_1: &str = include_str!("../records/schema-1.jsonl");
/// What schema 1 derived from seed 7 for a second repetition.
const OF_CELL: &str = "319c38a485e376e0627a610c51ce171766a6a1e716c38255eec2fd48d4ab33d0";

/// A workspace whose journal of the quickstart is this text.
fn journal(text: &str) -> (TempDir, Workspace, Journal) {
    let (folder, workspace) = fixture::workspace();
    let journal = Journal::of(&workspace, "quickstart");
    std::fs::create_dir_all(journal.path().parent().unwrap()).unwrap();
    std::fs::write(journal.path(), text).unwrap();
    (folder, workspace, journal)
}

#[test]
fn a_record_of_schema_1_is_brought_up_to_date_in_memory() {
    let (_folder, _, journal) = journal(SCHEMA_1);
    let lines = journal.lines().unwrap();
    assert_eq!((lines.whole.len(), lines.migrated), (2, 2));
    let [private, seeded] = <[_; 2]>::try_from(journal.read().unwrap().records).unwrap();
    assert_eq!((private.schema, seeded.schema), (SCHEMA, SCHEMA));
    assert_eq!(private.provenance.randomness, Randomness::OperatingSystem);
    assert_eq!(seeded.provenance.randomness, Randomness::Seed { stated: 7, of_cell: OF_CELL.into() });
    // Everything else is what the file says.
    let stored: serde_json::Value = serde_json::from_str(SCHEMA_1.lines().next().unwrap()).unwrap();
    let read = serde_json::to_value(&private).unwrap();
    for key in ["identity", "config_hash", "config", "counts", "kernels", "polynomials", "seconds", "must"] {
        assert_eq!(read[key], stored[key], "{key}");
    }
    assert_eq!(read["provenance"]["code"], stored["provenance"]["code"]);
}

#[test]
fn a_journal_of_two_schemas_loses_nothing() {
    let (_folder, _, journal) = journal(SCHEMA_1);
    let record = journal.read().unwrap().records.remove(1);
    journal.append(&record, &OsDisk).unwrap();
    let text = std::fs::read_to_string(journal.path()).unwrap();
    assert!(text.starts_with(SCHEMA_1) && text[SCHEMA_1.len()..].starts_with("{\"schema\":2,"), "{text}");
    assert_eq!((journal.read().unwrap().records.len(), journal.lines().unwrap().migrated), (3, 2));
    assert_eq!(journal.read().unwrap().records[1..], [record.clone(), record]);
}

#[test]
fn a_check_says_how_many_are_older_and_finds_nothing_wrong_with_them() {
    // The other one was not hashed with its seed.
    let (folder, workspace, _) = journal(&format!("{}\n", SCHEMA_1.lines().next().unwrap()));
    std::fs::write(folder.path().join("README.md"), "").unwrap();
    let outcome = check(&workspace, &[]).unwrap();
    let said = "results: 1 records have an older schema and are read as schema 2; no file is changed";
    assert!(outcome.looked_at.iter().any(|line| line == said), "{:?}", outcome.looked_at);
    assert!(outcome.findings.iter().all(|finding| finding.place == "README.md"), "{:?}", outcome.findings);
}

#[test]
fn rejects_schemas_that_this_version_does_not_know() {
    for (schema, expected) in [
        ("99", "a record of schema 99, this version reads 1 to 2: a newer one wrote it, so update this program"),
        ("0", "a record of schema 0, this version reads 1 to 2: no version is known to have written it"),
    ] {
        let text = SCHEMA_1.replace("{\"schema\":1,", &format!("{{\"schema\":{schema},"));
        let (_folder, _, journal) = journal(&text);
        let error = journal.read().unwrap_err();
        assert!(matches!(error, HarnessError::RecordSchema { line: 1, .. }), "{error}");
        assert!(error.to_string().contains("quickstart.jsonl:1: ") && error.to_string().contains(expected), "{error}");
        assert_eq!(std::fs::read_to_string(journal.path()).unwrap(), text);
    }
}

#[test]
fn rejects_a_record_of_schema_1_that_cannot_be_brought_up_to_date() {
    for (from, to, expected) in [
        (
            "\"seed\":\"7\"",
            "\"seed\":\"seven\"",
            "of schema 1: `provenance.seed` is \"seven\", a number or `os` is required",
        ),
        ("\"seed\":\"7\",", "", "of schema 1: no `provenance.seed`"),
        ("\"repetition\":1", "\"repetition\":-1", "of schema 1: no `repetition` number"),
    ] {
        let text = SCHEMA_1.replace(from, to);
        assert_ne!(text, SCHEMA_1, "{from}");
        let (_folder, _, journal) = journal(&text);
        let error = journal.read().unwrap_err().to_string();
        assert!(error.contains("quickstart.jsonl:2: not a record: ") && error.contains(expected), "{error}");
        assert!(journal.lines().unwrap().whole[0].is_ok(), "the other line is as good as before");
    }
}
