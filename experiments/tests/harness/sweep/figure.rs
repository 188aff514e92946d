//! The figure of a sweep: an axis, a line for each combination, and no cell missing.

use super::suite::{SIZES, append, records, text, without_result};
use crate::fixture;
use experiments::figure;
use experiments::record::{CellRecord, Status};
use experiments::spec::Mode;
use experiments::workspace::Workspace;
use std::path::PathBuf;

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

/// Draws records and returns the sweep's picture.
fn drawn(records: &[CellRecord], workspace: &Workspace) -> String {
    append(records, workspace);
    figure::derive(workspace, "sample").unwrap();
    text(workspace.figure("sample-sweep", "svg"))
}

/// The texts of a picture, each once as often as it is drawn.
fn texts(svg: &str) -> Vec<&str> {
    svg.lines().map(str::trim).filter(|line| !line.starts_with('<')).collect()
}

fn count(svg: &str, wanted: &str) -> usize {
    texts(svg).into_iter().filter(|text| *text == wanted).count()
}

#[test]
fn many_cells_have_one_figure_over_the_number_that_varies() {
    let (_folder, workspace) = fixture::workspace();
    append(&records(SIZES, &workspace), &workspace);
    let written = figure::derive(&workspace, "sample").unwrap();
    assert_eq!(names(&written), ["sample-sweep.svg", "sample-sweep.png"]);
    let first: Vec<Vec<u8>> = written.iter().map(|path| std::fs::read(path).unwrap()).collect();
    figure::derive(&workspace, "sample").unwrap();
    let second: Vec<Vec<u8>> = written.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(first == second);
    let svg = text(workspace.figure("sample-sweep", "svg"));
    assert_eq!(count(&svg, "input.block_tokens (tokens)"), 4, "one axis a panel: {svg}");
    for name in ["prepend = false", "prepend = true", "nats", "ratio", "count", "seconds"] {
        assert_eq!(count(&svg, name), 1, "`{name}`");
    }
    for tick in ["8", "16", "32"] {
        assert!(count(&svg, tick) >= 4, "no tick at {tick}");
    }
    assert!(!svg.contains("cells<") && !texts(&svg).iter().any(|text| text.starts_with("failed")));
}

#[test]
fn few_cells_keep_their_own_figures() {
    let (_folder, workspace) = fixture::workspace();
    let sweep = "\n[sweep.product]\ninput.block_tokens = [8, 16]\n";
    append(&records(sweep, &workspace), &workspace);
    let written = names(&figure::derive(&workspace, "sample").unwrap());
    let expected = ["sample.svg", "sample.png", "sample-1.svg", "sample-1.png", "sample-sweep.svg", "sample-sweep.png"];
    assert_eq!(written, expected);
}

#[test]
fn cells_without_a_result_are_marked_in_every_panel() {
    let (_folder, workspace) = fixture::workspace();
    let mut records = records(SIZES, &workspace);
    without_result(&mut records[0], Status::Failed, "no reason");
    without_result(&mut records[1], Status::Timeout, "too slow");
    records[2].agreement[0].kl_mean = f64::NAN;
    let svg = drawn(&records, &workspace);
    let entries = ["failed: 1 cell", "timeout: 1 cell", "not finite: 1 cell"];
    assert!(entries.iter().all(|entry| count(&svg, entry) == 1), "{:?}", texts(&svg));
    // Once in the legend and once in each of four panels; what has no divergence has all the rest.
    assert_eq!((count(&svg, "F"), count(&svg, "T"), count(&svg, "N")), (5, 5, 2));
}

#[test]
fn cells_without_numbers_have_rows() {
    let (_folder, workspace) = fixture::workspace();
    let sweep = "\n[sweep.product]\nmitigation.rotate = [false, true]\nattention.products = [\"slots\", \"lanes\"]\n\
                 [sweep.zip]\nmitigation.prepend = [false, true]\ninput.bos = [true, false]\n";
    let mut records = records(sweep, &workspace);
    without_result(&mut records[3], Status::OutOfMemory, "no memory");
    let svg = drawn(&records, &workspace);
    // Slots are what was there before there was a choice, and left out of records.
    assert_eq!((count(&svg, "lanes"), count(&svg, "default")), (4, 4));
    assert_eq!((count(&svg, "products"), count(&svg, "rotate"), count(&svg, "bos")), (1, 1, 1));
    assert!(svg.contains("mitigation.prepend goes with input.bos"), "{svg}");
    assert_eq!((count(&svg, "M"), count(&svg, "out-of-memory: 1 cell")), (5, 1));
}

#[test]
fn a_number_that_was_left_out_has_a_place_beside_the_axis() {
    let (_folder, workspace) = fixture::workspace();
    let svg = drawn(&records("\n[sweep.product]\nengine.weight_bits = [9, 11, 13]\n", &workspace), &workspace);
    assert_eq!((count(&svg, "default"), count(&svg, "engine.weight_bits (bits)")), (4, 4));
    assert_eq!((count(&svg, "9"), count(&svg, "11"), count(&svg, "13")), (4, 4, 0));
}

#[test]
fn metered_cells_show_what_is_predicted() {
    let (_folder, workspace) = fixture::workspace();
    let mut records = records(SIZES, &workspace);
    for record in &mut records {
        record.mode = Mode::Metered;
        record.agreement.clear();
    }
    let svg = drawn(&records, &workspace);
    assert!(svg.contains("Layers and head on imaginary-cpu, predicted"), "{svg}");
    assert!(!svg.contains("KL divergence") && !svg.contains("measured"));
}

#[test]
fn repetitions_are_one_point() {
    let (_folder, workspace) = fixture::workspace();
    let records = fixture::records(&format!("repetitions = 3\n{}{SIZES}", fixture::SPEC), workspace.root());
    assert_eq!(records.len(), 18);
    let svg = drawn(&records, &workspace);
    assert!(svg.contains("mean of up to 3 repetitions"), "{svg}");
    assert_eq!(count(&svg, "prepend = true"), 1);
}

/// Leaves the figures where a person can look at them: `cargo test --release -p experiments -- --ignored look`.
#[test]
#[ignore = "writes to the system's temporary folder for inspection by eye"]
fn look_at_the_figures() {
    let rows = "\n[sweep.product]\nmitigation.rotate = [false, true]\nattention.products = [\"slots\", \"lanes\"]\nengine.weight_scales \
                = [\"per-tensor\", \"per-row\"]\n";
    let bits = "\n[sweep.product]\nengine.weight_bits = [9, 11, 13]\nmitigation.rotate = [false, true]\n";
    for (name, sweep) in [("sizes", SIZES), ("rows", rows), ("bits", bits)] {
        let (_folder, workspace) = fixture::workspace();
        let mut records = records(sweep, &workspace);
        without_result(&mut records[1], Status::Failed, "no reason");
        without_result(&mut records[0], Status::Timeout, "too slow");
        append(&records, &workspace);
        for path in figure::derive(&workspace, "sample").unwrap() {
            let extension = path.extension().unwrap().to_string_lossy().into_owned();
            std::fs::copy(&path, std::env::temp_dir().join(format!("sweep-{name}.{extension}"))).unwrap();
        }
        experiments::table::derive(&workspace, "sample").unwrap();
        println!("{}\n{}", text(workspace.result("sample", ".md")), text(workspace.result("sample", ".tex")));
        println!("{}", experiments::table::summary(&records));
    }
}
