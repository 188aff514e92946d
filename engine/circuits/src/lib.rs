//! Homomorphic circuits, written once over any [`Evaluator`](fhe_ckks::Evaluator).
//!
//! A decoder layer is made of six kinds of work, each with a module here:
//!
//! * [`matrix_product`]: public weights times encrypted tensors, at the lowest modulus, by plain matrix products on
//!   module rows (Bae, Cheon, Hanrot, Park and Stehlé, CRYPTO 2024);
//! * [`vector_product`]: public weights times the vector of a single token, which must not pay for a block of them;
//! * [`lane_attention`]: products of two encrypted tensors, all heads at once, in the lanes of small ciphertexts (Cheon, Kang and Lee,
//!   ePrint 2025/1957); [`attention`]: the same slot by slot, for small blocks; [`cached_attention`]: the query of a single token and a
//!   cache of keys and values;
//! * [`public_attention`]: products of encrypted queries with many public keys and values;
//! * [`sparse_map`]: moving what one circuit leaves to where the next one wants it, by rotations;
//! * [`rms_norm`], [`softmax`], [`silu`]: functions of slots, by the polynomials of [`approximation`] and, where few values leave slots
//!   idle, of [`slim`]; [`score_layout`] is what SoftMax asks of the place of scores;
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
pub mod cached_attention;
mod channel_factors;
pub mod crossing;
mod error;
mod interval;
pub mod lane_attention;
pub mod latest;
mod layout;
pub mod matrix_product;
mod prefix_rows;
pub mod public_attention;
mod quantisation;
pub mod rms_norm;
pub mod score_layout;
pub mod silu;
pub mod slim;
pub mod softmax;
pub mod sparse_map;
mod total;
pub mod vector_product;
mod window;

pub use approximation::{Accuracy, Functions};
pub use attention::{LivePair, RotaryAngles, ScoreMap, SlotAttention};
pub use cached_attention::{CacheFill, CacheLayout, CachedScores, KeyValueCache, PublicPages};
pub use channel_factors::ChannelFactors;
pub use crossing::{Distortion, Landing, Passage};
pub use error::{CircuitError, Result};
pub use interval::Interval;
pub use lane_attention::{LaneAttention, LaneLayout, LaneScores};
pub use latest::Latest;
pub use layout::{Layout, Place, RowModule};
pub use matrix_product::{QuantisedMatrix, split_rows};
pub use prefix_rows::PrefixRows;
pub use public_attention::{
    JointSums, KeyRows, PublicCache, PublicLayout, PublicProducts, SlotProducts, WeightLayout, WeightProducts,
};
pub use quantisation::{Quantisation, WeightProduct, WeightScales};
pub use rms_norm::{RmsNorm, VectorNorm};
pub use score_layout::{ScoreContract, ScoreLayout, Selection, SumCrossing};
pub use silu::GatedSilu;
pub use slim::{Blocks, Folded, SlimApproximation};
pub use softmax::{
    JointProbabilities, JointSoftmax, JointTerms, LastDivision, PublicContract, Softmax, SoftmaxArgument,
    SoftmaxPolynomial, SoftmaxVariant, SoftmaxWindows,
};
pub use sparse_map::{SlotEntry, SlotPlace, SparseMap, fewest_rotations};
pub use vector_product::{VectorLayout, VectorPlace, VectorProduct, descend_vector, split_vector};
