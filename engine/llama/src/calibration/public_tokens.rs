//! Behind which public tokens windows hold.

use super::ranges::ModelRanges;
use crate::error::{Error, Result};
use crate::prompt::{Prefix, PromptBlock};

impl ModelRanges {
    /// The same windows for blocks that begin with a public prefix, or lie behind a context that does.
    #[must_use]
    pub fn after(self, prefix: &Prefix) -> Self {
        Self { prefix: prefix.clone(), ..self }
    }

    /// The same windows for blocks behind so many public tokens, or fewer.
    #[must_use]
    pub fn behind(self, context: usize) -> Self {
        Self { context, ..self }
    }

    /// The same windows, but for blocks behind at least so many public tokens.
    #[must_use]
    pub fn behind_at_least(self, context_least: usize) -> Self {
        Self { context_least, ..self }
    }

    /// Refuses a block behind other public tokens than those that the windows hold after: another prefix, a context that does not begin with
    /// the prefix, or one that is longer or shorter than those measured.
    ///
    /// # Errors
    /// [`Error::RangesOfOtherPrefix`], [`Error::RangesOfShorterContext`], [`Error::RangesOfLongerContext`].
    pub fn check_block(&self, block: &PromptBlock) -> Result<()> {
        let context = block.context();
        if context.len() > self.context {
            return Err(Error::RangesOfShorterContext { found: self.context, required: context.len() });
        }
        if context.len() < self.context_least {
            let (least, most) = (self.context_least, self.context);
            return Err(Error::RangesOfLongerContext { least, most, required: context.len() });
        }
        let required = if context.is_empty() { block.prefix().clone() } else { context.first(self.prefix.len()) };
        if self.prefix == required {
            return Ok(());
        }
        Err(Error::RangesOfOtherPrefix { found: self.prefix.clone(), required })
    }
}
