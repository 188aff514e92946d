//! The line that makes a record again.

use crate::record::CellRecord;
use crate::spec::arguments;

/// What is typed before a command of this program.
const PROGRAM: &str = "fhe-llama";

/// `fhe-llama run SPEC ...` for exactly the record's cell; `None` where the spec does not lead there any more.
pub(super) fn of_record(record: &CellRecord, spec: &str) -> Option<String> {
    let changes = arguments(spec, &record.config, record.repetition)?;
    let (mode, settings): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.key() == "mode");
    // The mode has an argument of its own.
    let mode = mode.iter().map(|_| format!("--mode {}", record.mode));
    let settings = settings.iter().map(|change| format!("--set {}", quoted(&change.to_string())));
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

/// A word as a POSIX shell reads it: in single quotes unless no character of it means anything there.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-./=:,@%+".contains(character);
    if word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_shell_reads_one_word() {
        assert_eq!(quoted("engine.threads=2"), "engine.threads=2");
        assert_eq!(quoted("mitigation.prefix=<|endoftext|>"), "'mitigation.prefix=<|endoftext|>'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
