//! What a running cell says: JSON lines on its standard output, read by its parent.

use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// One line from a running cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A phase began.
    PhaseStarted {
        /// Its name, such as `keys`.
        phase: String,
    },
    /// A phase ended.
    PhaseFinished {
        /// Its name.
        phase: String,
        /// What it took.
        seconds: f64,
    },
    /// A part of a phase is done.
    Step {
        /// The phase.
        phase: String,
        /// Parts done.
        done: u64,
        /// Parts in all.
        total: u64,
        /// Estimated seconds left in the phase, once there is something to estimate from.
        seconds_left: Option<f64>,
    },
    /// Something the user should know.
    Message {
        /// One line.
        text: String,
    },
    /// The record is complete in the run folder.
    Recorded {
        /// The file.
        path: PathBuf,
    },
    /// The cell stopped with an error.
    Failed {
        /// The error, as the user is to read it.
        reason: String,
    },
}

/// Where a running cell reports to.
pub trait ProgressSink: Sync {
    /// Reports one event.
    fn emit(&self, event: Event);

    /// Reports a line of text.
    fn message(&self, text: String) {
        self.emit(Event::Message { text });
    }
}

impl dyn ProgressSink + '_ {
    /// Runs `work` as a phase and returns its result with the seconds it took.
    pub fn phase<T>(&self, name: &str, work: impl FnOnce() -> T) -> (T, f64) {
        self.emit(Event::PhaseStarted { phase: name.into() });
        let start = Instant::now();
        let result = work();
        let seconds = start.elapsed().as_secs_f64();
        self.emit(Event::PhaseFinished { phase: name.into(), seconds });
        (result, seconds)
    }

    /// Reports that `done` of `total` parts of a phase are finished; the time left follows from the pace since `start`.
    pub fn step(&self, phase: &str, done: u64, total: u64, start: Instant) {
        let pace = (done > 0).then(|| start.elapsed().as_secs_f64() / done as f64);
        let seconds_left = pace.map(|seconds| seconds * total.saturating_sub(done) as f64);
        self.emit(Event::Step { phase: phase.into(), done, total, seconds_left });
    }
}

/// Events as JSON lines on standard output: the child's end of the protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonLines;

impl ProgressSink for JsonLines {
    fn emit(&self, event: Event) {
        let Ok(line) = serde_json::to_string(&event) else { return };
        let mut out = std::io::stdout().lock();
        // A parent that is gone is noticed on standard input; a lost progress line is no reason to stop a cell.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

/// Passes nothing on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl ProgressSink for Quiet {
    fn emit(&self, _event: Event) {}
}
