//! Kernels that cannot be compiled or loaded.

use std::{env, fs, path::Path};

use fhe_cuda::{CudaError, Driver};

use crate::emulated::{STORE, emulated};

#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn a_compiler_that_refuses_the_kernels_is_an_error_with_its_log() {
    let empty = tempfile::tempdir().expect("a folder");
    let states: [&[(&str, &str)]; 1] =
        [&[(STORE, empty.path().to_str().expect("a name")), ("CXX", "no-such-compiler")]];
    emulated("loading::a_compiler_that_refuses_the_kernels_is_an_error_with_its_log", &states, || {
        let error = Driver::new(0).err().expect("no kernels");
        let CudaError::Compilation { architecture, found } = &error else { panic!("{error}") };
        assert_eq!(architecture, "sm_00");
        assert!(found.contains("NVRTC_ERROR_COMPILATION") && found.contains("no-such-compiler"), "{found}");
    });
    assert_eq!(fs::read_dir(&empty).expect("the folder").count(), 0, "a failure is not stored");
}

#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn a_damaged_store_is_an_error() {
    // Whatever comes of it, kernels are stored afterwards.
    let _ = Driver::new(0);
    let stored = Path::new(&env::var(STORE).expect("the script names a folder")).join("fhe-llama");
    let stored = fs::read_dir(stored).expect("kernels are stored").next().expect("one").expect("a file");
    let other = tempfile::tempdir().expect("a folder");
    let folder = other.path().join("fhe-llama");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join(stored.file_name()), [0; 4096]).expect("a file");
    let states: [&[(&str, &str)]; 1] = [&[(STORE, other.path().to_str().expect("a name"))]];
    emulated("loading::a_damaged_store_is_an_error", &states, || {
        let error = Driver::new(0).err().expect("no kernels");
        assert!(matches!(&error, CudaError::Device { found, .. } if found.contains("INVALID_IMAGE")), "{error}");
    });
}
