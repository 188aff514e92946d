//! Tables and figures are functions of the journal: the same records give the same bytes.

use crate::fixture;

use experiments::atomic::OsDisk;
use experiments::error::HarnessError;
use experiments::journal::Journal;
use experiments::record::{Extremes, HeadOutcome, PredictedSeconds, SoftmaxOfHeads};
use experiments::workspace::Workspace;
use experiments::{figure, table};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const LIMITS: &str = "[must]\ntotal_seconds = 600\nkl_mean = 1e-3\ntop5_logit_error_max = 0.1\n";

/// A workspace whose suite has an encrypted and a clear record.
fn recorded() -> (tempfile::TempDir, Workspace) {
    let (folder, workspace) = fixture::workspace();
    let spec = format!("{}{LIMITS}", fixture::SPEC);
    let encrypted = fixture::record(&spec, folder.path());
    let mut clear = fixture::record(&spec.replace("\"encrypted\"", "\"clear\""), folder.path());
    clear.counts.insert("modelled_noise_samples".into(), 7);
    let journal = Journal::of(&workspace, "sample");
    journal.append(&encrypted, &OsDisk).unwrap();
    journal.append(&clear, &OsDisk).unwrap();
    (folder, workspace)
}

fn contents(paths: &[PathBuf]) -> BTreeMap<PathBuf, Vec<u8>> {
    paths.iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn tables_regenerate_bit_for_bit() {
    let (_folder, workspace) = recorded();
    let first = contents(&table::derive(&workspace, "sample").unwrap());
    let second = contents(&table::derive(&workspace, "sample").unwrap());
    assert_eq!(first.len(), 8);
    assert!(first == second);
}

#[test]
fn figures_regenerate_bit_for_bit() {
    let (_folder, workspace) = recorded();
    let first = contents(&figure::derive(&workspace, "sample").unwrap());
    let second = contents(&figure::derive(&workspace, "sample").unwrap());
    // The overview of the encrypted cell, and both modes beside each other.
    assert_eq!(first.len(), 4);
    assert!(first == second);
    let svg = text(&workspace.figure("sample", "svg"));
    assert!(svg.contains("bootstrapping") && svg.contains("84 tokens of 2 prompts"));
    assert!(first[&workspace.figure("sample", "png")].starts_with(b"\x89PNG"));
}

/// A GPU is named wherever its times are shown, and stands behind the processor that is compared with it.
#[test]
fn a_gpu_is_named_beside_its_times() {
    let (folder, workspace) = fixture::workspace();
    let journal = Journal::of(&workspace, "sample");
    let mut computed_on_gpu = fixture::record(&format!("{}device = \"cuda:1\"\n", fixture::SPEC), folder.path());
    computed_on_gpu.provenance.machine.gpu = Some("Imaginary GPU".into());
    computed_on_gpu.footprint.device_memory_bytes = 3 << 30;
    computed_on_gpu.extremes = Some(Extremes { score_span: 34.125, ..Extremes::default() });
    computed_on_gpu.model.synthetic = Some("by dice".into());
    journal.append(&computed_on_gpu, &OsDisk).unwrap();
    journal.append(&fixture::record(fixture::SPEC, folder.path()), &OsDisk).unwrap();
    table::derive(&workspace, "sample").unwrap();
    let page = text(&workspace.result("sample", ".md"));
    let columns = page.lines().find(|line| line.starts_with("|  |")).unwrap();
    assert_eq!(columns, "|  | encrypted, device = cpu | encrypted, device = cuda:1 |");
    for row in [
        "| memory of the GPU | - | 3.00 GiB |",
        "| scores of a head, largest minus smallest | - | 34.1 |",
        "| weights | - | SYNTHETIC, not trained: by dice |",
    ] {
        assert!(page.contains(row), "`{row}` is missing from {page}");
    }
    assert!(page.contains("Imaginary GPU beside Imaginary CPU"), "{page}");
    let csv = text(&workspace.result("sample", ".csv"));
    assert!(csv.contains("Imaginary GPU") && csv.contains("device_memory_bytes"));
    figure::derive(&workspace, "sample").unwrap();
    let drawn: Vec<String> = std::fs::read_dir(workspace.figure("sample", "svg").parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "svg"))
        .map(|path| text(&path))
        .collect();
    let facts = ["Imaginary GPU", "3.00 GiB of the GPU", "SYNTHETIC WEIGHTS"];
    assert!(drawn.iter().any(|svg| facts.iter().all(|fact| svg.contains(fact))));
}

/// Coverage is a share of the heads that were tried, and an error that is no number is no small one.
#[test]
fn heads_that_were_refused_are_shown_beside_those_that_ran() {
    let (folder, workspace) = fixture::workspace();
    let mut record = fixture::record(&fixture::SPEC.replace("\"encrypted\"", "\"clear\""), folder.path());
    (record.agreement, record.layer_errors) = (Vec::new(), Vec::new());
    let head = |head: usize, error: Option<f64>| HeadOutcome {
        layer: 0,
        head,
        half_width: 7.5,
        denominator_log_width: 4.25,
        refusal: error.is_none().then(|| "error of a reciprocal".into()),
        degrees: if error.is_some() { vec![15, 64] } else { Vec::new() },
        error_max: error,
        error_mean: error,
    };
    record.softmax = Some(SoftmaxOfHeads {
        error_bound: 1e-3,
        heads_of_model: 18,
        heads: 4,
        ran: 2,
        covered: 1,
        refusals: [("error of a reciprocal".to_string(), 2)].into(),
        error_max: Some(f64::INFINITY),
        error_median: Some(0.25),
        error_mean: Some(0.125),
        levels: [5, 6],
        crossing_levels: [9, 9],
        ciphertexts: 8,
        products_per_ciphertext: 10.25,
        plaintext_products_per_ciphertext: 15.0,
        half_bootstraps: 1.0,
        seconds: None,
        predicted: vec![PredictedSeconds { device: "imaginary-cpu".into(), seconds: 4.5 }],
        by_head: [Some(f64::INFINITY), None, Some(0.0005), None]
            .into_iter()
            .enumerate()
            .map(|(n, e)| head(n, e))
            .collect(),
    });
    Journal::of(&workspace, "sample").append(&record, &OsDisk).unwrap();
    table::derive(&workspace, "sample").unwrap();
    let page = text(&workspace.result("sample", ".md"));
    for row in [
        "| heads tried | 4 of 18 |",
        "| covered: fitted and within the bound | 1 (25.0 %) |",
        "| refused: error of a reciprocal | 2 |",
        "| error of a probability, largest | infinite |",
        "| levels, scores to probabilities | 5 to 6 |",
        "| of a head, predicted for imaginary-cpu | 4.50 s |",
    ] {
        assert!(page.contains(row), "`{row}` is missing from {page}");
    }
    let heads = text(&workspace.result("sample", "-heads.csv"));
    assert_eq!(heads.lines().count(), 1 + 4);
    assert!(heads.contains("error of a reciprocal") && heads.contains("15 64"), "{heads}");
    assert!(figure::derive(&workspace, "sample").unwrap().is_empty());
}

#[test]
fn csv_holds_every_number_of_a_record() {
    let (_folder, workspace) = recorded();
    table::derive(&workspace, "sample").unwrap();
    let csv = text(&workspace.result("sample", ".csv"));
    let (header, rows) = csv.split_once('\n').unwrap();
    assert_eq!(rows.lines().count(), 2);
    let columns: Vec<_> = header.split(',').collect();
    for column in [
        "identity",
        "config.engine.parameters",
        "seconds.bootstrapping",
        "counts.half_bootstraps",
        "float.kl_mean",
        "clear_circuit.kl_mean",
        "commit",
        "counts.modelled_noise_samples",
        "kernels.butterflies",
        "degree.layer_1.gate",
        "predicted.seconds.imaginary-cpu",
    ] {
        assert!(columns.contains(&column), "{column} is missing from {header}");
    }
    let layers = text(&workspace.result("sample", "-layers.csv"));
    assert_eq!(layers.lines().count(), 1 + 2 * 8);
}

#[test]
fn markdown_names_limits_units_and_provenance() {
    let (_folder, workspace) = recorded();
    table::derive(&workspace, "sample").unwrap();
    let page = text(&workspace.result("sample", ".md"));
    for part in ["6 min 21 s", "must ≤ 10 min 00 s", "9.20 GiB", "must ≤ 0.001", "82 of 84", "0123456789", "`␣in`"]
    {
        assert!(page.contains(part), "{part} is missing from\n{page}");
    }
    assert!(!page.contains("Limit not kept"));
}

/// What `run` prints: everything the question asks for, on little more than a screen; kernels only in the files.
#[test]
fn a_terminal_shows_what_was_asked() {
    let (folder, _) = fixture::workspace();
    let record = fixture::record(&format!("{}{LIMITS}", fixture::SPEC), folder.path());
    let summary = table::summary(&[record]);
    for part in [
        "bootstrapping                   3 min 34 s",
        "half bootstraps                 93",
        "peak memory of the process      9.20 GiB",
        "residual after layer 1        2^-9.7        2^-13.2               2^-12.2                2^-15.7",
        "top-1                           82 of 84 (97.6 %)",
        "It was a cold evening  ␣in    ␣in",
    ] {
        assert!(summary.contains(part), "`{part}` is missing from\n{summary}");
    }
    assert!(summary.lines().count() <= 60 && !summary.contains("butterflies"), "{summary}");
    assert!(summary.lines().all(|line| line.chars().count() <= 120), "{summary}");
}

#[test]
fn a_broken_limit_is_said() {
    let (folder, workspace) = fixture::workspace();
    let record = fixture::record(&format!("{}[must]\nkl_mean = 1e-9\n", fixture::SPEC), folder.path());
    assert_eq!(record.broken_limits().len(), 1);
    Journal::of(&workspace, "sample").append(&record, &OsDisk).unwrap();
    table::derive(&workspace, "sample").unwrap();
    assert!(text(&workspace.result("sample", ".md")).contains("Limit not kept"));
}

#[test]
fn a_failed_cell_is_a_row_and_no_figure() {
    let (folder, workspace) = fixture::workspace();
    let cell = fixture::resolved(fixture::SPEC, folder.path());
    let status = experiments::record::Status::OutOfMemory;
    let record = experiments::record::CellRecord::unsuccessful(&cell, status, "no memory | at all");
    Journal::of(&workspace, "sample").append(&record, &OsDisk).unwrap();
    table::derive(&workspace, "sample").unwrap();
    let page = text(&workspace.result("sample", ".md"));
    assert!(page.contains("| status | out-of-memory |") && page.contains("): no memory | at all.**"), "{page}");
    assert!(figure::derive(&workspace, "sample").unwrap().is_empty());
}

#[test]
fn rejects_a_suite_without_records() {
    let (_folder, workspace) = fixture::workspace();
    assert!(matches!(table::derive(&workspace, "none"), Err(HarnessError::NoRecords { .. })));
    assert!(matches!(figure::derive(&workspace, "none"), Err(HarnessError::NoRecords { .. })));
}

/// A run whose logits are not numbers must still be readable, drawable and visibly bad.
#[test]
fn values_that_are_not_finite_survive() {
    let (folder, workspace) = fixture::workspace();
    let mut record = fixture::record(&format!("{}{LIMITS}", fixture::SPEC), folder.path());
    record.agreement[0].kl_mean = f64::NAN;
    record.agreement[0].by_position[3].kl = f64::NAN;
    record.layer_errors[2].max_error_bits = f64::INFINITY;
    let journal = Journal::of(&workspace, "sample");
    journal.append(&record, &OsDisk).unwrap();
    assert!(journal.read().unwrap().records[0].agreement[0].kl_mean.is_nan());
    table::derive(&workspace, "sample").unwrap();
    assert!(text(&workspace.result("sample", ".md")).contains("Limit not kept"));
    assert_eq!(figure::derive(&workspace, "sample").unwrap().len(), 2);
}

/// Leaves the figure where a person can look at it: `cargo test --release -p experiments -- --ignored look`.
#[test]
#[ignore = "writes to the system's temporary folder for inspection by eye"]
fn look_at_the_figure() {
    let (_folder, workspace) = recorded();
    for path in figure::derive(&workspace, "sample").unwrap() {
        std::fs::copy(&path, std::env::temp_dir().join(path.file_name().unwrap())).unwrap();
    }
    table::derive(&workspace, "sample").unwrap();
    println!("{}", text(&workspace.result("sample", ".md")));
}
