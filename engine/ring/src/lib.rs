//! Exact arithmetic in RNS polynomial rings, and whoever executes it.
//!
//! A polynomial of degree below `N` with coefficients modulo a product of primes of at most 50 bits is held as one *limb*
//! of `N` residues per prime. This crate knows moduli, number-theoretic transforms, base conversion, automorphisms and
//! sampling. It knows no key, no scheme and no scale.
//!
//! # Reading order
//!
//! * [`PrimeChain`], [`Basis`], [`Ring`]: which primes, which of them, which ring. [`Shape`] joins them with a [`Domain`].
//! * [`Backend`]: the contract, kernels on opaque buffers that trust their operands. [`Cpu`] computes. [`Meter`] holds no
//!   data and predicts. [`Counting`] wraps any backend and counts what really ran, in [`Counts`].
//! * [`Poly`] and [`ops`]: the checked operations, the only way in that anything above this crate uses.
//! * [`sampling`]: seeds, uniform residues, ternary secrets, Gaussian errors.
//!
//! ```
//! use fhe_ring::{Basis, Cpu, Poly, PrimeChain, Ring, Shape, primes};
//!
//! # fn main() -> Result<(), fhe_ring::RingError> {
//! let ring = Ring::cyclotomic(10);
//! let primes = primes::primes_below(1 << 50, 4 << ring.log_degree).take(3).collect();
//! let backend = Cpu::new(PrimeChain::new(primes, vec![], ring.log_degree)?);
//! let shape = Shape::evaluation(ring, Basis::prefix(3));
//! let mut coefficients = vec![0; ring.degree()];
//! coefficients[ring.degree() / 2] = 7;
//! let poly = Poly::from_signed(&backend, shape, &coefficients)?;
//! let square = poly.multiply(&backend, &poly)?.into_coefficient(&backend);
//! // (7 X^(N/2))^2 = 49 X^N = -49
//! let expected = backend.primes().ciphertext_primes()[0].value() - 49;
//! assert_eq!(square.download(&backend).map(|residues| residues[0]), Some(expected));
//! # use fhe_ring::Backend;
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//!
//! * Residues are always fully reduced, whatever an implementation does in between: all backends agree bit for bit.
//! * Every prime is 1 modulo `4N`, so one set serves both ring kinds ([`RingKind`]): `Z[X]/(X^N + 1)` and the
//!   conjugate-invariant ring, whose transform is that of `Z_p[X]/(X^N - I)`, `I^2 = -1`, after one fold.
//! * Costs depend on shapes alone; what [`Meter`] predicts is what [`Counting`] counts.
//! * Nothing fails silently: an operation that cannot be done is refused with a [`RingError`].
//!
//! # Unsafe code
//!
//! Vector loops (`lanes`, `ntt::ifma`, the `ifma` modules of `cpu`) assert the lengths that their pointers rely on, and run only where
//! their instructions were detected; so do those on doubles, whose `unsafe` is that of the vectors (`doubles::octet`); a floating-point product asserts the sizes of its matrices; `cpu::words` owns memory. The
//! script `scripts/check-memory` runs the tests under Miri and AddressSanitizer.
//!
//! # Sources
//!
//! Residue number systems for CKKS and approximate base conversion: Cheon, Han, Kim, Kim, Song, *A Full RNS Variant of
//! Approximate Homomorphic Encryption*, SAC 2018. Hybrid key switching with digits and special primes: Han and Ki,
//! *Better Bootstrapping for Approximate Homomorphic Encryption*, CT-RSA 2020. Transforms and lazy reduction: Harvey,
//! *Faster arithmetic for number-theoretic transforms*, J. Symb. Comp. 2014. The conjugate-invariant ring: Kim and Song,
//! *Approximate Homomorphic Encryption over the Conjugate-Invariant Ring*, ICISC 2018.

mod backend;
mod basis;
mod chain;
mod counting;
mod counts;
mod cpu;
#[cfg(target_arch = "x86_64")]
mod doubles;
mod error;
pub mod galois_table;
mod instruction_set;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod ledger;
mod matrix;
mod meter;
mod modulus;
pub mod ntt;
mod operands;
pub mod ops;
mod poly;
pub mod primes;
mod profile;
mod ring;
pub mod sampling;
mod tracked;

pub use backend::Backend;
pub use basis::{Basis, PrimeIndex};
pub use chain::PrimeChain;
pub use counting::Counting;
pub use counts::Counts;
pub use cpu::{Cpu, Words};
pub use error::RingError;
pub use instruction_set::InstructionSet;
pub use ledger::Allocation;
pub use matrix::{IntegerMatrix, MatrixShape};
pub use meter::Meter;
pub use modulus::Modulus;
pub use operands::{GadgetInput, HoistedInput, HoistedSum, KeyedAutomorphism, Operand, Pair};
pub use ops::{
    Digits, GadgetFactor, HoistedFactor, KeyedRotation, ResidueMatrix, gadget_product, hoisted_sums, lane_products,
    linear_combination, module_product, module_rows, subring_sums, tensor, weight_products,
};
pub use poly::{Domain, Poly, Shape};
pub use profile::DeviceProfile;
pub use ring::{GaloisElement, Ring, RingKind};
pub use sampling::{Seed, gaussian, limb_seeds, sparse_ternary, ternary, uniform_limbs};
pub use tracked::Tracked;
