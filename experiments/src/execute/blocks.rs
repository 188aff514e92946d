//! From prompts, or windows of a text, to the blocks of tokens that a circuit carries.

use std::path::Path;

use fhe_model::calibration::Corpus;
use fhe_model::{Beginning, Config, Error, Prefix, PromptBlock, PublicContext, Tokenizer};

use crate::error::HarnessError;
use crate::public_context;
use crate::spec::Cell;

/// The blocks of a cell behind its prefix, at least one: that of its prompts, or one for every window of its text. Windows lie alike. Of a
/// cell with a public context the prefix is the beginning of that.
///
/// # Errors
/// What is wrong with context, prompts or text.
pub(super) fn blocks(
    cell: &Cell,
    root: &Path,
    prefix: &Prefix,
    tokenizer: &Tokenizer,
    config: &Config,
) -> Result<Vec<PromptBlock>, HarnessError> {
    match (&cell.config.context, &cell.config.input.text) {
        (Some(section), _) => {
            let context = public_context::tokens(section, prefix, (Some(tokenizer), config), root)?;
            Ok(vec![of_prompts(cell, (&context, &Prefix::none()), tokenizer, config)?])
        }
        (None, None) => Ok(vec![of_prompts(cell, (&PublicContext::none(), prefix), tokenizer, config)?]),
        (None, Some(text)) => of_text(cell, &root.join(text), prefix, tokenizer, config),
    }
}

fn of_text(
    cell: &Cell,
    path: &Path,
    prefix: &Prefix,
    tokenizer: &Tokenizer,
    config: &Config,
) -> Result<Vec<PromptBlock>, HarnessError> {
    let input = &cell.config.input;
    let stage = || format!("cut windows from {}", path.display());
    let failed = |error| HarnessError::execution(stage(), error);
    let text = std::fs::read_to_string(path).map_err(|source| HarnessError::io("read", path, source))?;
    let corpus = Corpus::from_text(&text, tokenizer).map_err(failed)?;
    let beginning =
        if input.bos { Some(config.bos_token_id.ok_or(Error::NoBeginningToken).map_err(failed)?) } else { None };
    let length = input.block_tokens.saturating_sub(prefix.len() + beginning.iter().len());
    let windows = corpus.windows(input.windows.unwrap_or(1), length).map_err(failed)?;
    let block = |window: &[u32]| {
        let tokens = beginning.into_iter().chain(window.iter().copied()).collect();
        PromptBlock::after(prefix, &[tokens], input.block_tokens, config).map_err(failed)
    };
    windows.into_iter().map(block).collect()
}

/// The prompts of a cell as tokens, packed into its block behind the prefix, or the one that goes on from a context.
fn of_prompts(
    cell: &Cell,
    (context, prefix): (&PublicContext, &Prefix),
    tokenizer: &Tokenizer,
    config: &Config,
) -> Result<PromptBlock, HarnessError> {
    let input = &cell.config.input;
    let beginning = if input.bos { Beginning::Prepend } else { Beginning::Omit };
    let refused = |prompt: usize, source| HarnessError::Prompt { place: input.place(prompt), source: Box::new(source) };
    let encoded = cell.prompts.iter().enumerate().map(|(index, text)| {
        // Each is a prompt of its own to the tokenizer.
        tokenizer.encode_prompt(text, beginning).map_err(|error| refused(index, numbered(error, index)))
    });
    let prompts: Vec<Vec<u32>> = encoded.collect::<Result<_, _>>()?;
    let block = if context.is_empty() {
        PromptBlock::after(prefix, &prompts, input.block_tokens, config)
    } else {
        // Specs with a context have one prompt.
        PromptBlock::following(context, &prompts.concat(), input.block_tokens, config)
    };
    block.map_err(|error| match error {
        Error::PositionBeyondModel { prompt, .. } => refused(prompt, error),
        error => {
            HarnessError::execution(format!("fit the prompts into input.block_tokens = {}", input.block_tokens), error)
        }
    })
}

/// The refusal of a prompt on its own, with its true number.
pub(super) fn numbered(error: Error, index: usize) -> Error {
    match error {
        Error::EmptyPrompt { .. } => Error::EmptyPrompt { prompt: index },
        Error::FirstToken { token, prefix, source, .. } => Error::FirstToken { prompt: index, token, prefix, source },
        Error::TokenOutOfVocabulary { position, token, vocabulary, .. } => {
            Error::TokenOutOfVocabulary { prompt: index, position, token, vocabulary }
        }
        error => error,
    }
}
