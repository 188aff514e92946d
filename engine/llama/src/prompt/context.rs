//! Public tokens before a whole block.

use std::fmt;
use std::sync::Arc;

use super::Prefix;
use crate::config::Config;
use crate::error::{Error, Result};

/// The public tokens that a block goes on from: a document, a conversation so far, a system prompt. Everyone knows them, so nobody encrypts
/// them; a model runs over them in the clear, and their keys and values are what the block attends to
/// ([`ContextTensors`](crate::float::ContextTensors)).
///
/// The first of them is the attention sink, so that a block behind a context needs no [`Prefix`]: where the model has a token for that
/// part, it is the context's first. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicContext(Arc<[u32]>);

impl PublicContext {
    /// A context of these tokens for the model of `config`; without tokens it is [`PublicContext::none`].
    ///
    /// # Errors
    /// [`Error::Context`] for a token outside the vocabulary, or for as many tokens as the model has positions: none would be left.
    pub fn new(tokens: impl Into<Arc<[u32]>>, config: &Config) -> Result<Self> {
        let tokens = tokens.into();
        if let Some(&outside) = tokens.iter().find(|&&token| token as usize >= config.vocab_size) {
            let required = format!("tokens of the model's vocabulary of {}", config.vocab_size);
            return Err(Error::Context { found: format!("token {outside}"), required });
        }
        if tokens.len() >= config.max_position_embeddings {
            let required = format!("fewer than the model's {} positions", config.max_position_embeddings);
            return Err(Error::Context { found: format!("{} tokens", tokens.len()), required });
        }
        Ok(Self(tokens))
    }

    /// No context: the block stands at the beginning.
    pub fn none() -> Self {
        Self::default()
    }

    /// The tokens, in order.
    pub fn tokens(&self) -> &[u32] {
        &self.0
    }

    /// Number of tokens: the rotary position of what follows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// So many of its first tokens, or all, as the prefix that stands in their place.
    pub(crate) fn first(&self, tokens: usize) -> Prefix {
        Prefix(self.0[..tokens.min(self.len())].to_vec())
    }
}

/// By number and a fingerprint: "3968 public tokens (1a2b3c4d)".
impl fmt::Display for PublicContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no public context");
        }
        let bytes: Vec<u8> = self.0.iter().flat_map(|token| token.to_le_bytes()).collect();
        write!(f, "{} public tokens ({})", self.len(), &blake3::hash(&bytes).to_hex()[..8])
    }
}
