//! The kernels, compiled for the host.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use libloading::Library;

/// The kernels as a library, compiled once for all tests.
pub(crate) fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let compiler = std::env::var_os("CXX").unwrap_or_else(|| OsString::from("c++"));
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("cargo makes a folder for tests");
        let path = compile(&compiler, folder.path()).unwrap_or_else(|reason| panic!("{reason}"));
        // SAFETY: the library has no initialisers. Once loaded it needs its file no more.
        unsafe { Library::new(path) }.expect("the compiler made a shared library of this machine")
    })
}

fn compile(compiler: &OsStr, folder: &Path) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels/emulator/library.cpp");
    let library = folder.join("libkernels.so");
    let output = Command::new(compiler)
        .args(["-std=c++20", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"])
        .args(["-fPIC", "-fvisibility=hidden", "-shared", "-o"])
        .args([&library, &source])
        .output()
        .map_err(|error| {
            format!(
                "the C++ compiler `{}` could not be started ({error}), and without one the kernels cannot be tested: \
                 install g++ 11 or later (Debian: `apt-get install g++`), or name another one in the variable CXX",
                compiler.display()
            )
        })?;
    if !output.status.success() {
        let diagnostics = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the C++ compiler `{}` refused the kernels:\n{diagnostics}", compiler.display()));
    }
    Ok(library)
}

#[test]
fn a_missing_compiler_is_a_failure_that_names_what_to_install() {
    let reason = compile(OsStr::new("no-such-compiler"), Path::new("no-such-folder")).unwrap_err();
    assert!(reason.contains("`no-such-compiler` could not be started"), "{reason}");
    assert!(reason.contains("install g++"), "{reason}");
}

#[test]
fn a_compiler_that_fails_is_a_failure_with_its_diagnostics() {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| OsString::from("c++"));
    let reason = compile(&compiler, Path::new("no-such-folder")).unwrap_err();
    assert!(reason.contains("refused the kernels") && reason.contains("no-such-folder"), "{reason}");
}
