//! The encrypted evaluator: CKKS over any [`fhe_ring::Backend`].

mod bootstrap;
mod ciphertext;
mod client;
mod coefficients;
mod encoder;
mod evaluator;
mod linear_transform;
mod server;
mod slots;

pub use ciphertext::{CoefficientCiphertext, EncryptedRows, SlotCiphertext};
pub use client::CkksClient;
pub use server::CkksServer;
