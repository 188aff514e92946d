//! The ring's kernels in CUDA C++, and the host code that launches them: a backend for GPUs.
//!
//! # What it is
//!
//! [`Cuda`] implements [`fhe_ring::Backend`], every kernel of it, with the sources in `kernels/` at the root of the
//! repository. Who holds memory and runs kernels is a [`Device`]:
//!
//! * `Driver` (feature `cuda`), a GPU behind NVIDIA's driver. A build needs no CUDA: libraries are loaded, and the kernels
//!   compiled for the device's own architecture, when a driver is made.
//! * The emulator of this crate's tests, which compiles the unchanged kernels with the host's C++ compiler and runs each of
//!   their threads as a fiber (`kernels/emulator`). It shows that operands reach the kernels and that these agree with
//!   [`fhe_ring::Cpu`] bit for bit, in any order of threads and with a use for every barrier. It does not show time, nor what
//!   depends on real concurrency.
//!
//! Both pass the same conformance suite. `scripts/cuda-emulator-test` runs `Driver` without a GPU: with a driver and a
//! run-time compiler that execute the kernels on the CPU and are hard on their user (streams in any order, memory that runs
//! out, accesses out of bounds stopped, leaks reported). `scripts/gpu-check` runs it on a machine with a GPU, with the
//! sanitizers of CUDA, measures kernels and bootstrapping, and leaves a record; what an H100 showed is in
//! `kernels/MEASURED.md`.
//!
//! ```ignore
//! let backend = Cuda::new(chain, Driver::new(0)?)?;
//! ```
//!
//! # Invariants
//!
//! * Kernels know no scheme, no key and no basis: the host turns shapes into addresses, and bases into positions of limbs
//!   and primes, which are resident as tables.
//! * No kernel of the contract goes back to the host; downloads alone wait for the device.
//! * Everything that a kernel reads or writes is 64-bit words, and every argument is one word (`kernels/ABI.md`).
//! * What a kernel leaves in a polynomial is fully reduced; between the two launches of a large transform it is not.
//! * Only this crate decides the grid, the block and the shared memory of a launch; a device carries it out or fails.
//! * A device does what it is asked in the order in which it is asked: a driver has one stream for kernels, and two beside it for copies
//!   to other GPUs of the node, which [`LocalComm`] or `NcclComm` makes for [`fhe_shards::Sharded`].
//! * A build of this crate needs no C++ compiler and no CUDA. Its tests need a C++ compiler and fail without one.
//!
//! # Reading order
//!
//! [`Cuda`] and the files of its kernels, [`Launch`], [`Device`], `Driver`; then `kernels/ABI.md` and the kernels.

mod backend;
mod base_conversion;
mod comm;
mod conversion;
mod cuda;
mod device;
#[cfg(feature = "cuda")]
mod driver;
mod element_wise;
mod error;
mod gadget;
mod lanes;
mod launch;
mod modules;
mod permutation;
mod subring;
mod tables;
mod transform;
mod weights;

pub use comm::LocalComm;
pub use cuda::Cuda;
pub use device::{Device, Peer};
#[cfg(feature = "cuda")]
pub use driver::{Driver, DriverMemory, Moment, NcclComm, device_name};
pub use error::CudaError;
pub use launch::{Kernel, Launch};
