//! The public prefix of a cell: from the words of a spec to tokens, and the file of the ranges that hold after them.

use crate::error::HarnessError;
use crate::spec::{CellConfig, MitigationSection};
use fhe_model::{Config, Error, Prefix, Tokenizer};
use std::path::{Path, PathBuf};

/// The tokens that a spec prepends: those of `mitigation.prefix`, else the model's beginning-of-sequence token.
///
/// # Errors
/// [`HarnessError::PublicPrefix`] for a model without a beginning, a text without tokens, or one of too many.
pub fn tokens(mitigation: &MitigationSection, tokenizer: &Tokenizer, config: &Config) -> Result<Prefix, HarnessError> {
    if !mitigation.prepend {
        return Ok(Prefix::none());
    }
    let tokens = match &mitigation.prefix {
        Some(text) => tokenizer.encode(text),
        None => config.bos_token_id.map(|token| vec![token]).ok_or(Error::NoBeginningToken),
    };
    let nonempty = |prefix: Prefix| {
        let found = || Error::Prefix { found: "no tokens".into(), required: "at least one token".into() };
        if prefix.is_empty() { Err(found()) } else { Ok(prefix) }
    };
    let prefix = tokens.and_then(|tokens| Prefix::new(tokens, config)).and_then(nonempty);
    let text = mitigation.prefix.clone().unwrap_or_else(|| "the model's beginning-of-sequence token".into());
    prefix.map_err(|source| HarnessError::PublicPrefix { text, source: Box::new(source) })
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
        tokens(mitigation, &tokenizer, &config)?
    } else {
        Prefix::none()
    };
    Ok(Some(folder.join(ranges_file(mitigation, &prefix))).filter(|path| path.is_file()))
}

/// The name of the file of ranges that hold after a prefix and for rotated weights: `ranges.toml` for neither,
/// `ranges-rotated-after-0.toml` after token 0 and rotated.
pub fn ranges_file(mitigation: &MitigationSection, prefix: &Prefix) -> String {
    let rotated = if mitigation.rotate { "-rotated" } else { "" };
    let tokens: Vec<String> = prefix.tokens().iter().map(u32::to_string).collect();
    let after = if tokens.is_empty() { String::new() } else { format!("-after-{}", tokens.join("-")) };
    format!("ranges{rotated}{after}.toml")
}
