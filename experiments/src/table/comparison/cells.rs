//! The texts of one line of a comparison.

use crate::comparison::{Basis, Comparison, Entry, Measurement, Operation};
use crate::format;
use std::fmt::Write;

/// Share of the time in which others waited for a processor, from where on a time counts as disturbed.
const DISTURBED: f64 = 0.1;

/// A line's texts.
#[derive(Default)]
pub(super) struct Cells {
    /// Who was timed.
    pub(super) library: String,
    parameters: String,
    threads: String,
    measured: String,
    predicted: String,
    reported: String,
    times_ours: String,
    bits: String,
    levels: String,
    memory: String,
    remark: String,
    /// Whether other work disturbed the time.
    pub(super) disturbed: bool,
    /// Why there is no time.
    pub(super) missing: Option<String>,
}

impl Cells {
    /// The texts of an entry; a time is given in the operation's unit, in the column of its kind.
    pub(super) fn of(comparison: &Comparison, operation: &Operation, entry: &Entry) -> Self {
        let time = |seconds: f64| format::significant(seconds * operation.unit.per_second(), 3);
        let named = |row: &Measurement| format!("{} {}", comparison.spec.label(&row.library), row.version);
        match entry {
            Entry::Measured { row, each, times_ours } => Self {
                library: named(row),
                parameters: parameters(row),
                threads: row.threads.to_string(),
                measured: match row.runs {
                    Some(1) => time(each.median),
                    _ => format!("{} ({} to {})", time(each.median), time(each.min), time(each.max)),
                },
                disturbed: disturbance(row).is_some(),
                times_ours: times_ours.map_or(String::new(), |ratio| format::significant(ratio, 2)),
                bits: row.bits.map_or(String::new(), |bits| {
                    format!("{} / {}", format::bits(bits.mean), format::bits(bits.worst))
                }),
                levels: match (row.levels_left, row.level_bits) {
                    (Some(levels), Some(bits)) => format!("{levels} x {bits:.0} bits"),
                    (Some(levels), None) => levels.to_string(),
                    _ => String::new(),
                },
                memory: memory(row),
                remark: remark(row),
                ..Self::default()
            },
            Entry::Predicted { row, seconds } => Self {
                library: named(row),
                parameters: parameters(row),
                threads: row.threads.to_string(),
                predicted: time(*seconds),
                remark: row.note.clone(),
                ..Self::default()
            },
            Entry::Reported(reported) => {
                let note = if reported.note.is_empty() { String::new() } else { format!("; {}", reported.note) };
                Self {
                    library: format!("{}, {}", reported.system, reported.hardware),
                    parameters: reported.parameters.clone(),
                    reported: time(reported.seconds),
                    remark: format!("{}, {}{note}", reported.confidence, reported.source),
                    ..Self::default()
                }
            }
            Entry::Missing { library, basis, threads, parameters, reason } => {
                let mut cells = Self {
                    library: comparison.spec.label(library).to_string(),
                    parameters: parameters.clone(),
                    threads: threads.map_or(String::new(), |threads| threads.to_string()),
                    remark: reason.clone(),
                    missing: Some(reason.clone()),
                    ..Self::default()
                };
                match basis {
                    Basis::Measured => cells.measured = "not measured".into(),
                    Basis::Predicted => cells.predicted = "not predicted".into(),
                }
                cells
            }
        }
    }

    /// The texts in the order of the columns; memory, parameters and remark only where there is room for them.
    pub(super) fn shown(self, whole: bool) -> Vec<String> {
        let numbers = [self.measured, self.predicted, self.reported, self.times_ours, self.bits, self.levels];
        let start = [self.library, self.threads].into_iter().chain(numbers);
        if whole { start.chain([self.memory, self.parameters, self.remark]).collect() } else { start.collect() }
    }
}

fn parameters(row: &Measurement) -> String {
    let mut text = row.parameters.clone();
    if let Some(limbs) = row.limbs.filter(|limbs| *limbs > 1) {
        let _ = write!(text, ", {limbs} limbs");
    }
    if let Some(bits) = row.modulus_bits {
        let _ = write!(text, ", modulus of {bits:.0} bits");
    }
    text
}

fn memory(row: &Measurement) -> String {
    let named = [("", row.memory_bytes), ("keys ", row.key_bytes), ("tables ", row.table_bytes)];
    let known = named.into_iter().filter_map(|(name, bytes)| Some(format!("{name}{}", format::bytes(bytes?))));
    known.collect::<Vec<_>>().join(", ")
}

fn remark(row: &Measurement) -> String {
    let mut facts = Vec::new();
    facts.extend(row.runs.map(|runs| if runs == 1 { "one run".into() } else { format!("{runs} runs") }));
    facts.extend((row.batch > 1).then(|| format!("each of {}", row.batch)));
    facts.extend((!row.note.is_empty()).then(|| row.note.clone()));
    facts.extend(disturbance(row).map(|share| {
        let processor =
            row.processor_seconds.map(|seconds| format!(", {} of processor time", format::seconds(seconds)));
        format!("DISTURBED by other work {:.0} % of the time{}", 100.0 * share, processor.unwrap_or_default())
    }));
    facts.join("; ")
}

/// The share of the time that others waited for a processor, where it is too large to be overlooked.
fn disturbance(row: &Measurement) -> Option<f64> {
    row.waiting_share.filter(|share| *share > DISTURBED)
}
