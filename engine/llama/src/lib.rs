//! Llama models for encrypted inference: configuration, weights, tokenizer, the float reference, and calibration.
//!
//! A model is a folder in the layout of Hugging Face: `config.json`, `model.safetensors` (or shards with an index), and
//! `tokenizer.json`. What an encrypted run needs to know about it in the clear comes from here:
//!
//! * [`Config`] and [`Weights`]: the architecture and its numbers, validated against each other before anything is
//!   computed. The decoder is Llama's (Touvron et al., arXiv 2302.13971, 2307.09288): RMSNorm, rotary positions,
//!   grouped-query attention, SwiGLU.
//! * [`Rotation`]: orthogonal changes of basis merged into the weights ([`Weights::rotated`]), which spread outliers and leave the model what
//!   it is.
//! * [`Tokenizer`] and [`PromptBlock`]: text to tokens, and several prompts to one block of tokens with its mask and
//!   positions, behind a public [`Prefix`] where the model needs one, or one prompt behind a [`PublicContext`] of thousands of tokens.
//! * [`FloatModel`]: the reference in `f32`, with every intermediate tensor open to an [`Observer`], and
//!   [`float::agreement`] to compare logits with it.
//! * [`calibration`]: the range of every tensor over a text, widened by stated margins into the windows that the
//!   circuit's polynomials are fitted to, and the check that a prompt stays inside.
//!
//! Invariants:
//!
//! * What is accepted is computed exactly as written: a key of `config.json`, a tensor or a token that this crate would
//!   have to ignore is refused by name.
//! * Activations are rows (channels) x tokens everywhere, as the encrypted circuit packs them.
//! * Nothing here reads a clock, the environment, or a file it was not handed.

pub mod calibration;
mod config;
pub mod encrypted;
mod error;
pub mod float;
mod matrix;
mod prompt;
mod tokenizer;
mod weights;

pub use config::Config;
pub use error::{Error, Result};
pub use float::{FloatModel, Location, Observer, Site};
pub use matrix::Matrix;
pub use prompt::{EmbeddedBlock, Prefix, PromptBlock, PromptSpan, PublicContext};
pub use tokenizer::{Beginning, Tokenizer};
pub use weights::{LargestWeights, LayerWeights, ModelShape, ModelSource, Orthogonal, Rotation, Weights};
