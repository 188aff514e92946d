//! The circuits, in the clear and under encryption.
//!
//! One program, because each would compile the whole engine for itself.

mod attention;
mod cached_attention;
mod cached_turns;
#[path = "../../../ckks/tests/scheme/common.rs"]
mod common;
mod encrypted;
mod functions;
mod joint_softmax;
mod lane_attention;
mod layout;
mod matrix_product;
mod public_attention;
mod slim;
mod sparse_map;
mod support;
mod vector_product;
mod weight_scales;
