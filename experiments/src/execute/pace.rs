//! How far a run has come and how long the rest will take.

use std::time::Instant;

use fhe_ckks::Evaluator;

use crate::event::ProgressSink;

/// The phase as users see it.
pub(super) const PHASE: &str = "decoder (half bootstraps)";

/// Progress by half bootstraps: they take most of the time, and the work that follows each takes most of the rest.
pub(super) struct Pace<'a> {
    executed: Box<dyn Fn() -> u64 + 'a>,
    before: u64,
    shown: Option<u64>,
    total: u64,
    start: Instant,
    progress: &'a dyn ProgressSink,
}

impl<'a> Pace<'a> {
    /// A run on `e` that has `total` half bootstraps to do from now on.
    pub(super) fn new<E: Evaluator>(e: &'a E, total: u64, progress: &'a dyn ProgressSink) -> Self {
        let executed = Box::new(|| e.counts().half_bootstraps);
        Self { before: executed(), executed, shown: None, total, start: Instant::now(), progress }
    }

    /// Reports what has changed since the last look.
    pub(super) fn look(&mut self) {
        let done = (self.executed)() - self.before;
        if self.shown != Some(done) {
            self.shown = Some(done);
            self.progress.step(PHASE, done, self.total, self.start);
        }
    }
}
