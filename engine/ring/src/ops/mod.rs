//! Checked operations on polynomials: the public way into a [`Backend`](crate::Backend).
//!
//! Kernels trust their operands. Everything here verifies rings, primes and domains first, in every build, and refuses
//! with a [`RingError`](crate::RingError) that names the operation, the operand, what was found, what is required and a remedy.
//! A [`Poly`](crate::Poly) made by these operations is always well formed: at least one prime, all of them in the backend's chain, a
//! degree that the chain supports.
//!
//! * `storage`: making, copying, reading; changing the domain.
//! * `arithmetic`: sums, products, constants, automorphisms.
//! * `rings`: between the cyclotomic and the conjugate-invariant ring.
//! * `key_switching`: digits, the gadget product, sums of rotations.
//! * `moduli`: divisions by primes, the raise.
//! * `weights`: products with weight polynomials.
//! * `modules`: strided maps and matrices of module rows.
//! * `lanes`: matrix products of ciphertexts over a subring.

mod arithmetic;
mod checks;
mod key_switching;
mod lanes;
mod modules;
mod moduli;
mod rings;
mod storage;
mod weights;

pub use arithmetic::{linear_combination, subring_sums, tensor};
pub use key_switching::{Digits, GadgetFactor, HoistedFactor, KeyedRotation, gadget_product, hoisted_sums};
pub use lanes::lane_products;
pub use modules::{ResidueMatrix, module_product, module_rows};
pub use weights::weight_products;
