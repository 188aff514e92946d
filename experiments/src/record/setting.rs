//! The settings in which records differ: what a sweep varied, whatever its spec looked like.

use super::CellRecord;
use serde_json::Value;
use std::fmt;

/// A path or list longer than this is shown from its end.
const LONG: usize = 28;

/// What a record holds at a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// Nothing: the setting was left at its default, or does not apply.
    LeftOut,
    /// This value.
    Is(Value),
}

impl Choice {
    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        if let Self::Is(value) = self { value.as_f64() } else { None }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut => f.write_str("default"),
            Self::Is(Value::String(text)) => f.write_str(text),
            Self::Is(value) => write!(f, "{value}"),
        }
    }
}

/// A setting that is not the same in all records.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its dotted key, or a word for what is no setting of a spec: `machine`, `repetition`.
    pub key: String,
    /// What each record holds, in their order.
    pub choices: Vec<Choice>,
}

impl Setting {
    /// The last part of the key.
    pub fn name(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or(&self.key)
    }

    /// The different choices, numbers by size and all else in the order of the records.
    pub fn distinct(&self) -> Vec<&Choice> {
        let mut distinct: Vec<&Choice> = Vec::new();
        for choice in &self.choices {
            if !distinct.contains(&choice) {
                distinct.push(choice);
            }
        }
        if self.is_numeric() {
            let size = |choice: &Choice| choice.number().unwrap_or(f64::NEG_INFINITY);
            distinct.sort_by(|left, right| size(left).total_cmp(&size(right)));
        }
        distinct
    }

    /// Whether its choices are numbers, at least two of them, with or without records that leave it out. A seed is
    /// none: a larger one is not more of anything.
    pub fn is_numeric(&self) -> bool {
        let numbers = |choice: &&Choice| choice.number().is_some();
        let first = self.choices.iter().find(numbers);
        let others = self.choices.iter().filter(numbers).any(|choice| Some(choice) != first);
        let all = self.choices.iter().all(|choice| *choice == Choice::LeftOut || choice.number().is_some());
        others && all && self.key != "engine.seed"
    }

    /// Each record's choice in few words: of long ones the end, as long as that tells them apart.
    pub fn labels(&self) -> Vec<String> {
        let short = |choice: &Choice| {
            let whole = choice.to_string();
            let last = whole.rsplit('/').next().unwrap_or(&whole);
            let skipped = last.chars().count().saturating_sub(LONG);
            if skipped == 0 {
                last.into()
            } else {
                format!("…{}", last.chars().skip(skipped + 1).collect::<String>())
            }
        };
        let distinct = self.distinct();
        let mut shortened: Vec<String> = distinct.iter().map(|choice| short(choice)).collect();
        shortened.sort();
        shortened.dedup();
        let tell_apart = shortened.len() == distinct.len();
        self.choices.iter().map(|choice| if tell_apart { short(choice) } else { choice.to_string() }).collect()
    }

    /// Whether records that agree in this setting agree in the other one, too.
    pub fn determines(&self, other: &Self) -> bool {
        let pairs = || self.choices.iter().zip(&other.choices);
        pairs().all(|(this, that)| pairs().all(|(also, then)| this != also || that == then))
    }
}

/// The settings in which records differ, by key; behind them the machine where the same configuration ran on several.
/// Repetitions are not told apart.
pub fn varied(records: &[&CellRecord]) -> Vec<Setting> {
    let mut keys: Vec<&String> = records.iter().flat_map(|record| record.config.keys()).collect();
    keys.sort();
    keys.dedup();
    let choice = |record: &CellRecord, key: &str| record.config.get(key).map_or(Choice::LeftOut, choice_of);
    let mut settings: Vec<Setting> = keys
        .into_iter()
        .map(|key| Setting { key: key.clone(), choices: records.iter().map(|record| choice(record, key)).collect() })
        .filter(differs)
        .collect();
    let class = |record: &CellRecord| record.provenance.machine.class();
    let moved = |record: &CellRecord| {
        records.iter().any(|other| other.config == record.config && class(other) != class(record))
    };
    if records.iter().any(|record| moved(record)) {
        let names = records.iter().map(|record| Choice::Is(record.provenance.machine.name().into()));
        settings.push(Setting { key: "machine".into(), choices: names.collect() });
    }
    settings
}

/// What settings are called among each other: the last parts of their keys, as long as those differ.
pub fn short_names(settings: &[&Setting]) -> Vec<String> {
    let alone = |setting: &Setting| settings.iter().filter(|other| other.name() == setting.name()).count() == 1;
    let name = |setting: &&Setting| if alone(setting) { setting.name() } else { &setting.key }.to_string();
    settings.iter().map(name).collect()
}

/// Which repetition each record is, where there are several.
pub fn repetitions(records: &[&CellRecord]) -> Option<Setting> {
    let choices = records.iter().map(|record| Choice::Is(record.repetition.into()));
    Some(Setting { key: "repetition".into(), choices: choices.collect() }).filter(differs)
}

fn differs(setting: &Setting) -> bool {
    setting.choices.iter().any(|choice| Some(choice) != setting.choices.first())
}

/// A key that holds `null` says no more than one that is not there.
fn choice_of(value: &Value) -> Choice {
    if value.is_null() { Choice::LeftOut } else { Choice::Is(value.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn setting(key: &str, values: &[Value]) -> Setting {
        Setting { key: key.into(), choices: values.iter().map(choice_of).collect() }
    }

    #[test]
    fn numbers_are_put_in_order_behind_what_was_left_out() {
        let bits = setting("engine.weight_bits", &[json!(11), json!(null), json!(9)]);
        assert!(bits.is_numeric());
        assert_eq!(bits.distinct().iter().map(ToString::to_string).collect::<Vec<_>>(), ["default", "9", "11"]);
        assert!(!setting("engine.weight_bits", &[json!(9), json!(null)]).is_numeric(), "one number is no axis");
        assert!(!setting("engine.seed", &[json!(1), json!(2)]).is_numeric());
        assert!(!setting("model.path", &[json!("a"), json!(1), json!(2)]).is_numeric());
    }

    #[test]
    fn labels_are_short_as_long_as_they_tell_choices_apart() {
        let texts = setting("input.prompts", &[json!("suites/one.txt"), json!("suites/two.txt")]);
        assert_eq!(texts.labels(), ["one.txt", "two.txt"]);
        let models = setting("model.path", &[json!("a/model"), json!("b/model")]);
        assert_eq!(models.labels(), ["a/model", "b/model"]);
        let long = setting("input.prompts", &[json!("x".repeat(40)), json!(null)]);
        assert_eq!(long.labels(), [format!("…{}", "x".repeat(LONG - 1)), "default".into()]);
    }

    #[test]
    fn names_are_short_as_long_as_they_differ() {
        let [path, text, rounds] = ["model.path", "text.path", "softmax.rounds"].map(|key| setting(key, &[]));
        assert_eq!(short_names(&[&path, &rounds]), ["path", "rounds"]);
        assert_eq!(short_names(&[&path, &text, &rounds]), ["model.path", "text.path", "rounds"]);
    }

    #[test]
    fn a_setting_determines_what_it_is_always_seen_with() {
        let size = setting("input.block_tokens", &[json!(8), json!(16), json!(32)]);
        let large = setting("mitigation.prepend", &[json!(false), json!(false), json!(true)]);
        assert!(size.determines(&large) && !large.determines(&size));
    }
}
