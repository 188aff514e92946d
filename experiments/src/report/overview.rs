//! A suite at a glance: a row a record, the metrics that answer its question, every row linked to how it was made.

use super::contents::Cell;
use super::grid::{boxed, cell, heading_cell};
use crate::table::{Section, Side};
use maud::{Markup, html};

/// What is shown of a metric's section.
enum Shown {
    /// The metrics of these names.
    Named(&'static [&'static str]),
    /// Those that a short summary does not leave out.
    Principal,
}

/// The sections and metrics shown, by the titles and names that tables give them. Warnings stand beside the numbers.
const SHOWN: [(&str, Shown); 7] = [
    ("Setting", Shown::Named(&["status", "weights", "ranges"])),
    ("Windows of the text", Shown::Principal),
    ("Time", Shown::Named(&["total"])),
    ("Predicted from metered counts, not measured", Shown::Principal),
    ("Homomorphic operations", Shown::Named(&["half bootstraps"])),
    ("Memory and traffic", Shown::Named(&["peak memory of the process", "memory of the GPU"])),
    (
        "Agreement with the float model, all positions",
        Shown::Named(&["top-1", "KL divergence, mean (nats)", "top-5 logit error, max"]),
    ),
];

/// Security is shown where it is lacking; otherwise it is a sentence too long for a column.
const SECURITY: &str = "security";

/// A metric's name and its value for each cell.
type Metric<'a> = (&'a str, &'a [String]);

/// The table of a suite's cells, whose metrics are `sections`.
pub(super) fn overview(cells: &[Cell<'_>], sections: &[Section]) -> Markup {
    let insecure = cells.iter().any(|cell| cell.record.provenance.insecure);
    let groups: Vec<(&str, Vec<Metric<'_>>)> = SHOWN
        .iter()
        .filter_map(|(title, shown)| {
            let section = sections.iter().find(|section| section.title == *title)?;
            let rows = section.rows.iter().filter(|row| match shown {
                Shown::Named(names) => names.contains(&row.name.as_str()) || (insecure && row.name == SECURITY),
                Shown::Principal => !row.detail,
            });
            let rows: Vec<_> = rows.map(|row| (row.name.as_str(), row.values.as_slice())).collect();
            (!rows.is_empty()).then_some((*title, rows))
        })
        .collect();
    let columns = || groups.iter().flat_map(|(_, rows)| rows);
    boxed(html! {
        table.overview {
            thead {
                tr.groups {
                    td {}
                    @for (title, rows) in &groups { th colspan=(rows.len()) scope="colgroup" { (title) } }
                }
                tr {
                    (heading_cell("record", Side::Left, None))
                    @for (name, _) in columns() { (heading_cell(name, Side::Left, None)) }
                }
            }
            tbody { @for (index, shown) in cells.iter().enumerate() {
                tr {
                    (cell(&shown.heading, Side::Left, Some(&shown.anchor)))
                    @for (_, values) in columns() { (cell(&values[index], Side::Left, None)) }
                }
            } }
        }
    })
}
