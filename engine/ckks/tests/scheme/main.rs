//! The scheme, encrypted and in the clear.
//!
//! One program, because each would compile the whole engine for itself.

mod arithmetic;
mod bootstrapping;
mod common;
mod lanes;
mod noise_model;
mod periodic;
mod remote_client;
mod sharding;
mod sparse_bootstrapping;
mod transfer;
mod vectors;
mod weight_products;
