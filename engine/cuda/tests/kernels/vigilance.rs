//! That the other tests can fail: kernels, launches and orders that are wrong on purpose.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fhe_cuda::{CudaError, Device, Kernel, Launch};
use fhe_ring::{Backend, Basis, Operand, Ring, Seed, Shape};

use crate::{
    emulator::{Emulator, GuardedWords as Memory, barrier_count},
    gadget_product::{self, Batch},
    inputs::{Pattern, assert_equal, backends, rings},
    transforms,
};

/// Every kernel, on a device of choice, against the reference.
fn compare_all<D: Device>(device: D) {
    let (cpu, cuda) = backends(device);
    for log_degree in [6, 9, 13] {
        for ring in rings(log_degree) {
            let shape = Shape::coefficient(ring, Basis::of([0, 4]));
            transforms::compare(&cpu, &cuda, shape, Pattern::Uniform(1));
        }
    }
    // Blocks that go round several times.
    let shape = Shape::coefficient(Ring::cyclotomic(13), Basis::of([1, 3]));
    let seed = Seed::from_bytes([3; 32]);
    let (expected, found) = (cpu.uniform(shape, &seed), cuda.uniform(shape, &seed));
    assert_equal((&cpu, &expected), (&cuda, &found), shape, "uniform");
    let basis = Basis::prefix(2);
    let batch = Batch {
        ring: Ring::cyclotomic(10),
        digits: basis,
        rows: basis,
        terms: 2,
        addends: vec![[Some(basis), None]; 2],
        pattern: Pattern::Uniform,
    };
    gadget_product::compare(&cpu, &cuda, &batch);
    let shape = Shape::evaluation(Ring::cyclotomic(8), Basis::prefix(4));
    let fill = &mut |words: &mut [u64]| Pattern::Uniform(1).fill(shape, words);
    let (reference, candidate) = (cpu.upload(shape, fill), cuda.upload(shape, fill));
    let groups = shape.basis.groups_of(2);
    let expected = cpu.mod_up(Operand { buffer: &reference, shape }, &groups, 2);
    let found = cuda.mod_up(Operand { buffer: &candidate, shape }, &groups, 2);
    let lifted = shape.with_basis(shape.basis.with_special(2));
    for ((_, expected), (number, found)) in expected.iter().zip(&found) {
        assert_equal((&cpu, expected), (&cuda, found), lifted, &format!("digit {number} of mod_up"));
    }
}

/// Why the comparison fails on this device, if it does.
fn failure<D: Device>(device: D) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| compare_all(device))).err()?;
    Some(panic.downcast_ref::<String>().expect("failures are formatted").clone())
}

#[test]
fn every_order_of_blocks_and_threads_gives_the_same_words() {
    for order in 1..=4 {
        compare_all(Emulator { order, ..Emulator::default() });
    }
}

#[test]
fn every_barrier_is_needed_and_missed() {
    assert_eq!(failure(Emulator::default()), None);
    assert!(barrier_count() > 0);
    for omitted_barrier in 1..=barrier_count() {
        // In some order: a thread that others must wait for may happen to be the last one.
        let failure = (0..4).find_map(|order| failure(Emulator { omitted_barrier, order }));
        // Wrong words, or threads that no longer agree how often they go round.
        let told = |reason: &String| {
            reason.contains(", expected ") || reason.contains("a barrier") || reason.contains("different barriers")
        };
        assert!(failure.as_ref().is_some_and(told), "barrier {omitted_barrier}: {failure:?}");
    }
}

/// Changes launches before they are carried out.
struct Tampering(fn(&mut Launch));

impl Device for Tampering {
    type Memory = Memory;

    fn allocate(&self, words: usize) -> Result<Memory, CudaError> {
        Emulator::default().allocate(words)
    }

    fn allocate_together(&self, count: usize, words: usize) -> Result<Vec<Memory>, CudaError> {
        Emulator::default().allocate_together(count, words)
    }

    fn zeros(&self, words: usize) -> Result<Memory, CudaError> {
        Emulator::default().zeros(words)
    }

    fn upload(&self, words: &[u64]) -> Result<Memory, CudaError> {
        Emulator::default().upload(words)
    }

    fn download(&self, memory: &Memory) -> Result<Vec<u64>, CudaError> {
        Emulator::default().download(memory)
    }

    fn words(&self, memory: &Memory) -> usize {
        Emulator::default().words(memory)
    }

    fn address(&self, memory: &Memory) -> u64 {
        Emulator::default().address(memory)
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), CudaError> {
        let mut launch = launch.clone();
        (self.0)(&mut launch);
        // SAFETY: promised by the caller; the changes of these tests leave no operand.
        unsafe { Emulator::default().launch(&launch) }
    }
}

#[test]
fn a_wrong_launch_is_noticed() {
    type Case = (fn(&mut Launch), &'static str);
    let cases: [Case; 6] = [
        (|launch| launch.shared_bytes /= 2, "a block wrote beyond the shared memory that it asked for"),
        (|launch| launch.shared_bytes = 1 << 20, "a block asks for too much shared memory"),
        (|launch| launch.block[1] = 1 << 10, "a block has too many threads"),
        (|launch| launch.grid[2] = 0, "the grid or the block is empty"),
        (|launch| launch.arguments.truncate(5), "the kernel has another number of parameters"),
        (|launch| launch.grid[1] = 1, "expected"),
    ];
    for (tamper, reason) in cases {
        let failure = failure(Tampering(tamper)).expect(reason);
        assert!(failure.contains(reason), "{failure}");
    }
}

#[test]
fn errors_name_what_was_found_and_required_and_a_remedy() {
    let (architecture, found) = (String::from("sm_90"), String::from("no"));
    let errors: [(CudaError, &[&str]); 6] = [
        (CudaError::Launch { kernel: Kernel::ForwardLimb, found: found.clone() }, &["forward_limb", "kernels/ABI.md"]),
        (CudaError::NoDevice { required: 3, found: found.clone() }, &["device 3", "nvidia-smi"]),
        (CudaError::NoCompiler { architecture: architecture.clone(), cache: "no".into() }, &["sm_90", "CUDA_PATH"]),
        (CudaError::Compilation { architecture, found: found.clone() }, &["sm_90", "12.8"]),
        (CudaError::OutOfMemory { required: 80, available: 8, total: 16 }, &["80 bytes", "8 of", "16", "drop buffers"]),
        (CudaError::Device { operation: "upload", found }, &["upload", "earlier launch"]),
    ];
    for (error, parts) in errors {
        let text = error.to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert!(matches!(error, CudaError::OutOfMemory { .. }) || text.contains("`no`"), "{text}");
    }
}
