//! Sweeps: what a spec says of them, and the figure and the tables that show them.

mod figure;
mod spec;
mod suite;
mod table;
