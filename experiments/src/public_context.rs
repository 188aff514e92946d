//! The public context of a cell: from a text to tokens.

use crate::error::HarnessError;
use crate::spec::ContextSection;
use fhe_model::{Config, Prefix, PublicContext, Tokenizer};
use std::path::Path;

/// The tokens of a section: those that a cell prepends, then the first of its text; of a section without a text, zeros. Paths are relative
/// to `root`.
///
/// # Errors
/// [`HarnessError::ContextTokens`] for a text without so many tokens, or fewer than are prepended, [`HarnessError::Io`], what is wrong with the tokens.
pub fn tokens(
    section: &ContextSection,
    prefix: &Prefix,
    (tokenizer, config): (Option<&Tokenizer>, &Config),
    root: &Path,
) -> Result<PublicContext, HarnessError> {
    let failed =
        |error| HarnessError::execution(format!("make a context of context.tokens = {}", section.tokens), error);
    let of_text = match section.text.as_ref().zip(tokenizer) {
        None => vec![0; section.tokens.saturating_sub(prefix.len())],
        Some((text, tokenizer)) => {
            let path = root.join(text);
            let read = std::fs::read_to_string(&path).map_err(|source| HarnessError::io("read", &path, source))?;
            tokenizer.encode(&read).map_err(failed)?
        }
    };
    let (mut tokens, required) = ([prefix.tokens(), &of_text].concat(), section.tokens);
    if tokens.len() < required || required < prefix.len() {
        let text = section.text.clone().unwrap_or_default();
        return Err(HarnessError::ContextTokens { text, found: tokens.len(), prepended: prefix.len(), required });
    }
    tokens.truncate(required);
    PublicContext::new(tokens, config).map_err(failed)
}
