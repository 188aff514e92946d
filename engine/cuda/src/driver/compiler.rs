//! The kernels, compiled for one architecture and stored for the next time.

use std::{
    env,
    ffi::{CStr, CString, c_char},
    fs,
    path::{Path, PathBuf},
    process, ptr,
};

use cudarc::nvrtc::{
    result::{self, NvrtcError},
    sys,
};

use super::libraries::have_compiler;
use crate::CudaError;

macro_rules! sources {
    ($($name:literal,)*) => {
        /// Every file of `kernels/`, by name.
        const SOURCES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../../../kernels/", $name))),)*];
    };
}

sources! {
    "base_conversion.cu",
    "element_wise.cu",
    "gadget_product.cu",
    "hoisted_sums.cu",
    "lanes.cu",
    "large_transforms.cuh",
    "large_transforms_bottom.cu",
    "large_transforms_top.cu",
    "modular_arithmetic.cuh",
    "modules.cu",
    "operands.cuh",
    "permutation.cu",
    "permutation.cuh",
    "real_parts.cu",
    "small_transforms.cu",
    "subring_sums.cu",
    "transform_layers.cuh",
    "uniform.cu",
    "weights.cu",
}

/// NVRTC has 128-bit integers on request only.
const OPTIONS: [&str; 2] = ["--std=c++17", "--device-int128"];

/// The machine code of the kernels for an architecture (`sm_90`), from the cache if it was compiled before.
pub(super) fn kernels(architecture: &str) -> Result<Vec<u8>, CudaError> {
    let folder = cache_folder();
    let path = folder.join(file_name(architecture));
    if let Ok(code) = fs::read(&path) {
        return Ok(code);
    }
    if !have_compiler() {
        let cache = folder.display().to_string();
        return Err(CudaError::NoCompiler { architecture: architecture.into(), cache });
    }
    let code =
        compile(architecture).map_err(|found| CudaError::Compilation { architecture: architecture.into(), found })?;
    // Without a cache the next start takes longer; that is no failure of this one.
    let _ = store(&path, &code);
    Ok(code)
}

/// What `XDG_CACHE_HOME` says, else the usual place.
fn cache_folder() -> PathBuf {
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let folder = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).unwrap_or_else(env::temp_dir);
    folder.join("fhe-llama")
}

/// Names the architecture and everything that the code depends on but the compiler.
fn file_name(architecture: &str) -> String {
    let mut hash = blake3::Hasher::new();
    for text in SOURCES.iter().flat_map(|&(name, text)| [name, text]).chain(OPTIONS) {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    format!("kernels-{}-{architecture}.cubin", &hash.finalize().to_hex()[..16])
}

/// Whole files only: another process may look at the same time.
fn store(path: &Path, code: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let unfinished = path.with_extension(process::id().to_string());
    fs::write(&unfinished, code)?;
    fs::rename(unfinished, path)
}

/// One program of all sources.
fn compile(architecture: &str) -> Result<Vec<u8>, String> {
    let text = |text: &str| CString::new(text).expect("sources have no zero byte");
    let includes = SOURCES.iter().filter(|(name, _)| name.ends_with(".cu"));
    let program = text(&includes.map(|(name, _)| format!("#include \"{name}\"\n")).collect::<String>());
    let (names, sources): (Vec<CString>, Vec<CString>) =
        SOURCES.iter().map(|&(name, source)| (text(name), text(source))).unzip();
    let options: Vec<String> =
        OPTIONS.iter().map(|&option| option.into()).chain([format!("--gpu-architecture={architecture}")]).collect();
    let [names, sources] = [&names, &sources].map(|texts| texts.iter().map(|text| text.as_ptr()).collect::<Vec<_>>());
    // SAFETY: the program, the sources and their names are strings that live until the program is destroyed.
    unsafe { compile_program(&program, &names, &sources, &options) }
}

/// # Safety
/// Names and sources are as many pointers to strings.
unsafe fn compile_program(
    text: &CStr,
    names: &[*const c_char],
    sources: &[*const c_char],
    options: &[String],
) -> Result<Vec<u8>, String> {
    let mut program = ptr::null_mut();
    // SAFETY: promised by the caller; the program is used only if it was made, and destroyed once. The code's size is that
    // of what is written.
    unsafe {
        sys::nvrtcCreateProgram(
            &mut program,
            text.as_ptr(),
            c"kernels.cu".as_ptr(),
            sources.len() as i32,
            sources.as_ptr(),
            names.as_ptr(),
        )
        .result()
        .map_err(|error| error.to_string())?;
        let code = result::compile_program(program, options).map_err(|error| {
            let log = result::get_program_log(program).unwrap_or_default();
            let log: Vec<u8> = log.into_iter().map(|byte| byte as u8).take_while(|&byte| byte != 0).collect();
            format!("{error}: {}", String::from_utf8_lossy(&log))
        });
        let code = code.and_then(|()| machine_code(program).map_err(|error| error.to_string()));
        let destroyed = result::destroy_program(program).map_err(|error| error.to_string());
        code.and_then(|code| destroyed.map(|()| code))
    }
}

/// # Safety
/// The program was compiled for an architecture.
unsafe fn machine_code(program: sys::nvrtcProgram) -> Result<Vec<u8>, NvrtcError> {
    let mut size = 0;
    // SAFETY: promised by the caller; as many bytes are written as the first call said.
    unsafe {
        sys::nvrtcGetCUBINSize(program, &mut size).result()?;
        let mut code = vec![0u8; size];
        sys::nvrtcGetCUBIN(program, code.as_mut_ptr().cast()).result()?;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kernel;

    #[test]
    fn every_source_is_known_and_every_kernel_in_one() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels");
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".cu") || name.ends_with(".cuh")).collect();
        names.sort();
        assert_eq!(names, SOURCES.iter().map(|&(name, _)| name).collect::<Vec<_>>());
        for kernel in Kernel::ALL {
            let definition = format!(" {}(", kernel.name());
            assert!(SOURCES.iter().any(|(_, text)| text.contains(&definition)), "{kernel} is in no source");
        }
    }

    #[test]
    fn another_architecture_is_another_file() {
        assert_ne!(file_name("sm_80"), file_name("sm_90"));
        assert!(file_name("sm_90").ends_with("-sm_90.cubin"));
    }
}
