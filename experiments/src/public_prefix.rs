//! The public prefix of a cell: from the words of a spec to tokens.

use crate::error::HarnessError;
use crate::spec::MitigationSection;
use fhe_model::{Config, Error, Prefix, Tokenizer};

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
