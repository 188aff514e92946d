//! Finding NVIDIA's libraries, which a build does not know.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use libloading::Library;

/// Whether the driver's library can be loaded. Calls into it without this end in a panic.
pub(super) fn have_driver() -> bool {
    // SAFETY: loads and unloads NVIDIA's library, whose initialisers are made for that.
    unsafe { cudarc::driver::sys::is_culib_present() }
}

/// Whether the library for collective communication can be loaded.
pub(super) fn have_nccl() -> bool {
    // SAFETY: loads and unloads NVIDIA's library, whose initialisers are made for that.
    unsafe { cudarc::nccl::sys::is_culib_present() }
}

/// Whether the run-time compiler can be loaded: from the folder of CUDA, if there is one, else from where the system
/// looks.
pub(super) fn have_compiler() -> bool {
    static LOADED: OnceLock<bool> = OnceLock::new();
    *LOADED.get_or_init(|| {
        cuda_folders().iter().any(|folder| load_compiler(folder).is_some())
            // SAFETY: loads and unloads NVIDIA's library, whose initialisers are made for that.
            || unsafe { cudarc::nvrtc::sys::is_culib_present() }
    })
}

/// Where CUDA may be installed, in the order of preference.
fn cuda_folders() -> Vec<PathBuf> {
    let named = ["CUDA_PATH", "CUDA_HOME"].iter().filter_map(env::var_os).map(PathBuf::from);
    named.chain([PathBuf::from("/usr/local/cuda")]).collect()
}

/// Loads the compiler of a CUDA folder for the rest of the process; later lookups by name find it. Its built-in functions,
/// which it does not look for in its own folder, come first.
fn load_compiler(folder: &Path) -> Option<()> {
    let libraries = ["lib64", "lib"].map(|name| folder.join(name));
    let folder = libraries.iter().find(|folder| library(folder, "libnvrtc.so").is_some())?;
    for name in ["libnvrtc-builtins.so", "libnvrtc.so"] {
        // SAFETY: NVIDIA's libraries, loaded as programs linked with them would load them.
        let library = unsafe { Library::new(library(folder, name)?) }.ok()?;
        std::mem::forget(library);
    }
    Some(())
}

/// The file of a folder that is this library in some version.
fn library(folder: &Path, name: &str) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    files.filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name))).min()
}
