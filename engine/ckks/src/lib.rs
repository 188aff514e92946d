//! CKKS: encoding, canonical-scale evaluation, linear transforms, polynomials, bootstrapping, and the clear twin.
//!
//! **Papers.** The scheme: Cheon, Kim, Kim, Song (Asiacrypt 2017). Bootstrapping: Cheon, Han, Kim, Kim, Song (Eurocrypt 2018); factored
//! transforms: Chen, Chillotti, Song (Eurocrypt 2019); cosine with double angles: Han and Ki (CT-RSA 2020); double hoisting and
//! depth-optimal polynomials: Bossuat, Mouchet, Troncoso-Pastoriza, Hubaux (Eurocrypt 2021); sparse-secret encapsulation: the
//! same authors (ACNS 2022). Half bootstrapping as a bridge from coefficients to slots: Bae, Cheon, Hanrot, Park, Stehle
//! (Crypto 2024).
//!
//! **Invariants.**
//! * A ciphertext at a level has that level's canonical scale; there is no scale to mismatch.
//! * Circuits are written against [`Evaluator`]; [`CkksServer`] runs them encrypted over any backend, [`Clear`] in the clear with the
//!   same levels and counts.
//! * A half bootstrap preserves *coefficients* of at most `full_scale`; what lies outside is lost without a trace, so ranges are
//!   calibrated and prompts are checked before they are encrypted.
//!
//! **Reading order.** [`Evaluator`], [`parameters`], [`transforms`], [`polynomials`], `scheme` ([`CkksClient`], [`RemoteClient`], [`CkksServer`]), [`bootstrapping`],
//! [`Clear`].

pub mod bootstrapping;
mod clear;
mod counts;
mod error;
mod evaluator;
mod lanes;
pub mod parameters;
mod periodic;
mod plain_vector;
pub mod polynomials;
mod scheme;
mod shape;
pub mod transforms;

pub use bootstrapping::{bootstrap, correct_sine, sparse_bootstrap};
pub use clear::*;
pub use counts::OperationCounts;
pub use error::CkksError;
pub use evaluator::{Client, Copies, Evaluator, Level, Packing, Rotation, SlotArithmetic, Spacing};
pub use fhe_ring::{IntegerMatrix, MatrixShape};
pub use fhe_rlwe::WeightProduct;
pub use lanes::LaneProducts;
pub use parameters::{ParameterSet, Parameters};
pub use periodic::PeriodicMatrix;
pub use plain_vector::{PlainVector, Plaintext};
pub use scheme::{
    CkksClient, CkksServer, CoefficientCiphertext, EncryptedRows, EncryptedVector, LaneCiphertext, RemoteClient,
    SlotCiphertext, TransformRequests,
};
pub use shape::CircuitShape;
