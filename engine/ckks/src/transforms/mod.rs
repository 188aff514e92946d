//! Linear maps on slots in floating point: the canonical embedding, its factors as diagonal matrices, and the rotations that
//! evaluate them.

pub mod baby_giant;
pub mod bootstrap_factor;
pub mod coefficients_slots;
pub(crate) mod diagonal_coefficients;
pub mod diagonals;
pub mod embedding;
pub mod lanes;
pub mod real_slots;
pub mod slot_transform;
