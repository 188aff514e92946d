//! Sweeps: what a spec says of them.

#[path = "../fixture/mod.rs"]
mod fixture;
mod spec;
