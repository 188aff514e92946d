//! What the user sees while cells run: bars with the time left on a terminal, plain lines elsewhere.

use crate::event::{Event, ProgressSink};
use crate::format;
use crate::identity::ResolvedCell;
use crate::record::{CellRecord, Status};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Plain output says at most this often how far a phase has come.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Renders events on standard error.
#[derive(Debug)]
pub struct Reporter {
    interactive: bool,
    /// Those of all cells that run beside each other.
    bars: MultiProgress,
    /// What tells the lines of this cell from those of cells beside it.
    label: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
}

impl Reporter {
    /// Bars if standard error is a terminal.
    pub fn new() -> Self {
        let interactive = std::io::stderr().is_terminal();
        Self { interactive, bars: MultiProgress::new(), label: String::new(), state: Mutex::default() }
    }

    /// Of a cell, whose lines bear its number where others run beside it.
    pub(super) fn of_cell(&self, number: Option<usize>) -> Self {
        let label = number.map_or(String::new(), |number| format!("[{number}] "));
        Self { interactive: self.interactive, bars: self.bars.clone(), label, state: Mutex::default() }
    }

    /// Announces a cell.
    pub fn cell(&self, position: usize, of: usize, cell: &ResolvedCell) {
        let config = &cell.cell.config;
        self.say(&format!(
            "[{position}/{of}] {} | cell {} | {} | {} | {}",
            cell.cell.suite, cell.cell.index, config.mode, config.engine.parameters, cell.identity
        ));
    }

    /// Says something about the cell at hand.
    pub fn note(&self, text: &str) {
        self.say(&format!("  {}{text}", self.label));
    }

    /// Says how a cell ended.
    pub fn finished(&self, record: &CellRecord) {
        match (&record.status, &record.reason) {
            (Status::Ok, _) if record.seconds.total > 0.0 => {
                self.note(&format!("ok in {}", format::seconds(record.seconds.total)));
            }
            (Status::Ok, _) => self.note("ok"),
            (status, reason) => self.note(&format!("{status}: {}", reason.as_deref().unwrap_or("no reason given"))),
        }
    }

    /// Passes on what a child wrote to its standard error.
    pub fn complaint(&self, text: &str) {
        self.note("the cell's process wrote:");
        text.trim_end().lines().for_each(|line| self.say(&format!("    {}| {line}", self.label)));
    }

    /// Takes the bar of an unfinished phase away.
    pub fn close(&self) {
        if let Some(bar) = self.state().bar.take() {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }

    fn say(&self, line: &str) {
        self.bars.suspend(|| eprintln!("{line}"));
    }

    /// The state holds no invariant that a panic elsewhere could have broken.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_bar(&self, phase: &str) {
        let bar = self.bars.add(ProgressBar::new_spinner());
        bar.set_style(spinner_style());
        bar.set_prefix(format!("{}{phase}", self.label));
        bar.enable_steady_tick(Duration::from_millis(200));
        self.state().bar = Some(bar);
    }

    fn step(&self, phase: &str, done: u64, total: u64, seconds_left: Option<f64>) {
        let left = seconds_left.map(|seconds| format!("about {} left", format::seconds(seconds))).unwrap_or_default();
        let mut state = self.state();
        if let Some(bar) = &state.bar {
            if bar.length() != Some(total) {
                bar.set_length(total);
                bar.set_style(bar_style());
            }
            bar.set_position(done);
            bar.set_message(left);
        } else if state.last_line.is_none_or(|last| last.elapsed() >= PLAIN_INTERVAL) {
            state.last_line = Some(Instant::now());
            eprintln!("  {}{phase}: {done} of {total}{}{left}", if left.is_empty() { "" } else { ", " }, self.label);
        }
    }
}

impl Default for Reporter {
    fn default() -> Self {
        Self::new()
    }
}

impl ProgressSink for Reporter {
    fn emit(&self, event: Event) {
        match event {
            Event::PhaseStarted { phase } if self.interactive => {
                self.close();
                self.start_bar(&phase);
            }
            Event::PhaseStarted { .. } => self.state().last_line = Some(Instant::now()),
            Event::PhaseFinished { phase, seconds } => {
                self.close();
                self.say(&format!("  {}{phase:<28} {:>12}", self.label, format::seconds(seconds)));
            }
            Event::Step { phase, done, total, seconds_left } => self.step(&phase, done, total, seconds_left),
            Event::Message { text } => self.note(&text),
            Event::Recorded { .. } | Event::Failed { .. } => {}
        }
    }
}

fn bar_style() -> ProgressStyle {
    let style = ProgressStyle::with_template("  {prefix:<28} {bar:32} {pos}/{len}  {elapsed}  {msg}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn spinner_style() -> ProgressStyle {
    ProgressStyle::with_template("  {prefix:<28} {spinner} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}
