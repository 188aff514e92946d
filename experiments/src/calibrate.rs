//! `fhe-llama calibrate`: the ranges that a model's activations take on a text, measured in float.

use crate::context_band::ContextBand;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::public_prefix;
use crate::spec::{Cell, CellConfig, MitigationSection};
use fhe_model::calibration::{self, Corpus, Margins, WindowPlan};
use fhe_model::{Config, FloatModel, Prefix, Rotation, Tokenizer, Weights};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What to calibrate.
#[derive(Clone, Debug)]
pub struct CalibrationRequest {
    /// The model's folder.
    pub model: PathBuf,
    /// The text to run it over.
    pub text: PathBuf,
    /// Where the ranges go; absent: beside the weights, under the name of the mitigation.
    pub output: Option<PathBuf>,
    /// What stands before the prompts, and what is done to the weights first.
    pub mitigation: MitigationSection,
    /// Tokens of a calibration window; a power of two.
    pub block_tokens: usize,
    /// Public tokens before a block.
    pub context: ContextBand,
    /// Blocks to look at, or some more where they are cut from long texts.
    pub windows: usize,
}

/// Runs the float model over the text and stores the ranges; returns the file written. Paths are relative to `root`.
///
/// # Errors
/// What is wrong with model or text, or a failed write.
pub fn calibrate(
    request: &CalibrationRequest,
    root: &Path,
    progress: &dyn ProgressSink,
) -> Result<PathBuf, HarnessError> {
    const PHASE: &str = "calibrate in float";
    let failed = |error| HarnessError::execution(format!("calibrate {}", request.model.display()), error);
    let folder = root.join(&request.model);
    for (key, path) in [("model", &request.model), ("text", &request.text)] {
        if !root.join(path).exists() {
            return Err(HarnessError::InputNotFound { key: key.into(), path: path.clone(), directory: root.into() });
        }
    }
    let weights = circuit_weights(&Weights::open(&folder).map_err(failed)?, &request.mitigation);
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).map_err(failed)?;
    let text_path = root.join(&request.text);
    let text = std::fs::read_to_string(&text_path).map_err(|source| HarnessError::io("read", &text_path, source))?;
    let corpus = Corpus::from_text(&text, &tokenizer).map_err(failed)?;
    let prefix = public_prefix::tokens(&request.mitigation, &tokenizer, weights.config())?;
    let CalibrationRequest { mitigation, block_tokens: block, context, windows, .. } = request;
    let file = ranges_file(mitigation, &prefix, *context);
    let plan = WindowPlan { block: *block, windows: *windows, ..WindowPlan::default() };
    let plan = plan.after(prefix).behind(context.most).behind_at_least(context.least);
    let model = FloatModel::new(&weights);
    let (ranges, _) = progress.phase(PHASE, || {
        let start = Instant::now();
        calibration::calibrate(&model, &corpus, &plan, Margins::default(), |done, total| {
            progress.step(PHASE, done as u64, total as u64, start);
        })
    });
    let output = request.output.as_ref().map_or_else(|| folder.join(file), |path| root.join(path));
    ranges.map_err(failed)?.save(&output).map_err(failed)?;
    Ok(output)
}

/// The weights that a circuit is made of, and that ranges are measured on.
pub fn circuit_weights(stored: &Weights, mitigation: &MitigationSection) -> Weights {
    if mitigation.rotate { stored.rotated(Rotation::SEED) } else { stored.clone() }
}

/// The calibrated ranges of a cell's model, measured now and stored beside the weights if the model has none: behind a context of as many
/// tokens as the cell's, or up to a quarter less ([`ContextBand::of`]).
///
/// # Errors
/// [`HarnessError::NoRanges`] without stored ranges and without a text; those of [`calibrate`].
pub fn ranges_of(cell: &Cell, root: &Path, progress: &dyn ProgressSink) -> Result<PathBuf, HarnessError> {
    let CellConfig { model, input, mitigation, .. } = &cell.config;
    if let Some(stored) = stored_ranges(&cell.config, root)? {
        return Ok(stored);
    }
    let Some(text) = model.calibration_text.clone() else {
        return Err(HarnessError::NoRanges { model: model.path.clone() });
    };
    progress.message(format!(
        "{} has no stored ranges: calibrating it on {} in float first",
        model.path.display(),
        text.display()
    ));
    let request = CalibrationRequest {
        model: model.path.clone(),
        text,
        mitigation: mitigation.clone(),
        output: None,
        block_tokens: input.block_tokens,
        context: ContextBand::of(cell.config.context_tokens()),
        windows: WindowPlan::default().windows,
    };
    let stored = calibrate(&request, root, progress)?;
    progress.message(format!("ranges stored at {}", stored.display()));
    Ok(stored)
}

/// Where a cell's calibrated ranges lie: the file the spec names, else, if it exists, the one beside the weights that holds
/// after the cell's prefix, and behind as many public tokens as the cell has: of several the one that holds behind the fewest other numbers.
///
/// # Errors
/// What is wrong with the model's configuration or tokenizer, where a prefix has to be read by them.
pub fn stored_ranges(config: &CellConfig, root: &Path) -> Result<Option<PathBuf>, HarnessError> {
    let CellConfig { model, mitigation, .. } = config;
    if let Some(path) = &model.ranges {
        return Ok(Some(root.join(path)));
    }
    let folder = root.join(&model.path);
    let prefix = if mitigation.prepend {
        let failed = |error| HarnessError::execution("read the public prefix", error);
        let config = Config::read(&folder.join("config.json")).map_err(failed)?;
        let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), &config).map_err(failed)?;
        public_prefix::tokens(mitigation, &tokenizer, &config)?
    } else {
        Prefix::none()
    };
    let file = |band: ContextBand| folder.join(ranges_file(mitigation, &prefix, band));
    let stored = match config.context_tokens() {
        0 => Some(ContextBand::of(0)),
        context => {
            let bands = bands_in(&folder)?.into_iter().filter(|&band| file(band).is_file());
            ContextBand::narrowest(bands, context)
        }
    };
    Ok(stored.map(file).filter(|path| path.is_file()))
}

/// The contexts that the files of a folder hold behind, by their names.
fn bands_in(folder: &Path) -> Result<Vec<ContextBand>, HarnessError> {
    let entries = std::fs::read_dir(folder).map_err(|source| HarnessError::io("list", folder, source))?;
    Ok(entries.flatten().filter_map(|entry| ContextBand::in_name(&entry.file_name().to_string_lossy())).collect())
}

/// The name of the file of ranges that hold after a prefix, behind public tokens and for rotated weights: `ranges.toml` for none of these,
/// `ranges-rotated-after-0-behind-3072-to-3968.toml` for all, token 0 being the prefix.
fn ranges_file(mitigation: &MitigationSection, prefix: &Prefix, context: ContextBand) -> String {
    let rotated = if mitigation.rotate { "-rotated" } else { "" };
    let tokens: Vec<String> = prefix.tokens().iter().map(u32::to_string).collect();
    let after = if tokens.is_empty() { String::new() } else { format!("-after-{}", tokens.join("-")) };
    format!("ranges{rotated}{after}{}.toml", context.suffix())
}
