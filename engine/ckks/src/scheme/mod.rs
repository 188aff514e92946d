//! The encrypted evaluator: CKKS over any [`fhe_ring::Backend`].

mod ascending;
mod ascent;
mod ciphertext;
mod client;
mod coefficients;
mod descending;
mod encoder;
mod evaluator;
mod lanes;
mod linear_transform;
mod packing;
mod periodic;
mod reference;
mod remote_client;
mod server;
mod sharding;
mod slots;
mod storage;
mod together;
mod transfer;
mod vectors;

pub use ciphertext::{CoefficientCiphertext, EncryptedRows, EncryptedVector, LaneCiphertext, SlotCiphertext};
pub use client::CkksClient;
pub use remote_client::RemoteClient;
pub use server::{CkksServer, TransformRequests};
