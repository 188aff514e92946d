//! The section of a comparison: what was measured, predicted and reported, each in its column, and where rows come from.

use super::command;
use super::contents::Compared;
use super::grid::{Links, table};
use super::page::shell;
use super::suite::figures;
use crate::format;
use crate::table::{self, Origin};
use maud::{Markup, html};

/// The whole section.
pub(super) fn section(compared: &Compared) -> Markup {
    let spec = &compared.comparison.spec;
    html! {
        section id={ "comparison-" (spec.name) } {
            h2 { (spec.name) }
            p.question { (spec.question) }
            (shell(&command::of_comparison(&spec.name)))
            p { (table::COMPARISON_LEGEND) }
            (figures(&spec.name, &compared.figures))
            @for machine in 0..compared.comparison.machines.len() { (on_machine(compared, machine)) }
        }
    }
}

fn on_machine(compared: &Compared, index: usize) -> Markup {
    let comparison = &compared.comparison;
    let machine = &comparison.machines[index];
    let entries = machine.operations.iter().flat_map(|operation| &operation.entries);
    let places: Vec<Option<String>> = entries.map(|entry| compared.place(index, entry)).collect();
    html! {
        h3 { (machine.machine.name()) ", " (format::bytes(machine.machine.memory_bytes)) }
        (table(&table::comparison_lines(comparison, machine), &Links::Rows(&places)))
        @if !machine.verdicts(&comparison.spec.ours).is_empty() {
            h4 { "Targets" }
            (table(&table::comparison_targets(comparison, machine), &Links::None))
        }
        h4 { "Commands and provenance" }
        @for (origin, place) in &compared.origins[index] { (provenance(origin, place, &machine.machine.name())) }
    }
}

/// Rows of one library, version and day come from one command.
fn provenance(origin: &Origin, place: &str, machine: &str) -> Markup {
    html! {
        article id=(place) {
            h4 { (origin.library) ", " (origin.basis) }
            (shell(&format!("scripts/bench-peers --only {}", origin.id)))
            dl.facts {
                dt { "Sources" } dd { code { (origin.sources) } }
                dt { "Commit" } dd { code { (origin.commit) } }
                dt { "Machine" } dd { (machine) }
                dt { "Made" } dd { (origin.day) }
            }
        }
    }
}
