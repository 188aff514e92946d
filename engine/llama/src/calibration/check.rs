//! Does a prompt, or a text, stay inside the calibrated windows?

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::extents::{Extents, Recorder};
use super::interval::Interval;
use super::ranges::ModelRanges;
use super::windows::{Corpus, WindowPlan};
use super::{Ranges, run_windows};
use crate::error::{Error, Result};
use crate::float::{FloatModel, Location, Site};
use crate::matrix::Matrix;
use crate::prompt::PromptBlock;

/// A value outside its calibrated window: the circuit's polynomials say nothing true about this prompt.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub struct OutOfRange {
    /// Layer and site.
    pub location: Location,
    /// The query head, for the sites of the scores.
    pub head: Option<usize>,
    /// The value furthest outside.
    pub found: f64,
    /// The calibrated window, margins included.
    pub allowed: Interval,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { location, head, found, allowed } = self;
        write!(f, "{location}")?;
        if let Some(head) = head {
            write!(f, ", head {head}")?;
        }
        write!(
            f,
            ": {found:.6} is outside the calibrated range {allowed}; use another prompt, or calibrate on text like it"
        )
    }
}

impl OutOfRange {
    /// How far outside, in half widths of the window.
    pub fn excess(&self) -> f64 {
        (self.found - self.allowed.hi).max(self.allowed.lo - self.found) / self.allowed.half_width()
    }

    fn is_above(&self) -> bool {
        self.found > self.allowed.hi
    }
}

impl ModelRanges {
    /// Refuses what was observed of a run if any of it lies outside its window, naming the first such location in the
    /// order of the computation.
    ///
    /// # Errors
    /// [`OutOfRange`].
    pub fn check(&self, observed: &Extents) -> Result<(), OutOfRange> {
        self.excesses(observed).next().map_or(Ok(()), Err)
    }

    /// Everything observed that lies outside its window, in the order of the computation.
    pub fn excesses(&self, observed: &Extents) -> impl Iterator<Item = OutOfRange> {
        self.windows(observed).filter_map(|window| window.excess())
    }

    /// Runs a prompt block through the float model and checks it: the harness's pre-flight, which sees the prompt in the
    /// clear. Returns the float logits, vocabulary x tokens.
    ///
    /// # Errors
    /// Those of [`ModelRanges::check_block`]; [`Error::OutOfRange`], or [`Error::FirstToken`] where a prompt's first token leaves the windows
    /// whatever follows it; those of [`FloatModel::logits`].
    pub fn preflight(&self, model: &FloatModel<'_>, block: &PromptBlock) -> Result<Matrix> {
        self.check_block(block)?;
        let mut recorder = Recorder::new(model.weights().config());
        let logits = model.observe(block, &mut recorder)?;
        let Err(outside) = self.check(recorder.extents()) else { return Ok(logits) };
        Err(self.first_token_outside(model, block)?.unwrap_or(outside.into()))
    }

    /// The refusal of the first prompt whose first token leaves the windows by itself. Without a prefix that is no reason: each
    /// first token is as wild as the next. Behind a context no prompt has a first token: it goes on.
    fn first_token_outside(&self, model: &FloatModel<'_>, block: &PromptBlock) -> Result<Option<Error>> {
        if self.prefix.is_empty() || !block.context().is_empty() {
            return Ok(None);
        }
        let config = model.weights().config();
        for (prompt, span) in block.prompts().iter().enumerate() {
            let token = block.tokens()[span.start];
            let alone = PromptBlock::after(block.prefix(), &[vec![token]], block.size(), config)?;
            let mut recorder = Recorder::new(config);
            model.observe(&alone, &mut recorder)?;
            if let Err(source) = self.check(recorder.extents()) {
                return Ok(Some(Error::FirstToken { prompt, token, prefix: self.prefix.clone(), source }));
            }
        }
        Ok(None)
    }

    /// Every observed interval that has a window, beside it.
    fn windows(&self, observed: &Extents) -> impl Iterator<Item = Window> {
        observed.iter().flat_map(move |(location, intervals)| {
            intervals.iter().enumerate().filter_map(move |(head, &found)| {
                let allowed = self.allowed(location, head)?;
                let head = location.site.is_per_head().then_some(head);
                (!found.is_empty()).then_some(Window { location, head, found, allowed })
            })
        })
    }
}

/// What was found at one place beside what is allowed there.
struct Window {
    location: Location,
    head: Option<usize>,
    found: Interval,
    allowed: Interval,
}

impl Window {
    /// The worse of both sides, if any is outside.
    fn excess(&self) -> Option<OutOfRange> {
        let (above, below) = (self.found.hi - self.allowed.hi, self.allowed.lo - self.found.lo);
        // Recorded values are f32, windows f64: an excess below a rounding step of the value is none.
        let rounding = f64::from(f32::EPSILON) * self.allowed.magnitude();
        if above.max(below) <= rounding {
            return None;
        }
        let found = if above >= below { self.found.hi } else { self.found.lo };
        Some(OutOfRange { location: self.location, head: self.head, found, allowed: self.allowed })
    }
}

/// How often one site left its window, over layers, heads and windows of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SiteExcess {
    /// Intervals checked.
    pub checked: usize,
    /// Those that left through the upper end.
    pub above: usize,
    /// Those that left through the lower end only, or further than through the upper one.
    pub below: usize,
    /// The worst excess, in half widths of the window.
    pub worst: f64,
}

/// What ranges are worth on a text they were not measured on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Validation {
    /// Windows of text run.
    pub windows: usize,
    /// Windows with at least one excess: what the pre-flight would refuse.
    pub windows_outside: usize,
    /// Counts per site that has a window.
    pub sites: BTreeMap<Site, SiteExcess>,
}

impl Ranges {
    /// Runs the float model over windows of a held-out text and counts how often each site leaves its window.
    ///
    /// # Errors
    /// As [`calibrate`](super::calibrate).
    pub fn validate(
        &self,
        model: &FloatModel<'_>,
        held_out: &Corpus,
        plan: &WindowPlan,
        progress: impl FnMut(usize, usize),
    ) -> Result<Validation> {
        let ranges = self.model();
        let mut validation = Validation::default();
        run_windows(model, held_out, plan, progress, |observed| validation.add(&ranges, observed))?;
        Ok(validation)
    }
}

impl Validation {
    fn add(&mut self, ranges: &ModelRanges, observed: &Extents) {
        let mut outside = false;
        for window in ranges.windows(observed) {
            let site = self.sites.entry(window.location.site).or_default();
            site.checked += 1;
            if let Some(excess) = window.excess() {
                outside = true;
                *if excess.is_above() { &mut site.above } else { &mut site.below } += 1;
                site.worst = site.worst.max(excess.excess());
            }
        }
        self.windows += 1;
        self.windows_outside += usize::from(outside);
    }
}
