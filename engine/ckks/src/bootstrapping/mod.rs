//! Bootstrapping above the scheme: the sine of EvalMod and its correction, the full bootstrap, and the simulation that says
//! what precision to expect.

mod full;
pub mod simulation;
pub mod sine;
pub(crate) mod slot_simulator;

pub use full::{bootstrap, sparse_bootstrap};
pub use sine::correct_sine;
