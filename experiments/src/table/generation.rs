//! Generated tokens: the rows of a page, and a table with a line per token.

use super::grid::{Grid, Side};
use super::metrics::{Builder, Section};
use crate::format;
use crate::record::{CellRecord, GeneratedToken, GenerationOutcome, StepEffort};

/// The section of a page.
pub(super) fn section(records: &[&CellRecord]) -> Section {
    let of =
        |show: fn(&GenerationOutcome) -> Option<String>| move |record: &CellRecord| show(record.generation.as_ref()?);
    let mut builder = Builder::new("Generated tokens", records)
        .row("text", of(|generation| Some(format!("`{}`", super::visible(&generation.text)))))
        .row(
            "float's choices",
            of(|generation| Some(format!("{} of {}", generation.agreeing(), generation.tokens.len()))),
        )
        .row(
            "largest lead lost",
            of(|generation| {
                let lost = generation.tokens.iter().filter(|token| !token.agrees()).map(|token| token.float_margin);
                Some(format::small(lost.fold(0.0, f64::max)))
            }),
        )
        .row("KL divergence from float, largest (nats)", of(|generation| largest(generation, |token| Some(token.kl))))
        .row("top-5 logit error, largest", of(|generation| largest(generation, |token| Some(token.logit_error))))
        .row(
            "KL divergence from the clear circuit, largest (nats)",
            of(|generation| largest(generation, |token| token.kl_from_clear)),
        )
        .row("half bootstraps of the prompt", of(|generation| Some(generation.prompt.half_bootstraps.to_string())))
        .row("half bootstraps of a token", |record| {
            let measured = record
                .generation
                .as_ref()
                .and_then(|generation| generation.step_mean(|step| step.half_bootstraps as f64));
            let planned = || Some(record.predicted.as_ref()?.step.as_ref()?.half_bootstraps as f64);
            Some(format!("{:.0}", measured.or_else(planned)?))
        })
        .row("server's time for the prompt", of(|generation| Some(format::seconds(generation.prompt.server_seconds()))))
        .row(
            "server's time for a token, mean",
            of(|generation| generation.step_mean(StepEffort::server_seconds).map(format::seconds)),
        )
        .row(
            "a token over its prompt",
            of(|generation| {
                let token = generation.step_mean(StepEffort::server_seconds)?;
                Some(format!("{:.3}", token / generation.prompt.server_seconds()))
            }),
        )
        .row("left the calibrated ranges", of(|generation| generation.left_ranges.clone()));
    let predicted = |record: &CellRecord| record.predicted.as_ref()?.step.clone();
    let mut devices: Vec<String> = Vec::new();
    for step in records.iter().filter_map(|record| predicted(record)) {
        for device in step.seconds {
            if !devices.contains(&device.device) {
                devices.push(device.device);
            }
        }
    }
    for device in devices {
        builder = builder.row(&format!("a token on {device}, predicted"), |record| {
            let seconds = predicted(record)?.seconds;
            Some(format::seconds(seconds.iter().find(|seconds| seconds.device == device)?.seconds))
        });
    }
    builder.section
}

fn largest(generation: &GenerationOutcome, quantity: impl Fn(&GeneratedToken) -> Option<f64>) -> Option<String> {
    generation.tokens.iter().filter_map(quantity).reduce(f64::max).map(format::small)
}

/// Every token, if the record holds any.
pub(crate) fn tokens(record: &CellRecord) -> Option<Grid> {
    let generation = record.generation.as_ref()?;
    let right = ["lead in float", "KL", "top-5 error", "half bootstraps", "server", "client"];
    let left = ["token", "float's"].map(|name| (name, Side::Left));
    let mut grid = Grid::new([("", Side::Right)].into_iter().chain(left).chain(right.map(|name| (name, Side::Right))));
    for (number, token) in generation.tokens.iter().enumerate() {
        let effort = |show: fn(&StepEffort) -> String| token.effort.as_ref().map_or("-".into(), show);
        grid.row([
            (number + 1).to_string(),
            format!("`{}`", super::visible(&token.text)),
            format!("`{}`", super::visible(&token.float_text)),
            format::small(token.float_margin),
            format::small(token.kl),
            format::small(token.logit_error),
            effort(|step| step.half_bootstraps.to_string()),
            effort(|step| format::seconds(step.server_seconds())),
            effort(|step| format::seconds(step.seconds.client)),
        ]);
    }
    Some(grid)
}
