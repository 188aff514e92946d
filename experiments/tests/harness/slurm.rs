//! Suites as Slurm job arrays: what the batch scripts ask for, and what becomes of what sbatch says.
//!
//! `scripts/slurm-test` runs such arrays on a real cluster of two node daemons.

use crate::fixture;

use experiments::atomic::OsDisk;
use experiments::journal::Journal;
use experiments::record::CellRecord;
use experiments::runner::RunRequest;
use experiments::slurm::arrays;
use experiments::spec::Override;
use experiments::workspace::Workspace;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const SIZES: &str = "\n[sweep.product]\ninput.block_tokens = [16, 32, 64]\n";

/// A workspace whose suite is this spec.
fn suite(spec: &str) -> (TempDir, Workspace) {
    let (folder, workspace) = fixture::workspace();
    std::fs::write(folder.path().join("sample.toml"), spec).unwrap();
    (folder, workspace)
}

fn request(overrides: &[&str]) -> RunRequest {
    let overrides = overrides.iter().map(|change| Override::parse(change).unwrap()).collect();
    RunRequest { specs: vec!["sample.toml".into()], overrides, ..RunRequest::default() }
}

fn scripts(workspace: &Workspace, request: &RunRequest, options: &[&str]) -> Vec<String> {
    let options: Vec<String> = options.iter().map(|option| (*option).to_string()).collect();
    arrays(workspace, request, &options).unwrap().iter().map(|array| array.script()).collect()
}

/// A record of each cell, as a run on this machine left it.
fn recorded(workspace: &Workspace, spec: &str, change: impl Fn(usize, &mut CellRecord)) {
    for (index, mut record) in fixture::records(spec, workspace.root()).into_iter().enumerate() {
        change(index, &mut record);
        Journal::of(workspace, "sample").append(&record, &OsDisk).unwrap();
    }
}

#[test]
fn an_array_has_a_task_for_every_cell() {
    let (folder, workspace) = suite(&format!("{}{SIZES}", fixture::SPEC));
    let [script] =
        <[_; 1]>::try_from(scripts(&workspace, &request(&["input.bos=false"]), &["--partition=long"])).unwrap();
    let root = folder.path().display();
    for line in [
        "#!/bin/sh".to_string(),
        "# sample: Does the harness keep its word?".into(),
        "#SBATCH --job-name=fhe-llama-sample".into(),
        "#SBATCH --array=0-2".into(),
        format!("#SBATCH --chdir=\"{root}\""),
        format!("#SBATCH --output=\"{root}/.runs/slurm/%A_%a.log\""),
        "#SBATCH --requeue".into(),
        "#SBATCH --cpus-per-task=2".into(),
        "#SBATCH --partition=long".into(),
    ] {
        assert!(script.lines().any(|found| found == line), "{line}\n{script}");
    }
    assert!(!script.contains("--mem") && !script.contains("--time") && !script.contains("--gres"), "{script}");
    let last = "run sample.toml --set input.bos=false --set engine.threads=2 --cell \"$SLURM_ARRAY_TASK_ID\"";
    assert!(script.trim_end().ends_with(last), "{script}");
}

#[test]
fn cells_that_need_the_same_are_one_array() {
    let spec = format!("{}{SIZES}", fixture::SPEC);
    let (_folder, workspace) = suite(&spec);
    recorded(&workspace, &spec, |index, record| {
        record.footprint.peak_memory_bytes = if index == 1 { 40 << 30 } else { 10 << 30 };
        record.seconds.total = if index == 1 { 3600.0 } else { 60.0 };
    });
    let found = scripts(&workspace, &request(&[]), &[]);
    assert_eq!(found.len(), 2);
    for (script, array, memory, minutes) in [(&found[0], "0,2", 13, 10), (&found[1], "1", 50, 120)] {
        for line in [format!("--array={array}"), format!("--mem={memory}G"), format!("--time={minutes}")] {
            assert!(script.contains(&format!("#SBATCH {line}\n")), "{line}\n{script}");
        }
    }
}

#[test]
fn a_limit_is_asked_for_before_anything_that_was_measured_or_predicted() {
    let (_folder, workspace) = suite(fixture::SPEC);
    // Of another number of threads: not measured like this, but predicted.
    recorded(&workspace, &fixture::SPEC.replace("threads = 2", "threads = 1"), |_, _| {});
    let [predicted] = <[_; 1]>::try_from(scripts(&workspace, &request(&[]), &[])).unwrap();
    assert!(predicted.contains("--mem=9G\n") && predicted.contains("--time=10\n"), "{predicted}");
    let limits = ["limits.memory_gib=6.5", "limits.seconds=5000"];
    let [limited] = <[_; 1]>::try_from(scripts(&workspace, &request(&limits), &[])).unwrap();
    assert!(limited.contains("--mem=8G\n") && limited.contains("--time=90\n"), "{limited}");
    // Nothing is predicted of a mode without ciphertexts.
    let [clear] = <[_; 1]>::try_from(scripts(&workspace, &request(&["mode=clear"]), &[])).unwrap();
    assert!(!clear.contains("--mem") && clear.contains("--set mode=clear"), "{clear}");
}

/// A GPU that is not on the machine which submits is asked for all the same.
#[test]
fn a_gpu_is_asked_for_where_the_cell_names_one() {
    let (_folder, workspace) = suite(fixture::SPEC);
    let [script] = <[_; 1]>::try_from(scripts(&workspace, &request(&["engine.device=cuda"]), &[])).unwrap();
    assert!(script.contains("#SBATCH --gres=gpu:1\n"), "{script}");
    let [script] = <[_; 1]>::try_from(scripts(&workspace, &request(&["engine.device=cuda:0,1"]), &[])).unwrap();
    assert!(script.contains("#SBATCH --gres=gpu:2\n"), "{script}");
}

/// An override of what a sweep varies would change which cell a number means.
#[test]
fn threads_that_vary_are_left_to_the_spec() {
    let spec = format!("{}\n[sweep.product]\nengine.threads = [1, 4]\n", fixture::SPEC.replace("threads = 2\n", ""));
    let (_folder, workspace) = suite(&spec);
    let found = scripts(&workspace, &request(&[]), &[]);
    assert_eq!(found.len(), 2);
    for (script, cell, threads) in [(&found[0], 0, 1), (&found[1], 1, 4)] {
        assert!(
            script.contains(&format!("--array={cell}\n")) && script.contains(&format!("task={threads}\n")),
            "{script}"
        );
        assert!(!script.contains("engine.threads"), "{script}");
    }
}

#[test]
fn rejects_what_is_no_option_of_sbatch() {
    let (_folder, workspace) = suite(fixture::SPEC);
    for option in ["partition=long", "--partition=long\nrm -rf /"] {
        let error = arrays(&workspace, &request(&[]), &[option.into()]).unwrap_err().to_string();
        assert!(error.contains("`--sbatch` is `") && error.contains("such as --partition=long"), "{error}");
    }
}

/// Runs `fhe-llama submit` on a clear cell of the tiny model, where the shell finds this as sbatch.
fn submit(sbatch: Option<&str>) -> (TempDir, Output) {
    let (folder, _) = suite("");
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::os::unix::fs::symlink(package, folder.path().join("experiments")).unwrap();
    let commands = folder.path().join("commands");
    std::fs::create_dir(&commands).unwrap();
    if let Some(script) = sbatch {
        let path = commands.join("sbatch");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut program = Command::new(env!("CARGO_BIN_EXE_fhe-llama"));
    program.args(["submit", "--slurm", "experiments/suites/quickstart.toml", "--mode", "clear"]);
    let output = program.current_dir(folder.path()).env("PATH", commands).output().unwrap();
    (folder, output)
}

#[test]
fn what_is_submitted_is_the_script() {
    let (folder, output) = submit(Some("while read -r line; do echo \"$line\"; done > taken; echo '42;local'"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("submitted cell 0 of quickstart, ") && said.contains(" as job 42; "), "{said}");
    assert!(said.contains("stands in .runs/slurm/42_*.log") && folder.path().join(".runs/slurm").is_dir(), "{said}");
    let taken = std::fs::read_to_string(folder.path().join("taken")).unwrap();
    assert!(taken.starts_with("#!/bin/sh\n") && taken.contains("--set mode=clear"), "{taken}");
}

#[test]
fn rejects_to_submit_where_slurm_refuses_or_is_not() {
    let refusal = |sbatch: Option<&str>| {
        let (_folder, output) = submit(sbatch);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let refused = refusal(Some("echo 'sbatch: error: invalid partition' >&2; exit 1"));
    assert!(refused.contains("cannot submit with `sbatch`: sbatch: error: invalid partition; "), "{refused}");
    let absent = refusal(None);
    assert!(absent.contains("it cannot be started") && absent.contains("--dry-run` prints the script"), "{absent}");
}
