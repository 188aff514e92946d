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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::prompt::PromptBlock;

    const POSITIONS: usize = 300;

    fn config() -> Config {
        let text = r#"{"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 8, "vocab_size": 100, "max_position_embeddings": 300}"#;
        Config::parse(text, Path::new("config.json")).unwrap()
    }

    fn context(tokens: usize) -> PublicContext {
        PublicContext::new((0..tokens as u32).map(|token| token % 90).collect::<Vec<_>>(), &config()).unwrap()
    }

    /// Tokens of a context, of a block, and of the prompt in it.
    fn sizes() -> impl Strategy<Value = (usize, usize, usize)> {
        let block = (1_u32..7).prop_map(|log| 1_usize << log);
        block.prop_flat_map(|t| (0..200_usize, Just(t), 1..=t))
    }

    proptest! {
        #[test]
        fn positions_go_on_from_the_context_and_the_mask_inside_is_that_of_one_prompt((m, t, len) in sizes()) {
            let prompt: Vec<u32> = (0..len as u32).map(|token| 99 - token % 9).collect();
            let block = PromptBlock::following(&context(m), &prompt, t, &config()).unwrap();
            let alone = PromptBlock::new(&[prompt], t, &config()).unwrap();
            prop_assert_eq!(block.context(), &context(m));
            prop_assert_eq!((block.tokens(), block.prompts()), (alone.tokens(), alone.prompts()));
            prop_assert!(block.prefix().is_empty());
            for position in 0..t {
                prop_assert_eq!(block.rotary_position(position), m + alone.rotary_position(position));
                prop_assert_eq!(block.embedded().rotary_position(position), block.rotary_position(position));
                prop_assert!((0..t).all(|key| block.attends(position, key) == alone.attends(position, key)));
            }
            prop_assert_eq!(block == alone, m == 0);
        }

        /// Whatever the prefix and the size of the blocks, they hold the text once, at its own positions.
        #[test]
        fn successive_blocks_are_the_text((p, t, length) in (0..=4_usize, 3_u32..7, 1..250_usize)) {
            let (t, config) = (1 << t, config());
            let prefix = Prefix::new(vec![95; p], &config).unwrap();
            let text: Vec<u32> = (0..length as u32).map(|token| token % 90).collect();
            let blocks = PromptBlock::successive(&prefix, &text, t, &config).unwrap();
            let whole = [prefix.tokens(), &text].concat();
            prop_assert_eq!(blocks.len(), whole.len().div_ceil(t));
            let mut next = 0;
            for block in &blocks {
                prop_assert_eq!(block.context().tokens(), if next == 0 { &[] } else { &whole[..next] });
                for position in block.text_positions() {
                    prop_assert_eq!((block.tokens()[position], block.rotary_position(position)), (whole[next], next));
                    next += 1;
                }
            }
            prop_assert_eq!(next, whole.len());
            let last = blocks.last().unwrap();
            prop_assert!(blocks[..blocks.len() - 1].iter().all(|block| block.text_positions().count() == t));
            prop_assert!(last.prefix() == &prefix || !last.context().is_empty());
        }
    }

    #[test]
    fn no_text_makes_no_block() {
        assert_eq!(PromptBlock::successive(&Prefix::none(), &[], 8, &config()).unwrap(), []);
    }

    #[test]
    fn a_prompt_alone_keeps_its_context() {
        let block = PromptBlock::following(&context(7), &[3, 4], 8, &config()).unwrap();
        assert_eq!(block.with_prompt_alone(0, &config()).unwrap(), block);
        let refused = block.with_prompt_alone(1, &config()).unwrap_err();
        assert!(matches!(refused, Error::EmptyPrompt { prompt: 1 }), "{refused}");
    }

    #[test]
    fn an_outline_tells_contexts_of_the_same_length_apart() {
        let outline = |first: u32| {
            let context = PublicContext::new(vec![first, 5], &config()).unwrap();
            PromptBlock::following(&context, &[3], 2, &config()).unwrap().outline()
        };
        assert!(outline(1).contains("behind 2 public tokens ("), "{}", outline(1));
        assert_ne!(outline(1), outline(2));
    }

    #[test]
    fn rejects_tokens_and_lengths_that_the_model_does_not_have() {
        let refused = |tokens: Vec<u32>| PublicContext::new(tokens, &config()).unwrap_err().to_string();
        assert!(refused(vec![1, 100]).contains("token 100, required: tokens of the model's vocabulary of 100"));
        assert!(refused(vec![1; POSITIONS]).contains("300 tokens, required: fewer than the model's 300 positions"));
        let following = |m, len| PromptBlock::following(&context(m), &vec![1; len], 8, &config());
        assert_eq!(following(POSITIONS - 8, 8).unwrap().rotary_position(7), POSITIONS - 1);
        let refused = following(POSITIONS - 7, 8).unwrap_err();
        assert!(matches!(refused, Error::PositionBeyondModel { prompt: 0, found: 301, available: 300 }), "{refused}");
        assert!(matches!(following(5, 9), Err(Error::PromptTooLong { needed: 9, available: 8 })));
        assert!(matches!(following(5, 0), Err(Error::EmptyPrompt { prompt: 0 })));
    }
}
