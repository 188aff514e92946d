//! The backend behind [`fhe_cuda::Driver`], with a driver that runs kernels on the CPU: `kernels/emulator/driver`.
//!
//! `scripts/cuda-emulator-test` builds that driver and runs these tests, which fail with any other one. Each runs in processes
//! of its own, with a driver in a state that the test chooses, and what a process does not give back makes it fail.

mod bootstrapping;
mod conformance;
mod devices;
mod emulated;
mod launches;
mod loading;
mod memory;
mod shards;
mod streams;
