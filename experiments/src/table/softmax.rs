//! SoftMax of single heads: the rows of a page, and a table with a line per head.

use super::frame::{Row, frame, key_of, push};
use super::metrics::{Builder, Section};
use crate::format;
use crate::record::{CellRecord, SoftmaxOfHeads};
use polars::prelude::DataFrame;

/// The section of a page.
pub(super) fn section(records: &[&CellRecord]) -> Section {
    let of = |show: fn(&SoftmaxOfHeads) -> Option<String>| move |record: &CellRecord| show(record.softmax.as_ref()?);
    let mut builder = Builder::new("SoftMax of single heads", records)
        .row("heads tried", of(|softmax| Some(format!("{} of {}", softmax.heads, softmax.heads_of_model))))
        .row("covered: fitted and within the bound", |record| {
            let softmax = record.softmax.as_ref()?;
            Some(format!("{} ({:.1} %)", softmax.covered, softmax.coverage()))
        })
        .detail("bound of a probability's error", of(|softmax| Some(format::small(softmax.error_bound))))
        .row("fitted, off by more than the bound", of(|softmax| Some((softmax.ran - softmax.covered).to_string())));
    let mut reasons: Vec<&String> = records
        .iter()
        .filter_map(|record| record.softmax.as_ref())
        .flat_map(|softmax| softmax.refusals.keys())
        .collect();
    reasons.sort();
    reasons.dedup();
    for reason in reasons {
        builder = builder.row(&format!("refused: {reason}"), |record| {
            let refusals = &record.softmax.as_ref()?.refusals;
            Some(refusals.get(reason).copied().unwrap_or(0).to_string())
        });
    }
    let mut builder = builder
        .row("error of a probability, largest", of(|softmax| softmax.error_max.map(error)))
        .row("median over the heads of their largest", of(|softmax| softmax.error_median.map(error)))
        .row("error of a probability, mean", of(|softmax| softmax.error_mean.map(error)))
        .row("levels, scores to probabilities", of(|softmax| Some(between(softmax.levels))))
        .row("levels left for sums over keys", of(|softmax| Some(between(softmax.crossing_levels))))
        .row("products per ciphertext of scores", of(|softmax| Some(format!("{:.1}", softmax.products_per_ciphertext))))
        .detail(
            "products with plaintexts per ciphertext",
            of(|softmax| Some(format!("{:.1}", softmax.plaintext_products_per_ciphertext))),
        )
        .row("half bootstraps of a head's sums", of(|softmax| Some(format!("{:.1}", softmax.half_bootstraps))))
        .row("a head, these half bootstraps included", of(|softmax| softmax.seconds.map(format::seconds)));
    let mut devices: Vec<&String> = Vec::new();
    let predicted = records.iter().filter_map(|record| record.softmax.as_ref()).flat_map(|softmax| &softmax.predicted);
    for predicted in predicted {
        if !devices.contains(&&predicted.device) {
            devices.push(&predicted.device);
        }
    }
    for device in devices {
        builder = builder.row(&format!("of a head, predicted for {device}"), |record| {
            let predicted = &record.softmax.as_ref()?.predicted;
            Some(format::seconds(predicted.iter().find(|predicted| predicted.device == *device)?.seconds))
        });
    }
    builder.section
}

/// `3.6e-6 (2^-18.1)`.
fn error(value: f64) -> String {
    if value.is_finite() { format!("{} (2^{:.1})", format::small(value), value.log2()) } else { "infinite".into() }
}

fn between([fewest, most]: [usize; 2]) -> String {
    if fewest == most { most.to_string() } else { format!("{fewest} to {most}") }
}

/// One row per head that was tried.
pub(super) fn heads(records: &[&CellRecord]) -> Result<DataFrame, String> {
    let rows = records.iter().filter_map(|record| Some((record, record.softmax.as_ref()?)));
    let rows = rows.flat_map(|(record, softmax)| {
        softmax.by_head.iter().map(|head| {
            let mut row: Row = key_of(record);
            for key in ["softmax.variant", "softmax.rounds", "engine.noise"] {
                push(&mut row, key, record.config.get(key).map(super::frame::Scalar::from));
            }
            push(&mut row, "layer", head.layer);
            push(&mut row, "head", head.head);
            push(&mut row, "half_width", head.half_width);
            push(&mut row, "denominator_log_width", head.denominator_log_width);
            push(&mut row, "refusal", head.refusal.as_deref());
            let degrees: Vec<String> = head.degrees.iter().map(usize::to_string).collect();
            push(&mut row, "degrees", (!degrees.is_empty()).then(|| degrees.join(" ")).as_deref());
            push(&mut row, "error_max", head.error_max);
            push(&mut row, "error_mean", head.error_mean);
            row
        })
    });
    frame(rows.collect())
}

/// The columns of a cell.
pub(super) fn push_cell(row: &mut Row, softmax: &SoftmaxOfHeads) {
    push(row, "softmax.error_bound", softmax.error_bound);
    push(row, "softmax.heads_of_model", softmax.heads_of_model);
    push(row, "softmax.heads_tried", softmax.heads);
    push(row, "softmax.ran", softmax.ran);
    push(row, "softmax.covered", softmax.covered);
    push(row, "softmax.coverage_per_cent", softmax.coverage());
    for (reason, count) in &softmax.refusals {
        push(row, &format!("softmax.refused.{}", reason.replace(' ', "_")), *count);
    }
    push(row, "softmax.error_max", softmax.error_max);
    push(row, "softmax.error_median", softmax.error_median);
    push(row, "softmax.error_mean", softmax.error_mean);
    push(row, "softmax.levels_most", softmax.levels[1]);
    push(row, "softmax.crossing_levels_most", softmax.crossing_levels[1]);
    push(row, "softmax.ciphertexts", softmax.ciphertexts);
    push(row, "softmax.products_per_ciphertext", softmax.products_per_ciphertext);
    push(row, "softmax.plaintext_products_per_ciphertext", softmax.plaintext_products_per_ciphertext);
    push(row, "softmax.half_bootstraps", softmax.half_bootstraps);
    push(row, "softmax.seconds", softmax.seconds);
    for predicted in &softmax.predicted {
        push(row, &format!("softmax.predicted_seconds.{}", predicted.device), predicted.seconds);
    }
}
