//! An identity changes with everything that can change the answer, and with nothing else.

use crate::fixture;

use experiments::identity::{DataHashes, Identity, ResolvedCell};
use experiments::spec::{Override, Suite};
use std::path::Path;

fn identity_of(spec: &str, overrides: &[&str], root: &Path) -> Identity {
    let overrides: Vec<_> = overrides.iter().map(|argument| Override::parse(argument).unwrap()).collect();
    let cell = Suite::parse(spec, "spec.toml", &overrides, root).unwrap().cells.remove(0);
    ResolvedCell::identify(cell, root).unwrap().identity
}

#[test]
fn layout_and_wording_of_a_spec_do_not_matter() {
    let (folder, _) = fixture::workspace();
    let base = identity_of(fixture::SPEC, &[], folder.path());
    assert_eq!(base.as_str().len(), 16);
    let same = [
        fixture::SPEC.replace("Does the harness keep its word?", "Other words?"),
        fixture::SPEC.replace("parameters = \"toy\"\nthreads = 2", "threads = 2 # two\nparameters = \"toy\""),
        format!("{}\n[must]\nkl_mean = 0.5\n", fixture::SPEC),
        format!("{}\n[mitigation]\nrotate = false\n", fixture::SPEC),
        format!("{}\n[context]\ntext = \"model/config.json\"\ntokens = 0\n", fixture::SPEC),
    ];
    for spec in same {
        assert_eq!(identity_of(&spec, &[], folder.path()), base, "{spec}");
    }
}

#[test]
fn every_setting_matters() {
    let (folder, _) = fixture::workspace();
    std::fs::create_dir(folder.path().join("other")).unwrap();
    let changes = [
        "mode=clear",
        "model.path=other",
        "input.prompts=[\"x\"]",
        "input.block_tokens=32",
        "input.bos=false",
        "engine.parameters=n16-llama",
        "engine.threads=1",
        "engine.seed=1",
        "engine.insecure=true",
        "limits.seconds=5",
        "limits.memory_gib=5",
    ];
    let mut seen = vec![identity_of(fixture::SPEC, &[], folder.path())];
    for change in changes {
        let identity = identity_of(fixture::SPEC, &[change], folder.path());
        assert!(!seen.contains(&identity), "{change} is not part of the identity");
        seen.push(identity);
    }
}

#[test]
fn data_code_and_machine_matter() {
    let (folder, _) = fixture::workspace();
    let root = folder.path();
    let base = identity_of(fixture::SPEC, &[], root);
    std::fs::write(root.join("model/README.md"), "a card").unwrap();
    assert_eq!(identity_of(fixture::SPEC, &[], root), base, "a model card computes nothing");
    std::fs::write(root.join("model/ranges.toml"), "calibrated = true").unwrap();
    let ranged = identity_of(fixture::SPEC, &[], root);
    std::fs::write(root.join("model/model.safetensors"), "weights").unwrap();
    let weighted = identity_of(fixture::SPEC, &[], root);
    assert!(base != ranged && ranged != weighted);

    let cell = || Suite::parse(fixture::SPEC, "spec.toml", &[], root).unwrap().cells.remove(0);
    let with = |code, machine| ResolvedCell::with(cell(), DataHashes::default(), code, machine, root.into());
    let (code, machine) = (fixture::code(), fixture::machine());
    let known = with(code.clone(), machine.clone());
    let faster = experiments::machine::Machine { vector_extension: "avx512ifma".into(), ..machine.clone() };
    let roomier = experiments::machine::Machine { memory_bytes: 1, cores: 64, ..machine.clone() };
    assert_ne!(with(code.clone(), faster).identity, known.identity);
    assert_eq!(with(code.clone(), roomier).identity, known.identity, "a class is not a single machine");
    let edited = experiments::provenance::CodeVersion { dirty: true, ..code.clone() };
    let edited_again = experiments::provenance::CodeVersion { source_hash: "0".into(), ..edited.clone() };
    let (once, twice) = (with(edited, machine.clone()), with(edited_again, machine));
    assert!(once.identity != known.identity && once.identity != twice.identity);
    assert_eq!(once.config_hash, known.config_hash);
}

/// Who runs beside a cell is no part of what it is, and takes its share of the threads where these are all that there are.
#[test]
fn cells_beside_each_other_share_threads_and_stay_the_same() {
    let (folder, _) = fixture::workspace();
    let alone = fixture::resolved(&fixture::SPEC.replace("threads = 2", "threads = 7"), folder.path());
    let threads = |cores: usize, at_once: usize| {
        let mut cell = ResolvedCell { at_once, ..alone.clone() };
        cell.machine.cores = cores;
        cell.threads()
    };
    assert_eq!([threads(7, 1), threads(7, 2), threads(7, 8)], [7, 3, 1]);
    // Fewer than the machine has are wished for.
    assert_eq!(threads(16, 2), 7);
    // One that states none has all, however many run at once.
    let stated = |threads: &str| identity_of(&fixture::SPEC.replace("threads = 2", threads), &[], folder.path());
    assert_eq!(stated(""), stated(&format!("threads = {}", experiments::machine::cores())));
}
