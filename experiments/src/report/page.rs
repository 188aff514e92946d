//! The document: what it is, what made it, what it holds.

use super::command;
use super::contents::{Contents, Suite};
use super::{comparison, gpu, suite};
use crate::comparison::Entry;
use crate::format;
use crate::provenance::CodeVersion;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Nothing is loaded from anywhere: the browser itself refuses what would.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The whole page.
pub(super) fn page(contents: &Contents) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { "fhe-llama: results" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (front(contents))
                    @for suite in &contents.suites { (suite::section(suite)) }
                    @for compared in &contents.comparisons { (comparison::section(compared)) }
                    @if !contents.devices.is_empty() { (gpu::section(&contents.devices)) }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn front(contents: &Contents) -> Markup {
    let standing = contents.records().count();
    let recorded: usize = contents.suites.iter().map(|suite| suite.recorded).sum();
    let machines = distinct(contents.records().map(|record| record.provenance.machine.name()));
    let code = CodeVersion::of_this_binary();
    html! {
        header {
            h1 { "fhe-llama: results" }
            p {
                "Fully homomorphic inference of Llama models: what was asked, what was measured, and how to measure it again. \
                 This page holds all that is recorded under " code { "results/" } " and loads nothing from anywhere."
            }
            dl.facts {
                dt { "Made by" } dd { "fhe-llama " (env!("CARGO_PKG_VERSION")) ", commit " code { (code.short()) } }
                dt { "Records" } dd {
                    (counted(standing, "standing record")) " of " (counted(contents.suites.len(), "suite"))
                    @if recorded > standing { ", " (format::count((recorded - standing) as u64)) " older beside them in the journals" }
                    @for compared in &contents.comparisons {
                        "; " (counted(rows(&compared.comparison.machines), "row")) " of the comparison " (compared.comparison.spec.name)
                    }
                    @for device in &contents.devices { "; " (counted(device.figures(), "figure")) " of " (device.name()) }
                }
                @if let Some((first, last)) = measured(contents) { dt { "Measured" } dd { (days(&first, &last)) } }
                @if !machines.is_empty() { dt { "Machines" } dd { @for machine in &machines { (machine) br; } } }
            }
            p {
                "Behind every record stand its command and its provenance. " code { "fhe-llama" } " is "
                code { "cargo run --release --" } " in the repository. A command runs what its record does not answer yet; "
                "to repeat a record exactly, check out its commit first, and add " code { "--force" } "."
            }
        }
        nav aria-label="Contents" {
            h2 { "Contents" }
            ol {
                @for suite in &contents.suites {
                    li { a href={ "#suite-" (suite.name) } { (suite.name) } " " span.quiet { (modes(suite)) } br; (suite.question()) }
                }
                @for compared in &contents.comparisons {
                    @let spec = &compared.comparison.spec;
                    li { a href={ "#comparison-" (spec.name) } { (spec.name) } " " span.quiet { "comparison" } br; (spec.question) }
                }
                @if !contents.devices.is_empty() {
                    li { a href="#gpu" { "GPUs" } " " span.quiet { (counted(contents.devices.len(), "device")) } br; "What the CUDA backend does on a device, and whether it equals the CPU's." }
                }
            }
        }
    }
}

/// How many records of each mode stand: `2 encrypted, 1 clear`.
fn modes(suite: &Suite) -> String {
    let modes = distinct(suite.records.iter().map(|record| record.mode.to_string()));
    let count = |mode: &String| suite.records.iter().filter(|record| record.mode.to_string() == *mode).count();
    modes.iter().map(|mode| format!("{} {mode}", count(mode))).collect::<Vec<_>>().join(", ")
}

/// The command that makes a whole suite, or why there is none.
pub(super) fn suite_command(suite: &Suite) -> Markup {
    html! {
        @if suite.is_committed() { (shell(&command::of_suite(&suite.name))) }
        @else { p.quiet { "Its spec is none of those under " code { "experiments/suites/" } "." } }
    }
}

/// A line for a shell; the script adds a button that copies it.
pub(super) fn shell(line: &str) -> Markup {
    html! { div.command tabindex="0" { code { (line) } } }
}

/// `1 record`, `1,234 records`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", format::count(count as u64))
}

/// Rows that a comparison's records hold.
fn rows(machines: &[crate::comparison::OnMachine]) -> usize {
    let entries = machines.iter().flat_map(|machine| &machine.operations).flat_map(|compared| &compared.entries);
    entries.filter(|entry| matches!(entry, Entry::Measured { .. } | Entry::Predicted { .. })).count()
}

/// First and last time stamp of all records. In UTC they sort as text, and a day sorts before its hours.
fn measured(contents: &Contents) -> Option<(String, String)> {
    let cells = contents.records().map(|record| record.provenance.started_at.clone());
    let origins = contents.comparisons.iter().flat_map(|compared| compared.origins.iter().flatten());
    let devices = contents.devices.iter().map(|device| device.date().to_string());
    let mut all: Vec<String> = cells.chain(origins.map(|(origin, _)| origin.day.clone())).chain(devices).collect();
    all.retain(|date| !date.is_empty());
    all.sort();
    Some((all.first()?.clone(), all.last()?.clone()))
}

/// `2026-01-02`, or `2026-01-02 to 2026-01-05`.
pub(super) fn days(first: &str, last: &str) -> String {
    let [first, last] = [first, last].map(|stamp| stamp.get(..10).unwrap_or(stamp));
    if first == last { first.into() } else { format!("{first} to {last}") }
}

/// Each text once, in the order of its first place.
fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut distinct = Vec::new();
    for text in texts {
        if !distinct.contains(&text) {
            distinct.push(text);
        }
    }
    distinct
}
