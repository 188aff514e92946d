//! `fhe-llama calibrate`: the ranges that a model's activations take on a text, measured in float.

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
    let file = ranges_file(&request.mitigation, &prefix);
    let plan = WindowPlan { block: request.block_tokens, ..WindowPlan::default() }.after(prefix);
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

/// The calibrated ranges of a cell's model, measured now and stored beside the weights if the model has none.
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
    };
    let stored = calibrate(&request, root, progress)?;
    progress.message(format!("ranges stored at {}", stored.display()));
    Ok(stored)
}

/// Where a cell's calibrated ranges lie: the file the spec names, else, if it exists, the one beside the weights that holds
/// after the cell's prefix.
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
    Ok(Some(folder.join(ranges_file(mitigation, &prefix))).filter(|path| path.is_file()))
}

/// The name of the file of ranges that hold after a prefix and for rotated weights: `ranges.toml` for neither,
/// `ranges-rotated-after-0.toml` after token 0 and rotated.
fn ranges_file(mitigation: &MitigationSection, prefix: &Prefix) -> String {
    let rotated = if mitigation.rotate { "-rotated" } else { "" };
    let tokens: Vec<String> = prefix.tokens().iter().map(u32::to_string).collect();
    let after = if tokens.is_empty() { String::new() } else { format!("-after-{}", tokens.join("-")) };
    format!("ranges{rotated}{after}.toml")
}
