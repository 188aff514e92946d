//! Keys and what the server does with them, against the plaintext arithmetic that they must preserve.

mod batches;
#[path = "../common/mod.rs"]
mod common;
mod keys;
mod lanes;
mod low_region;
mod modules;
mod parameters;
mod raising;
mod rings;
mod rotated_sums;
mod secrets;
mod switching;
mod vectors;

use fhe_ring::RingKind;

const DEGREE: usize = 1 << common::LOG_DEGREE;
const BOUND: i64 = 1 << 40;
const RINGS: [RingKind; 2] = [RingKind::Cyclotomic, RingKind::ConjugateInvariant];
