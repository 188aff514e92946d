//! The ring's kernels in CUDA C++, and the host code that launches them.
//!
//! # What it is today
//!
//! The seed of a backend. [`Cuda`] has the storage, the transforms and the gadget product of [`fhe_ring::Backend`],
//! with the signatures of that trait; their kernels are `kernels/*.cu` at the root of the repository. It does not
//! implement the trait yet, and nothing here calls a CUDA driver: who holds memory and runs kernels is a [`Device`],
//! and the only one so far is in this crate's tests. It compiles the unchanged kernels with the host's C++ compiler and
//! runs each of their threads as a fiber (`kernels/emulator`).
//!
//! What that shows: the operands of the trait, opaque buffers with bases that have gaps, reach a kernel as plain
//! addresses and words, and the kernels agree with [`fhe_ring::Cpu`] bit for bit in both ring kinds. What it does not
//! show: any time, and whatever depends on real concurrency.
//!
//! # Invariants
//!
//! * Kernels know no scheme, no key and no basis: the host turns shapes into addresses of limbs and positions of
//!   primes.
//! * Everything that a kernel reads or writes is 64-bit words, and every argument is one word (`kernels/ABI.md`).
//! * What a kernel leaves in a polynomial is fully reduced; between the two launches of a large transform it is not.
//! * Only this crate decides the grid, the block and the shared memory of a launch; a device carries it out or fails.
//! * A build of this crate needs no C++ compiler and no CUDA. Its tests need a C++ compiler and fail without one.
//!
//! # Reading order
//!
//! [`Cuda`], [`Launch`], [`Device`]; then `kernels/ABI.md` and the kernels.

mod backend;
mod base_conversion;
mod conversion;
mod cuda;
mod device;
#[cfg(feature = "cuda")]
mod driver;
mod element_wise;
mod error;
mod gadget;
mod launch;
mod modules;
mod permutation;
mod tables;
mod transform;

pub use cuda::Cuda;
pub use device::Device;
#[cfg(feature = "cuda")]
pub use driver::{Driver, DriverMemory, Moment};
pub use error::CudaError;
pub use launch::{Kernel, Launch};
