//! The harness of fhe-llama: a question in TOML becomes cells, cells become records, records become tables and figures.
//!
//! ```text
//! suites/*.toml --spec--> cells --identity--> missing cells --runner--> one child process each
//!      results/SUITE/SUITE.jsonl <--journal-- records <--executor--------------'
//!                  '--table--> .parquet .csv .md .tex   '--figure--> figures/SUITE.{svg,png}, figures/SUITE-sweep.{svg,png}
//!
//! suites/*.toml (a comparison) + measurements of scripts/bench-peers + baselines/*.toml
//!                  '--comparison--table--> .parquet .csv .md .tex    '--figure--> figures/SUITE.{svg,png}
//!
//! suites/*.toml (a cell) + what is typed --chat--> client ==frames, ciphertexts==> serve
//!
//! all of results/ --report--> report.html
//! all of results/, README.md, baselines/regression/*.toml --check--> what does not hold
//! ```
//!
//! What a reader may rely on:
//!
//! - **A spec is strict.** An unknown key, a wrong type or a missing input is refused by name before anything runs.
//! - **A number knows where it comes from.** [`record::CellRecord`] carries code, machine, data, parameters and
//!   randomness; [`identity`] hashes all that can change the answer, and only an equal identity makes a run unnecessary.
//! - **A failed cell is a row.** Each cell runs in a process of its own; however that ends, its row says so.
//! - **Nothing is half-written.** Journals, checkpoints and derived files are replaced whole ([`atomic`]); a run that was
//!   killed resumes from its run folder ([`checkpoint`]).
//! - **Processes may share a workspace.** Each cell is run by one of them at a time ([`lock`]); the others use its record.
//! - **Tables and figures are functions of the journal.** They regenerate from `results/` alone, byte for byte.
//!
//! The harness reads clocks, environment and files; the engine below it does not. What is measured stands behind
//! [`executor::CellExecutor`]; [`execute`] is this workspace's engine. A [`chat`] runs its circuits between two processes and records nothing.

pub mod approximations;
pub mod atomic;
pub mod calibrate;
pub mod chat;
pub mod check;
pub mod checkpoint;
pub mod cli;
mod command_line;
pub mod comparison;
pub mod context_band;
pub mod error;
pub mod event;
pub mod execute;
pub mod executor;
pub mod figure;
pub mod format;
pub mod identity;
pub mod journal;
pub mod lock;
pub mod machine;
pub mod params;
pub mod provenance;
pub mod public_context;
pub mod public_prefix;
pub mod randomness;
pub mod record;
pub mod report;
pub mod runner;
pub mod slurm;
pub mod spec;
pub mod table;
pub mod workspace;

pub use error::HarnessError;
