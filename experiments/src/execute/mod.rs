//! Executes a cell on the engine: encrypted, in the clear, or metered.
//!
//! A [`circuit`] is all that planning needs, [`calibrated`] ranges included; [`inputs`] reads and checks data, and what is [`prepared`] has both. A [`plan`] walks through the decoder on a backend
//! without data, which is all that [`metered`] does; [`encrypted`], whose [`parties`] may compute on a GPU, and [`in_clear`] run the [`decoder`] over their evaluators, attended by
//! [`attendant`], which times phases and compares what passes by with a [`reference`]. Of a text, many [`windows`] walk through the clear
//! circuit together, and its [`ranges`] are described. After every layer an encrypted run stores its
//! [`state`]. Behind a prompt, [`generation`] goes on token by token; a [`session`] does both between two processes. Where a cell asks for SoftMax alone, [`softmax`] runs that head by head instead.

mod attendant;
mod blocks;
mod calibrated;
mod circuit;
mod decoder;
mod encrypted;
mod extremes;
mod generation;
mod gpus;
mod in_clear;
mod inputs;
mod metered;
mod pace;
mod parties;
mod plan;
mod prepared;
mod ranges;
mod reference;
pub mod session;
mod softmax;
mod state;
mod windows;

use std::path::Path;
use std::time::Instant;

use circuit::Circuit;
use fhe_model::encrypted::Polynomial;
pub(crate) use generation::Sampler;
use inputs::Inputs;
use prepared::Prepared;

use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::executor::CellExecutor;
use crate::identity::ResolvedCell;
use crate::machine;
use crate::record::CellRecord;
use crate::spec::{Cell, CircuitKind, Mode};

/// Runs cells on this project's engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineExecutor;

impl CellExecutor for EngineExecutor {
    fn preflight(&self, cell: &Cell, root: &Path, progress: &dyn ProgressSink) -> Result<(), HarnessError> {
        if cell.config.circuit == CircuitKind::Softmax {
            return softmax::preflight(cell, root, progress);
        }
        match (cell.config.input.tokens, &cell.config.input.text) {
            (Some(tokens), _) => drop(Circuit::of_tokens(cell, tokens, root, progress)?),
            // What a circuit makes of a text is the answer, not a condition; its ranges are part of the question.
            (None, Some(_)) => drop(Inputs::read(cell, root, progress)?),
            (None, None) => drop(Prepared::new(cell, Inputs::read(cell, root, progress)?)?.reference()?),
        }
        Ok(())
    }

    fn execute(
        &self,
        cell: &ResolvedCell,
        folder: &RunFolder,
        progress: &dyn ProgressSink,
    ) -> Result<CellRecord, HarnessError> {
        let start = Instant::now();
        use_threads(cell.threads())?;
        let mut record = CellRecord::begin(cell);
        match cell.cell.config.input.tokens {
            _ if cell.cell.config.circuit == CircuitKind::Softmax => {
                softmax::run(cell, folder, progress, &mut record)?;
            }
            Some(tokens) => {
                let set_up = || Circuit::of_tokens(&cell.cell, tokens, &cell.root, progress);
                let (circuit, seconds) = progress.phase("set-up", set_up);
                let circuit = circuit?;
                record.seconds.set_up = seconds;
                circuit.describe(&mut record);
                metered::run(&circuit, progress, &mut record)?;
            }
            None => match run_data(cell, folder, start, progress, &mut record) {
                Err(refusal) if refusal.is_refusal() => record = record.refused(refusal),
                result => result?,
            },
        }
        record.seconds.total += start.elapsed().as_secs_f64();
        record.footprint.peak_memory_bytes = record.footprint.peak_memory_bytes.max(machine::peak_memory_bytes());
        Ok(record)
    }
}

/// The part of [`EngineExecutor::execute`] that computes with data, or could.
fn run_data(
    cell: &ResolvedCell,
    folder: &RunFolder,
    start: Instant,
    progress: &dyn ProgressSink,
    record: &mut CellRecord,
) -> Result<(), HarnessError> {
    let is_text = cell.cell.config.input.text.is_some();
    let (inputs, reading) = progress.phase("inputs", || Inputs::read(&cell.cell, &cell.root, progress));
    let inputs = inputs?;
    if is_text {
        let functions = cell.cell.config.engine.functions;
        let ((), seconds) = progress.phase("ranges", || ranges::describe(&inputs, functions, record));
        record.seconds.comparison = seconds;
    }
    let (prepared, seconds) = progress.phase("set-up", || Prepared::new(&cell.cell, inputs));
    let prepared = prepared?;
    record.seconds.set_up = reading + seconds;
    prepared.circuit.describe(record);
    match cell.cell.config.mode {
        Mode::Encrypted => encrypted::run(&prepared, folder, start, progress, record),
        Mode::Clear if is_text => windows::run(&prepared, progress, record),
        Mode::Clear => in_clear::run(&prepared, progress, record),
        Mode::Metered => {
            // Prompts that the circuit does not carry are refused in every mode.
            let (reference, seconds) = progress.phase("float reference", || prepared.reference());
            reference?;
            record.seconds.comparison = seconds;
            metered::run(&prepared.circuit, progress, record)
        }
    }
}

/// The polynomials of a cell's circuit.
///
/// # Errors
/// What is wrong with the model, its ranges, prompts or parameters; [`HarnessError::Refused`].
pub fn polynomials(cell: &Cell, root: &Path, progress: &dyn ProgressSink) -> Result<Vec<Polynomial>, HarnessError> {
    Ok(match cell.config.input.tokens {
        Some(tokens) => Circuit::of_tokens(cell, tokens, root, progress)?.model.polynomials(),
        None => Circuit::of_inputs(cell, &Inputs::read(cell, root, progress)?)?.model.polynomials(),
    })
}

/// Sets the number of worker threads of this process, once.
pub(crate) fn use_threads(threads: usize) -> Result<(), HarnessError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .or_else(|error| if rayon::current_num_threads() == threads { Ok(()) } else { Err(error) })
        .map_err(|error| HarnessError::execution("start the worker threads", error))
}
