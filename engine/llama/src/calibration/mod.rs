//! Ranges: how large every tensor of a model gets, and the windows that the circuit's polynomials are fitted to.
//!
//! A polynomial is accurate inside the interval it was fitted on and explodes outside it, and a server cannot see which
//! happened. So the float model runs over many windows of a text first ([`calibrate`]), the [`Extents`] of every site
//! are recorded, widened by [`Margins`] into [`ModelRanges`], and stored beside the hash of the weights ([`Ranges`]). A
//! prompt is checked against them before it is encrypted ([`ModelRanges::preflight`]), and held-out text tells how often
//! they do not hold ([`Ranges::validate`]).
//!
//! Ranges hold after one public [`Prefix`](crate::Prefix), and behind a [`PublicContext`](crate::PublicContext) that begins with it, is no longer than
//! those they were measured behind ([`WindowPlan::behind`]), and no shorter than they were told ([`WindowPlan::behind_at_least`]). A few tokens that begin a prompt become sinks themselves, whatever prefix
//! stands before them; no window begins with these, and the pre-flight refuses a prompt whose first token leaves the ranges.

mod assumed;
mod check;
mod extents;
mod first_tokens;
mod interval;
mod margins;
mod public_tokens;
mod ranges;
mod store;
mod windows;

pub use assumed::{AssumedLayers, AssumedRanges};
pub use check::{OutOfRange, SiteExcess, Validation};
pub use extents::{Extents, Recorder};
pub use interval::Interval;
pub use margins::Margins;
pub use ranges::{LayerRanges, ModelRanges};
pub use store::{Provenance, Ranges};
pub use windows::{Corpus, WindowPlan};

use std::collections::BTreeSet;

use crate::error::Result;
use crate::float::{FloatModel, Observer, Site};
use crate::prompt::PromptBlock;

/// Blocks that walk through the layers together, so that a layer's weights are converted once for all of them.
const BLOCKS_PER_PASS: usize = 16;

/// Runs the float model over windows of `corpus` and records the extent of every site.
///
/// The embedding's extent is taken over its whole table, since it needs no statistics. `progress` is told the number of
/// windows done and of all windows after each pass.
///
/// # Errors
/// [`CalibrationSetting`](crate::Error::CalibrationSetting), [`TextTooShort`](crate::Error::TextTooShort),
/// [`BlockSize`](crate::Error::BlockSize), [`NotFinite`](crate::Error::NotFinite), and
/// [`TokenOutOfVocabulary`](crate::Error::TokenOutOfVocabulary) for a corpus of another model.
pub fn calibrate(
    model: &FloatModel<'_>,
    corpus: &Corpus,
    plan: &WindowPlan,
    margins: Margins,
    progress: impl FnMut(usize, usize),
) -> Result<Ranges> {
    margins.validate()?;
    let weights = model.weights();
    let mut extents = Extents::empty(weights.config());
    let sinking = run_windows(model, corpus, plan, progress, |window| extents.merge(window))?;
    extents.widen(Site::Embedding.outside_layers(), 0, Interval::of(weights.embedding().data()));
    let provenance = Provenance::new(weights, corpus, plan, sinking);
    Ok(Ranges::new(provenance, margins, extents))
}

/// Hands the extents of each window of a plan to `window`, one after the other. Returns the tokens of the text that no window
/// begins with because they take the prefix's part.
fn run_windows(
    model: &FloatModel<'_>,
    corpus: &Corpus,
    plan: &WindowPlan,
    mut progress: impl FnMut(usize, usize),
    mut window: impl FnMut(&Extents),
) -> Result<BTreeSet<u32>> {
    let config = model.weights().config();
    // Refuses plan and text before anything is computed.
    plan.blocks(corpus, config)?;
    let candidates: BTreeSet<u32> = corpus.tokens().iter().copied().chain(config.bos_token_id).collect();
    let sinking = first_tokens::sinking(model, &plan.prefix, &candidates, plan.block)?;
    let blocks: Vec<PromptBlock> = plan.blocks_without(&sinking, corpus, config)?;
    let (mut done, total) = (0, blocks.iter().filter(|block| plan.records(block)).count());
    for pass in passes(&blocks, plan) {
        let recorder =
            |block| if plan.records(block) { Recorder::new(config) } else { Recorder::of_public_tokens(config) };
        let mut recorders: Vec<Recorder> = pass.iter().map(recorder).collect();
        let mut observers: Vec<&mut dyn Observer> =
            recorders.iter_mut().map(|recorder| recorder as &mut dyn Observer).collect();
        if plan.context == 0 {
            model.observe_each(pass, &mut observers, |_, _| ())?;
        } else {
            model.observe_successive(pass, &mut observers, |_, _| ())?;
        }
        // The circuit takes keys and values of a context from its tensors; they belong to what each window behind them saw.
        let mut seen = Extents::empty(config);
        for (block, recorder) in pass.iter().zip(&recorders) {
            if plan.records(block) {
                let mut extents = recorder.extents().clone();
                extents.merge(&seen);
                window(&extents);
                done += 1;
            } else {
                seen.merge(recorder.extents());
            }
        }
        progress(done, total);
    }
    Ok(sinking)
}

/// Blocks that walk through the layers together: some at a time, or all of one text.
fn passes<'a>(blocks: &'a [PromptBlock], plan: &WindowPlan) -> Vec<&'a [PromptBlock]> {
    if plan.context == 0 {
        return blocks.chunks(BLOCKS_PER_PASS).collect();
    }
    blocks.chunk_by(|_, next| !next.context().is_empty()).collect()
}
