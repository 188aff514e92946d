//! The page of a suite: every metric of every cell, errors by layer, continuations of the prompts, provenance. Of many
//! cells it shows the metrics that matter most, a row for each.

use super::grid::{Grid, Side};
use super::heading::{headed, heading};
use super::{metrics, sweep};
use crate::format;
use crate::record::CellRecord;
use std::fmt::Write;

/// The whole page.
pub(super) fn page(suite: &str, records: &[&CellRecord]) -> String {
    let mut page = format!("# {suite}\n\n");
    if let Some(question) = records.last().map(|record| record.question.as_str()).filter(|text| !text.is_empty()) {
        let _ = writeln!(page, "{question}\n");
    }
    let _ = writeln!(page, "Derived from `{suite}.jsonl` by `fhe-llama tables`; do not edit.\n");
    let many = records.len() > super::FEW;
    page += &if many { sweep::summary(records, true) } else { summary(records) }.markdown();
    for remark in super::remarks(records) {
        let _ = writeln!(page, "**{remark}**\n");
    }
    if many {
        let _ = writeln!(
            page,
            "Every metric of every cell is a column of `{suite}.csv`; errors by layer, positions and prompts are in \
             `{suite}.jsonl`.\n"
        );
        return page + &provenance(records);
    }
    for record in records {
        page += &layers(record);
    }
    for record in records {
        page += &prompts(record);
        page += &generated(record);
    }
    page + &provenance(records)
}

/// Every metric, a column a record.
pub(crate) fn summary(records: &[&CellRecord]) -> Grid {
    let cells = records.iter().map(|record| (heading(record, records), Side::Right));
    let mut grid = Grid::new([(String::new(), Side::Left)].into_iter().chain(cells));
    for section in metrics::sections(records) {
        grid.group(&section.title);
        for row in section.rows {
            grid.row([row.name].into_iter().chain(row.values));
        }
    }
    grid
}

/// What the columns of [`layer_errors`] are.
pub(crate) const LAYERS_EXPLAINED: &str =
    "Bits are log2 of the error divided by the rms of the token's reference row; all live positions.";

fn layers(record: &CellRecord) -> String {
    let section = |grid: Grid| format!("{LAYERS_EXPLAINED}\n\n{}", grid.markdown());
    layer_errors(record).map_or_else(String::new, |grid| headed("Errors by layer", record, &section(grid)))
}

/// Errors of intermediate values, if the record holds any.
pub(crate) fn layer_errors(record: &CellRecord) -> Option<Grid> {
    if record.layer_errors.is_empty() {
        return None;
    }
    let right = ["layer", "max (bits)", "mean (bits)", "max", "mean", "rms"].map(|name| (name, Side::Right));
    let [layer, numbers @ ..] = right;
    let mut grid = Grid::new([("against", Side::Left), layer, ("site", Side::Left)].into_iter().chain(numbers));
    for error in &record.layer_errors {
        grid.row([
            error.against.clone(),
            error.layer.map_or("-".into(), |layer| layer.to_string()),
            error.site.clone(),
            format::bits(error.max_error_bits),
            format::bits(error.mean_error_bits),
            format::small(error.max_abs),
            format::small(error.mean_abs),
            format::small(error.rms),
        ]);
    }
    Some(grid)
}

fn prompts(record: &CellRecord) -> String {
    continuations(record).map_or_else(String::new, |grid| headed("Prompts", record, &grid.markdown()))
}

fn generated(record: &CellRecord) -> String {
    let grid = super::generated_tokens(record);
    grid.map_or_else(String::new, |grid| headed("Generated tokens", record, &grid.markdown()))
}

/// What follows each prompt, if the record holds any.
pub(crate) fn continuations(record: &CellRecord) -> Option<Grid> {
    if record.prompts.is_empty() {
        return None;
    }
    let mut grid = Grid::new([
        ("prompt", Side::Left),
        ("tokens", Side::Right),
        ("next token, float", Side::Left),
        ("next token, this run", Side::Left),
    ]);
    for prompt in &record.prompts {
        let next = [&prompt.next_float, &prompt.next].map(|token| format!("`{}`", super::visible(token)));
        let [float, this] = next;
        grid.row([prompt.text.clone(), prompt.tokens.to_string(), float, this]);
    }
    Some(grid)
}

fn provenance(records: &[&CellRecord]) -> String {
    let names = ["cell", "identity", "code", "lock", "compiler", "machine", "memory", "started"];
    let mut grid = Grid::new(names.map(|name| (name, Side::Left)));
    for (index, record) in records.iter().enumerate() {
        let from = &record.provenance;
        let many = records.len() > super::FEW;
        grid.row([
            if many { format!("row {}", index + 1) } else { heading(record, records) },
            format!("`{}`", record.identity),
            from.code.short(),
            format!("`{}`", from.code.lock_hash),
            from.code.compiler.clone(),
            from.machine.name(),
            format::bytes(from.machine.memory_bytes),
            from.started_at.clone(),
        ]);
    }
    format!("## Provenance\n\n{}", grid.markdown().trim_end()) + "\n"
}
