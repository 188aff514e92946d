//! The section of an experiment: question, numbers, figures, errors, and how each record was made.

use super::cell;
use super::contents::{Cell, Suite};
use super::grid::{Links, table};
use super::overview::overview;
use super::page::{counted, days, suite_command};
use crate::record::CellRecord;
use crate::table::{self, Grid, LAYERS_EXPLAINED};
use maud::{Markup, PreEscaped, html};

/// The whole section.
pub(super) fn section(suite: &Suite) -> Markup {
    let cells = suite.cells();
    let records: Vec<&CellRecord> = suite.records.iter().collect();
    let sections = table::sections(&records);
    let metrics: usize = sections.iter().map(|section| section.rows.len()).sum();
    let anchors: Vec<String> = cells.iter().map(|cell| cell.anchor.clone()).collect();
    html! {
        section id={ "suite-" (suite.name) } {
            h2 { (suite.name) }
            p.question { (suite.question()) }
            (suite_command(suite))
            p.quiet { (counted(suite.records.len(), "standing record")) ", " (measured(&records)) }
            (remarks(&table::remarks(&records)))
            (overview(&cells, &sections))
            details {
                summary { "All " (counted(metrics, "metric")) ", cell by cell" }
                (table(&table::all_metrics(&records), &Links::Columns(&anchors)))
            }
            (figures(&suite.name, &suite.figures))
            @for cell in &cells { (folded("Errors by layer", cell, table::layer_errors(cell.record), LAYERS_EXPLAINED)) }
            @for cell in &cells { (folded("Next tokens", cell, table::continuations(cell.record), "")) }
            @for cell in &cells { (folded("Generated tokens", cell, table::generated_tokens(cell.record), "")) }
            h3 { "Commands and provenance" }
            @for cell in &cells { (cell::article(cell)) }
        }
    }
}

/// What must not be missed, before the numbers it is about.
pub(super) fn remarks(remarks: &[String]) -> Markup {
    html! { @for remark in remarks { p.remark { (remark) } } }
}

/// Figures as SVG in the page. Their letters would be too small on a phone, so each scrolls in a box of its own.
pub(super) fn figures(subject: &str, figures: &[(String, String)]) -> Markup {
    html! {
        @for (name, svg) in figures {
            figure {
                // Written by this program's own drawing library, which escapes the texts in it.
                div.scroll tabindex="0" role="img" aria-label={ "Figure " (name) " of " (subject) } { (PreEscaped(svg)) }
                figcaption { code { "figures/" (name) ".svg" } }
            }
        }
    }
}

fn folded(title: &str, cell: &Cell<'_>, grid: Option<Grid>, explained: &str) -> Markup {
    html! {
        @if let Some(grid) = grid {
            details {
                summary { (title) ": " (cell.heading) }
                @if !explained.is_empty() { p { (explained) } }
                (table(&grid, &Links::None))
            }
        }
    }
}

fn measured(records: &[&CellRecord]) -> String {
    let mut stamps: Vec<&str> = records.iter().map(|record| record.provenance.started_at.as_str()).collect();
    stamps.sort_unstable();
    match (stamps.first(), stamps.last()) {
        (Some(first), Some(last)) => format!("started {}", days(first, last)),
        _ => String::new(),
    }
}
