//! The tables of a sweep: a row for each cell, what was varied on the left.

use super::suite::{SIZES, append, records, text, without_result};
use crate::fixture;
use experiments::record::{CellRecord, Status};
use experiments::table;
use experiments::workspace::Workspace;

fn page(records: &[CellRecord], workspace: &Workspace) -> String {
    append(records, workspace);
    table::derive(workspace, "sample").unwrap();
    text(workspace.result("sample", ".md"))
}

#[test]
fn many_cells_are_rows() {
    let (_folder, workspace) = fixture::workspace();
    let mut records = records(SIZES, &workspace);
    without_result(&mut records[1], Status::Failed, "too | much");
    let page = page(&records, &workspace);
    let heading = "| row | block_tokens | prepend | status | top-1 | KL mean (nats) | KL max (nats) | top-5 logit error | perplexity \
                   (float) | half bootstraps | largest degree | total |";
    assert!(page.lines().any(|line| line == heading), "{page}");
    let row =
        |start: &str| page.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {page}"));
    let first = row("| 1 | 8 | false | ok | 82 of 84 | 0.00300 |");
    assert!(first.ends_with("| 18.1685 (17.8123) | 93 | 31 | 6 min 21 s |"), "{first}");
    assert_eq!(row("| 2 | 8 | true | failed |"), "| 2 | 8 | true | failed | - | - | - | - | - | - | - | - |");
    row("| 6 | 32 | true | ok |");
    assert!(page.contains("**Failed (row 2): too | much.**"), "{page}");
    assert!(page.contains("`sample.jsonl`.") && !page.contains("Errors by layer,"), "{page}");
    assert!(page.contains("| row 6 | `"), "{page}");
}

#[test]
fn a_column_that_no_cell_has_is_left_out() {
    let (_folder, workspace) = fixture::workspace();
    let mut records = records(SIZES, &workspace);
    records.iter_mut().for_each(|record| {
        record.agreement.clear();
        record.polynomials.clear();
    });
    let page = page(&records, &workspace);
    assert!(page.contains("| row | block_tokens | prepend | status | half bootstraps | total |"), "{page}");
}

#[test]
fn few_cells_stay_side_by_side() {
    let (_folder, workspace) = fixture::workspace();
    let page = page(&records("\n[sweep.product]\ninput.block_tokens = [8, 16]\n", &workspace), &workspace);
    assert!(page.contains("|  | encrypted, block_tokens = 8 | encrypted, block_tokens = 16 |"), "{page}");
    assert!(page.contains("## Errors by layer"));
}

#[test]
fn a_paper_gets_one_table_with_a_row_for_each_cell() {
    let (_folder, workspace) = fixture::workspace();
    page(&records(SIZES, &workspace), &workspace);
    let paper = text(workspace.result("sample", ".tex"));
    for part in [
        "% Derived from sample.jsonl by fhe-llama tables; do not edit. Needs \\usepackage{booktabs}.\n\\begin{table}\n",
        "  \\caption{Does the harness keep its word?}\n  \\label{tab:sample}\n  \\begin{tabular}{rrllrrrrrrrr}\n    \\toprule\n    row & \
         block\\_tokens & prepend & status & top-1 &",
        "    1 & 8 & false & ok & 82 of 84 & 0.00300 & ",
        "    6 & 32 & true & ok & 82 of 84 & $2.9\\times10^{-6}$ & ",
        "    \\bottomrule\n  \\end{tabular}\n\\end{table}\n",
    ] {
        assert!(paper.contains(part), "`{part}` is missing from\n{paper}");
    }
}

/// As many lines as cells, without what the files hold as well, and hardly wider than a screen.
#[test]
fn a_terminal_shows_many_cells_as_rows() {
    let (_folder, workspace) = fixture::workspace();
    let summary = table::summary(&records(SIZES, &workspace));
    assert_eq!(summary.lines().count(), 7, "{summary}");
    assert!(summary.lines().all(|line| line.chars().count() <= 140), "{summary}");
    assert!(
        summary.lines().next().unwrap().trim_start().starts_with("row  block_tokens  prepend  status"),
        "{summary}"
    );
}
