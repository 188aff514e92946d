//! Tests in processes of their own.

use std::{
    env,
    process::{Command, Output},
};

use fhe_cuda::{CudaError, Driver};

/// Variables of a process.
pub(crate) type Variables<'a> = &'a [(&'a str, &'a str)];

/// What a test has set in the processes that it starts.
const INSIDE: &str = "CUDA_EMULATOR_TEST";

/// The order in which the driver works on streams, blocks and threads.
pub(crate) const SEED: &str = "CUDA_EMULATOR_SEED";
/// How many devices there are.
pub(crate) const DEVICES: &str = "CUDA_EMULATOR_DEVICES";
/// Bytes of each device.
pub(crate) const MEMORY: &str = "CUDA_EMULATOR_MEMORY";
/// How many threads call the driver where the engine works on several things at once.
pub(crate) const THREADS: &str = "RAYON_NUM_THREADS";
/// Flags for the kernels' compiler.
pub(crate) const FLAGS: &str = "CUDA_EMULATOR_CXXFLAGS";
/// Where compiled kernels are stored.
pub(crate) const STORE: &str = "XDG_CACHE_HOME";
/// The barrier of the kernels' source that threads run through.
pub(crate) const OMITTED_BARRIER: &str = "CUDA_EMULATOR_OMITTED_BARRIER";
/// Whether devices have pools of memory.
pub(crate) const POOLS: &str = "CUDA_EMULATOR_POOLS";

/// Starts a process for each set of variables, in which the test, named as `cargo test` names it, does nothing but `body`.
/// `None` within these.
pub(crate) fn processes(test: &str, states: &[Variables<'_>], body: impl FnOnce()) -> Option<Vec<Output>> {
    if env::var(INSIDE).is_ok_and(|inside| inside == test) {
        body();
        return None;
    }
    let outputs = states.iter().map(|variables| {
        let output = Command::new(env::current_exe().expect("a test is a program"))
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env(INSIDE, test)
            .env("CUDA_EMULATOR_LEAKS_FAIL", "1")
            // Tests run beside each other, and the threads of one wait for each other on a busy machine.
            .env(THREADS, "1")
            .envs(variables.iter().copied())
            .output()
            .expect("a program that runs can be started");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("running 1 test"), "`{test}` is not what this test is called: {text}");
        output
    });
    Some(outputs.collect())
}

/// As [`processes`], of which each must end well.
pub(crate) fn emulated(test: &str, states: &[Variables<'_>], body: impl FnOnce()) {
    let Some(outputs) = processes(test, states, body) else { return };
    for (output, variables) in outputs.iter().zip(states) {
        assert!(output.status.success(), "with {variables:?}, {}:\n{}", output.status, said(output));
    }
}

/// Everything that a process wrote.
pub(crate) fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).join("\n")
}

/// A device of the emulated driver.
pub(crate) fn device(ordinal: usize) -> Result<Driver, CudaError> {
    let driver = Driver::new(ordinal)?;
    let name = driver.name();
    assert!(name.starts_with("CUDA emulator"), "these tests need the emulated driver, not that of `{name}`");
    Ok(driver)
}

/// The first device.
pub(crate) fn driver() -> Driver {
    device(0).unwrap_or_else(|error| panic!("{error}; scripts/cuda-emulator-test runs these tests"))
}
