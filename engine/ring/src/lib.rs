//! RNS polynomial rings and whoever executes their arithmetic.
#![doc = ""]

mod backend;
mod basis;
mod chain;
mod counting;
mod counts;
mod cpu;
mod error;
pub mod galois_table;
mod instruction_set;
mod ledger;
mod matrix;
mod meter;
mod modulus;
pub mod ntt;
pub mod ops;
mod poly;
pub mod primes;
mod profile;
mod ring;
pub mod sampling;

pub use backend::Backend;
pub use basis::{Basis, PrimeIndex};
pub use chain::PrimeChain;
pub use counting::Counting;
pub use counts::Counts;
pub use cpu::{Cpu, Words};
pub use error::RingError;
pub use instruction_set::InstructionSet;
pub use ledger::{Allocation, Tracked};
pub use matrix::{IntegerMatrix, MatrixShape};
pub use meter::Meter;
pub use modulus::Modulus;
pub use ops::{Digits, ResidueMatrix, gadget_product, module_rows};
pub use poly::{Domain, Operand, Poly, Shape};
pub use profile::DeviceProfile;
pub use ring::{GaloisElement, Ring, RingKind};
pub use sampling::{Seed, gaussian, sparse_ternary, ternary, uniform_limbs};
