//! Which windows of a text a calibration looks at.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::prompt::{Prefix, PromptBlock};
use crate::tokenizer::Tokenizer;

/// A text as tokens, with a hash that names it.
#[derive(Clone, Debug)]
pub struct Corpus {
    tokens: Vec<u32>,
    hash: String,
}

impl Corpus {
    /// Tokenises a text; its hash is BLAKE3 of the text's bytes.
    ///
    /// # Errors
    /// Those of [`Tokenizer::encode`].
    pub fn from_text(text: &str, tokenizer: &Tokenizer) -> Result<Self> {
        Ok(Self { tokens: tokenizer.encode(text)?, hash: blake3::hash(text.as_bytes()).to_hex().to_string() })
    }

    /// A text given as tokens; its hash is BLAKE3 of them as little-endian 32-bit words.
    pub fn from_tokens(tokens: Vec<u32>) -> Self {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        Self { tokens, hash: blake3::hash(&bytes).to_hex().to_string() }
    }

    /// The tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// So many windows of `length` tokens each, spread evenly over the text and apart from each other.
    ///
    /// # Errors
    /// [`Error::CalibrationSetting`] for no window, or windows without a token; [`Error::TextTooShort`].
    pub fn windows(&self, count: usize, length: usize) -> Result<Vec<&[u32]>> {
        for (key, found) in [("windows", count), ("tokens of a window", length)] {
            if found == 0 {
                return Err(Error::CalibrationSetting { key, found: 0.0, required: "at least 1" });
            }
        }
        let (found, required) = (self.tokens.len(), count.saturating_mul(length));
        if found < required {
            return Err(Error::TextTooShort { found, required });
        }
        let stride = (found - length) / (count - 1).max(1);
        Ok((0..count).map(|window| &self.tokens[window * stride..][..length]).collect())
    }

    /// The hash, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// How many windows are cut, and how. Windows are spread evenly over the text without any randomness, so that the same
/// plan on the same text sees the same tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WindowPlan {
    /// Number of windows, one recorded block each: at least so many, where blocks lie behind a context.
    pub windows: usize,
    /// Tokens of a block, a power of two.
    pub block: usize,
    /// Share of blocks, in `[0, 1]`, whose prompts start at any token of the text instead of with the model's
    /// beginning-of-sequence token: the first position of a prompt is the one with the wildest values. Without effect
    /// on a model that has no such token.
    pub without_beginning: f64,
    /// Public tokens before every prompt.
    #[serde(default, skip_serializing_if = "Prefix::is_empty")]
    pub prefix: Prefix,
    /// Most public tokens before a block, prefix included. Windows are then successive blocks of long texts, each behind all before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub context: usize,
    /// Fewest public tokens that ranges are to hold behind: blocks that end before so many are context of those that follow, and not windows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub context_least: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Default for WindowPlan {
    fn default() -> Self {
        Self { windows: 384, block: 128, without_beginning: 0.25, prefix: Prefix::none(), context: 0, context_least: 0 }
    }
}

/// Prompt lengths of successive blocks, in eighths of a block: long prompts, short ones, and blocks with padding.
/// An odd number of them, so that each meets blocks with and without a beginning.
const MIXES: [&[usize]; 5] = [&[8], &[4, 4], &[8], &[4, 2, 1, 1], &[3, 2, 1]];

impl WindowPlan {
    /// The same plan behind a public prefix. The prefix does what a beginning does, so most prompts start anywhere.
    #[must_use]
    pub fn after(self, prefix: Prefix) -> Self {
        let without_beginning = if prefix.is_empty() { self.without_beginning } else { 1.0 - self.without_beginning };
        Self { without_beginning, prefix, ..self }
    }

    /// The same plan for blocks behind a public context of at most so many tokens, those of the prefix included.
    #[must_use]
    pub fn behind(self, context: usize) -> Self {
        Self { context, ..self }
    }

    /// The same plan for blocks behind at least so many public tokens. The sums that SoftMax divides by grow with the number of keys, so that
    /// behind contexts of about one length their windows are far narrower than behind those of all lengths.
    #[must_use]
    pub fn behind_at_least(self, context_least: usize) -> Self {
        Self { context_least, ..self }
    }

    /// Whether a block of this plan is a window: whether any of it lies behind at least the fewest public tokens.
    pub fn records(&self, block: &PromptBlock) -> bool {
        block.context().len() + self.block > self.context_least
    }

    /// The blocks of this plan, with those that are only context of others.
    ///
    /// # Errors
    /// [`Error::CalibrationSetting`], [`Error::BlockSize`], [`Error::TextTooShort`], [`Error::TokenOutOfVocabulary`].
    pub fn blocks(&self, corpus: &Corpus, config: &Config) -> Result<Vec<PromptBlock>> {
        self.blocks_without(&BTreeSet::new(), corpus, config)
    }

    /// The same with prompts that start a little later in the text where they would start with one of some tokens.
    pub(super) fn blocks_without(
        &self,
        first_tokens: &BTreeSet<u32>,
        corpus: &Corpus,
        config: &Config,
    ) -> Result<Vec<PromptBlock>> {
        self.validate(corpus, config)?;
        let cuts = Cuts::new(corpus, first_tokens);
        if self.context == 0 { self.packed(cuts, config) } else { self.texts(cuts, config) }
    }

    /// Prompts of many lengths that share blocks.
    fn packed(&self, mut cuts: Cuts<'_>, config: &Config) -> Result<Vec<PromptBlock>> {
        let room = self.block - self.prefix.len();
        // As long as a prompt behind the prefix may be.
        let longest = room.min(config.max_position_embeddings.saturating_sub(self.prefix.len()));
        let block = |window: usize| {
            let beginning = self.beginning(window, &cuts, config);
            let mut left = room;
            let mut prompts: Vec<Vec<u32>> = Vec::new();
            for eighths in MIXES[window % MIXES.len()] {
                // The first prompt makes room for the prefix.
                let taken = if prompts.is_empty() { self.prefix.len() } else { 0 };
                let length = (eighths * self.block / 8).saturating_sub(taken).min(left).min(longest);
                if length == 0 {
                    continue;
                }
                left -= length;
                prompts.push(cuts.prompt(length, beginning));
            }
            // In a small block the prefix leaves none of these shares.
            if prompts.is_empty() && longest > 0 {
                prompts.push(cuts.prompt(longest, beginning));
            }
            PromptBlock::after(&self.prefix, &prompts, self.block, config)
        };
        (0..self.windows).map(block).collect()
    }

    /// Long texts, one after the other, each cut into successive blocks: what a block sees behind so many tokens or fewer does not depend on
    /// where blocks are cut, so that every position of a text is one that some prompt has.
    fn texts(&self, mut cuts: Cuts<'_>, config: &Config) -> Result<Vec<PromptBlock>> {
        let length = self.text_tokens(config);
        let recorded = length.div_ceil(self.block) - self.context_least / self.block;
        let texts = self.windows.div_ceil(recorded);
        let blocks = |text: usize| {
            let beginning = self.beginning(text, &cuts, config);
            let tokens = cuts.prompt(length - self.prefix.len(), beginning);
            PromptBlock::successive(&self.prefix, &tokens, self.block, config)
        };
        Ok((0..texts).map(blocks).collect::<Result<Vec<_>>>()?.concat())
    }

    /// Tokens of a text with its prefix: a whole context and the block behind it, if the model has so many positions.
    fn text_tokens(&self, config: &Config) -> usize {
        self.context.saturating_add(self.block).min(config.max_position_embeddings)
    }

    /// The token that a window begins with in place of one of the text, if it is of the share that does and may.
    fn beginning(&self, window: usize, cuts: &Cuts<'_>, config: &Config) -> Option<u32> {
        config.bos_token_id.filter(|bos| !self.starts_anywhere(window) && !cuts.avoided.contains(bos))
    }

    fn validate(&self, corpus: &Corpus, config: &Config) -> Result<()> {
        if self.windows == 0 {
            return Err(Error::CalibrationSetting { key: "windows", found: 0.0, required: "at least 1" });
        }
        if !(0.0..=1.0).contains(&self.without_beginning) {
            let (key, found) = ("without-beginning", self.without_beginning);
            return Err(Error::CalibrationSetting { key, found, required: "a share between 0 and 1" });
        }
        if !self.block.is_power_of_two() || self.block < 2 {
            return Err(Error::BlockSize { found: self.block });
        }
        if self.prefix.len() >= self.block {
            return Err(Error::PromptTooLong { needed: self.prefix.len() + 1, available: self.block });
        }
        if (1..self.prefix.len()).contains(&self.context) {
            let (found, required) = (self.context as f64, "0, or at least the tokens of the prefix");
            return Err(Error::CalibrationSetting { key: "context", found, required });
        }
        if self.context_least > self.context || self.context_least >= self.text_tokens(config) {
            let (found, required) =
                (self.context_least as f64, "at most the context, and fewer than the model's positions");
            return Err(Error::CalibrationSetting { key: "context-least", found, required });
        }
        let (found, required) = (corpus.tokens.len(), (self.block.saturating_add(self.context)).saturating_mul(2));
        if found < required {
            return Err(Error::TextTooShort { found, required });
        }
        Ok(())
    }

    /// Whether this window is one of the share without a beginning, which is spread evenly.
    fn starts_anywhere(&self, window: usize) -> bool {
        let count = |windows: usize| (windows as f64 * self.without_beginning).floor();
        count(window + 1) > count(window)
    }
}

/// Where prompts are cut from a text: everywhere evenly, but not where they would start with a token to avoid.
struct Cuts<'a> {
    corpus: &'a Corpus,
    avoided: &'a BTreeSet<u32>,
    made: usize,
}

impl<'a> Cuts<'a> {
    fn new(corpus: &'a Corpus, avoided: &'a BTreeSet<u32>) -> Self {
        Self { corpus, avoided, made: 0 }
    }

    /// The next prompt of so many tokens, which the beginning, if there is one, counts among.
    fn prompt(&mut self, length: usize, beginning: Option<u32>) -> Vec<u32> {
        let (tokens, length) = (&self.corpus.tokens, length - beginning.iter().len());
        let places = tokens.len() - length + 1;
        let start = spread(self.made, places);
        let allowed = |&start: &usize| beginning.is_some() || !self.avoided.contains(&tokens[start]);
        let start = (start..places).chain(0..start).find(allowed).unwrap_or(start);
        self.made += 1;
        beginning.into_iter().chain(tokens[start..start + length].iter().copied()).collect()
    }
}

/// The `index`-th point of a sequence that fills `0..places` evenly at every length: multiples of the golden ratio.
fn spread(index: usize, places: usize) -> usize {
    const INVERSE_GOLDEN_RATIO: f64 = 0.618_033_988_749_894_9;
    let fraction = (index as f64 * INVERSE_GOLDEN_RATIO).fract();
    ((fraction * places as f64) as usize).min(places - 1)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn windows_of_a_text_are_spread_evenly_and_apart() {
        let corpus = Corpus::from_tokens((0..103).collect());
        let windows = corpus.windows(5, 20).unwrap();
        let starts: Vec<u32> = windows.iter().map(|window| window[0]).collect();
        assert_eq!(starts, [0, 20, 40, 60, 80]);
        assert!(windows.iter().all(|window| window.len() == 20));
        assert_eq!(corpus.windows(1, 103).unwrap(), [corpus.tokens()]);
    }

    #[test]
    fn rejects_more_windows_than_a_text_has() {
        let corpus = Corpus::from_tokens((0..103).collect());
        let refused = |count, length| corpus.windows(count, length).unwrap_err().to_string();
        assert!(refused(6, 20).contains("120"), "{}", refused(6, 20));
        assert!(refused(0, 20).contains("windows") && refused(3, 0).contains("tokens of a window"));
    }

    #[test]
    fn a_window_starts_a_little_later_where_it_would_start_with_a_token_that_is_not_allowed() {
        let (config, corpus) = (config(), Corpus::from_tokens((0..500).map(|index| 2 + index % 5).collect()));
        let plan = WindowPlan { windows: 40, block: 16, ..WindowPlan::default() };
        let first_tokens = |left_out: &[u32]| -> BTreeSet<u32> {
            let blocks = plan.blocks_without(&left_out.iter().copied().collect(), &corpus, &config).unwrap();
            assert!(blocks.iter().all(|block| block.tokens().contains(&3)), "only beginnings move");
            blocks.iter().flat_map(|block| block.prompts().iter().map(|span| block.tokens()[span.start])).collect()
        };
        assert_eq!(first_tokens(&[]), BTreeSet::from([1, 2, 3, 4, 5, 6]));
        assert_eq!(first_tokens(&[3, 4]), BTreeSet::from([1, 2, 5, 6]));
        assert_eq!(first_tokens(&[1]), BTreeSet::from([2, 3, 4, 5, 6]));
    }

    #[test]
    fn every_block_has_a_prompt_however_little_the_prefix_leaves() {
        let (config, corpus) = (config(), Corpus::from_tokens((0..500).map(|index| 2 + index % 5).collect()));
        for (block, prefix) in [(8, 3), (8, 4), (4, 3), (2, 1), (16, 4)] {
            let prefix = Prefix::new(vec![7; prefix], &config).unwrap();
            let plan = WindowPlan { windows: 20, block, ..WindowPlan::default() }.after(prefix.clone());
            let blocks = plan.blocks(&corpus, &config).unwrap();
            assert_eq!(blocks.len(), 20);
            for of in &blocks {
                let tokens: usize = of.prompts().iter().map(|span| span.len).sum();
                assert!((1..=block - prefix.len()).contains(&tokens), "{tokens} of {block} behind {}", prefix.len());
            }
        }
    }

    fn config() -> Config {
        let text = r#"{"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 8, "vocab_size": 100, "max_position_embeddings": 64, "bos_token_id": 1}"#;
        Config::parse(text, Path::new("config.json")).unwrap()
    }
}
