//! How one record was made: the line that makes it again, and where its numbers come from.

use super::contents::Cell;
use super::page::shell;
use crate::format;
use crate::randomness::Randomness;
use crate::record::CellRecord;
use maud::{Markup, html};

/// Command, provenance and settings, at the record's place in the page.
pub(super) fn article(cell: &Cell<'_>) -> Markup {
    let from = &cell.record.provenance;
    let memory = format::bytes(from.machine.memory_bytes);
    html! {
        article id=(cell.anchor) {
            h4 { (cell.heading) }
            @match &cell.command {
                Some(command) => (shell(command)),
                None => p.quiet {
                    "No command makes exactly this cell any more: its spec, or a setting of it, has changed since. Its own settings stand below."
                },
            }
            dl.facts {
                dt { "Identity" } dd { a href={ "#" (cell.anchor) } { code { (cell.record.identity) } } }
                dt { "Commit" } dd { code { (from.code.short()) } ", lock " code { (from.code.lock_hash) } ", " (from.code.compiler) ", " (from.code.profile) }
                dt { "Machine" } dd { (from.machine.name()) ", " (memory) }
                dt { "Started" } dd { (from.started_at) }
                dt { "Parameters" } dd { (from.parameters) " " code { (from.parameter_fingerprint) } ", " (security(cell.record)) }
                dt { "Randomness" } dd { (randomness(cell.record)) }
                dt { "Data" } dd { (data(cell.record)) }
            }
            details {
                summary { "Settings" }
                dl.settings { @for (key, value) in &cell.record.config { dt { (key) } dd { code { (value) } } } }
            }
        }
    }
}

fn security(record: &CellRecord) -> String {
    let from = &record.provenance;
    let bits = from.security_bits.map(|bits| format!("{bits:.0} bits"));
    match (bits, from.insecure) {
        (Some(bits), false) => bits,
        (Some(bits), true) => format!("{bits}, insecure parameters were allowed"),
        (None, true) => "INSECURE".into(),
        (None, false) => "security not stated".into(),
    }
}

fn randomness(record: &CellRecord) -> String {
    match &record.provenance.randomness {
        Randomness::OperatingSystem => "of the operating system".into(),
        Randomness::Seed { stated, of_cell } => {
            format!("seed {stated}, of which this cell made {of_cell}, so that no key is private")
        }
    }
}

/// Hashes of what was read.
fn data(record: &CellRecord) -> Markup {
    let data = &record.provenance.data;
    let optional = [
        ("text", &data.text),
        ("context", &data.context),
        ("ranges", &data.ranges),
        ("calibration text", &data.calibration_text),
        ("assumed ranges", &data.assumed_ranges),
    ];
    let named = [("model", &data.model), ("prompts", &data.prompts)].into_iter();
    let all = named.chain(optional.into_iter().filter_map(|(name, hash)| Some((name, hash.as_ref()?))));
    html! {
        @for (index, (name, hash)) in all.filter(|(_, hash)| !hash.is_empty()).enumerate() {
            @if index > 0 { ", " }
            (name) " " code { (hash) }
        }
    }
}
