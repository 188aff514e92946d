//! A device that executes the kernels on the CPU.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    ffi::{CStr, CString, c_char},
    ptr::NonNull,
    slice,
    sync::Arc,
};

use fhe_cuda::{CudaError, Device, Launch};
use libloading::Symbol;

use crate::compiler::library;

/// Runs launches to their end, one thread of a kernel at a time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Emulator {
    /// Blocks and threads take turns in ascending order for 0, else in an order that this number shuffles.
    pub(crate) order: u64,
    /// The barrier of the kernels' source, counted from 1, that threads run through; 0 for none.
    pub(crate) omitted_barrier: u32,
}

/// `emulator::Launch` of `kernels/emulator/library.cpp`.
#[repr(C)]
struct EmulatorLaunch {
    kernel: *const c_char,
    grid: [u32; 3],
    block: [u32; 3],
    shared_bytes: usize,
    arguments: *const u64,
    argument_count: usize,
    order: u64,
    omitted_barrier: u32,
}

/// How many barriers the kernels' source has.
pub(crate) fn barrier_count() -> u32 {
    // SAFETY: the function has this signature in `kernels/emulator/library.cpp`.
    unsafe {
        let count: Symbol<'_, unsafe extern "C" fn() -> u32> =
            library().get(b"emulator_barrier_count").expect("exported");
        count()
    }
}

impl Device for Emulator {
    type Memory = GuardedWords;

    /// Words that are no residues: a kernel that reads them before writing leaves wrong results.
    fn allocate(&self, words: usize) -> Result<GuardedWords, CudaError> {
        Ok(GuardedWords::filled(words, !0))
    }

    fn allocate_together(&self, count: usize, words: usize) -> Result<Vec<GuardedWords>, CudaError> {
        Ok(GuardedWords::filled(count * words, !0).into_parts(count))
    }

    fn zeros(&self, words: usize) -> Result<GuardedWords, CudaError> {
        Ok(GuardedWords::filled(words, 0))
    }

    fn upload(&self, words: &[u64]) -> Result<GuardedWords, CudaError> {
        let memory = GuardedWords::filled(words.len(), 0);
        // SAFETY: the memory has so many words, and nobody else knows of it yet.
        unsafe { memory.first().copy_from_nonoverlapping(NonNull::from(words).cast(), words.len()) };
        Ok(memory)
    }

    fn download(&self, memory: &GuardedWords) -> Result<Vec<u64>, CudaError> {
        // SAFETY: the memory has so many initialised words, and no launch is running while `memory` is borrowed.
        Ok(unsafe { slice::from_raw_parts(memory.first().as_ptr(), memory.count) }.to_vec())
    }

    fn words(&self, memory: &GuardedWords) -> usize {
        memory.count
    }

    fn address(&self, memory: &GuardedWords) -> u64 {
        memory.first().as_ptr().expose_provenance() as u64
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), CudaError> {
        let kernel = CString::new(launch.kernel.name()).expect("names have no zero byte");
        let request = EmulatorLaunch {
            kernel: kernel.as_ptr(),
            grid: launch.grid,
            block: launch.block,
            shared_bytes: launch.shared_bytes,
            arguments: launch.arguments.as_ptr(),
            argument_count: launch.arguments.len(),
            order: self.order,
            omitted_barrier: self.omitted_barrier,
        };
        // SAFETY: the function has this signature in `kernels/emulator/library.cpp` and answers null or a string in
        // static storage; the request is what it reads; the caller vouches for the addresses among the arguments.
        let fault = unsafe {
            let run: Symbol<'_, unsafe extern "C" fn(*const EmulatorLaunch) -> *const c_char> =
                library().get(b"emulator_launch").expect("exported");
            let fault = run(&request);
            (!fault.is_null()).then(|| CStr::from_ptr(fault).to_string_lossy().into_owned())
        };
        fault.map_or(Ok(()), |found| Err(CudaError::Launch { kernel: launch.kernel, found }))
    }
}

/// Words of an allocation.
pub(crate) struct GuardedWords {
    allocation: Arc<Allocation>,
    start: usize,
    count: usize,
}

/// Words between two stretches of guard words, in which a kernel that leaves its operands leaves traces.
struct Allocation {
    first: NonNull<u64>,
    count: usize,
}

// SAFETY: the words are owned, and whoever writes them borrows them mutably or launches a kernel under the promises of
// `Device::launch`.
unsafe impl Send for Allocation {}
// SAFETY: as above; through a shared reference words are only read.
unsafe impl Sync for Allocation {}

/// Guard words on either side: 256 bytes keep the alignment that a driver gives.
const GUARD: usize = 32;
const GUARD_WORD: u64 = 0xC0DE_C0DE_C0DE_C0DE;

impl GuardedWords {
    fn filled(count: usize, word: u64) -> Self {
        Self { allocation: Arc::new(Allocation::filled(count, word)), start: 0, count }
    }

    /// Parts of one size.
    fn into_parts(self, parts: usize) -> Vec<Self> {
        let count = self.count / parts.max(1);
        (0..parts).map(|i| Self { allocation: Arc::clone(&self.allocation), start: i * count, count }).collect()
    }

    fn first(&self) -> NonNull<u64> {
        // SAFETY: the allocation has at least so many words.
        unsafe { self.allocation.first.add(self.start) }
    }
}

impl Allocation {
    fn layout(count: usize) -> Layout {
        let words = Layout::array::<u64>(count + 2 * GUARD).and_then(|layout| layout.align_to(256));
        words.expect("polynomials fit in the address space")
    }

    fn filled(count: usize, word: u64) -> Self {
        let layout = Self::layout(count);
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) }.cast::<u64>();
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        // SAFETY: the allocation has GUARD words, then `count`, then GUARD more.
        unsafe {
            for i in (0..GUARD).chain(GUARD + count..2 * GUARD + count) {
                start.add(i).write(GUARD_WORD);
            }
            let first = start.add(GUARD);
            (0..count).for_each(|i| first.add(i).write(word));
            Self { first, count }
        }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: `first` is GUARD words into an allocation of this layout, all of whose words are initialised.
        let intact = unsafe {
            let start = self.first.sub(GUARD);
            let intact =
                (0..GUARD).chain(GUARD + self.count..2 * GUARD + self.count).all(|i| start.add(i).read() == GUARD_WORD);
            dealloc(start.as_ptr().cast(), Self::layout(self.count));
            intact
        };
        assert!(intact || std::thread::panicking(), "a kernel wrote beyond its operands");
    }
}
