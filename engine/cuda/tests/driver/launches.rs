//! Launches that the driver refuses or stops, and how the backend says so.

use fhe_cuda::{CudaError, Device, Driver, Kernel, Launch};

use crate::emulated::{SEED, driver, emulated};

const LOG_DEGREE: u64 = 11;
const DEGREE: usize = 1 << LOG_DEGREE;
const LIMBS: usize = 3;

/// Copies every limb of one polynomial to another, as `kernels/ABI.md` says; or as a test changes it.
fn copy_limbs(target: u64, positions: u64, source: u64) -> Launch {
    Launch {
        kernel: Kernel::CopyLimbs,
        grid: [DEGREE as u32 / 256, LIMBS as u32, 1],
        block: [256, 1, 1],
        shared_bytes: 0,
        arguments: vec![target, positions, source, positions, LOG_DEGREE],
    }
}

/// Operands of the right size, whose addresses go into the launch.
fn with_operands(driver: &Driver, change: impl FnOnce(&mut Launch)) -> Result<Vec<u64>, CudaError> {
    let words: Vec<u64> = (0..(LIMBS * DEGREE) as u64).collect();
    let (source, target) = (driver.upload(&words)?, driver.allocate(words.len())?);
    let positions = driver.upload(&[0, 1, 2])?;
    let [to, at, from] = [&target, &positions, &source].map(|memory| driver.address(memory));
    let mut launch = copy_limbs(to, at, from);
    change(&mut launch);
    // SAFETY: the operands are what the kernel expects, or its driver is one that notices.
    unsafe { driver.launch(&launch) }?;
    driver.download(&target)
}

#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn what_exceeds_a_limit_is_refused_and_does_no_harm() {
    emulated("launches::what_exceeds_a_limit_is_refused_and_does_no_harm", &[&[]], || {
        let driver = driver();
        let changes: [fn(&mut Launch); 7] = [
            // More threads than the kernel is compiled for, or any block can have.
            |launch| launch.block[0] = 512,
            |launch| launch.block = [1, 1, 128],
            |launch| launch.block[0] = 0,
            |launch| launch.grid[0] = 0,
            |launch| launch.grid[1] = 1 << 16,
            |launch| launch.grid[2] = 1 << 16,
            |launch| launch.shared_bytes = (48 << 10) + 8,
        ];
        for change in changes {
            let error = with_operands(&driver, change).expect_err("beyond a limit");
            let CudaError::Launch { kernel: Kernel::CopyLimbs, found } = &error else { panic!("{error}") };
            assert!(found.contains("INVALID_VALUE"), "{error}");
        }
        let copied = with_operands(&driver, |_| ()).expect("a launch within the limits");
        assert!(copied.iter().copied().eq(0..(LIMBS * DEGREE) as u64));
    });
}

/// The failure reaches whoever waits next, as with a GPU, and stays.
fn is_stopped(change: impl FnOnce(&mut Launch)) {
    let driver = driver();
    for error in [with_operands(&driver, change).err(), driver.upload(&[1]).err()] {
        let Some(CudaError::Device { found, .. }) = &error else { panic!("{error:?}") };
        assert!(found.contains("ILLEGAL_ADDRESS"), "{found}");
    }
}

#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn a_kernel_that_leaves_its_operands_is_stopped() {
    emulated("launches::a_kernel_that_leaves_its_operands_is_stopped", &[&[], &[(SEED, "1")]], || {
        // A limb more than there are; the position of the fourth is whatever lies behind the third.
        is_stopped(|launch| launch.grid[1] += 1);
        // Polynomials twice as long.
        is_stopped(|launch| launch.arguments[4] += 1);
        is_stopped(|launch| launch.arguments[2] = 0);
    });
}

#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn memory_that_is_freed_is_out_of_reach() {
    emulated("launches::memory_that_is_freed_is_out_of_reach", &[&[], &[(SEED, "1")]], || {
        is_stopped(|launch| {
            let driver = driver();
            let freed = driver.upload(&vec![1; LIMBS * DEGREE]).expect("memory");
            launch.arguments[2] = driver.address(&freed);
            drop(freed);
        });
    });
}
