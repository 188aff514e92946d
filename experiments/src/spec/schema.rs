//! The schema of a spec: every section and key with its type, default, meaning and choices, as the Rust types tell
//! them.
//!
//! It is a JSON Schema (draft 2020-12), which editors of TOML understand, too. Descriptions are the comments of the
//! types, and choices what their readers accept, so that a key added to a section is in the schema.

use super::keys::names_of;
use super::load::SpecFile;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;

/// The schema of a spec file.
pub fn schema() -> serde_json::Value {
    // Sections are written out where they stand, so that a key is found by its name.
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<SpecFile>().to_value()
}

/// The names that an enumeration of another package is read from.
pub(super) fn choices<T: DeserializeOwned>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": names_of::<T>() })
}

/// The table `[sweep]`, whose keys are those of the other sections.
pub(super) fn sweep(_: &mut SchemaGenerator) -> Schema {
    let lists = |description: &str| serde_json::json!({ "type": "object", "description": description, "default": {} });
    json_schema!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "product": lists("Dotted keys with a list of values each; every combination of them is a cell."),
            "zip": lists("Dotted keys with equally long lists of values that vary together, from the first to the last; \
                          combined with the product."),
            "exclude": {
                "type": "array",
                "items": { "type": "object", "minProperties": 1 },
                "default": [],
                "description": "Tables of swept keys with one value each; a combination that has all values of a table is left out."
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::settable_keys;
    use serde_json::Value;

    fn property<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
        key.split('.').try_fold(schema, |place, part| place.get("properties")?.get(part))
    }

    fn is_required(schema: &Value, key: &str) -> bool {
        let (section, last) = key.rsplit_once('.').unwrap_or(("", key));
        let section = if section.is_empty() { Some(schema) } else { property(schema, section) };
        let required = section.and_then(|section| section.get("required")).and_then(Value::as_array);
        required.is_some_and(|required| required.iter().any(|name| name == last))
    }

    #[test]
    fn every_key_is_in_the_schema_with_its_meaning() {
        let schema = schema();
        for key in settable_keys().into_iter().chain(["name".into(), "question".into(), "sweep.zip".into()]) {
            let found = property(&schema, &key).unwrap_or_else(|| panic!("`{key}` is not in the schema"));
            assert!(found["description"].as_str().is_some_and(|text| text.len() > 10), "`{key}` is not described");
            let typed = ["type", "enum", "oneOf", "anyOf"].iter().any(|kind| found.get(kind).is_some());
            assert!(typed, "`{key}` has no type: {found}");
        }
    }

    /// A key may be left out if it has a default or may hold nothing.
    #[test]
    fn every_key_that_may_be_left_out_has_a_default() {
        let schema = schema();
        for key in settable_keys().into_iter().filter(|key| !is_required(&schema, key)) {
            let found = property(&schema, &key).unwrap();
            let nothing = found.to_string().contains("\"null\"");
            assert!(
                nothing || found.get("default").is_some(),
                "`{key}` has no default; records leave it out: name it by #[schemars(extend(\"default\" = ...))]"
            );
        }
    }

    #[test]
    fn choices_and_defaults_are_those_of_the_types() {
        let schema = schema();
        let of = |key: &str| property(&schema, key).unwrap();
        assert_eq!(of("attention.products")["enum"], serde_json::json!(["slots", "lanes"]));
        assert_eq!(of("engine.weight_bits")["default"], 13);
        assert_eq!(of("input.block_tokens")["default"], 128);
        assert_eq!(of("engine.device")["default"], "cpu");
        assert_eq!(of("repetitions")["default"], 1);
        assert!(of("softmax.variant").to_string().contains("normalize-and-square"));
        assert!(is_required(&schema, "engine.parameters") && !is_required(&schema, "engine.threads"));
        assert_eq!(of("engine")["additionalProperties"], false);
    }
}
