//! RLWE over an RNS ring: parameters, security, keys, gadget key switching, ring switching, module rows, wire format.
//!
//! **Papers.** Hybrid key switching: Han and Ki (CT-RSA 2020). Hoisting: Halevi and Shoup (Crypto 2018); double hoisting: Bossuat,
//! Mouchet, Troncoso-Pastoriza, Hubaux (Eurocrypt 2021). Sparse-secret encapsulation: Bossuat, Troncoso-Pastoriza, Hubaux (ACNS 2022).
//! Plaintext-ciphertext products over module rows: Bae, Cheon, Hanrot, Park, Stehle (Crypto 2024). Products of two encrypted matrices:
//! Cheon, Kang, Lee (ePrint 2025/1957), transposes after Park (Eurocrypt 2025). Security: [`security`].
//!
//! **Invariants.**
//! * Secrets live in [`client`] only; server types ([`KeySwitcher`], [`KeyStore`], [`Ciphertext`]) cannot hold one.
//! * Every key is checked against the bounds of [`security`] at its own modulus and under the secret it is encrypted with.
//! * Keys are made for the primes that a circuit's plan requests, never typed by hand ([`KeyRequests`]).
//! * What travels ([`wire`]) names its format, its parameters and its length, and is checked before it is believed.
//! * Nothing here knows slots or scales.

mod ciphertext;
pub mod client;
mod error;
mod key_store;
mod keys;
mod lanes;
mod modules;
mod parameters;
mod raising;
mod ring_switching;
mod rings;
pub mod security;
mod seeded;
mod switching;
mod transposition;
mod vectors;
pub mod wire;

pub use ciphertext::Ciphertext;
pub use error::RlweError;
pub use key_store::KeyStore;
pub use keys::{Gadget, KeyId, KeyRequests, KeyShape, Parity, Part, SwitchingKey};
pub use modules::{ModuleRows, WeightProduct};
pub use parameters::{Fingerprint, Halving, LowRegion, Parameters, ParametersSpec, SecretId};
pub use raising::RaiseFactor;
pub use seeded::SeededCiphertext;
pub use switching::{Extended, KeySwitcher, Rotated};
pub use vectors::{PackedVector, VectorParts};
