//! The encrypted evaluator: CKKS over any [`fhe_ring::Backend`].

mod ascending;
mod ascent;
mod ciphertext;
mod client;
mod coefficients;
mod descending;
mod encoder;
mod evaluator;
mod linear_transform;
mod packing;
mod periodic;
mod reference;
mod server;
mod slots;
mod together;

pub use ciphertext::{CoefficientCiphertext, EncryptedRows, SlotCiphertext};
pub use client::CkksClient;
pub use server::CkksServer;
