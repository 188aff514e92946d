//! The line that makes a record again.

use crate::command_line::{PROGRAM, word};
use crate::record::CellRecord;
use crate::spec::arguments;

/// `fhe-llama run SPEC ...` for exactly the record's cell; `None` where the spec does not lead there any more.
pub(super) fn of_record(record: &CellRecord, spec: &str) -> Option<String> {
    let changes = arguments(spec, &record.config, record.repetition)?;
    let (mode, settings): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.key() == "mode");
    // The mode has an argument of its own.
    let mode = mode.iter().map(|_| format!("--mode {}", record.mode));
    let settings = settings.iter().map(|change| format!("--set {}", word(&change.to_string())));
    Some([of_suite(&record.suite)].into_iter().chain(mode).chain(settings).collect::<Vec<_>>().join(" "))
}

/// `fhe-llama run SPEC`: all cells of a suite.
pub(super) fn of_suite(suite: &str) -> String {
    format!("{PROGRAM} run experiments/suites/{suite}.toml")
}

/// `fhe-llama compare SPEC`: the table and the chart of a comparison.
pub(super) fn of_comparison(suite: &str) -> String {
    format!("{PROGRAM} compare experiments/suites/{suite}.toml")
}
