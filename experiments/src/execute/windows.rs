//! Windows of a text through the clear circuit: what is true of a model and not of one prompt.
//!
//! Windows lie alike in their blocks, so that one circuit serves them all, and walk through the layers together, so that a layer's weights become
//! integers once. Each has an evaluator of its own: its noise does not depend on the others or on the order of threads, and what leaves a
//! polynomial's interval is known by its window and layer.

use std::sync::Arc;
use std::time::Instant;

use fhe_ckks::{Clear, SlotArithmetic};
use fhe_model::calibration::{ModelRanges, OutOfRange, Recorder};
use fhe_model::encrypted::Unattended;
use fhe_model::float::agreement::Comparison;
use fhe_model::{FloatModel, Matrix, Observer, PromptBlock, Weights};
use rayon::prelude::*;

use super::in_clear::{evaluator_of, half_bootstraps};
use super::metered::BootstrapOperations;
use super::prepared::Prepared;
use super::reference::summary;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::record::{CellRecord, Excursions, FLOAT, Status, WindowsSummary};

/// Windows that are in float at a time: of each the logits are kept.
const WINDOWS_PER_PASS: usize = 16;

/// A window on its way through the circuit.
struct Window<'a> {
    block: &'a PromptBlock,
    number: usize,
    logits: Matrix,
    clear: Clear,
    residual: Vec<<Clear as fhe_ckks::Evaluator>::Coefficients>,
    /// What left its interval, and where.
    invalid: Option<String>,
}

/// The clear mode of a cell with a text.
pub(super) fn run(
    prepared: &Prepared,
    progress: &dyn ProgressSink,
    record: &mut CellRecord,
) -> Result<(), HarnessError> {
    let (cost, seconds) = progress.phase("plan", || {
        // What the scheme would refuse is refused here; layers tell how far windows are.
        half_bootstraps(prepared, progress)?;
        Ok::<_, HarnessError>(Arc::new(BootstrapOperations::new(&prepared.circuit)?))
    });
    let cost = cost?;
    record.seconds.plan = seconds;
    let mut summary_of_windows = WindowsSummary { windows: prepared.blocks().len(), ..WindowsSummary::default() };
    let mut comparison = Comparison::default();
    for (pass, blocks) in prepared.blocks().chunks(WINDOWS_PER_PASS).enumerate() {
        let first = pass * WINDOWS_PER_PASS;
        let (inside, seconds) = progress.phase("float reference", || in_float(prepared, blocks));
        record.seconds.comparison += seconds;
        let (mut windows, mut outside) = (Vec::new(), Vec::new());
        for (index, seen) in inside?.into_iter().enumerate() {
            let number = first + index;
            if seen.excesses.is_empty() {
                windows.push(Window::new(prepared, &blocks[index], number, seen.logits, Arc::clone(&cost))?);
            } else {
                count(&mut summary_of_windows.outside, number, &seen.excesses);
                outside.push(&blocks[index]);
            }
        }
        summary_of_windows.by_first_token += by_first_token(prepared, &outside)?;
        if windows.is_empty() {
            continue;
        }
        let (logits, _) = progress.phase("windows", || through_the_circuit(prepared, &mut windows, progress));
        for (window, logits) in windows.iter().zip(logits?) {
            match (&window.invalid, logits) {
                (None, Some(logits)) => comparison
                    .add(window.block, &window.logits, &logits)
                    .map_err(|error| HarnessError::execution("compare logits", error))?,
                (reason, _) => {
                    let invalid = &mut summary_of_windows.invalid;
                    invalid.windows += 1;
                    let reason = || format!("window {}: {}", window.number, reason.clone().unwrap_or_default());
                    invalid.first.get_or_insert_with(reason);
                }
            }
        }
        if record.counts.is_empty() {
            let counts = windows[0].clear.counts();
            record.counts = counts.entries().map(|(name, value)| (name.to_owned(), value)).collect();
        }
    }
    record.input.live_tokens = prepared.circuit.block.live() * summary_of_windows.valid();
    match summary_of_windows.valid() {
        0 => {
            let outside = summary_of_windows.outside.windows == summary_of_windows.windows;
            record.status = if outside { Status::Refused } else { Status::Invalid };
            let of = if outside { &summary_of_windows.outside } else { &summary_of_windows.invalid };
            record.reason = of.first.clone();
        }
        _ => record.agreement.push(summary(FLOAT, &comparison, Vec::new())),
    }
    record.windows = Some(summary_of_windows);
    Ok(())
}

/// What the float model makes of a window.
struct Seen {
    excesses: Vec<OutOfRange>,
    logits: Matrix,
}

/// Blocks by the float model, held against the ranges. Logits are those of the weights as they are stored.
fn in_float(prepared: &Prepared, blocks: &[PromptBlock]) -> Result<Vec<Seen>, HarnessError> {
    let (excesses, mut logits) = held_against_ranges(prepared, blocks)?;
    if let Some(stored) = prepared.stored_weights() {
        (_, logits) = by_float_model(stored, blocks)?;
    }
    Ok(excesses.into_iter().zip(logits).map(|(excesses, logits)| Seen { excesses, logits }).collect())
}

/// What of each block leaves the ranges, and the logits of the circuit's weights.
fn held_against_ranges(
    prepared: &Prepared,
    blocks: &[PromptBlock],
) -> Result<(Vec<Vec<OutOfRange>>, Vec<Matrix>), HarnessError> {
    let (recorders, logits) = by_float_model(prepared.circuit_weights(), blocks)?;
    let ranges: &ModelRanges = &prepared.circuit.ranges;
    let excesses = recorders.iter().map(|recorder| ranges.excesses(recorder.extents()).collect());
    Ok((excesses.collect(), logits))
}

fn by_float_model(weights: &Weights, blocks: &[PromptBlock]) -> Result<(Vec<Recorder>, Vec<Matrix>), HarnessError> {
    let mut recorders: Vec<Recorder> = blocks.iter().map(|_| Recorder::new(weights.config())).collect();
    let mut observers: Vec<&mut dyn Observer> =
        recorders.iter_mut().map(|recorder| recorder as &mut dyn Observer).collect();
    let mut logits = Vec::with_capacity(blocks.len());
    FloatModel::new(weights)
        .observe_each(blocks, &mut observers, |_, of_block| logits.push(of_block))
        .map_err(|error| HarnessError::execution("run the float model on windows of the text", error))?;
    Ok((recorders, logits))
}

/// How many of some blocks leave the ranges by the first token of their window alone.
fn by_first_token(prepared: &Prepared, blocks: &[&PromptBlock]) -> Result<usize, HarnessError> {
    let config = prepared.circuit_weights().config();
    let alone = |block: &&PromptBlock| {
        let token = block.tokens()[block.prompts()[0].start];
        PromptBlock::after(block.prefix(), &[vec![token]], block.size(), config)
    };
    let alone: Result<Vec<PromptBlock>, _> = blocks.iter().map(alone).collect();
    let alone = alone.map_err(|error| HarnessError::execution("look at first tokens", error))?;
    if alone.is_empty() {
        return Ok(0);
    }
    let (excesses, _) = held_against_ranges(prepared, &alone)?;
    Ok(excesses.iter().filter(|excesses| !excesses.is_empty()).count())
}

fn count(excursions: &mut Excursions, window: usize, excesses: &[OutOfRange]) {
    let above = excesses.iter().filter(|excess| excess.found > excess.allowed.hi).count();
    excursions.windows += 1;
    excursions.above += above;
    excursions.below += excesses.len() - above;
    if let Some(first) = excesses.first() {
        excursions.first.get_or_insert_with(|| format!("window {window}: {first}"));
    }
}

impl<'a> Window<'a> {
    fn new(
        prepared: &Prepared,
        block: &'a PromptBlock,
        number: usize,
        logits: Matrix,
        cost: Arc<BootstrapOperations>,
    ) -> Result<Self, HarnessError> {
        // Windows draw other noise from one seed.
        let seed = prepared.noise_seed.wrapping_add((number as u64) << 32);
        let clear = evaluator_of(prepared, prepared.engine.noise, cost, seed)?;
        let residual = prepared.circuit.model.embed_block::<Clear, Clear>(&clear, block);
        let residual = residual.map_err(|error| HarnessError::execution("embed a window of the text", error))?;
        Ok(Self { block, number, logits, clear, residual, invalid: None })
    }

    /// Takes the outcome of a step: what it returned, unless a value left an interval on the way.
    fn settle<T>(&mut self, place: &str, outcome: Result<T, fhe_model::Error>) -> Option<T> {
        match (outcome, self.clear.take_excursion()) {
            // In the clear an operation refuses nothing but numbers that it could not carry.
            (Err(error), _) => self.invalid = Some(error.to_string()),
            (Ok(_), Some(largest)) => {
                self.invalid = Some(format!("{place}: an argument of a polynomial is {largest:.4} of its interval"));
            }
            (Ok(value), None) => return Some(value),
        }
        None
    }
}

/// Logits of each window that left no interval.
fn through_the_circuit(
    prepared: &Prepared,
    windows: &mut [Window<'_>],
    progress: &dyn ProgressSink,
) -> Result<Vec<Option<Matrix>>, HarnessError> {
    const PHASE: &str = "windows";
    let failed = |error| HarnessError::execution("read a layer's weights", error);
    let model = &prepared.circuit.model;
    let start = Instant::now();
    let parts = model.layers() as u64 + 1;
    for layer in 0..model.layers() {
        let filled = model.filled_layer(&windows[0].clear, layer, &mut Unattended).map_err(failed)?;
        windows.par_iter_mut().filter(|window| window.invalid.is_none()).for_each(|window| {
            let outcome = filled.run(&window.clear, &window.residual, &mut Unattended);
            if let Some(residual) = window.settle(&format!("layer {layer}"), outcome) {
                window.residual = residual;
            }
        });
        progress.step(PHASE, layer as u64 + 1, parts, start);
    }
    let filled = model.filled_head(&windows[0].clear, &mut Unattended).map_err(failed)?;
    let logits = windows.par_iter_mut().map(|window| {
        if window.invalid.is_some() {
            return None;
        }
        let outcome = filled.run(&window.clear, &window.residual, &mut Unattended);
        let outcome = outcome.and_then(|logits| model.logits::<Clear, Clear>(&window.clear, &logits));
        window.settle("the LM head", outcome)?
    });
    let logits = logits.collect();
    progress.step(PHASE, parts, parts, start);
    Ok(logits)
}
