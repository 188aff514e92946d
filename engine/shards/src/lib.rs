//! Several backends as one: the GPUs of a node, say.
//!
//! # What it is
//!
//! [`Sharded`] implements [`fhe_ring::Backend`] on *shards*: backends of one kind and one chain of primes. Circuits know nothing of it. Where they
//! let a ciphertext climb, they say which shard is to work on it ([`fhe_ring::Backend::place`]); from there on every kernel runs where its first
//! operand lies, results stay there, and an operand that lies elsewhere is copied by a [`Comm`] first.
//!
//! ```text
//! q_0:  x_0  x_1  x_2  x_3          a tensor at the lowest modulus, one limb each
//!        |    |    |    |   place       where each is worked on from here on
//!       [0]  [1]  [0]  [1]              half bootstrap, non-linear work, SlotsToCoeffs
//!        |    |    |    |   copy        whoever sums over them reads one limb each
//! ```
//!
//! Ciphertexts are independent of each other between two products with weights, and so are the heads of attention: that is the parallelism of
//! encrypted inference on several GPUs (the paper that this project reproduces, arXiv 2601.18511, runs on eight). Placing moves ciphertexts where they are
//! smallest, at the lowest modulus, `2 N` words each. Operands that were dealt differently are copied where they meet, at whatever modulus that is:
//! [`Traffic`] says what really moved, by the number of limbs, so that a circuit that has many of these is found.
//!
//! # Invariants
//!
//! * Every word of every kernel is that of one shard alone: nothing but where it is computed depends on the number of shards
//!   (`fhe_conformance::run`, with uploads dealt out in turn).
//! * A copy stays as long as its polynomial lives and is read again: keys and plaintexts reach every shard once. Whoever changes a polynomial
//!   drops its copies.
//! * A zero polynomial lies nowhere until a kernel needs it somewhere.
//! * Residue matrices never move: their products are computed where the ciphertexts under them were.
//! * Copies take effect in the order of calls, as kernels do.

mod backend;
mod comm;
mod error;
mod replicated;
mod sharded;
mod traffic;

pub use comm::{Comm, HostComm};
pub use error::ShardError;
pub use replicated::Replicated;
pub use sharded::Sharded;
pub use traffic::{Traffic, TrafficByLimbs};
