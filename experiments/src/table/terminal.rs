//! What a terminal shows after a run: the numbers that answer the question, on one screen or two.

use super::grid::{Grid, Side};
use super::heading::heading;
use super::{metrics, sweep, visible};
use crate::format;
use crate::record::{CLEAR_CIRCUIT, CellRecord, FLOAT, LayerError};
use fhe_model::Site;
use std::fmt::Write;

/// Layers and prompts beyond so many are left to the files.
const ROWS: usize = 12;

/// The metrics of all cells but their details; of a single cell the errors by layer and the next tokens, too. Of many
/// cells a row each.
pub(super) fn summary(records: &[&CellRecord]) -> String {
    let mut text =
        if records.len() > super::FEW { sweep::summary(records, false).text() } else { side_by_side(records) };
    for remark in super::remarks(records) {
        let _ = writeln!(text, "{remark}");
    }
    text
}

fn side_by_side(records: &[&CellRecord]) -> String {
    let cells = records.iter().map(|record| (heading(record, records), Side::Left));
    let mut grid = Grid::new([(String::new(), Side::Left)].into_iter().chain(cells));
    for section in metrics::sections(records) {
        let rows: Vec<_> = section.rows.into_iter().filter(|row| !row.detail).collect();
        if !rows.is_empty() {
            grid.group(&section.title);
        }
        for row in rows {
            grid.row([row.name].into_iter().chain(row.values));
        }
    }
    let mut text = grid.text();
    if let [record] = records {
        text += &layers(record);
        text += &prompts(record);
    }
    text
}

/// Largest and mean error after every layer and of the logits.
fn layers(record: &CellRecord) -> String {
    let references: Vec<&str> = [FLOAT, CLEAR_CIRCUIT]
        .into_iter()
        .filter(|reference| record.layer_errors.iter().any(|error| error.against == *reference))
        .collect();
    let columns = references.iter().flat_map(|reference| ["max", "mean"].map(|what| format!("{what} vs {reference}")));
    let columns = columns.map(|name| (name, Side::Right));
    let mut grid = Grid::new([(String::new(), Side::Left)].into_iter().chain(columns));
    let find = |layer: Option<usize>, site: Site, against: &str| {
        record.layer_errors.iter().find(|error| error.layer == layer && error.is_at(site) && error.against == against)
    };
    let mut row = |name: String, layer: Option<usize>, site: Site| {
        let found = references.iter().flat_map(|against| powers(find(layer, site, against)));
        grid.row([name].into_iter().chain(found));
    };
    let last = record.layer_errors.iter().filter_map(|error| error.layer).max();
    let Some(last) = last else { return String::new() };
    let step = (last + 1).div_ceil(ROWS);
    for layer in (0..=last).filter(|layer| (last - layer).is_multiple_of(step)) {
        row(format!("residual after layer {layer}"), Some(layer), Site::ResidualAfterFfn);
    }
    row("logits".into(), None, Site::Logits);
    titled("Error by layer (divided by the rms of the token's row)", &grid)
}

/// Largest and mean error of a site.
fn powers(error: Option<&LayerError>) -> [String; 2] {
    let power = |bits: f64| if bits.is_finite() { format!("2^{bits:.1}") } else { format::bits(bits) };
    error.map_or(["-".into(), "-".into()], |error| [error.max_error_bits, error.mean_error_bits].map(power))
}

fn prompts(record: &CellRecord) -> String {
    if record.prompts.is_empty() {
        return String::new();
    }
    let this = record.mode.to_string();
    let mut grid = Grid::new([("", Side::Left), ("float", Side::Left), (this.as_str(), Side::Left)]);
    for prompt in record.prompts.iter().take(ROWS) {
        grid.row([prompt.text.clone(), visible(&prompt.next_float), visible(&prompt.next)]);
    }
    titled("Next token", &grid)
}

fn titled(title: &str, grid: &Grid) -> String {
    format!("{title}\n{}", grid.text())
}
