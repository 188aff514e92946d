//! Randomness: seeds, uniform residues, ternary secrets and Gaussian errors.
//!
//! Everything random comes from a [`Seed`] through a cryptographic generator. Secret vectors are returned by value: the
//! caller owns them and wipes them (with `zeroize`) when done.

mod secrets;
mod seed;
mod uniform;

pub use secrets::{MAX_STANDARD_DEVIATION, gaussian, sparse_ternary, ternary};
pub use seed::Seed;
pub use uniform::{limb_seeds, uniform_limbs};
