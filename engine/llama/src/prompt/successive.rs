//! A text as blocks that follow one another.

use super::{Prefix, PromptBlock, PublicContext};
use crate::config::Config;
use crate::error::Result;

impl PromptBlock {
    /// Cuts a text into blocks of `t` tokens, each behind all tokens before it. The first holds the prefix, if there is one; the last may
    /// have padding. Without tokens there is no block.
    ///
    /// # Errors
    /// Those of [`PromptBlock::after`] and [`PublicContext::new`].
    pub fn successive(prefix: &Prefix, tokens: &[u32], t: usize, config: &Config) -> Result<Vec<Self>> {
        let (first, rest) = tokens.split_at(t.saturating_sub(prefix.len()).min(tokens.len()));
        if first.is_empty() && rest.is_empty() {
            return Ok(Vec::new());
        }
        let mut before = [prefix.tokens(), first].concat();
        let mut blocks = vec![Self::after(prefix, &[first.to_vec()], t, config)?];
        for chunk in rest.chunks(t.max(1)) {
            blocks.push(Self::following(&PublicContext::new(before.as_slice(), config)?, chunk, t, config)?);
            before.extend(chunk);
        }
        Ok(blocks)
    }

    /// The block positions of its tokens in the order of the text: prefix, then prompts, no padding.
    pub(crate) fn text_positions(&self) -> impl Iterator<Item = usize> {
        (0..self.prefix.len()).chain(self.spans.iter().flat_map(|span| span.positions()))
    }
}
