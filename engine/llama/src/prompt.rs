//! Several prompts packed into one block of tokens.
//!
//! An encrypted run carries a block of `t` tokens whatever they are, so short prompts share it: each is a contiguous
//! run of block positions with its own rotary positions, and a block-diagonal causal mask keeps them apart. All of this
//! is public and enters the circuit as plaintext.
//!
//! One product of the circuit serves the pairs of positions inside either half of a block; pairs across the middle take
//! further ones. Prompts are therefore placed so that none straddles the middle whenever any assignment of prompts to
//! halves allows it.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::tokenizer::check_vocabulary;

/// One block of tokens holding one or more prompts, and padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptBlock {
    tokens: Vec<u32>,
    /// Per block position, which prompt it belongs to; `None` is padding.
    owners: Vec<Option<usize>>,
    /// Per prompt, in the order given.
    spans: Vec<PromptSpan>,
}

/// Where one prompt lies in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptSpan {
    /// First block position.
    pub start: usize,
    /// Number of tokens.
    pub len: usize,
}

impl PromptSpan {
    /// The block positions of the prompt.
    pub fn positions(self) -> std::ops::Range<usize> {
        self.start..self.start + self.len
    }
}

impl PromptBlock {
    /// Packs prompts, given as tokens, into a block of `t` tokens for the model of `config`.
    ///
    /// Padding embeds the first prompt's first token at rotary position 0 and attends to itself only. It thereby repeats
    /// what that prompt's first position computes, and stays inside every calibrated range that the prompt stays in.
    ///
    /// # Errors
    /// [`Error::BlockSize`] unless `t` is a power of two, at least 2; [`Error::EmptyPrompt`], also (as prompt 0) for an
    /// empty list; [`Error::TokenOutOfVocabulary`]; [`Error::PositionBeyondModel`]; [`Error::PromptTooLong`].
    pub fn new(prompts: &[Vec<u32>], t: usize, config: &Config) -> Result<Self> {
        if !t.is_power_of_two() || t < 2 {
            return Err(Error::BlockSize { found: t });
        }
        if prompts.is_empty() {
            return Err(Error::EmptyPrompt { prompt: 0 });
        }
        for (prompt, tokens) in prompts.iter().enumerate() {
            if tokens.is_empty() {
                return Err(Error::EmptyPrompt { prompt });
            }
            check_vocabulary(prompt, tokens, config.vocab_size)?;
            let (found, available) = (tokens.len(), config.max_position_embeddings);
            if found > available {
                return Err(Error::PositionBeyondModel { prompt, found, available });
            }
        }
        let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
        let needed = lengths.iter().sum();
        if needed > t {
            return Err(Error::PromptTooLong { needed, available: t });
        }
        let starts = place(&lengths, t);
        let mut block =
            Self { tokens: vec![prompts[0][0]; t], owners: vec![None; t], spans: Vec::with_capacity(prompts.len()) };
        for (prompt, (tokens, start)) in prompts.iter().zip(starts).enumerate() {
            let span = PromptSpan { start, len: tokens.len() };
            block.tokens[span.positions()].copy_from_slice(tokens);
            block.owners[span.positions()].fill(Some(prompt));
            block.spans.push(span);
        }
        Ok(block)
    }

    /// Number of block positions, `t`.
    pub fn size(&self) -> usize {
        self.tokens.len()
    }

    /// The token at every block position, padding included.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Where each prompt lies, in the order in which the prompts were given.
    pub fn prompts(&self) -> &[PromptSpan] {
        &self.spans
    }

    /// The prompt at a block position; `None` for padding.
    ///
    /// # Panics
    /// Outside the block, as indexing a slice does; so do the methods below.
    pub fn prompt_at(&self, block_position: usize) -> Option<usize> {
        self.owners[block_position]
    }

    /// Whether a block position belongs to a prompt and counts in accuracy metrics.
    pub fn is_live(&self, block_position: usize) -> bool {
        self.owners[block_position].is_some()
    }

    /// Number of live positions: tokens of all prompts together.
    pub fn live(&self) -> usize {
        self.spans.iter().map(|span| span.len).sum()
    }

    /// The rotary position of a block position: its place in its own prompt, 0 for padding.
    pub fn rotary_position(&self, block_position: usize) -> usize {
        self.owners[block_position].map_or(0, |prompt| block_position - self.spans[prompt].start)
    }

    /// The block-diagonal causal mask: whether a query position attends to a key position.
    pub fn attends(&self, query: usize, key: usize) -> bool {
        query == key || (key < query && self.is_live(query) && self.owners[query] == self.owners[key])
    }

    /// Whether some prompt has positions in both halves of the block.
    pub fn straddles_middle(&self) -> bool {
        let middle = self.size() / 2;
        self.spans.iter().any(|span| span.start < middle && middle < span.start + span.len)
    }
}

/// First position of each prompt; the lengths fit into `t` together.
fn place(lengths: &[usize], t: usize) -> Vec<usize> {
    let half = t / 2;
    let in_first_half = split_into_halves(lengths, half);
    let mut next = [0, half];
    match in_first_half {
        Some(first) => {
            let starts = lengths.iter().zip(first).map(|(length, first)| {
                let side = &mut next[usize::from(!first)];
                std::mem::replace(side, *side + length)
            });
            starts.collect()
        }
        // One prompt has to straddle the middle; end to end, only one does.
        None => lengths.iter().scan(0, |next, length| Some(std::mem::replace(next, *next + length))).collect(),
    }
}

/// For each prompt whether it goes into the first half, such that neither half overflows; `None` if no assignment does.
///
/// A subset-sum table: `reached[s]` remembers the last prompt of some subset, of prompts in increasing order, that fills
/// `s` positions of the first half.
fn split_into_halves(lengths: &[usize], half: usize) -> Option<Vec<bool>> {
    let mut reached: Vec<Option<usize>> = vec![None; half + 1];
    for (prompt, &length) in lengths.iter().enumerate() {
        for filled in (length..=half).rev() {
            if reached[filled].is_none() && (filled == length || reached[filled - length].is_some()) {
                reached[filled] = Some(prompt);
            }
        }
    }
    let total: usize = lengths.iter().sum();
    // The fullest first half that leaves no more than a half for the second.
    let mut filled = (1..=half).rev().find(|&filled| reached[filled].is_some() && total - filled <= half)?;
    let mut first = vec![false; lengths.len()];
    while filled > 0 {
        let prompt = reached[filled].expect("every sum on the way was reached");
        first[prompt] = true;
        filled -= lengths[prompt];
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn config() -> Config {
        let text = r#"{"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 8, "vocab_size": 100, "max_position_embeddings": 64}"#;
        Config::parse(text, Path::new("config.json")).unwrap()
    }

    fn prompts(lengths: &[usize]) -> Vec<Vec<u32>> {
        lengths.iter().enumerate().map(|(prompt, &len)| vec![prompt as u32 + 1; len]).collect()
    }

    /// Every assignment of prompts to halves, by brute force.
    fn some_split_exists(lengths: &[usize], half: usize) -> bool {
        (0..1_u32 << lengths.len()).any(|subset| {
            let first: usize = lengths.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1).map(|(_, l)| l).sum();
            first <= half && lengths.iter().sum::<usize>() - first <= half
        })
    }

    fn lengths_that_fit() -> impl Strategy<Value = (Vec<usize>, usize)> {
        (1_u32..7).prop_flat_map(|log| {
            let t = 1_usize << log;
            (prop::collection::vec(1..=t, 1..9), Just(t))
                .prop_filter("fits", |(lengths, t)| lengths.iter().sum::<usize>() <= *t)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { max_global_rejects: 200_000, ..ProptestConfig::default() })]
        #[test]
        fn each_prompt_keeps_its_tokens_and_its_positions((lengths, t) in lengths_that_fit()) {
            let given = prompts(&lengths);
            let block = PromptBlock::new(&given, t, &config()).unwrap();
            prop_assert_eq!(block.size(), t);
            prop_assert_eq!(block.live(), lengths.iter().sum::<usize>());
            for (prompt, span) in block.prompts().iter().enumerate() {
                prop_assert_eq!(&block.tokens()[span.positions()], &given[prompt][..]);
                for (place, position) in span.positions().enumerate() {
                    prop_assert_eq!(block.prompt_at(position), Some(prompt));
                    prop_assert_eq!(block.rotary_position(position), place);
                }
            }
            for position in (0..t).filter(|&position| !block.is_live(position)) {
                prop_assert_eq!(block.tokens()[position], given[0][0]);
                prop_assert_eq!(block.rotary_position(position), 0);
            }
        }

        #[test]
        fn attention_is_causal_and_stays_inside_a_prompt((lengths, t) in lengths_that_fit()) {
            let block = PromptBlock::new(&prompts(&lengths), t, &config()).unwrap();
            for query in 0..t {
                prop_assert!(block.attends(query, query));
                for key in (0..t).filter(|&key| key != query) {
                    let same = block.is_live(query) && block.prompt_at(query) == block.prompt_at(key);
                    prop_assert_eq!(block.attends(query, key), same && key < query);
                }
            }
        }

        #[test]
        fn no_prompt_straddles_the_middle_unless_it_must((lengths, t) in lengths_that_fit()) {
            let block = PromptBlock::new(&prompts(&lengths), t, &config()).unwrap();
            prop_assert_eq!(block.straddles_middle(), !some_split_exists(&lengths, t / 2));
        }
    }

    #[test]
    fn rejects_what_does_not_fit() {
        let config = config();
        let new = |lengths: &[usize], t| PromptBlock::new(&prompts(lengths), t, &config);
        assert!(matches!(new(&[5, 4], 8), Err(Error::PromptTooLong { needed: 9, available: 8 })));
        assert!(matches!(new(&[65], 128), Err(Error::PositionBeyondModel { prompt: 0, found: 65, available: 64 })));
        assert!(matches!(new(&[3], 12), Err(Error::BlockSize { found: 12 })));
        assert!(matches!(new(&[1], 1), Err(Error::BlockSize { found: 1 })));
    }

    #[test]
    fn rejects_an_empty_prompt() {
        let config = config();
        assert!(matches!(PromptBlock::new(&[], 8, &config), Err(Error::EmptyPrompt { prompt: 0 })));
        assert!(matches!(PromptBlock::new(&[vec![1], vec![]], 8, &config), Err(Error::EmptyPrompt { prompt: 1 })));
    }

    #[test]
    fn rejects_a_token_out_of_vocabulary() {
        let refused = PromptBlock::new(&[vec![1], vec![2, 100]], 8, &config()).unwrap_err();
        assert!(matches!(refused, Error::TokenOutOfVocabulary { prompt: 1, position: 1, token: 100, vocabulary: 100 }));
    }
}
