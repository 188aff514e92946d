//! The float side of the crate against model folders written on the spot, and against the committed trained model.

mod agreement;
mod assumed;
mod calibration;
mod config;
mod context;
mod context_band;
mod fetched;
mod fixture;
mod float_reference;
mod loading;
mod prefix;
mod quantisation;
mod rotation;
mod slow_llama;
mod tokenizer;
mod trained;
