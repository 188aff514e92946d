//! What stands in the journals now beside a baseline: metric by metric, with how much worse it may be.

use super::{Baseline, BaselineCell, Finding, Metrics, Outcome, Thresholds, results};
use crate::error::HarnessError;
use crate::format;
use crate::journal::Journal;
use crate::record::{CellRecord, Status, standing};
use crate::table;
use crate::workspace::Workspace;
use std::path::Path;

/// One cell of a baseline beside what is recorded now.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression {
    /// The suite.
    pub suite: String,
    /// The cell, as the baseline names it.
    pub name: String,
    /// Every metric that the baseline has.
    pub changes: Vec<Change>,
}

/// One metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its name.
    pub metric: String,
    /// The baseline's value, for people.
    pub baseline: String,
    /// What is recorded now, for people.
    pub now: String,
    /// How much worse it may be, for people.
    pub allowed: String,
    /// Whether it is worse than that.
    pub is_regression: bool,
}

pub(super) fn check(workspace: &Workspace, path: &Path, outcome: &mut Outcome) -> Result<(), HarnessError> {
    let baseline = Baseline::load(workspace, path)?;
    let mut metrics = 0;
    for (number, cell) in (1..).zip(&baseline.cells) {
        let place = format!("{}, cell {number} ({}, {})", path.display(), cell.suite, cell.name);
        let again =
            format!("run it again: `fhe-llama run {}`", results::shown(workspace, &workspace.suite_spec(&cell.suite)));
        // A journal that cannot be read has been named already, line by line.
        let records = Journal::of(workspace, &cell.suite).read().map(|contents| contents.records).unwrap_or_default();
        let Some(now) = record_of(cell, &records) else {
            let problem = format!("no record of this configuration on `{}`", cell.machine_class);
            outcome.findings.push(Finding::new(place, problem, again));
            continue;
        };
        if now.status != Status::Ok {
            let reason = now.reason.as_deref().unwrap_or("no reason given");
            let problem = format!("it was ok and ended as {} on {}: {reason}", now.status, now.provenance.started_at);
            outcome.findings.push(Finding::new(place, problem, again));
            continue;
        }
        let changes = changes(&cell.metrics, &Metrics::of(now), &baseline.thresholds);
        metrics += changes.len();
        for change in changes.iter().filter(|change| change.is_regression) {
            let Change { metric, baseline, now: found, allowed, .. } = change;
            let problem =
                format!("{metric}: {found} (record {}), the baseline has {baseline}, allowed: {allowed}", now.identity);
            let remedy = "find what made it worse, or accept it with `fhe-llama check --record`";
            outcome.findings.push(Finding::new(&place, problem, remedy));
        }
        outcome.regressions.push(Regression { suite: cell.suite.clone(), name: cell.name.clone(), changes });
    }
    outcome.looked_at.push(format!("{}: {} cells, {metrics} metrics", path.display(), baseline.cells.len()));
    Ok(())
}

fn record_of<'a>(cell: &BaselineCell, records: &'a [CellRecord]) -> Option<&'a CellRecord> {
    let is_same = |record: &&CellRecord| {
        record.config_hash == cell.config_hash && record.provenance.machine.class() == cell.machine_class
    };
    standing(records)
        .into_iter()
        .filter(is_same)
        .max_by(|left, right| left.provenance.started_at.cmp(&right.provenance.started_at))
}

fn changes(before: &Metrics, now: &Metrics, limits: &Thresholds) -> Vec<Change> {
    let float = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    let bytes = |value: f64| format::bytes(value as u64);
    let whole = |value: f64| format::count(value as u64);
    let mut changes = vec![
        Metric::new("layers and head", before.layers_and_head_seconds, now.layers_and_head_seconds, &format::seconds)
            .at_most_times(limits.time_ratio),
        Metric::new("half bootstraps", float(before.half_bootstraps), float(now.half_bootstraps), &whole)
            .at_most_more(limits.half_bootstraps as f64),
        Metric::new("peak memory", float(before.peak_memory_bytes), float(now.peak_memory_bytes), &bytes)
            .at_most_times(limits.memory_ratio),
        Metric::new("keys", float(before.key_bytes), float(now.key_bytes), &bytes)
            .at_most_times(limits.key_bytes_ratio),
    ];
    for (reference, &bits) in &before.logit_error_bits {
        let name = format!("logit error against the {}, bits", table::named(reference));
        let found = now.logit_error_bits.get(reference).copied();
        changes.push(Metric::new(&name, Some(bits), found, &format::bits).at_most_more(limits.error_bits));
    }
    changes.into_iter().flatten().collect()
}

/// A metric and how to show it.
struct Metric<'a> {
    name: &'a str,
    before: Option<f64>,
    now: Option<f64>,
    shown: &'a dyn Fn(f64) -> String,
}

impl<'a> Metric<'a> {
    fn new(name: &'a str, before: Option<f64>, now: Option<f64>, shown: &'a dyn Fn(f64) -> String) -> Self {
        Self { name, before, now, shown }
    }

    fn at_most_times(self, ratio: f64) -> Option<Change> {
        let allowed = format!("at most {ratio} times that");
        self.change(|before| before * ratio, allowed)
    }

    fn at_most_more(self, rise: f64) -> Option<Change> {
        let allowed = if rise == 0.0 { "no more".into() } else { format!("at most {rise} more") };
        self.change(|before| before + rise, allowed)
    }

    /// What the baseline does not have is not compared; what it has and the record lacks is a regression.
    fn change(self, limit: impl Fn(f64) -> f64, allowed: String) -> Option<Change> {
        let before = self.before?;
        Some(Change {
            metric: self.name.into(),
            baseline: (self.shown)(before),
            now: self.now.map_or("nothing".into(), self.shown),
            allowed,
            // A value that is not a number keeps no limit.
            is_regression: self.now.is_none_or(|now| now.is_nan() || now > limit(before)),
        })
    }
}
