//! The calibrated ranges of a cell: stored ones that hold behind its public tokens, or new ones.

use std::path::Path;

use fhe_model::calibration::Ranges;
use fhe_model::{Prefix, Tokenizer, Weights};

use crate::calibrate;
use crate::context_band::ContextBand;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::spec::Cell;

/// The calibrated ranges of weights that hold after a prefix and behind the cell's public tokens, measured now if the model has none. Reads a
/// tokenizer to name another prefix.
///
/// # Errors
/// What is wrong with the ranges; [`HarnessError::RangesOfOtherPrefix`], [`HarnessError::RangesOfShorterContext`],
/// [`HarnessError::RangesOfLongerContext`].
pub(super) fn calibrated_ranges(
    cell: &Cell,
    weights: &Weights,
    (prefix, tokenizer): (&Prefix, Option<&Tokenizer>),
    root: &Path,
    progress: &dyn ProgressSink,
) -> Result<Ranges, HarnessError> {
    let stored = calibrate::ranges_of(cell, root, progress)?;
    let ranges =
        Ranges::load(&stored, weights).map_err(|error| HarnessError::execution("load the calibrated ranges", error))?;
    check_public_tokens(cell, &stored, &ranges, prefix, tokenizer)?;
    remark_other_text(cell, &stored, &ranges, root, progress)?;
    Ok(ranges)
}

/// Refuses ranges that hold after another prefix, or behind fewer or more public tokens, with the command that makes the right ones.
fn check_public_tokens(
    cell: &Cell,
    path: &Path,
    ranges: &Ranges,
    required: &Prefix,
    tokenizer: Option<&Tokenizer>,
) -> Result<(), HarnessError> {
    let (plan, context) = (&ranges.provenance().plan, cell.config.context_tokens());
    let measured = ContextBand::measured(plan);
    if plan.prefix == *required && measured.contains(context) {
        return Ok(());
    }
    let model = &cell.config.model;
    let text = model.calibration_text.as_ref().map_or("TEXT".into(), |text| text.display().to_string());
    let words = tokenizer.and_then(|tokenizer| tokenizer.decode(required.tokens()).ok());
    let prefix = words.filter(|_| !required.is_empty()).map_or(String::new(), |text| format!(" --prefix '{text}'"));
    let rotate = if cell.config.mitigation.rotate { " --rotate" } else { "" };
    let behind = ContextBand::of(context).options();
    let command = format!("fhe-llama calibrate {} --text {text}{prefix}{rotate}{behind}", model.path.display());
    let path = path.into();
    Err(if plan.prefix != *required {
        let (found, required) = (plan.prefix.to_string(), required.to_string());
        HarnessError::RangesOfOtherPrefix { path, found, required, command }
    } else if context > measured.most {
        HarnessError::RangesOfShorterContext { path, found: measured.most, required: context, command }
    } else {
        let ContextBand { least, most } = measured;
        HarnessError::RangesOfLongerContext { path, least, most, required: context, command }
    })
}

/// Says so where stored ranges were measured on another text than the one that the spec would have them measured on.
fn remark_other_text(
    cell: &Cell,
    stored: &Path,
    ranges: &Ranges,
    root: &Path,
    progress: &dyn ProgressSink,
) -> Result<(), HarnessError> {
    let Some(named) = &cell.config.model.calibration_text else { return Ok(()) };
    let path = root.join(named);
    let text = std::fs::read(&path).map_err(|source| HarnessError::io("read", &path, source))?;
    if blake3::hash(&text).to_hex().as_str() != ranges.provenance().text {
        let (stored, named) = (stored.display(), named.display());
        progress.message(format!(
            "{stored} was measured on another text than model.calibration_text = \"{named}\"; without that file it is measured again"
        ));
    }
    Ok(())
}
