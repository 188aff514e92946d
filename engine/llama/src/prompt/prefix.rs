//! Public tokens in front of every prompt.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Error, Result};

/// A fixed public prefix: tokens that stand before every prompt of a block, the same for all of them and known to everyone.
///
/// A model dumps attention that it has no use for on the first token it sees, and gives that token activations a thousand
/// times larger than any other's (Xiao et al., arXiv 2309.17453; Sun et al., arXiv 2402.17762). No circuit carries these. A
/// prefix takes that part, and nobody has to encrypt it: its keys and values are plaintext.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prefix(pub(super) Vec<u32>);

impl Prefix {
    /// Longest prefix: one token is enough for the models known, and each takes a position of the block.
    pub const MOST_TOKENS: usize = 4;

    /// A prefix of these tokens for the model of `config`; without tokens it is [`Prefix::none`].
    ///
    /// # Errors
    /// [`Error::Prefix`] for more than [`Prefix::MOST_TOKENS`] tokens or one outside the vocabulary.
    pub fn new(tokens: Vec<u32>, config: &Config) -> Result<Self> {
        if tokens.len() > Self::MOST_TOKENS {
            let required = format!("at most {} tokens", Self::MOST_TOKENS);
            return Err(Error::Prefix { found: format!("{} tokens", tokens.len()), required });
        }
        if let Some(&outside) = tokens.iter().find(|&&token| token as usize >= config.vocab_size) {
            let required = format!("tokens of the model's vocabulary of {}", config.vocab_size);
            return Err(Error::Prefix { found: format!("token {outside}"), required });
        }
        Ok(Self(tokens))
    }

    /// No prefix: each prompt starts with its own first token.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.0
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// By token numbers, as in "after tokens 0 28".
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tokens() {
            [] => f.write_str("no prefix"),
            [token] => write!(f, "token {token}"),
            tokens => {
                f.write_str("tokens")?;
                tokens.iter().try_for_each(|token| write!(f, " {token}"))
            }
        }
    }
}
