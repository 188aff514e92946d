//! What is said about cells: named numbers with their units, in sections.

use super::names::{KERNELS, OPERATIONS, Unit};
use super::{generation, softmax, windows};
use crate::format;
use crate::record::{Agreement, CLEAR_CIRCUIT, CellRecord, Extremes, FLOAT, Prediction, Status};
use crate::spec::Mode;
use std::collections::BTreeMap;
use std::fmt::Display;

/// A group of rows with a value per cell.
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
}

/// One metric.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
    /// Whether a short summary can do without it.
    pub(crate) detail: bool,
}

/// A section under construction. A metric that no cell has leaves no row.
pub(super) struct Builder<'a> {
    records: &'a [&'a CellRecord],
    pub(super) section: Section,
}

impl<'a> Builder<'a> {
    pub(super) fn new(title: &str, records: &'a [&'a CellRecord]) -> Self {
        Self { records, section: Section { title: title.into(), rows: Vec::new() } }
    }

    pub(super) fn row(self, name: &str, value: impl Fn(&CellRecord) -> Option<String>) -> Self {
        self.push(name, false, value)
    }

    pub(super) fn detail(self, name: &str, value: impl Fn(&CellRecord) -> Option<String>) -> Self {
        self.push(name, true, value)
    }

    fn push(mut self, name: &str, detail: bool, value: impl Fn(&CellRecord) -> Option<String>) -> Self {
        let values: Vec<_> = self.records.iter().map(|record| value(record)).collect();
        if values.iter().any(Option::is_some) {
            let values = values.into_iter().map(|value| value.unwrap_or_else(|| "-".into())).collect();
            self.section.rows.push(Row { name: name.into(), values, detail });
        }
        self
    }
}

/// Everything there is to say, section by section.
pub(crate) fn sections(records: &[&CellRecord]) -> Vec<Section> {
    let [windows, ranges, degrees] = windows::sections(records);
    let sections = [
        setting(records),
        windows,
        time(records),
        predicted(records),
        operations(records),
        footprint(records),
        extremes(records),
        ranges,
        degrees,
        agreement(records, FLOAT),
        agreement(records, CLEAR_CIRCUIT),
        generation::section(records),
        softmax::section(records),
        polynomials(records),
        kernels(records),
    ];
    sections.into_iter().filter(|section| !section.rows.is_empty()).collect()
}

fn setting(records: &[&CellRecord]) -> Section {
    let ran = |record: &CellRecord| record.status == Status::Ok;
    let level = |record: &CellRecord, name: &str| record.levels.get(name).copied();
    Builder::new("Setting", records)
        .row("status", |record| Some(record.status.to_string()))
        .row("parameters", |record| Some(record.provenance.parameters.clone()))
        .row("security", |record| {
            let source = &record.provenance.security_source;
            let bits = record.provenance.security_bits.map(|bits| format!("{bits:.0} bits ({source})"));
            bits.or_else(|| record.provenance.insecure.then(|| format!("NONE ({source})")))
        })
        .detail("levels left by a half bootstrap", |record| Some(level(record, "compute")?.to_string()))
        .detail("levels of SlotsToCoeffs", |record| Some(level(record, "slots_to_coefficients")?.to_string()))
        .detail("levels consumed by a half bootstrap", |record| Some(level(record, "bootstrap")?.to_string()))
        .row("model", |record| {
            let model = &record.model;
            let size = || format!("{} parameters, {} layers", format::count(model.parameters), model.layers);
            ran(record).then(|| format!("{} ({})", model.path, size()))
        })
        .row("weights", |record| Some(format!("SYNTHETIC, not trained: {}", record.model.synthetic.as_ref()?)))
        .row("ranges", |record| {
            let reason = record.model.assumed_ranges.as_ref()?;
            Some(format!("ASSUMED, not calibrated: {reason}"))
        })
        .row("input", |record| {
            let input = &record.input;
            let tokens = || match input.prompts {
                0 if record.windows.is_some() => format!("{} tokens of windows of a text", input.live_tokens),
                0 => format!("{} tokens, whatever they are,", input.live_tokens),
                1 => format!("{} tokens of 1 prompt", input.live_tokens),
                prompts => format!("{} tokens of {prompts} prompts", input.live_tokens),
            };
            let prefix: Vec<String> = input.prefix_tokens.iter().map(u32::to_string).collect();
            let behind = match (input.context_tokens, prefix.is_empty()) {
                (0, true) => String::new(),
                (0, false) => format!(" behind public {}", prefix.join(" ")),
                (public, _) => format!(" behind {public} public ones"),
            };
            ran(record).then(|| format!("{} in a block of {}{behind}", tokens(), input.block_tokens))
        })
        .row("threads", |record| Some(record.provenance.threads.to_string()))
        .row("keys private", |record| {
            let stated = record.provenance.randomness.stated();
            let private = || stated.map_or("yes".into(), |seed| format!("no, made from seed {seed}"));
            (record.mode == Mode::Encrypted).then(private)
        })
        .row("resumed after an interruption", |record| {
            let times = record.provenance.resumptions;
            (times > 0).then(|| if times == 1 { "once".into() } else { format!("{times} times") })
        })
        .row("beside others", |record| {
            let others = record.provenance.cells_beside;
            (others > 0).then(|| format!("up to {others}: times are not of a machine of its own"))
        })
        .section
}

fn time(records: &[&CellRecord]) -> Section {
    let names = records.first().map(|record| record.seconds.phases()).unwrap_or_default();
    let mut builder = Builder::new("Time", records);
    for (index, (name, ..)) in names.into_iter().enumerate() {
        builder = builder.row(name, |record| {
            let (_, _, seconds) = *record.seconds.phases().get(index)?;
            (seconds > 0.0).then(|| format::seconds(seconds))
        });
    }
    let total = |record: &CellRecord| {
        let limit = record.must.total_seconds.filter(|_| record.mode == Mode::Encrypted);
        let limit = limit.map(|limit| format!(" (must ≤ {})", format::seconds(limit)));
        let total = format!("{}{}", format::seconds(record.seconds.total), limit.unwrap_or_default());
        (record.seconds.total > 0.0).then_some(total)
    };
    let client = |record: &CellRecord| (record.seconds.client > 0.0).then(|| format::seconds(record.seconds.client));
    builder.row("total", total).row("of which client", client).section
}

fn predicted(records: &[&CellRecord]) -> Section {
    let devices = records.iter().flat_map(|record| &record.predicted).flat_map(|prediction| &prediction.seconds);
    let mut names: Vec<&String> = Vec::new();
    for predicted in devices {
        if !names.contains(&&predicted.device) {
            names.push(&predicted.device);
        }
    }
    // What a metered run is for; beside measurements only a detail.
    let detail = records.iter().all(|record| record.mode != Mode::Metered);
    let mut builder = Builder::new("Predicted from metered counts, not measured", records);
    for name in names {
        builder = builder.push(&format!("layers and head on {name}"), detail, |record| {
            let seconds = &record.predicted.as_ref()?.seconds;
            let predicted = seconds.iter().find(|predicted| predicted.device == *name)?;
            Some(format::seconds(predicted.seconds))
        });
    }
    // Older records do not have all of these.
    let of = |record: &CellRecord, bytes: fn(&Prediction) -> u64| {
        record.predicted.as_ref().map(bytes).filter(|&bytes| bytes > 0)
    };
    builder
        .push("moved between kernels and memory", detail, |record| {
            Some(format::scaled(of(record, |prediction| prediction.moved_bytes)?, "B"))
        })
        .push("server memory: keys, tables, ciphertexts", detail, |record| {
            Some(format::bytes(of(record, |prediction| prediction.server_memory_bytes)?))
        })
        .push("peak memory, with the weights at work", detail, |record| {
            Some(format::bytes(of(record, |prediction| prediction.peak_memory_bytes)?))
        })
        .section
}

fn operations(records: &[&CellRecord]) -> Section {
    let mut builder = Builder::new("Homomorphic operations", records);
    for (key, title, detail) in OPERATIONS {
        builder = builder.push(title, detail, |record| record.counts.get(key).copied().map(format::count));
    }
    for name in others(records, |record| &record.counts, OPERATIONS.map(|(key, ..)| key).as_slice()) {
        builder = builder.detail(&name.replace('_', " "), |record| record.counts.get(name).copied().map(format::count));
    }
    let predicted = |record: &CellRecord, show: fn(&Prediction) -> String| {
        record.predicted.as_ref().filter(|prediction| !prediction.half_bootstraps_by_layer.is_empty()).map(show)
    };
    let metered = records.iter().any(|record| record.mode == Mode::Metered);
    builder
        .push("half bootstraps, layer by layer", !metered, |record| {
            predicted(record, |prediction| runs(&prediction.half_bootstraps_by_layer))
        })
        .detail("half bootstraps of one layer, by site", |record| {
            predicted(record, |prediction| {
                let sites = prediction.half_bootstraps_by_site.iter().map(|(site, count)| format!("{site} {count}"));
                sites.collect::<Vec<_>>().join(", ")
            })
        })
        .section
}

fn extremes(records: &[&CellRecord]) -> Section {
    let of = |measure: fn(&Extremes) -> f64| {
        move |record: &CellRecord| record.extremes.as_ref().map(|extremes| format!("{:.1}", measure(extremes)))
    };
    Builder::new("Extremes of the float model, before any rotation", records)
        .detail("scores of a head, largest minus smallest", of(|extremes| extremes.score_span))
        .detail("row maxima of a head, largest minus smallest", of(|extremes| extremes.row_maximum_width))
        .detail("argument of SiLU, magnitude", of(|extremes| extremes.silu_input))
        .detail("mean squares of tokens, largest over smallest", of(|extremes| extremes.mean_square_ratio))
        .detail("channel of the residual over its token's rms", of(|extremes| extremes.residual_peak))
        .detail("output of a feed-forward network, magnitude", of(|extremes| extremes.down_output))
        .section
}

fn footprint(records: &[&CellRecord]) -> Section {
    let size = |bytes: u64| (bytes > 0).then(|| format::bytes(bytes));
    Builder::new("Memory and traffic", records)
        .row("peak memory of the process", |record| size(record.footprint.peak_memory_bytes))
        .row("memory of the GPU", |record| size(record.footprint.device_memory_bytes))
        .row("evaluation keys, in memory", |record| size(record.footprint.key_bytes))
        .row("evaluation keys, as sent", |record| size(record.footprint.key_wire_bytes))
        .row("weights, in files", |record| size(record.model.stored_bytes))
        .row("weights, as integers", |record| size(record.model.integer_bytes))
        .row("client to server, without keys", |record| size(record.footprint.client_to_server_bytes))
        .row("server to client", |record| size(record.footprint.server_to_client_bytes))
        .detail("failure probability of all bootstraps", |record| {
            record.failure_probability_log2.map(|log2| format!("2^{log2:.0}"))
        })
        .section
}

fn agreement(records: &[&CellRecord], reference: &str) -> Section {
    let is_float = reference == FLOAT;
    let limited = |value: f64, limit: Option<f64>| match limit.filter(|_| is_float) {
        Some(limit) => format!("{} (must ≤ {limit})", format::small(value)),
        None => format::small(value),
    };
    type Show<'a> = &'a dyn Fn(&CellRecord, &Agreement) -> Option<String>;
    let rows: [(&str, bool, Show<'_>); 7] = [
        ("top-1", false, &|_, found| {
            let share = 100.0 * found.top1 as f64 / found.positions.max(1) as f64;
            Some(format!("{} of {} ({share:.1} %)", found.top1, found.positions))
        }),
        ("KL divergence, mean (nats)", false, &|record, found| Some(limited(found.kl_mean, record.must.kl_mean))),
        ("KL divergence, max (nats)", !is_float, &|_, found| Some(format::small(found.kl_max))),
        ("top-5 logit error, max", false, &|record, found| {
            Some(limited(found.top5_logit_error_max, record.must.top5_logit_error_max))
        }),
        ("top-5 logit error, mean", true, &|_, found| Some(format::small(found.top5_logit_error_mean))),
        ("perplexity (of the reference)", true, &|_, found| {
            Some(format!("{:.4} ({:.4})", found.perplexity?, found.perplexity_reference?))
        }),
        ("largest margin lost", true, &|_, found| found.largest_margin_lost.map(format::small)),
    ];
    let mut builder = Builder::new(&format!("Agreement with the {}, all positions", named(reference)), records);
    for (name, detail, show) in rows {
        builder = builder.push(name, detail, |record| show(record, record.agreement_with(reference)?));
    }
    builder.section
}

/// A reference as a reader knows it.
pub(crate) fn named(reference: &str) -> &str {
    if reference == FLOAT { "float model" } else { reference }
}

fn polynomials(records: &[&CellRecord]) -> Section {
    let mut sites: Vec<&String> = Vec::new();
    for polynomial in records.iter().flat_map(|record| &record.polynomials) {
        if !sites.contains(&&polynomial.site) {
            sites.push(&polynomial.site);
        }
    }
    let mut builder = Builder::new("Polynomial degrees, layer by layer", records);
    for site in sites {
        builder = builder.detail(site, |record| {
            let here: Vec<_> = record.polynomials.iter().filter(|polynomial| polynomial.site == *site).collect();
            (!here.is_empty()).then(|| runs(&here.iter().map(|polynomial| polynomial.degree).collect::<Vec<_>>()))
        });
    }
    builder.section
}

/// `31, 63 x 3, 31`: equal neighbours are counted.
fn runs<T: PartialEq + Display>(values: &[T]) -> String {
    let shown = values.chunk_by(|left, right| left == right).map(|run| match run.len() {
        1 => run[0].to_string(),
        times => format!("{} x {times}", run[0]),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn kernels(records: &[&CellRecord]) -> Section {
    let mut builder = Builder::new("Kernels of the server, layers and head", records);
    for (key, title, unit) in KERNELS {
        builder = builder.detail(title, |record| record.kernels.get(key).map(|&value| unit.show(value)));
    }
    for name in others(records, |record| &record.kernels, KERNELS.map(|(key, ..)| key).as_slice()) {
        builder = builder
            .detail(&name.replace('_', " "), |record| record.kernels.get(name).map(|&value| Unit::Times.show(value)));
    }
    builder.section
}

/// Names that records hold beyond the known ones, sorted.
fn others<'a>(
    records: &[&'a CellRecord],
    map: impl Fn(&CellRecord) -> &BTreeMap<String, u64>,
    known: &[&str],
) -> Vec<&'a String> {
    let mut names: Vec<&String> = Vec::new();
    for record in records {
        names.extend(map(record).keys().filter(|name| !known.contains(&name.as_str())));
    }
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_are_counted() {
        assert_eq!(runs(&[31, 63, 63, 31]), "31, 63 x 2, 31");
        assert_eq!(runs::<u64>(&[]), "");
    }

    #[test]
    fn a_metric_that_no_cell_has_leaves_no_row() {
        assert!(Builder::new("nothing", &[]).row("metric", |_| None).section.rows.is_empty());
    }
}
