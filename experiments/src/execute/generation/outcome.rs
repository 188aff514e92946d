//! What became of a generation, as a record holds it.

use fhe_model::Matrix;

use super::{Generated, Generation};
use crate::error::HarnessError;
use crate::execute::prepared::Prepared;
use crate::execute::reference::agreement;
use crate::execute::state::Observations;
use crate::record::{
    Agreement, CLEAR_CIRCUIT, CellRecord, FLOAT, GeneratedToken, GenerationOutcome, Status, StepEffort,
};

/// Logits of a prompt at its block positions, and of what was generated behind it.
pub(in crate::execute) struct Continuation<'a> {
    pub(in crate::execute) logits: &'a Matrix,
    pub(in crate::execute) generated: &'a [Generated],
}

impl Continuation<'_> {
    /// The logits at every position of prompt and generated tokens.
    fn columns(&self, end: usize) -> Matrix {
        let mut columns = self.logits.clone();
        for (number, token) in self.generated.iter().enumerate().skip(1) {
            let position = end + number - 1;
            token.logits.iter().enumerate().for_each(|(row, &logit)| columns.row_mut(row)[position] = logit);
        }
        columns
    }
}

/// Describes what was generated, beside the float model on the same tokens and the clear circuit if it was run on them; what is said of agreement is then of
/// prompt and continuation together.
///
/// # Errors
/// Those of the float model and the tokenizer.
pub(in crate::execute) fn describe(
    prepared: &Prepared,
    generation: &Generation,
    prompt: &Observations,
    encrypted: &Continuation<'_>,
    clear: Option<&Continuation<'_>>,
    record: &mut CellRecord,
) -> Result<(), HarnessError> {
    let block = &prepared.circuit.block;
    let span = block.prompts()[0];
    let end = span.start + span.len;
    let generated = encrypted.generated;
    let fed = generated[..generated.len() - 1].iter().map(|token| token.token);
    let tokens: Vec<u32> = block.tokens()[span.positions()].iter().copied().chain(fed).collect();
    let whole = block.with_other_prompt(&tokens, prepared.circuit_weights().config());
    let whole = whole.map_err(|error| HarnessError::execution("put what was generated into a block", error))?;
    let (float, left_ranges) = prepared.float_logits(&whole)?;
    let found = encrypted.columns(end);
    record.agreement.clear();
    let with_float = agreement(FLOAT, &whole, &float, &found)?;
    let with_clear = clear.map(|clear| agreement(CLEAR_CIRCUIT, &whole, &clear.columns(end), &found)).transpose()?;
    // Positions of the one prompt are counted from its first token.
    let place = |number: usize| span.len + number - 1;
    let token = |(number, token): (usize, &Generated)| {
        let logits = float.column(end + number - 1);
        let position = end + number;
        let expected = generation.sampler.choose(&logits, position).ok_or(HarnessError::NotNumbers { position })?;
        let at = |agreement: &Agreement| {
            let there = agreement.by_position.get(place(number)).cloned();
            there.ok_or(HarnessError::NotNumbers { position })
        };
        let beside_float = at(&with_float)?;
        Ok(GeneratedToken {
            token: token.token,
            text: prepared.decode(&[token.token])?,
            float_token: expected,
            float_text: prepared.decode(&[expected])?,
            float_margin: margin(&logits),
            kl: beside_float.kl,
            logit_error: beside_float.top5_logit_error,
            kl_from_clear: with_clear.as_ref().map(at).transpose()?.map(|place| place.kl),
            effort: (number > 0)
                .then_some(StepEffort { seconds: token.seconds, half_bootstraps: token.half_bootstraps }),
        })
    };
    let tokens = generated.iter().enumerate().map(token).collect::<Result<Vec<_>, HarnessError>>()?;
    if let Some(excess) = &left_ranges {
        // A server cannot see it, and the numbers are those of polynomials outside of their intervals.
        record.status = Status::Invalid;
        record.reason = Some(format!("what was generated leaves the calibrated ranges: {excess}"));
    }
    let all: Vec<u32> = generated.iter().map(|token| token.token).collect();
    record.generation = Some(GenerationOutcome {
        text: prepared.decode(&all)?,
        prompt: StepEffort {
            seconds: prompt.seconds,
            half_bootstraps: prompt.counts.get("half_bootstraps").copied().unwrap_or_default(),
        },
        tokens,
        left_ranges,
    });
    record.agreement.extend([with_float].into_iter().chain(with_clear));
    Ok(())
}

/// By how much the largest logit leads.
fn margin(logits: &[f32]) -> f64 {
    let mut largest = [f32::NEG_INFINITY; 2];
    for &logit in logits {
        if logit > largest[0] {
            largest = [logit, largest[0]];
        } else if logit > largest[1] {
            largest[1] = logit;
        }
    }
    f64::from(largest[0]) - f64::from(largest[1])
}
