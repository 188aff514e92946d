//! What can go wrong on a device.

use crate::Kernel;

/// Errors of this crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// The kernels do not reach the largest degree of a chain.
    #[error(
        "backend: the prime chain serves degrees up to 2^{found}, but the kernels transform at most 2^{required}; \
         make a chain with a smaller `max_log_degree`"
    )]
    DegreeUnsupported {
        /// Binary logarithm of the chain's largest degree.
        found: u32,
        /// Binary logarithm of the kernels' largest degree.
        required: u32,
    },
    /// The device gave no memory, or a copy failed.
    #[error(
        "{operation}: the device answered `{found}` when {words} words were required; free memory or use a smaller ring"
    )]
    Memory {
        /// The operation that needed the words.
        operation: &'static str,
        /// How many.
        words: usize,
        /// The device's answer.
        found: String,
    },
    /// The device refused a launch or stopped it.
    #[error(
        "{kernel}: the device answered `{found}`, but a finished launch was required; compare it with kernels/ABI.md"
    )]
    Launch {
        /// The kernel.
        kernel: Kernel,
        /// The device's answer.
        found: String,
    },
}
