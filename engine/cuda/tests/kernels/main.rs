//! The kernels of `kernels/`, executed on the CPU, against [`fhe_ring::Cpu`]: equal in every word.
//!
//! These tests compile the kernels with the host's C++ compiler, which is `$CXX`, else `c++`. Without one they fail.

mod compiler;
mod conformance;
mod emulator;
mod gadget_product;
mod inputs;
mod transforms;
mod vigilance;
