//! Which keys a spec may hold, and the closest one to a key it may not.
//!
//! The names come from the Rust types themselves, so that a field added to a section is known everywhere at once.

use super::load::SpecFile;
use super::{
    AttentionSection, ContextSection, EngineSection, GenerationSection, InputSection, LimitsSection, MitigationSection,
    ModelSection, Must, SoftmaxSection,
};
use crate::error::HarnessError;
use serde::de::value::Error as CapturedError;
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;
use toml::{Table, Value};

/// The tables of a spec and the keys each may hold.
fn sections() -> [(&'static str, &'static [&'static str]); 11] {
    [
        ("model", names_of::<ModelSection>()),
        ("input", names_of::<InputSection>()),
        ("context", names_of::<ContextSection>()),
        ("mitigation", names_of::<MitigationSection>()),
        ("softmax", names_of::<SoftmaxSection>()),
        ("attention", names_of::<AttentionSection>()),
        ("generation", names_of::<GenerationSection>()),
        ("engine", names_of::<EngineSection>()),
        ("limits", names_of::<LimitsSection>()),
        ("must", names_of::<Must>()),
        ("sweep", &["product", "zip", "exclude"]),
    ]
}

/// Every dotted key that `--set` may change and a sweep may vary.
pub fn settable_keys() -> Vec<String> {
    let mut keys = vec!["mode".to_string(), "circuit".to_string(), "repetitions".to_string()];
    for (section, fields) in sections().into_iter().filter(|(section, _)| *section != "sweep") {
        keys.extend(fields.iter().map(|field| format!("{section}.{field}")));
    }
    keys
}

/// Refuses the first unknown key of a spec, at any level.
pub(super) fn check(spec: &Table, file: &str) -> Result<(), HarnessError> {
    let top: Vec<String> = names_of::<SpecFile>().iter().map(|key| key.to_string()).collect();
    for (key, value) in spec {
        if !top.contains(key) {
            return Err(unknown(file, key, top));
        }
        let Some((section, fields)) = sections().into_iter().find(|(section, _)| section == key) else { continue };
        let Value::Table(table) = value else {
            return Err(HarnessError::InvalidValue {
                origin: file.into(),
                key: key.clone(),
                problem: format!("is {}, expected a table [{key}]", value.type_str()),
            });
        };
        if let Some(inner) = table.keys().find(|inner| !fields.contains(&inner.as_str())) {
            let known = fields.iter().map(|field| format!("{section}.{field}")).collect();
            return Err(unknown(file, &format!("{section}.{inner}"), known));
        }
    }
    Ok(())
}

/// Refuses the first key of a table that `T` does not have. `place` is the table's own dotted key, empty at the top.
pub(crate) fn check_fields<T: DeserializeOwned>(table: &Table, place: &str, origin: &str) -> Result<(), HarnessError> {
    let dotted = |key: &str| if place.is_empty() { key.to_string() } else { format!("{place}.{key}") };
    let fields = names_of::<T>();
    match table.keys().find(|key| !fields.contains(&key.as_str())) {
        Some(key) => Err(unknown(origin, &dotted(key), fields.iter().map(|field| dotted(field)).collect())),
        None => Ok(()),
    }
}

/// Refuses a dotted key that no cell has.
pub(super) fn check_settable(key: &str, origin: &str) -> Result<(), HarnessError> {
    let known = settable_keys();
    if known.iter().any(|candidate| candidate == key) { Ok(()) } else { Err(unknown(origin, key, known)) }
}

fn unknown(origin: &str, key: &str, known: Vec<String>) -> HarnessError {
    let nearest = nearest(key, known.iter().map(String::as_str)).map(str::to_string);
    HarnessError::UnknownKey { origin: origin.into(), key: key.into(), nearest, known }
}

/// The candidate most like `word`, if any is alike enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let leaf = |key: &str| key.rsplit('.').next().unwrap_or(key).to_lowercase();
    // `engine.thread` and plain `thread` should both find `engine.threads`: compare whole keys and last parts.
    let likeness = |candidate: &str| {
        strsim::jaro_winkler(&word.to_lowercase(), candidate).max(strsim::jaro_winkler(&leaf(word), &leaf(candidate)))
    };
    candidates
        .into_iter()
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// The names serde knows for the fields of a struct or the choices of an enumeration.
pub(super) fn names_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The capture always ends in an error: the names are known before any value is asked for.
    let _ = T::deserialize(NameCapture(&mut names));
    names
}

struct NameCapture<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for NameCapture<'_> {
    type Error = CapturedError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, CapturedError> {
        Err(CapturedError::custom("only structs and enumerations have names"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, CapturedError> {
        *self.0 = fields;
        Err(CapturedError::custom("captured"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, CapturedError> {
        *self.0 = variants;
        Err(CapturedError::custom("captured"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_from_the_types() {
        assert_eq!(names_of::<SoftmaxSection>(), ["variant", "rounds", "heads", "error_bound"]);
        assert!(names_of::<SpecFile>().contains(&"question"));
    }

    #[test]
    fn every_section_of_a_spec_is_checked() {
        let top = names_of::<SpecFile>();
        let scalars = ["name", "question", "mode", "circuit", "repetitions"];
        let checked: Vec<_> = sections().iter().map(|(section, _)| *section).collect();
        for key in top.iter().filter(|key| !scalars.contains(key)) {
            assert!(checked.contains(key), "section `{key}` is never checked");
        }
        assert!(checked.iter().all(|section| top.contains(section)));
    }

    #[test]
    fn nearest_finds_slips_and_ignores_strangers() {
        let keys = settable_keys();
        let find = |word| nearest(word, keys.iter().map(String::as_str));
        assert_eq!(find("engine.thread"), Some("engine.threads"));
        assert_eq!(find("threads"), Some("engine.threads"));
        assert_eq!(find("model.pth"), Some("model.path"));
        assert_eq!(find("input.blocktokens"), Some("input.block_tokens"));
        assert_eq!(find("zzz"), None);
    }
}
