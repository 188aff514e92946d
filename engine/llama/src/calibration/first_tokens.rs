//! First tokens of a prompt that do not leave the part of the sink to the prefix.

use std::collections::{BTreeMap, BTreeSet};

use super::BLOCKS_PER_PASS;
use crate::error::Result;
use crate::float::{FloatModel, Location, Observer, Site};
use crate::matrix::Matrix;
use crate::prompt::{Prefix, PromptBlock};

/// A mean square this many times the median of all candidates is a sink. A token that takes the part whole has some ten thousand times
/// the median (activations a thousand times larger than usual: Sun et al., arXiv 2402.17762), but others take it in part: after
/// `<|endoftext|>` a comma of SmolLM2 has three hundred times.
const SINKING: f32 = 32.0;

/// Mean squares of the first, and only, token of every prompt.
#[derive(Default)]
struct MeanSquares(BTreeMap<Location, Vec<(u32, f32)>>);

impl Observer for MeanSquares {
    fn observe(&mut self, location: Location, tensor: &Matrix, block: &PromptBlock) {
        if !matches!(location.site, Site::AttentionMeanSquare | Site::FfnMeanSquare | Site::FinalMeanSquare) {
            return;
        }
        let starts = block.prompts().iter().map(|span| span.start);
        let seen = starts.map(|start| (block.tokens()[start], tensor.at(0, start)));
        self.0.entry(location).or_default().extend(seen);
    }
}

/// Those candidates that become a sink themselves as first token after a prefix; none without one, where every first token is
/// the sink. `size` is that of a block.
pub(super) fn sinking(
    model: &FloatModel<'_>,
    prefix: &Prefix,
    candidates: &BTreeSet<u32>,
    size: usize,
) -> Result<BTreeSet<u32>> {
    if prefix.is_empty() {
        return Ok(BTreeSet::new());
    }
    let config = model.weights().config();
    let prompts: Vec<Vec<u32>> = candidates.iter().map(|&token| vec![token]).collect();
    let blocks = (prompts.chunks(size - prefix.len()))
        .map(|prompts| PromptBlock::after(prefix, prompts, size, config))
        .collect::<Result<Vec<_>>>()?;
    let mut all = MeanSquares::default();
    for pass in blocks.chunks(BLOCKS_PER_PASS) {
        let mut seen: Vec<MeanSquares> = pass.iter().map(|_| MeanSquares::default()).collect();
        let mut observers: Vec<&mut dyn Observer> = seen.iter_mut().map(|seen| seen as &mut dyn Observer).collect();
        model.observe_each(pass, &mut observers, |_, _| ())?;
        for (location, squares) in seen.into_iter().flat_map(|seen| seen.0) {
            all.0.entry(location).or_default().extend(squares);
        }
    }
    let sinking = all.0.into_values().flat_map(|mut squares| {
        squares.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        let bound = SINKING * squares[squares.len() / 2].1;
        squares.into_iter().filter(move |(_, square)| *square > bound).map(|(token, _)| token)
    });
    Ok(sinking.collect())
}
