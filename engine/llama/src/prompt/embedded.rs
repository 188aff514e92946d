//! A block as the client embeds it.

use super::PromptBlock;

/// The tokens, positions and pairs of an encrypted block.
///
/// It differs from the block that a model computes in the rows of the prefix. Their residual would be the outlier that the
/// prefix is there to keep out of the circuit, so they carry something else: the first prompt's first token at its rotary
/// position, whose queries meet the keys of the prefix and that first position's key. What they compute is thereby what
/// the first position computes, and stays inside every window that it stays inside. As keys and values of these rows the
/// circuit takes those of the prefix, in plaintext.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedBlock<'a>(pub(super) &'a PromptBlock);

impl EmbeddedBlock<'_> {
    /// The token at every block position.
    pub fn tokens(self) -> impl Iterator<Item = u32> {
        (0..self.0.size()).map(move |position| self.0.tokens()[self.computed(position)])
    }

    /// The rotary position of the query at a block position. As a key, a row of the prefix stands for the prefix.
    ///
    /// # Panics
    /// Outside the block, as indexing a slice does.
    pub fn rotary_position(self, block_position: usize) -> usize {
        self.0.rotary_position(self.computed(block_position))
    }

    /// Whether a query position attends to a key position.
    pub fn attends(self, query: usize, key: usize) -> bool {
        self.0.attends(self.computed(query), key)
    }

    /// The position of the model's block whose residual and queries this position has.
    fn computed(self, block_position: usize) -> usize {
        if self.0.is_prefix(block_position) { self.0.prompts()[0].start } else { block_position }
    }
}
