//! What a command of the README leads to: whether it could be typed here and would find what it names.

use crate::cli;
use crate::error::HarnessError;
use crate::spec::Override;
use crate::workspace::Workspace;
use std::path::Path;
use toml::{Table, Value};

/// Where the specs of experiments and comparisons lie.
const SUITES: &str = "experiments/suites/";
/// What cargo can do without an alias, as far as the README uses it.
const CARGO: [&str; 3] = ["run", "test", "bench"];

/// The specs that a command names.
pub(super) fn specs(command: &str) -> Vec<String> {
    let words = command.split_whitespace();
    words.filter(|word| word.starts_with(SUITES) && word.ends_with(".toml")).map(str::to_owned).collect()
}

/// The suite that a spec states: its `name`, else that of its file.
pub(super) fn suite_of(workspace: &Workspace, spec: &str) -> String {
    let stem = Path::new(spec).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let table = table_at(&workspace.root().join(spec));
    let name = table.as_ref().and_then(|table| table.get("name")?.as_str());
    name.map_or(stem, str::to_owned)
}

/// Why a command cannot be run as it stands, if so.
///
/// # Errors
/// [`HarnessError::Io`] where the workspace cannot be looked at.
pub(super) fn problem(workspace: &Workspace, command: &str) -> Result<Option<String>, HarnessError> {
    for spec in specs(command) {
        if !workspace.root().join(&spec).is_file() {
            return Ok(Some(format!("`{spec}` does not exist")));
        }
    }
    let words: Vec<&str> = command.split_whitespace().collect();
    Ok(match words.as_slice() {
        ["cargo", rest @ ..] => of_cargo(workspace, rest)?,
        ["--set", change] => Override::parse(change).err().map(|error| error.to_string()),
        [script, ..] if script.starts_with("scripts/") => {
            let missing = !workspace.root().join(script).is_file();
            missing.then(|| format!("`{script}` does not exist"))
        }
        [name, ..] if cli::is_command(name) => None,
        _ => Some("is no command of cargo, of this program, or of scripts/".into()),
    })
}

fn of_cargo(workspace: &Workspace, words: &[&str]) -> Result<Option<String>, HarnessError> {
    let Some(&name) = words.first() else { return Ok(Some("cargo is given nothing to do".into())) };
    let aliases = table_at(&workspace.root().join(".cargo/config.toml"));
    let is_alias = aliases.as_ref().and_then(|config| config.get("alias")?.get(name)).is_some();
    if !is_alias && !CARGO.contains(&name) {
        return Ok(Some(format!("cargo has no command or alias `{name}` here")));
    }
    // What stands behind `--` is this program's.
    let own = words.iter().position(|word| *word == "--").filter(|_| name == "run");
    if let Some(subcommand) = own.and_then(|at| words.get(at + 1)).filter(|subcommand| !cli::is_command(subcommand)) {
        return Ok(Some(format!("this program has no command `{subcommand}`")));
    }
    let after = |option: &str| words.iter().position(|word| *word == option).and_then(|at| words.get(at + 1));
    let Some(package) = after("-p") else { return Ok(None) };
    let Some(folder) = package_folder(workspace, package)? else {
        return Ok(Some(format!("no member of the workspace is called `{package}`")));
    };
    let targets = [("--bench", "benches"), ("--test", "tests")];
    let named = targets.iter().filter_map(|(option, place)| Some((place, after(option)?)));
    let missing = named.into_iter().find(|(place, target)| {
        let file = folder.join(place).join(format!("{target}.rs"));
        !file.is_file() && !folder.join(place).join(target).join("main.rs").is_file()
    });
    Ok(missing.map(|(place, target)| format!("`{package}` has no `{target}` in its {place}")))
}

/// Where a member of the workspace lies.
fn package_folder(workspace: &Workspace, package: &str) -> Result<Option<std::path::PathBuf>, HarnessError> {
    let path = workspace.root().join("Cargo.toml");
    let text = std::fs::read_to_string(&path).map_err(|source| HarnessError::io("read", &path, source))?;
    let manifest = text.parse::<Table>().unwrap_or_default();
    let members = manifest.get("workspace").and_then(|workspace| workspace.get("members")?.as_array());
    let folders = members.into_iter().flatten().filter_map(Value::as_str).map(|member| workspace.root().join(member));
    let is_called = |folder: &std::path::PathBuf| {
        let manifest = table_at(&folder.join("Cargo.toml"));
        let name = manifest.as_ref().and_then(|manifest| manifest.get("package")?.get("name")?.as_str());
        name == Some(package)
    };
    Ok(folders.into_iter().find(is_called))
}

/// A TOML file, if it can be read.
fn table_at(path: &Path) -> Option<Table> {
    std::fs::read_to_string(path).ok()?.parse().ok()
}
