//! Numbers that a claim quotes in words which say what they are, so that they can be found in records again.
//!
//! `top-1 117 of 117`, `932 half bootstraps`, `KL 4.8e-6 mean and 3.2e-5 max`, `perplexity 34.702 beside 34.700`. A number in other words is
//! left to the reader: better not looked at than taken for something else.

use crate::record::{Agreement, CellRecord};
use std::fmt;

/// What a number is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    Top1,
    HalfBootstraps,
    KlMean,
    KlMax,
    Perplexity,
}

/// A number as a claim quotes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quoted {
    quantity: Quantity,
    /// As it is written, and what it is of or beside.
    value: String,
    other: Option<String>,
}

/// All numbers of a text that are understood.
pub(super) fn numbers(text: &str) -> Vec<Quoted> {
    let words: Vec<&str> = text.split_whitespace().map(bare).collect();
    let mut quoted = Vec::new();
    for index in 0..words.len() {
        let of = |quantity, value: &str, other: Option<&str>| Quoted {
            quantity,
            value: value.into(),
            other: other.map(str::to_owned),
        };
        match &words[index..] {
            ["top-1", agreeing, "of", all, ..] if is_number(agreeing) && is_number(all) => {
                quoted.push(of(Quantity::Top1, agreeing, Some(all)));
            }
            [count, "half", "bootstraps", ..] if is_number(count) => {
                quoted.push(of(Quantity::HalfBootstraps, count, None));
            }
            ["KL", max, "max", ..] if is_number(max) => quoted.push(of(Quantity::KlMax, max, None)),
            ["KL", mean, rest @ ..] if is_number(mean) => {
                quoted.push(of(Quantity::KlMean, mean, None));
                let rest = rest.strip_prefix(&["mean"]).unwrap_or(rest);
                let rest = rest.strip_prefix(&["and"]).unwrap_or(rest);
                if let [max, "max", ..] = rest
                    && is_number(max)
                {
                    quoted.push(of(Quantity::KlMax, max, None));
                }
            }
            ["perplexity", found, "beside", reference, ..] if is_number(found) && is_number(reference) => {
                quoted.push(of(Quantity::Perplexity, found, Some(reference)));
            }
            _ => {}
        }
    }
    quoted
}

/// A word without the punctuation around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| matches!(c, ',' | ';' | ':' | '(' | ')')).trim_end_matches('.')
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && number(word).is_some()
}

fn number(word: &str) -> Option<f64> {
    word.replace(',', "").parse().ok()
}

/// Whether a value is what was written, to as many digits as were written.
fn rounds_to(value: f64, written: &str) -> bool {
    let mantissa = written.split('e').next().unwrap_or(written);
    let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let rounded = if written.contains('e') { format!("{value:.decimals$e}") } else { format!("{value:.decimals$}") };
    rounded.parse().ok() == number(written)
}

impl Quoted {
    /// Whether some record holds the number; `None` where there are no records to look at.
    pub(super) fn found_in(&self, records: &[CellRecord]) -> Option<bool> {
        (!records.is_empty()).then(|| records.iter().any(|record| self.is_of(record)))
    }

    fn is_of(&self, record: &CellRecord) -> bool {
        let is = |value: f64| rounds_to(value, &self.value);
        let other_is = |value: f64| self.other.as_deref().is_some_and(|other| rounds_to(value, other));
        let any = |holds: &dyn Fn(&Agreement) -> bool| record.agreement.iter().any(holds);
        match self.quantity {
            Quantity::Top1 => any(&|found| is(found.top1 as f64) && other_is(found.positions as f64)),
            Quantity::KlMean => any(&|found| is(found.kl_mean)),
            Quantity::KlMax => any(&|found| is(found.kl_max)),
            Quantity::Perplexity => {
                any(&|found| found.perplexity.is_some_and(is) && found.perplexity_reference.is_some_and(other_is))
            }
            Quantity::HalfBootstraps => {
                let by_layer = record.predicted.iter().flat_map(|predicted| &predicted.half_bootstraps_by_layer);
                let whole = record.counts.get("half_bootstraps");
                // Of a prompt, and of the tokens behind it.
                let generated = record.generation.iter().flat_map(|generation| {
                    [&generation.prompt].into_iter().chain(generation.steps()).map(|effort| &effort.half_bootstraps)
                });
                by_layer.chain(whole).chain(generated).any(|&count| is(count as f64))
            }
        }
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, other, .. } = self;
        let other = other.as_deref().unwrap_or_default();
        match self.quantity {
            Quantity::Top1 => write!(f, "top-1 {value} of {other}"),
            Quantity::HalfBootstraps => write!(f, "{value} half bootstraps"),
            Quantity::KlMean => write!(f, "KL {value} mean"),
            Quantity::KlMax => write!(f, "KL {value} max"),
            Quantity::Perplexity => write!(f, "perplexity {value} beside {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_the_words_around_them() {
        let text = "top-1 117 of 117, KL 4e-6 mean and 2e-5 max, 3,304 half bootstraps (perplexity 34.702 beside 34.700); KL at most 1; KL 3e-5 max";
        let found: Vec<String> = numbers(text).iter().map(ToString::to_string).collect();
        let expected = [
            "top-1 117 of 117",
            "KL 4e-6 mean",
            "KL 2e-5 max",
            "3,304 half bootstraps",
            "perplexity 34.702 beside 34.700",
            "KL 3e-5 max",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_number_is_held_to_the_digits_that_are_written() {
        assert!(rounds_to(4.27e-6, "4e-6") && rounds_to(4.27e-6, "4.3e-6") && !rounds_to(4.27e-6, "4.2e-6"));
        assert!(rounds_to(34.7021, "34.702") && !rounds_to(34.7021, "34.7020001"));
        assert!(rounds_to(3304.0, "3,304"));
    }
}
