//! Specs are strict, overrides and sweeps expand as promised, and what is wrong is named.

use crate::fixture;

use experiments::error::HarnessError;
use experiments::spec::{CircuitKind, ComputeDevice, MitigationSection, Mode, Override, SoftmaxVariant, Suite};
use std::path::Path;

fn load(text: &str, overrides: &[&str]) -> Result<Suite, HarnessError> {
    let (folder, _) = fixture::workspace();
    let overrides = overrides.iter().map(|argument| Override::parse(argument)).collect::<Result<Vec<_>, _>>()?;
    Suite::parse(text, "spec.toml", &overrides, folder.path())
}

fn refusal(text: &str, overrides: &[&str]) -> String {
    load(text, overrides).expect_err("must be refused").to_string()
}

fn with(section: &str, line: &str) -> String {
    fixture::SPEC.replace(&format!("[{section}]\n"), &format!("[{section}]\n{line}\n"))
}

#[test]
fn a_plain_spec_is_one_cell() {
    let suite = load(fixture::SPEC, &[]).unwrap();
    assert_eq!((suite.name.as_str(), suite.cells.len()), ("sample", 1));
    let cell = &suite.cells[0];
    assert_eq!(cell.config.mode, Mode::Encrypted);
    assert_eq!(cell.prompts.len(), 2);
    assert!(cell.config.input.bos && !cell.config.engine.insecure);
}

#[test]
fn the_committed_quickstart_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let suite = Suite::load(Path::new("experiments/suites/quickstart.toml"), &[], root).unwrap();
    assert_eq!((suite.cells.len(), suite.cells[0].prompts.len()), (1, 8));
    assert_eq!(suite.cells[0].config.engine.parameters, "n16-llama");
}

#[test]
fn rejects_unknown_keys_at_every_level_with_the_nearest_one() {
    let top = fixture::SPEC.replace("mode =", "moed =");
    assert_eq!(refusal(&top, &[]), "spec.toml: unknown key `moed`; did you mean `mode`?");
    let section = with("engine", "thread = 2");
    assert_eq!(refusal(&section, &[]), "spec.toml: unknown key `engine.thread`; did you mean `engine.threads`?");
    let swept = format!("{}\n[sweep.product]\n\"engine.sed\" = [1]\n", fixture::SPEC);
    assert!(refusal(&swept, &[]).ends_with("unknown key `engine.sed`; did you mean `engine.seed`?"));
    let sweep = format!("{}\n[sweep.products]\n", fixture::SPEC);
    assert!(refusal(&sweep, &[]).contains("did you mean `sweep.product`?"));
    assert!(refusal(fixture::SPEC, &["model.pathh=x"]).contains("did you mean `model.path`?"));
    assert!(refusal(&format!("{}\n[qqq]\n", fixture::SPEC), &[]).contains("known here: name, question, mode"));
}

#[test]
fn rejects_values_that_do_not_fit() {
    for (line, overrides, part) in [
        ("", vec!["engine.threads=many"], "engine.threads"),
        ("", vec!["engine.threads=0"], "`engine.threads` is 0"),
        ("", vec!["input.block_tokens=100"], "a power of two is required"),
        ("", vec!["mode=secret"], "encrypted"),
        ("", vec!["softmax.variant=divide"], "exp-inverse"),
        ("", vec!["softmax.rounds=3"], "`exp-inverse` has no rounds"),
        ("", vec!["softmax.variant=normalize-and-square", "softmax.rounds=9"], "1 to 4"),
        ("", vec!["softmax.variant=exp-goldschmidt", "softmax.rounds=3"], "`exp-goldschmidt` has no rounds"),
        (
            "",
            vec!["softmax.variant=normalize-and-square", "engine.functions=exact", "mode=clear"],
            "has polynomials alone",
        ),
        (
            "",
            vec!["softmax.variant=exp-slim-inverse", "engine.functions=exact", "mode=clear"],
            "`exp-slim-inverse` has polynomials alone",
        ),
        ("", vec!["circuit=norm"], "softmax"),
        ("", vec!["softmax.heads=3"], "`softmax.heads` is given, but only SoftMax alone"),
        ("", vec!["softmax.error_bound=0.1"], "`softmax.error_bound` is given"),
        ("", vec!["circuit=softmax"], "`attention.products` is `slots`"),
        ("", vec!["circuit=softmax", "attention.products=lanes", "mode=metered"], "`mode` is `metered`"),
        ("", vec!["circuit=softmax", "attention.products=lanes", "softmax.heads=0"], "`softmax.heads` is 0"),
        ("", vec!["circuit=softmax", "attention.products=lanes", "softmax.error_bound=-1"], "a positive number"),
        (
            "",
            vec!["circuit=softmax", "attention.products=lanes", "engine.functions=exact", "mode=clear"],
            "what polynomials carry",
        ),
        ("", vec!["attention.products=matrices"], "slots"),
        ("", vec!["engine.functions=exact"], "`engine.functions` is `exact`, but ciphertexts"),
        ("", vec!["engine.functions=exact", "mode=clear", "engine.noise=loud"], "modelled"),
        ("", vec!["engine.noise=modelled", "mode=metered"], "in mode `clear` alone, not `metered`"),
        ("", vec!["mitigation.rotate=maybe"], "mitigation.rotate"),
        ("", vec!["engine.weight_bits=16"], "`engine.weight_bits` is 16, 2 to 15"),
        ("", vec!["engine.weight_scales=per-column"], "per-row"),
        ("", vec!["repetitions=0"], "`repetitions` is 0"),
        ("", vec!["limits.seconds=-1"], "`limits.seconds` is -1, a positive number is required"),
        ("", vec!["limits.memory_gib=nan"], "`limits.memory_gib` is NaN, a positive number is required"),
        ("", vec!["model.path=nowhere"], "`model.path` names `nowhere`, which does not exist"),
        (
            "",
            vec!["model.calibration_text=.cache/texts/none.txt"],
            "repository root is expected); `scripts/fetch-texts` makes it",
        ),
        ("", vec!["model.ranges=nowhere"], "`model.ranges` names"),
        ("", vec!["input.prompts=nowhere.txt"], "`input.prompts` names"),
        ("", vec!["input.prompts=[\"a\", \"  \"]"], "input.prompts[1]: the prompt is empty"),
        ("", vec!["input.prompts=[]"], "`input.prompts` holds no prompt"),
        ("", vec!["input.prompts=3"], "a file with one prompt a line, or a list of prompts"),
        ("", vec!["engine"], "expected key=value"),
        ("[engine", vec![], "not valid TOML"),
    ] {
        let message = refusal(&format!("{}{line}", fixture::SPEC), &overrides);
        assert!(message.contains(part), "{overrides:?}: {message}");
    }
    let nameless = fixture::SPEC.replace("\"sample\"", "\"../escape\"");
    assert!(refusal(&nameless, &[]).contains("it names a folder"));
    let flat =
        fixture::SPEC.replace("[softmax]\nvariant = \"exp-inverse\"", "").replace("[model]", "softmax = 1\n[model]");
    assert!(refusal(&flat, &[]).contains("expected a table [softmax]"));
    let missing = fixture::SPEC.replace("parameters = \"toy\"\n", "");
    assert!(refusal(&missing, &[]).contains("missing field `parameters`"));
}

/// A block is filled by prompts or, metered, by a number of tokens.
#[test]
fn rejects_prompts_beside_tokens_and_tokens_beside_data() {
    let tokens = fixture::SPEC.replace("prompts = [\"It was a cold evening\", \"The old captain\"]\n", "tokens = 32\n");
    assert_ne!(tokens, fixture::SPEC);
    let metered = load(&tokens, &["mode=metered"]).unwrap().cells.remove(0);
    assert!(metered.prompts.is_empty());
    assert_eq!((metered.config.input.tokens, metered.config.input.block_tokens), (Some(32), 32));
    for mode in ["encrypted", "clear"] {
        assert!(refusal(&tokens, &[&format!("mode={mode}")]).contains(&format!("mode `{mode}` computes with data")));
    }
    assert!(refusal(&tokens, &["mode=metered", "input.tokens=24"]).contains("a power of two is required"));
    let both = with("input", "tokens = 32");
    assert!(refusal(&both, &["mode=metered"]).contains("`input.tokens` is 32 beside input.prompts"));
    let none = tokens.replace("tokens = 32\n", "");
    assert!(refusal(&none, &["mode=metered"]).contains("`input.prompts` is missing"));
    // An override of one takes the place of the other.
    assert_eq!(
        load(fixture::SPEC, &["mode=metered", "input.tokens=64"]).unwrap().cells[0].config.input.block_tokens,
        64
    );
    assert_eq!(load(&tokens, &["input.prompts=[\"x\"]"]).unwrap().cells[0].prompts, ["x"]);
    let sweep = format!("{tokens}\n[sweep.product]\n\"input.tokens\" = [16, 64]\n");
    let swept = load(&sweep, &["mode=metered"]).unwrap();
    assert_eq!(swept.cells.iter().map(|cell| cell.config.input.block_tokens).collect::<Vec<_>>(), [16, 64]);
}

#[test]
fn rejects_assumed_ranges_of_a_run_with_data() {
    for mode in ["encrypted", "clear", "metered"] {
        let message = refusal(&with("model", "assumed_ranges = \"model/config.json\""), &[&format!("mode={mode}")]);
        assert!(message.contains("`model.assumed_ranges` is given"), "{message}");
    }
    let changes = ["mode=metered", "input.tokens=16", "model.assumed_ranges=nowhere"];
    assert!(refusal(fixture::SPEC, &changes).contains("`model.assumed_ranges` names `nowhere`"));
}

/// A committed shape has no need of what its preset's script fetches.
#[test]
fn the_committed_plans_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let load = |suite: &str| Suite::load(Path::new(suite), &[], root).unwrap().cells;
    let plan = load("experiments/suites/llama3-8b-plan.toml");
    assert_eq!(plan.iter().map(|cell| cell.config.input.block_tokens).collect::<Vec<_>>(), [64, 128]);
    assert_eq!(plan[0].config.model.path, Path::new("experiments/models/llama-3-8b"));
    assert_eq!(
        load("experiments/suites/smollm2-plan.toml")[0].config.model.path,
        Path::new("experiments/models/smollm2-135m")
    );
}

/// Records made before a choice existed keep their identity where the choice is what they did.
#[test]
fn choices_of_today_that_were_the_only_ones_do_not_name_a_cell_anew() {
    let (folder, _) = fixture::workspace();
    let cell = |changes: &[&str]| {
        let overrides: Vec<Override> = changes.iter().map(|change| Override::parse(change).unwrap()).collect();
        Suite::parse(fixture::SPEC, "spec.toml", &overrides, folder.path()).unwrap().cells.remove(0).config
    };
    let written = |changes: &[&str]| serde_json::to_string(&cell(changes)).unwrap();
    let before = [
        "circuit=decoder",
        "attention.products=slots",
        "engine.functions=polynomial",
        "engine.noise=none",
        "engine.weight_bits=13",
        "engine.weight_scales=per-tensor",
    ];
    assert_eq!(written(&before), written(&[]));
    assert!(!written(&[]).contains("attention") && !written(&[]).contains("weight"));
    assert!(written(&["engine.weight_scales=per-row", "engine.weight_bits=15"]).contains("per-row"));
    assert!(written(&["attention.products=lanes"]).contains("lanes"));
    assert!(written(&["mode=clear", "engine.functions=exact", "engine.noise=modelled"]).contains("modelled"));
}

#[test]
fn a_preset_stands_for_the_folder_that_its_script_fills() {
    let (folder, _) = fixture::workspace();
    let named =
        |change: &str| Suite::parse(fixture::SPEC, "spec.toml", &[Override::parse(change).unwrap()], folder.path());
    let cache = Path::new(".cache/models/smollm2-135m");
    std::fs::create_dir_all(folder.path().join(cache)).unwrap();
    for (file, next) in [("config.json", "tokenizer.json"), ("tokenizer.json", "model.safetensors")] {
        std::fs::write(folder.path().join(cache).join(file), "{}").unwrap();
        let message = named("model.preset=smollm2-135m").unwrap_err().to_string();
        let missing = format!("`model.preset = \"smollm2-135m\"` needs `{}`", cache.join(next).display());
        assert!(message.starts_with(&missing) && message.contains("`scripts/fetch-smollm2` fetches it"), "{message}");
    }
    std::fs::write(folder.path().join(cache).join("model.safetensors"), "").unwrap();
    let by_preset = named("model.preset=smollm2-135m").unwrap().cells.remove(0);
    // One model, one identity.
    assert_eq!(by_preset, named("model.path=.cache/models/smollm2-135m").unwrap().cells.remove(0));

    let mitigation = |changes: &[&str]| {
        let changes: Vec<_> = changes.iter().map(|change| Override::parse(change).unwrap()).collect();
        let suite = Suite::parse(fixture::SPEC, "spec.toml", &changes, folder.path()).unwrap();
        suite.cells[0].config.mitigation.clone()
    };
    for name in ["model.preset=smollm2-135m", "model.path=.cache/models/smollm2-135m"] {
        assert_eq!(mitigation(&[name, "mitigation.prepend=true"]).prefix.as_deref(), Some("<|endoftext|>"));
        assert_eq!(mitigation(&[name]), MitigationSection::default());
        let own = mitigation(&[name, "mitigation.prepend=true", "mitigation.prefix=x"]);
        assert_eq!(own.prefix.as_deref(), Some("x"));
    }
    // The model's beginning, which its tokenizer knows.
    assert_eq!(mitigation(&["mitigation.prepend=true"]).prefix, None);
    // A prefix that nothing prepends is no part of a cell.
    assert_eq!(mitigation(&["mitigation.prefix=x"]), MitigationSection::default());
}

#[test]
fn an_override_of_path_or_preset_replaces_the_other() {
    let preset = fixture::SPEC.replace("path = \"model\"", "preset = \"smollm2-135m\"");
    assert!(refusal(&preset, &[]).contains("scripts/fetch-smollm2"));
    assert_eq!(load(&preset, &["model.path=model"]).unwrap().cells[0].config.model.path, Path::new("model"));
    assert!(
        refusal(fixture::SPEC, &["model.preset=llama-3-8b"]).contains("`scripts/fetch-llama3-tokenizer` fetches it")
    );
    let swept = format!("{}\n[sweep.product]\n\"model.preset\" = [\"smollm2-135m\"]\n", fixture::SPEC);
    let swept = swept.replace("path = \"model\"\n", "");
    assert!(refusal(&swept, &[]).contains("scripts/fetch-smollm2"));
    assert_eq!(load(&swept, &["model.path=model"]).unwrap().cells.len(), 1);
}

#[test]
fn rejects_a_model_without_a_name_with_two_and_with_an_unknown_one() {
    let nameless = fixture::SPEC.replace("path = \"model\"", "");
    let message = refusal(&nameless, &[]);
    assert_eq!(
        message,
        "spec.toml: `model.path` is missing: name a folder, or one of the models smollm2-135m, llama3-8b-layer, llama-3-8b by model.preset"
    );
    let both = with("model", "preset = \"smollm2-135m\"");
    assert!(refusal(&both, &[]).contains("`model.preset` is `smollm2-135m` beside model.path = `model`; name one"));
    let message = refusal(fixture::SPEC, &["model.preset=smollm-135m"]);
    assert_eq!(message, "`smollm-135m` is no model preset; did you mean `smollm2-135m`?");
}

#[test]
fn rejects_a_spec_that_is_not_there() {
    let error = Suite::load(Path::new("no/such.toml"), &[], Path::new("/tmp")).unwrap_err().to_string();
    assert!(error.contains("no spec at `no/such.toml`") && error.contains("/tmp"));
}

#[test]
fn prompts_come_from_a_file_and_an_empty_line_is_refused_by_number() {
    let (folder, _) = fixture::workspace();
    std::fs::write(folder.path().join("prompts.txt"), "one\ntwo words\n").unwrap();
    let change = [Override::parse("input.prompts=prompts.txt").unwrap()];
    let suite = Suite::parse(fixture::SPEC, "spec.toml", &change, folder.path()).unwrap();
    assert_eq!(suite.cells[0].prompts, ["one", "two words"]);
    std::fs::write(folder.path().join("prompts.txt"), "one\n\ntwo\n").unwrap();
    let error = Suite::parse(fixture::SPEC, "spec.toml", &change, folder.path()).unwrap_err();
    assert!(error.to_string().starts_with("prompts.txt:2: the prompt is empty"));
}

#[test]
fn a_sweep_is_a_cartesian_product_and_an_override_replaces_an_axis() {
    let spec = format!(
        "{}\n[sweep.product]\n\"engine.threads\" = [1, 2]\nmode = [\"clear\", \"metered\"]\ninput.block_tokens = [8, 16, 32]\n",
        fixture::SPEC
    );
    let suite = load(&spec, &[]).unwrap();
    let seen: std::collections::BTreeSet<_> = suite
        .cells
        .iter()
        .map(|cell| (cell.config.engine.threads, cell.config.mode, cell.config.input.block_tokens))
        .collect();
    assert_eq!((suite.cells.len(), seen.len()), (12, 12));
    assert!(suite.cells.iter().enumerate().all(|(index, cell)| cell.index == index));
    assert_eq!(load(&spec, &["engine.threads=1"]).unwrap().cells.len(), 6);
}

/// Keys that go together are swept together, as tables of their section; what these leave out stays.
#[test]
fn a_sweep_of_tables_sets_the_keys_of_a_section() {
    let variants = "softmax = [{ variant = \"normalize-and-square\", rounds = 2 }, { variant = \"exp-goldschmidt\" }]";
    let spec =
        with("softmax", "error_bound = 0.5").replace("[engine]", "[attention]\nproducts = \"lanes\"\n\n[engine]");
    let spec = format!("{spec}\n[sweep.product]\n{variants}\nmode = [\"clear\", \"encrypted\"]\n");
    let cells = load(&spec, &["circuit=softmax"]).unwrap().cells;
    let softmax: Vec<_> = cells.iter().map(|cell| &cell.config.softmax).collect();
    assert_eq!(softmax.iter().map(|softmax| softmax.rounds).collect::<Vec<_>>(), [Some(2), None, Some(2), None]);
    assert_eq!(softmax[1].variant, SoftmaxVariant::ExpGoldschmidt);
    assert!(softmax.iter().all(|softmax| softmax.error_bound() == 0.5));
    // Either key's override replaces the axis.
    assert_eq!(load(&spec, &["circuit=softmax", "softmax.variant=exp-inverse"]).unwrap().cells.len(), 2);
    let unknown = spec.replace("rounds = 2", "round = 2");
    assert!(refusal(&unknown, &["circuit=softmax"]).ends_with("`softmax.round`; did you mean `softmax.rounds`?"));
    let mixed = spec.replace("{ variant = \"exp-goldschmidt\" }", "3");
    assert!(refusal(&mixed, &["circuit=softmax"]).contains("unknown key `softmax`"));
}

#[test]
fn the_committed_suites_of_softmax_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (suite, cells) in [("softmax", 5), ("softmax-encrypted", 5)] {
        let path = format!("experiments/suites/{suite}.toml");
        // Of a folder that is here, and calibrated on a text that is.
        let changes = [
            "model.path=experiments/models/tiny-llama",
            "model.calibration_text=experiments/models/tiny-llama/calibration.txt",
        ];
        let changes: Vec<_> = changes.iter().map(|change| Override::parse(change).unwrap()).collect();
        let suite = Suite::load(Path::new(&path), &changes, root).unwrap();
        assert_eq!(suite.cells.len(), cells);
        assert!(suite.cells.iter().all(|cell| cell.config.circuit == CircuitKind::Softmax));
    }
}

#[test]
fn repetitions_are_cells_of_their_own() {
    let suite = load(fixture::SPEC, &["repetitions=3"]).unwrap();
    assert_eq!(suite.cells.iter().map(|cell| cell.repetition).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn overrides_are_toml_or_bare_strings() {
    let suite = load(fixture::SPEC, &["engine.seed=7", "engine.parameters=n16-llama", "input.bos=false"]).unwrap();
    let config = &suite.cells[0].config;
    assert_eq!((config.engine.seed, config.input.bos), (Some(7), false));
    assert_eq!(config.engine.parameters, "n16-llama");
    assert_eq!(Override::mode(Mode::Clear), Override::parse("mode=clear").unwrap());
}

const ONE_PROMPT: &str = "input.prompts=[\"and then\"]";

/// A section is in the configuration where it says something, and leaves nothing behind where it says that there is no context.
#[test]
fn a_context_without_tokens_is_none() {
    let spec = format!("{}\n[context]\ntext = \"model/config.json\"\n", fixture::SPEC);
    let plain = load(fixture::SPEC, &[ONE_PROMPT]).unwrap().cells.remove(0);
    let swept = format!("{spec}[sweep.product]\n\"context.tokens\" = [0, 896]\n");
    let cells = load(&swept, &[ONE_PROMPT]).unwrap().cells;
    assert_eq!(cells[0].config, plain.config);
    assert!(!serde_json::to_string(&cells[0].config).unwrap().contains("context"));
    let context = cells[1].config.context.as_ref().unwrap();
    assert_eq!((context.tokens, context.text.as_deref()), (896, Some(Path::new("model/config.json"))));
    assert_eq!(cells[1].config.context_tokens(), 896);
    // What is only counted has no text.
    let metered = load(&spec, &["input.tokens=32", "mode=metered", "context.tokens=7"]).unwrap().cells.remove(0);
    assert_eq!(metered.config.context.unwrap().text, None);
}

#[test]
fn rejects_a_context_where_it_makes_no_sense() {
    let spec = format!("{}\n[context]\ntext = \"model/config.json\"\ntokens = 40\n", fixture::SPEC);
    for (overrides, part) in [
        (vec![], "`input.prompts` holds 2 prompts, but one alone goes on"),
        (vec![ONE_PROMPT, "context.text=nowhere.txt"], "`context.text` names `nowhere.txt`"),
        (vec![ONE_PROMPT, "context.token=3"], "did you mean `context.tokens`?"),
        (vec![ONE_PROMPT, "context.tokens=-1"], "context.tokens"),
        (vec![ONE_PROMPT, "circuit=softmax", "attention.products=lanes"], "only a whole decoder goes on"),
        (vec!["input.text=model/config.json", "mode=clear"], "windows of a text stand at its beginning"),
    ] {
        let message = refusal(&spec, &overrides);
        assert!(message.contains(part), "{overrides:?}: {message}");
    }
    let message = refusal(fixture::SPEC, &[ONE_PROMPT, "context.tokens=3"]);
    assert!(message.contains("`context.text` is missing"), "{message}");
}

#[test]
fn a_device_of_the_command_line_is_for_cells_with_ciphertexts() {
    let mixed = format!("{}\n[sweep.product]\nmode = [\"encrypted\", \"clear\"]\n", fixture::SPEC);
    let devices = |overrides: &[&str]| -> Vec<ComputeDevice> {
        load(&mixed, overrides).unwrap().cells.iter().map(|cell| cell.config.engine.device).collect()
    };
    assert_eq!(devices(&["engine.device=cuda:1"]), ["cuda:1".parse().unwrap(), ComputeDevice::Cpu]);
    assert_eq!(devices(&[]), [ComputeDevice::Cpu; 2]);
    let nowhere = refusal(&mixed, &["engine.device=cuda", "mode=clear"]);
    assert!(nowhere.contains("engine.device") && nowhere.contains("mode `clear`"), "{nowhere}");
    // What a spec itself says is meant for all its cells.
    let stated = refusal(&mixed.replace("[engine]", "[engine]\ndevice = \"cuda\""), &[]);
    assert!(stated.contains("engine.device"), "{stated}");
}
