//! Who holds memory and runs kernels.

use crate::{CudaError, Launch};

/// A machine with memory of 64-bit words that runs the kernels of `kernels/`: a GPU behind its driver, or a stand-in.
///
/// Copies and launches take effect in the order in which they are asked for.
pub trait Device: Send + Sync + 'static {
    /// Words on the device, aligned to 16 bytes or more, freed when dropped, but not before the launches that use them
    /// have ended.
    type Memory: Send + Sync;

    /// So many words, content arbitrary.
    fn allocate(&self, words: usize) -> Result<Self::Memory, CudaError>;
    /// So many polynomials of so many words each, content arbitrary, one after the other: the second begins where the first
    /// ends. Each is a memory of its own and may outlive the others.
    fn allocate_together(&self, count: usize, words: usize) -> Result<Vec<Self::Memory>, CudaError>;
    /// So many words, all zero.
    fn zeros(&self, words: usize) -> Result<Self::Memory, CudaError>;
    /// A copy of words of the host.
    fn upload(&self, words: &[u64]) -> Result<Self::Memory, CudaError>;
    /// A copy on the host, after all launches asked for before.
    fn download(&self, memory: &Self::Memory) -> Result<Vec<u64>, CudaError>;
    /// How many words.
    fn words(&self, memory: &Self::Memory) -> usize;
    /// Where a kernel finds the first word.
    fn address(&self, memory: &Self::Memory) -> u64;

    /// Runs a kernel.
    ///
    /// # Safety
    /// The launch has the shape and the arguments that `kernels/ABI.md` gives for its kernel: every address among them,
    /// or in memory that they lead to, is that of live memory of this device, as large as the kernel expects. Nobody
    /// else uses the memory that it writes.
    unsafe fn launch(&self, launch: &Launch) -> Result<(), CudaError>;
}

/// A device among others of its kind, between whose memories words can be copied without passing through this program's.
pub trait Peer: Device {
    /// A copy of words of another device: as they are after everything that was asked of that one before, and before everything that is asked of
    /// it later. Neither device waits for work of the other that was asked of it later, or has nothing to do with words that are copied.
    fn copy_from(&self, other: &Self, memory: &Self::Memory) -> Result<Self::Memory, CudaError>;
}
