//! The harness without an engine: specs, identities, journals, tables, figures, reports and checks.

mod check;
mod comparison;
mod derived;
mod durability;
#[path = "../fixture/mod.rs"]
mod fixture;
mod identity;
mod migration;
mod report;
mod slurm;
mod spec;
mod sweep;
