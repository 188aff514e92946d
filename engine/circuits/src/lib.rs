//! Homomorphic circuits, written once over any [`Evaluator`](fhe_ckks::Evaluator).
//!
//! A decoder layer is made of four kinds of work, each with a module here:
//!
//! * [`matrix_product`]: public weights times encrypted tensors, at the lowest modulus, by plain matrix products on
//!   module rows (Bae, Cheon, Hanrot, Park and Stehlé, CRYPTO 2024);
//! * [`attention`]: products of two encrypted tensors, over slots;
//! * [`rms_norm`], [`softmax`], [`silu`]: functions of slots, by the polynomials of [`approximation`];
//! * [`crossing`]: SlotsToCoeffs on the way down, half bootstrapping on the way up.
//!
//! [`layout`] says where the entries of a tensor lie: channels in rows, tokens inside a row, half of the tokens in each half of
//! the real slots. `window` says what sums over rows rotations can make there.
//!
//! Invariants:
//!
//! * Every circuit states the levels it consumes as a function of its polynomials' degrees, so a caller can ask a half
//!   bootstrap for exactly these; tests hold the statement and the evaluation together.
//! * A circuit is plaintext data until it meets an evaluator: it is prepared once from calibrated windows and applied
//!   to any number of ciphertexts of any evaluator.
//! * Idle rows hold zeros or constants inside every window. One slot out of range spoils every coefficient after
//!   SlotsToCoeffs.

pub mod approximation;
pub mod attention;
pub mod crossing;
mod error;
mod interval;
pub mod layout;
pub mod matrix_product;
pub mod rms_norm;
pub mod silu;
pub mod softmax;
mod window;

pub use attention::{RotaryAngles, ScoreMap, SlotAttention};
pub use crossing::Distortion;
pub use error::{CircuitError, Result};
pub use interval::Interval;
pub use layout::{Layout, Place, RowModule};
pub use matrix_product::{QuantisedMatrix, WeightScales, split_rows};
pub use rms_norm::RmsNorm;
pub use silu::GatedSilu;
pub use softmax::{Softmax, SoftmaxVariant, SoftmaxWindows};
