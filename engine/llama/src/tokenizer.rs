//! Text to tokens and back, by a model's own `tokenizer.json`.
//!
//! Special tokens are never added behind the caller's back: a beginning-of-sequence token is prepended only where
//! [`Beginning::Prepend`] says so, since it decides what the first positions of a prompt look like.

use std::path::Path;

use crate::config::Config;
use crate::error::{Error, Result};

/// Whether a prompt starts with the model's beginning-of-sequence token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// `bos_token_id` of the configuration, then the text.
    Prepend,
    /// The text alone.
    Omit,
}

/// A tokenizer tied to the vocabulary of one model.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    vocabulary: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json` for the model of `config`.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Malformed`].
    pub fn open(path: &Path, config: &Config) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(Error::malformed("tokenizer.json", path))?;
        // A file may ask for batches of a fixed length; a prompt is neither cut nor filled up unasked.
        inner.with_truncation(None).map_err(Error::malformed("tokenizer.json", path))?;
        inner.with_padding(None);
        Ok(Self { inner, bos: config.bos_token_id, vocabulary: config.vocab_size })
    }

    /// The tokens of a text, without any special token that the text does not spell out.
    ///
    /// # Errors
    /// [`Error::Tokenizer`]; [`Error::TokenOutOfVocabulary`] (as prompt 0) if the tokenizer knows more tokens than the
    /// model.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let refusal = |reason: tokenizers::Error| Error::Tokenizer { operation: "encode", reason: reason.to_string() };
        let tokens = self.inner.encode(text, false).map_err(refusal)?.get_ids().to_vec();
        check_vocabulary(0, &tokens, self.vocabulary)?;
        Ok(tokens)
    }

    /// The tokens of a prompt, ready for [`PromptBlock`](crate::PromptBlock).
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`] (as prompt 0) for a text without tokens, even where a beginning would be prepended;
    /// [`Error::NoBeginningToken`]; those of [`Tokenizer::encode`].
    pub fn encode_prompt(&self, text: &str, beginning: Beginning) -> Result<Vec<u32>> {
        let mut tokens = self.encode(text)?;
        if tokens.is_empty() {
            return Err(Error::EmptyPrompt { prompt: 0 });
        }
        if beginning == Beginning::Prepend {
            tokens.insert(0, self.bos.ok_or(Error::NoBeginningToken)?);
        }
        Ok(tokens)
    }

    /// The text of a sequence of tokens, special tokens spelled out.
    ///
    /// # Errors
    /// [`Error::TokenOutOfVocabulary`] (as prompt 0), [`Error::Tokenizer`].
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        check_vocabulary(0, tokens, self.vocabulary)?;
        let refusal = |reason: tokenizers::Error| Error::Tokenizer { operation: "decode", reason: reason.to_string() };
        self.inner.decode(tokens, false).map_err(refusal)
    }
}

/// Refuses the first token that has no row in the embedding.
pub(crate) fn check_vocabulary(prompt: usize, tokens: &[u32], vocabulary: usize) -> Result<()> {
    match tokens.iter().position(|&token| token as usize >= vocabulary) {
        None => Ok(()),
        Some(position) => Err(Error::TokenOutOfVocabulary { prompt, position, token: tokens[position], vocabulary }),
    }
}
