//! Stamps the binary with the code it was built from, so that every record can say so.
//!
//! The binary, not the checkout it happens to run in, is what produced a number: commit, dirty flag and hashes are
//! therefore taken here. Only files that can change a result count as dirty; a new row under `results/` does not.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a result depends on, relative to the workspace root.
const SOURCES: [&str; 7] =
    ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "engine", "kernels", "experiments/src", "experiments/build.rs"];

fn main() {
    // Of this run, not of the script's own compilation: checkouts that share a target folder share the compiled script.
    let crate_folder = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the crate's folder");
    let root = Path::new(&crate_folder).parent().expect("the crate lies in the workspace").to_path_buf();
    for source in SOURCES.map(|source| root.join(source)).iter().filter(|path| path.exists()) {
        println!("cargo:rerun-if-changed={}", source.display());
    }
    for reference in ["HEAD", "logs/HEAD"] {
        let path = git(&root, &["rev-parse", "--git-path", reference]).map(|path| root.join(path));
        // A path that does not exist would make cargo run this script at every build.
        if let Some(path) = path.filter(|path| path.exists()) {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    let commit = git(&root, &["rev-parse", "--verify", "HEAD"]).unwrap_or_default();
    let status = git(&root, &[["status", "--porcelain", "--"].as_slice(), &SOURCES].concat());
    let dirty = status.is_none_or(|changes| !changes.is_empty());
    println!("cargo:rustc-env=FHE_LLAMA_COMMIT={commit}");
    println!("cargo:rustc-env=FHE_LLAMA_DIRTY={dirty}");
    println!("cargo:rustc-env=FHE_LLAMA_SOURCE_HASH={}", hash_of_sources(&root));
    println!("cargo:rustc-env=FHE_LLAMA_LOCK_HASH={}", hash_of_file(&root.join("Cargo.lock")));
    println!("cargo:rustc-env=FHE_LLAMA_COMPILER={}", compiler());
    println!("cargo:rustc-env=FHE_LLAMA_PROFILE={}", std::env::var("PROFILE").unwrap_or_default());
}

/// The trimmed output of a git command, or `None` outside a repository or without git.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

fn compiler() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().ok();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string()).unwrap_or_default()
}

fn hash_of_file(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    blake3::hash(&bytes).to_hex()[..16].to_string()
}

fn hash_of_sources(root: &Path) -> String {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&root.join(source), &mut files);
    }
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        hasher.update(name.as_bytes()).update(&[0]).update(hash_of_file(&file).as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_string()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        files.push(path.to_path_buf());
    } else if let Ok(entries) = std::fs::read_dir(path) {
        entries.flatten().for_each(|entry| collect(&entry.path(), files));
    }
}
