//! Memory that runs out, comes back and is given back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fhe_conformance::{Pattern, exercise};
use fhe_cuda::{CudaError, Device};

use crate::{
    conformance::{backends, cases_of, compare},
    emulated::{MEMORY, POOLS, SEED, driver, emulated, processes, said},
};

const WORD: u64 = size_of::<u64>() as u64;

#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn too_little_is_an_error_with_what_was_required_and_what_is_available() {
    let name = "memory::too_little_is_an_error_with_what_was_required_and_what_is_available";
    let states: [&[(&str, &str)]; 2] = [&[(MEMORY, "1048576")], &[(MEMORY, "1048576"), (POOLS, "0")]];
    emulated(name, &states, || {
        let driver = driver();
        let taken = driver.allocate(1 << 15).expect("a quarter");
        let error = driver.allocate(1 << 17).err().expect("more than there is");
        let (required, total) = (WORD << 17, 1 << 20);
        assert_eq!(error, CudaError::OutOfMemory { required, available: total - (WORD << 15), total });
        drop(taken);
        assert_eq!(driver.words(&driver.allocate(1 << 17).expect("all of it")), 1 << 17);
    });
}

/// What the driver holds in pieces too small is given back to the system, which has it in one.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn pieces_that_are_too_small_do_not_stand_in_the_way() {
    emulated("memory::pieces_that_are_too_small_do_not_stand_in_the_way", &[&[(MEMORY, "1048576")]], || {
        let driver = driver();
        let pieces: Vec<_> = (0..16).map(|_| driver.allocate(1 << 13).expect("a sixteenth")).collect();
        drop(pieces);
        driver.synchronize().expect("a working device");
        assert_eq!(driver.memory().expect("a working device"), [0, 1 << 20], "the pool keeps what is freed");
        driver.allocate(1 << 17).expect("all of it");
    });
}

/// Wherever the memory runs out, the kernel that needs it says so, what it took comes back, and the next try has right words.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn wherever_it_runs_out_nothing_is_lost() {
    let states: [&[(&str, &str)]; 2] = [&[(MEMORY, "16777216")], &[(MEMORY, "16777216"), (SEED, "1")]];
    emulated("memory::wherever_it_runs_out_nothing_is_lost", &states, || {
        let (cpu, cuda) = backends(9, driver());
        let case = cases_of(9, 3).into_iter().find(|case| case.pattern == Pattern::Random).expect("one exists");
        compare(&cpu, &cuda, &case);
        let mut refused = 0;
        for left in (8..2048).step_by(64) {
            let device = cuda.device();
            // Everything but so many KiB.
            let taken: Vec<_> = std::iter::successors(Some(1 << 20), |words| Some(words / 2))
                .take_while(|&words| words >= 1 << 7)
                .flat_map(|words| std::iter::from_fn(move || device.allocate(words).ok()))
                .collect();
            let mut taken = taken;
            let mut freed = 0;
            while freed < left << 7 {
                freed += taken.pop().map_or(left << 7, |memory| device.words(&memory));
            }
            let Err(panic) = catch_unwind(AssertUnwindSafe(|| exercise(&cuda, &case))) else { continue };
            let reason = panic.downcast_ref::<String>().expect("errors are formatted");
            assert!(reason.contains("bytes were required") && reason.contains("of the device's 16777216"), "{reason}");
            refused += 1;
        }
        assert!(refused > 4, "memory ran out {refused} times only");
        compare(&cpu, &cuda, &case);
    });
}

/// That a process that leaves something fails.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn what_is_left_at_exit_is_reported() {
    let name = "memory::what_is_left_at_exit_is_reported";
    let outputs = processes(name, &[&[]], || {
        let driver = driver();
        std::mem::forget(driver.allocate(1 << 10).expect("memory"));
    });
    for output in outputs.iter().flatten() {
        assert!(!output.status.success());
        assert!(said(output).contains("1 allocations of 8192 bytes"), "{}", said(output));
    }
}
