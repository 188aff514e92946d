//! A suite's summary as a LaTeX table, to be put into a paper by `\input`.

use super::grid::Grid;
use super::sweep;
use crate::record::CellRecord;
use std::fmt::Write;

/// The file of a suite: one table with a row for each cell.
pub(super) fn file(suite: &str, records: &[&CellRecord]) -> String {
    let question = records.last().map(|record| record.question.as_str()).unwrap_or_default();
    let source = format!("{suite}.jsonl");
    head(&source, "fhe-llama tables") + &table(suite, question, &sweep::summary(records, true))
}

/// What the file was derived from and what it needs.
pub(super) fn head(source: &str, command: &str) -> String {
    format!("% Derived from {source} by {command}; do not edit. Needs \\usepackage{{booktabs}}.\n")
}

/// A floating table with its caption above it.
pub(super) fn table(label: &str, caption: &str, grid: &Grid) -> String {
    let mut text = String::from("\\begin{table}\n  \\centering\n");
    let _ = writeln!(text, "  \\caption{{{}}}", escaped(caption));
    let _ = writeln!(text, "  \\label{{tab:{label}}}");
    text + &grid.latex() + "\\end{table}\n"
}

/// A text in which nothing is a command. Numbers with an exponent are set as powers of ten.
pub(super) fn escaped(text: &str) -> String {
    if let Some((mantissa, exponent)) = power_of_ten(text) {
        return format!("${mantissa}\\times10^{{{exponent}}}$");
    }
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', character]),
            '\\' => escaped += "\\textbackslash{}",
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            '<' => escaped += "\\textless{}",
            '>' => escaped += "\\textgreater{}",
            '|' => escaped += "\\textbar{}",
            '"' => escaped += "\\textquotedbl{}",
            '≤' => escaped += "$\\le$",
            '×' => escaped += "$\\times$",
            '−' => escaped += "$-$",
            'µ' => escaped += "\\textmu{}",
            '…' => escaped += "\\ldots{}",
            '\n' => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

/// `3.6e-6` as `3.6` and `-6`.
fn power_of_ten(text: &str) -> Option<(&str, i32)> {
    let (mantissa, exponent) = text.split_once('e')?;
    let digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-'));
    (digits(mantissa) && mantissa.parse::<f64>().is_ok()).then_some(())?;
    Some((mantissa, exponent.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_a_command() {
        assert_eq!(escaped("weight_bits & 50 %"), "weight\\_bits \\& 50 \\%");
        assert_eq!(escaped("<|endoftext|>"), "\\textless{}\\textbar{}endoftext\\textbar{}\\textgreater{}");
        assert_eq!(
            escaped("\\input{x}^~#$"),
            "\\textbackslash{}input\\{x\\}\\textasciicircum{}\\textasciitilde{}\\#\\$"
        );
    }

    #[test]
    fn exponents_become_powers() {
        assert_eq!(escaped("3.6e-6"), "$3.6\\times10^{-6}$");
        for word in ["e", "1e", "e5", "encrypted", "feed5e", "1.2.3e4"] {
            assert_eq!(escaped(word), word);
        }
    }
}
