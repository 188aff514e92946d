//! The table a person reads: metrics down, cells across, rounded and with units.

use crate::format;
use crate::record::{Agreement, CLEAR_CIRCUIT, CellRecord, FLOAT, Status};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The whole page of a suite.
pub(super) fn page(suite: &str, records: &[&CellRecord]) -> String {
    let mut page = format!("# {suite}\n\n");
    if let Some(question) = records.last().map(|record| record.question.as_str()).filter(|text| !text.is_empty()) {
        let _ = writeln!(page, "{question}\n");
    }
    let _ = writeln!(page, "Derived from `{suite}.jsonl` by `fhe-llama tables`; do not edit.\n");
    page.push_str(&summary(records));
    for record in records {
        page.push_str(&layers(record));
        page.push_str(&prompts(record));
    }
    page.push_str(&provenance(records));
    page
}

/// The metrics of all cells, with a heading per group.
pub(super) fn summary(records: &[&CellRecord]) -> String {
    let mut table = Table::new("", records.iter().map(|record| heading(record, records)));
    table.row("status", records, |record| {
        Some(match &record.reason {
            None => record.status.to_string(),
            Some(reason) => format!("{}: {}", record.status, escaped(reason)),
        })
    });
    setting(&mut table, records);
    time(&mut table, records);
    work(&mut table, records);
    for reference in [FLOAT, CLEAR_CIRCUIT] {
        accuracy(&mut table, records, reference);
    }
    let mut text = table.finish();
    for record in records {
        for limit in record.broken_limits() {
            let _ = writeln!(text, "**Limit not kept** ({}): {limit}.\n", heading(record, records));
        }
        if record.provenance.insecure {
            let _ = writeln!(text, "**Insecure parameters** were allowed for {}.\n", heading(record, records));
        }
    }
    text
}

fn setting(table: &mut Table, records: &[&CellRecord]) {
    table.group("Setting");
    let ran = |record: &CellRecord| record.status == Status::Ok;
    table.row("parameters", records, |record| Some(record.provenance.parameters.clone()));
    table.row("security (bits)", records, |record| {
        record.provenance.security_bits.map(|bits| format!("{bits:.0} ({})", record.provenance.security_source))
    });
    table.row("model (parameters, layers)", records, |record| {
        let model = &record.model;
        ran(record).then(|| format!("{} ({}, {})", model.path, format::count(model.parameters), model.layers))
    });
    table.row("prompts / live tokens / block", records, |record| {
        let input = &record.input;
        ran(record).then(|| format!("{} / {} / {}", input.prompts, input.live_tokens, input.block_tokens))
    });
    table.row("threads", records, |record| Some(record.provenance.threads.to_string()));
    table.row("keys private", records, |record| {
        Some(if record.provenance.keys_private { "yes".into() } else { format!("no, seed {}", record.provenance.seed) })
    });
}

fn time(table: &mut Table, records: &[&CellRecord]) {
    table.group("Time");
    let names: Vec<&str> =
        records.first().map(|record| record.seconds.phases()).unwrap_or_default().iter().map(|p| p.0).collect();
    for (index, name) in names.into_iter().enumerate() {
        table.row(name, records, |record| {
            let (_, seconds) = *record.seconds.phases().get(index)?;
            (seconds > 0.0).then(|| format::seconds(seconds))
        });
    }
    table.row("**total**", records, |record| {
        let limit = record.must.total_seconds.map(|limit| format!(" (must ≤ {})", format::seconds(limit)));
        let total = format!("**{}**{}", format::seconds(record.seconds.total), limit.unwrap_or_default());
        (record.seconds.total > 0.0).then_some(total)
    });
    table.row("of which client", records, |record| {
        (record.seconds.client > 0.0).then(|| format::seconds(record.seconds.client))
    });
}

fn work(table: &mut Table, records: &[&CellRecord]) {
    table.group("Work");
    let counts: BTreeSet<&String> = records.iter().flat_map(|record| record.counts.keys()).collect();
    for name in counts {
        table.row(&name.replace('_', " "), records, |record| record.counts.get(name).copied().map(format::count));
    }
    let levels: BTreeSet<&String> = records.iter().flat_map(|record| record.levels.keys()).collect();
    for name in levels {
        let title = format!("levels: {}", name.replace('_', " "));
        table.row(&title, records, |record| record.levels.get(name).map(u64::to_string));
    }
    let size = |bytes: u64| (bytes > 0).then(|| format::bytes(bytes));
    table.row("peak memory", records, |record| size(record.footprint.peak_memory_bytes));
    table.row("evaluation keys", records, |record| size(record.footprint.key_bytes));
    table.row("client to server", records, |record| size(record.footprint.client_to_server_bytes));
    table.row("server to client", records, |record| size(record.footprint.server_to_client_bytes));
    table.row("failure probability", records, |record| {
        record.failure_probability_log2.map(|log2| format!("2^{log2:.0}"))
    });
}

fn accuracy(table: &mut Table, records: &[&CellRecord], reference: &str) {
    if records.iter().all(|record| record.agreement_with(reference).is_none()) {
        return;
    }
    table.group(&format!("Agreement with {reference}, all positions"));
    let limited = |value: f64, limit: Option<f64>| match limit.filter(|_| reference == FLOAT) {
        Some(limit) => format!("{} (must ≤ {limit})", format::small(value)),
        None => format::small(value),
    };
    let mut row = |name: &str, show: &dyn Fn(&CellRecord, &Agreement) -> Option<String>| {
        table.row(name, records, |record| record.agreement_with(reference).and_then(|found| show(record, found)));
    };
    row("top-1", &|_, found| {
        let share = 100.0 * found.top1 as f64 / found.positions.max(1) as f64;
        Some(format!("{} of {} ({share:.1} %)", found.top1, found.positions))
    });
    row("KL divergence, mean (nats)", &|record, found| Some(limited(found.kl_mean, record.must.kl_mean)));
    row("KL divergence, max (nats)", &|_, found| Some(format::small(found.kl_max)));
    row("top-5 logit error, max", &|record, found| {
        Some(limited(found.top5_logit_error_max, record.must.top5_logit_error_max))
    });
    row("top-5 logit error, mean", &|_, found| Some(format::small(found.top5_logit_error_mean)));
    row("perplexity (reference)", &|_, found| {
        Some(format!("{:.4} ({:.4})", found.perplexity?, found.perplexity_reference?))
    });
    row("largest margin lost", &|_, found| found.largest_margin_lost.map(format::small));
}

fn layers(record: &CellRecord) -> String {
    if record.layer_errors.is_empty() {
        return String::new();
    }
    let mut text = format!("## Errors by layer, {}\n\n", heading(record, &[record]));
    text.push_str("Bits are log2 of the error divided by the rms of the token's reference row.\n\n");
    text.push_str("| against | layers passed | site | max (bits) | mean (bits) | max | mean | rms |\n");
    text.push_str("|---|--:|---|--:|--:|--:|--:|--:|\n");
    for error in &record.layer_errors {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            error.against,
            error.layer,
            error.site,
            format::bits(error.max_error_bits),
            format::bits(error.mean_error_bits),
            format::small(error.max_abs),
            format::small(error.mean_abs),
            format::small(error.rms),
        );
    }
    text + "\n"
}

fn prompts(record: &CellRecord) -> String {
    if record.prompts.is_empty() {
        return String::new();
    }
    let mut text = format!("## Prompts, {}\n\n", heading(record, &[record]));
    text.push_str("| prompt | tokens | next token, float | next token, this run |\n|---|--:|---|---|\n");
    for prompt in &record.prompts {
        let (float, next) = (visible(&prompt.next_float), visible(&prompt.next));
        let _ = writeln!(text, "| {} | {} | {float} | {next} |", escaped(&prompt.text), prompt.tokens);
    }
    text + "\n"
}

fn provenance(records: &[&CellRecord]) -> String {
    let mut text =
        "## Provenance\n\n| cell | identity | code | lock | compiler | machine | memory | started |\n".to_string();
    text.push_str("|---|---|---|---|---|---|--:|---|\n");
    for record in records {
        let from = &record.provenance;
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | `{}` | {} | {}, {}, {} cores | {} | {} |",
            heading(record, records),
            record.identity,
            from.code.short(),
            from.code.lock_hash,
            from.code.compiler,
            from.machine.cpu,
            from.machine.vector_extension,
            from.machine.cores,
            format::bytes(from.machine.memory_bytes),
            from.started_at,
        );
    }
    text
}

/// What tells a cell from the others: its mode and the settings that differ between them.
fn heading(record: &CellRecord, records: &[&CellRecord]) -> String {
    let mut heading = record.mode.to_string();
    for (key, value) in record.config.iter().filter(|(key, _)| *key != "mode") {
        if records.iter().any(|other| other.config.get(key) != Some(value)) {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            let _ = write!(heading, ", {} = {}", key.rsplit('.').next().unwrap_or(key), escaped(&shown));
        }
    }
    for (key, _) in records.iter().flat_map(|other| &other.config) {
        if !record.config.contains_key(key) && !heading.contains(&format!("no {key}")) {
            let _ = write!(heading, ", no {key}");
        }
    }
    if records.iter().any(|other| other.repetition != record.repetition) {
        let _ = write!(heading, ", repetition {}", record.repetition);
    }
    heading
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A token as code, its spaces and line ends made visible.
fn visible(token: &str) -> String {
    let shown = token.replace(' ', "␣").replace('\n', "⏎").replace('|', "\\|").replace('`', "'");
    format!("`{shown}`")
}

/// Metrics down, cells across. A metric that no cell has leaves no line, nor does a group without metrics.
struct Table {
    columns: usize,
    text: String,
    pending_group: Option<String>,
}

impl Table {
    fn new(corner: &str, headings: impl Iterator<Item = String>) -> Self {
        let headings: Vec<_> = headings.collect();
        let rule = "--:|".repeat(headings.len());
        let text = format!("| {corner} | {} |\n|---|{rule}\n", headings.join(" | "));
        Self { columns: headings.len(), text, pending_group: None }
    }

    fn group(&mut self, name: &str) {
        self.pending_group = Some(name.into());
    }

    fn row(&mut self, name: &str, records: &[&CellRecord], value: impl Fn(&CellRecord) -> Option<String>) {
        let values: Vec<_> = records.iter().map(|record| value(record)).collect();
        if values.iter().all(Option::is_none) {
            return;
        }
        if let Some(group) = self.pending_group.take() {
            let _ = writeln!(self.text, "| **{group}** |{}", " |".repeat(self.columns));
        }
        let values: Vec<_> = values.into_iter().map(|value| value.unwrap_or_else(|| "-".into())).collect();
        let _ = writeln!(self.text, "| {name} | {} |", values.join(" | "));
    }

    fn finish(self) -> String {
        self.text + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_visible_and_keeps_the_table_whole() {
        assert_eq!(visible(" a|b\n"), "`␣a\\|b⏎`");
    }

    #[test]
    fn an_empty_group_leaves_no_line() {
        let mut table = Table::new("", std::iter::empty());
        table.group("nothing");
        table.row("metric", &[], |_| None);
        assert!(!table.finish().contains("nothing"));
    }
}
