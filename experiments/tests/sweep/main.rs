//! Sweeps: what a spec says of them, and the figure and the tables that show them.

mod figure;
#[path = "../fixture/mod.rs"]
mod fixture;
mod spec;
mod suite;
mod table;
