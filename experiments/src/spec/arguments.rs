//! From the resolved configuration of a record back to the arguments that make a spec state it.
//!
//! Resolution fills in what a spec leaves out; what it would fill in alike needs no argument. Threads are one per core of
//! whoever runs it, so a number of them is always an argument. No file but the spec is looked at: the answer does not
//! depend on what has been fetched.

use super::load::{SpecFile, alternatives};
use super::{ComputeDevice, Noise, Override, keys, preset, sweep};
use crate::record::flattened;
use fhe_circuits::{Functions, PublicProducts, WeightScales};
use fhe_model::encrypted::AttentionProducts;
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use toml::{Table, Value};

/// A resolved configuration, one dotted key a setting, as records hold it.
type Settings = BTreeMap<String, Json>;

/// What `fhe-llama run` must be given beside a spec, so that all it runs is this configuration; `None` where no arguments
/// do, because the spec or a setting has changed since.
pub(crate) fn arguments(spec: &str, wanted: &Settings, repetition: u32) -> Option<Vec<Override>> {
    let mut table = spec.parse::<Table>().ok()?;
    keys::check(&table, "spec").ok()?;
    let swept = swept_keys(&table);
    table.remove("sweep");
    // Whatever varies must be held fast, by the record's value or by the default that the record leaves out.
    let mut changes = Vec::new();
    let defaults = left_out_defaults()?;
    for key in &swept {
        let default = || defaults.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        match wanted.get(key).or_else(default) {
            Some(value) => change(&mut table, &mut changes, key, value)?,
            // Another input in its place ends its sweep.
            None if wanted.keys().any(|other| alternatives(other).contains(&key.as_str())) => {}
            None => return None,
        }
    }
    for (key, value) in wanted {
        if !agrees(key, &settings(&table)?, wanted) {
            change(&mut table, &mut changes, key, value)?;
        }
    }
    // What is left is stated by the spec alone, while the record has the default, which it leaves out.
    let stated = settings(&table)?;
    for (key, value) in defaults {
        if stated.contains_key(key) && !wanted.contains_key(key) {
            change(&mut table, &mut changes, key, &value)?;
        }
    }
    let reached = settings(&table)?;
    let mut all = reached.keys().chain(wanted.keys());
    if !all.all(|key| agrees(key, &reached, wanted)) {
        return None;
    }
    let repetitions = table.get("repetitions").and_then(Value::as_integer).unwrap_or(1);
    if i64::from(repetition) >= repetitions {
        changes.push(Override::new("repetitions", Value::Integer(i64::from(repetition) + 1)));
    }
    Some(changes)
}

/// Whether resolution makes one of the other at a key.
fn agrees(key: &str, stated: &Settings, wanted: &Settings) -> bool {
    let text = |settings: &Settings, key: &str| settings.get(key).and_then(Json::as_str).map(str::to_owned);
    let folder = text(wanted, "model.path").unwrap_or_default();
    if stated.get(key) == wanted.get(key) {
        return true;
    }
    match key {
        "model.preset" => !wanted.contains_key(key),
        "model.path" => text(stated, "model.preset").is_some_and(|name| preset::lies_in(&name, Path::new(&folder))),
        "mitigation.prefix" if wanted.get("mitigation.prepend") == Some(&Json::Bool(false)) => {
            !wanted.contains_key(key)
        }
        "mitigation.prefix" => {
            !stated.contains_key(key) && text(wanted, key).as_deref() == preset::public_prefix(Path::new(&folder))
        }
        "input.block_tokens" => wanted.contains_key("input.tokens"),
        "context.text" => {
            let has_none = wanted.contains_key("input.tokens") || !stated.contains_key("context.tokens");
            has_none && !wanted.contains_key(key)
        }
        // Without a context there is nothing to choose.
        "context.products" => !wanted.contains_key("context.tokens") && !wanted.contains_key(key),
        _ => false,
    }
}

/// Gives a key a value, as an argument does.
fn change(table: &mut Table, changes: &mut Vec<Override>, key: &str, value: &Json) -> Option<()> {
    keys::check_settable(key, "record").ok()?;
    let value = Value::try_from(value).ok()?;
    sweep::assign(table, key, value.clone());
    alternatives(key).into_iter().for_each(|other| sweep::remove(table, other));
    changes.push(Override::new(key, value));
    Some(())
}

/// The settings that a table without a sweep states, as a record would hold them.
fn settings(table: &Table) -> Option<Settings> {
    let spec: SpecFile = Value::Table(table.clone()).try_into().ok()?;
    let mut settings = flattened(&serde_json::to_value(spec.config()).ok()?);
    settings.retain(|_, value| !value.is_null());
    Some(settings)
}

/// Every key that a spec varies, however it does.
fn swept_keys(spec: &Table) -> BTreeSet<String> {
    let parts = spec.get("sweep").and_then(Value::as_table).into_iter().flatten();
    // What is excluded is an array of tables and varies nothing.
    let leaves = parts.filter_map(|(_, part)| serde_json::to_value(part.as_table()?).ok());
    leaves.flat_map(|part| flattened(&part).into_keys()).collect()
}

/// The settings that a record leaves out where they are at their defaults, and those.
fn left_out_defaults() -> Option<[(&'static str, Json); 9]> {
    fn json(value: impl Serialize) -> Option<Json> {
        serde_json::to_value(value).ok()
    }
    Some([
        ("context.tokens", json(0)?),
        ("context.products", json(PublicProducts::default())?),
        ("attention.products", json(AttentionProducts::default())?),
        ("engine.device", json(ComputeDevice::default())?),
        ("engine.weight_bits", json(super::default_weight_bits())?),
        ("engine.weight_scales", json(WeightScales::default())?),
        ("engine.slim_norms", json(false)?),
        ("engine.functions", json(Functions::default())?),
        ("engine.noise", json(Noise::default())?),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::EngineSection;
    use serde_json::json;

    const SPEC: &str = r#"
        name = "sample"
        question = "?"
        mode = "encrypted"
        [model]
        preset = "smollm2-135m"
        [input]
        bos = false
        [mitigation]
        prepend = true
        [softmax]
        variant = "exp-inverse"
        [engine]
        parameters = "n16-llama"
        weight_scales = "per-row"
        [sweep.product]
        "input.prompts" = ["one.txt", "two.txt"]
    "#;

    /// What a record of the second cell holds.
    fn record() -> Settings {
        let settings = json!({
            "mode": "encrypted", "model.path": ".cache/models/smollm2-135m", "input.prompts": "two.txt",
            "input.block_tokens": 128, "input.bos": false, "mitigation.prepend": true, "mitigation.rotate": false,
            "mitigation.prefix": "<|endoftext|>", "softmax.variant": "exp-inverse", "engine.parameters": "n16-llama",
            "engine.weight_scales": "per-row", "engine.insecure": false, "engine.threads": 2,
        });
        serde_json::from_value(settings).unwrap()
    }

    fn shown(wanted: &Settings, repetition: u32) -> Option<Vec<String>> {
        Some(arguments(SPEC, wanted, repetition)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_resolution_fills_in_needs_no_argument() {
        assert_eq!(shown(&record(), 0).unwrap(), ["input.prompts=two.txt", "engine.threads=2"]);
    }

    #[test]
    fn what_differs_is_an_argument_and_so_is_a_default_that_the_record_leaves_out() {
        let mut wanted = record();
        wanted.insert("engine.device".into(), json!("cuda"));
        wanted.remove("engine.weight_scales");
        let expected = [
            "input.prompts=two.txt",
            "engine.device=cuda",
            "engine.threads=2",
            "engine.weight_scales=per-tensor",
            "repetitions=3",
        ];
        assert_eq!(shown(&wanted, 2).unwrap(), expected);
    }

    #[test]
    fn a_sweep_over_a_default_that_the_record_leaves_out_is_held_fast() {
        let swept = SPEC.replace("[sweep.product]", "[sweep.product]\nengine.noise = [\"none\", \"modelled\"]");
        let changes = arguments(&swept, &record(), 0).unwrap();
        assert!(changes.iter().any(|change| change.to_string() == "engine.noise=none"), "{changes:?}");
    }

    #[test]
    fn other_inputs_replace_those_of_the_spec() {
        let mut wanted = record();
        wanted.remove("input.prompts");
        wanted.insert("mode".into(), json!("metered"));
        wanted.insert("input.tokens".into(), json!(64));
        wanted.insert("input.block_tokens".into(), json!(64));
        // The spec states no prompts outside its sweep, and its one value of the sweep is replaced.
        assert_eq!(shown(&wanted, 0).unwrap(), ["engine.threads=2", "input.tokens=64", "mode=metered"]);
    }

    #[test]
    fn a_context_is_held_fast_where_there_is_one_and_where_there_is_none() {
        let section = "[context]\ntext = \"long.txt\"\n[sweep.product]\ncontext.tokens = [0, 896]";
        let swept = SPEC.replace("[sweep.product]", section);
        let of = |wanted: &Settings| -> Vec<String> {
            arguments(&swept, wanted, 0).unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(of(&record()), ["context.tokens=0", "input.prompts=two.txt", "engine.threads=2"]);
        let mut wanted = record();
        wanted.insert("context.text".into(), json!("long.txt"));
        wanted.insert("context.tokens".into(), json!(896));
        assert_eq!(of(&wanted), ["context.tokens=896", "input.prompts=two.txt", "engine.threads=2"]);
        assert!(arguments(SPEC, &wanted, 0).is_some_and(|changes| changes.len() == 4));
    }

    #[test]
    fn what_no_argument_reaches_has_none() {
        let mut unknown = record();
        unknown.insert("engine.forgotten".into(), json!(1));
        assert_eq!(shown(&unknown, 0), None);
        let limited = SPEC.replace("[sweep", "[limits]\nseconds = 5.0\n[sweep");
        assert!(arguments(&limited, &record(), 0).is_none(), "a limit can be changed but not taken away");
    }

    #[test]
    fn an_argument_is_read_as_it_was_meant() {
        let values =
            [json!("plain"), json!("12"), json!("true"), json!(" <|x|> "), json!(["a \"b\"", "c\nd"]), json!(8.0)];
        for value in values {
            let written = Override::new("input.prompts", Value::try_from(&value).unwrap());
            assert_eq!(Override::parse(&written.to_string()).unwrap(), written, "{value}");
        }
    }

    /// A setting that records leave out at its default must be in the list, or its default could not be asked for.
    #[test]
    fn every_default_that_is_left_out_is_known() {
        let engine = EngineSection {
            parameters: String::new(),
            device: "cuda:1".parse().unwrap(),
            threads: None,
            seed: None,
            weight_bits: 3,
            weight_scales: WeightScales::PerRow,
            slim_norms: true,
            functions: Functions::Exact,
            noise: Noise::Modelled,
            bootstrap_bits: None,
            insecure: false,
        };
        let keys =
            |engine: &EngineSection| flattened(&json!({ "engine": engine })).into_keys().collect::<BTreeSet<_>>();
        let plain: EngineSection = serde_json::from_value(json!({ "parameters": "" })).unwrap();
        let known = left_out_defaults().unwrap();
        for key in keys(&engine).difference(&keys(&plain)) {
            assert!(known.iter().any(|(name, _)| name == key), "{key}");
        }
        assert_eq!(keys(&engine).len(), 8, "a new setting of the engine is given a value that is not its default here");
    }
}
