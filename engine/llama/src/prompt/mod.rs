//! Several prompts packed into one block of tokens.
//!
//! An encrypted run carries a block of `t` tokens whatever they are, so short prompts share it: each is a contiguous
//! run of block positions with its own rotary positions, and a block-diagonal causal mask keeps them apart. All of this
//! is public and enters the circuit as plaintext.
//!
//! One product of the circuit serves the pairs of positions inside either half of a block; pairs across the middle take
//! further ones. Prompts are therefore placed so that none straddles the middle whenever any assignment of prompts to
//! halves allows it.
//!
//! A public [`Prefix`] stands once at the first positions of the block and is what every prompt continues: all of them attend
//! to it, and their rotary positions start behind it. A model computes its rows like any other's
//! ([`PromptBlock::tokens`]); the encrypted circuit must not ([`PromptBlock::embedded`]).
//!
//! A [`PublicContext`] of thousands of tokens takes no position of the block: its keys and values come from outside. One prompt goes on from
//! it ([`PromptBlock::following`]), sees all of it at every position, and counts its rotary positions from its end. A text cut into
//! [successive](PromptBlock::successive) blocks is the same thing again and again.

mod context;
mod embedded;
mod placement;
mod prefix;
mod successive;

pub use context::PublicContext;
pub use embedded::EmbeddedBlock;
pub use prefix::Prefix;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::tokenizer::check_vocabulary;
use placement::place;

/// One block of tokens holding a public prefix, one or more prompts, and padding; or one prompt behind a public context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptBlock {
    /// Outside the block, before its first position.
    context: PublicContext,
    prefix: Prefix,
    tokens: Vec<u32>,
    /// Per block position, which prompt it belongs to; `None` is the prefix or padding.
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
    /// Packs prompts, given as tokens, into a block of `t` tokens for the model of `config`, without a prefix.
    ///
    /// # Errors
    /// As [`PromptBlock::after`].
    pub fn new(prompts: &[Vec<u32>], t: usize, config: &Config) -> Result<Self> {
        Self::after(&Prefix::none(), prompts, t, config)
    }

    /// Packs prompts, given as tokens, behind a public prefix into a block of `t` tokens for the model of `config`.
    ///
    /// Padding embeds the first prompt's first token at that position's rotary position and attends to the prefix and to itself
    /// only. It thereby repeats what that prompt's first position computes, and stays inside every calibrated range that the prompt
    /// stays in.
    ///
    /// # Errors
    /// [`Error::BlockSize`] unless `t` is a power of two, at least 2; [`Error::EmptyPrompt`], also (as prompt 0) for an
    /// empty list; [`Error::TokenOutOfVocabulary`]; [`Error::PositionBeyondModel`]; [`Error::PromptTooLong`].
    pub fn after(prefix: &Prefix, prompts: &[Vec<u32>], t: usize, config: &Config) -> Result<Self> {
        Self::pack((&PublicContext::none(), prefix), prompts, t, config)
    }

    /// Puts one prompt, which goes on from a public context, into a block of `t` tokens for the model of `config`. The first rotary position
    /// is the number of the context's tokens.
    ///
    /// Padding embeds the prompt's first token at that position and attends to the context and to itself only: it repeats what the prompt's
    /// first position computes.
    ///
    /// # Errors
    /// As [`PromptBlock::after`]; the tokens of the context count in [`Error::PositionBeyondModel`], not in [`Error::PromptTooLong`].
    pub fn following(context: &PublicContext, prompt: &[u32], t: usize, config: &Config) -> Result<Self> {
        Self::pack((context, &Prefix::none()), &[prompt.to_vec()], t, config)
    }

    fn pack(
        (context, prefix): (&PublicContext, &Prefix),
        prompts: &[Vec<u32>],
        t: usize,
        config: &Config,
    ) -> Result<Self> {
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
            let (found, available) = (context.len() + prefix.len() + tokens.len(), config.max_position_embeddings);
            if found > available {
                return Err(Error::PositionBeyondModel { prompt, found, available });
            }
        }
        let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
        let needed = lengths.iter().sum::<usize>() + prefix.len();
        if needed > t {
            return Err(Error::PromptTooLong { needed, available: t });
        }
        let starts = place(&lengths, prefix.len()..t, t);
        let mut block = Self {
            context: context.clone(),
            prefix: prefix.clone(),
            tokens: vec![prompts[0][0]; t],
            owners: vec![None; t],
            spans: Vec::with_capacity(prompts.len()),
        };
        block.tokens[..prefix.len()].copy_from_slice(prefix.tokens());
        for (prompt, (tokens, start)) in prompts.iter().zip(starts).enumerate() {
            let span = PromptSpan { start, len: tokens.len() };
            block.tokens[span.positions()].copy_from_slice(tokens);
            block.owners[span.positions()].fill(Some(prompt));
            block.spans.push(span);
        }
        Ok(block)
    }

    /// One of its prompts by itself, behind the same public tokens in a block of the same size.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`] for a prompt that the block does not have; those of [`PromptBlock::after`] under another `config`.
    pub fn with_prompt_alone(&self, prompt: usize, config: &Config) -> Result<Self> {
        let span = self.spans.get(prompt).ok_or(Error::EmptyPrompt { prompt })?;
        let tokens = self.tokens[span.positions()].to_vec();
        Self::pack((&self.context, &self.prefix), &[tokens], self.size(), config)
    }

    /// The same with other tokens for its one prompt, such as those that have been generated behind it.
    ///
    /// # Errors
    /// [`Error::SeveralPrompts`]; those of [`PromptBlock::after`].
    pub fn with_other_prompt(&self, tokens: &[u32], config: &Config) -> Result<Self> {
        if self.spans.len() != 1 {
            return Err(Error::SeveralPrompts { found: self.spans.len() });
        }
        Self::pack((&self.context, &self.prefix), &[tokens.to_vec()], self.size(), config)
    }

    /// Where everything lies, in words: what two blocks have in common that differ in their tokens alone.
    pub(crate) fn outline(&self) -> String {
        let spans: Vec<String> =
            self.spans.iter().map(|span| format!("{}..{}", span.start, span.start + span.len)).collect();
        let outline = format!("{} positions with prompts at {} behind", self.size(), spans.join(", "));
        if self.context.is_empty() {
            format!("{outline} {}", self.prefix)
        } else {
            format!("{outline} {}", self.context)
        }
    }

    /// Number of block positions, `t`.
    pub fn size(&self) -> usize {
        self.tokens.len()
    }

    /// The public tokens before the block, which no position of it holds.
    pub fn context(&self) -> &PublicContext {
        &self.context
    }

    /// The prefix, at the first positions of the block.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// The block as the client embeds it and the encrypted circuit computes it.
    pub fn embedded(&self) -> EmbeddedBlock<'_> {
        EmbeddedBlock(self)
    }

    /// The token that a model computes at every block position, prefix and padding included.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Where each prompt lies, in the order in which the prompts were given.
    pub fn prompts(&self) -> &[PromptSpan] {
        &self.spans
    }

    /// The prompt at a block position; `None` for prefix and padding.
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

    /// Whether a block position belongs to the prefix.
    pub fn is_prefix(&self, block_position: usize) -> bool {
        block_position < self.prefix.len()
    }

    /// Number of live positions: tokens of all prompts together.
    pub fn live(&self) -> usize {
        self.spans.iter().map(|span| span.len).sum()
    }

    /// The rotary position of a block position: its place in context, prefix and prompt together; for padding that of a prompt's first
    /// position.
    pub fn rotary_position(&self, block_position: usize) -> usize {
        if self.is_prefix(block_position) {
            return block_position;
        }
        let place = self.owners[block_position].map_or(0, |prompt| block_position - self.spans[prompt].start);
        self.context.len() + self.prefix.len() + place
    }

    /// The causal mask: whether a query position attends to a key position. The prefix is seen by all, prompts by themselves. Keys of the
    /// context, which have no block position, are seen by all.
    pub fn attends(&self, query: usize, key: usize) -> bool {
        let own = || self.is_live(query) && self.owners[query] == self.owners[key];
        query == key || (key < query && (self.is_prefix(key) || own()))
    }

    /// Whether some prompt has positions in both halves of the block.
    pub fn straddles_middle(&self) -> bool {
        let middle = self.size() / 2;
        self.spans.iter().any(|span| span.start < middle && middle < span.start + span.len)
    }
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

    fn prefix(len: usize) -> Prefix {
        Prefix::new((90..).take(len).collect(), &config()).unwrap()
    }

    /// Every assignment of prompts to the rooms of both halves, by brute force.
    fn some_split_exists(lengths: &[usize], [first_room, second_room]: [usize; 2]) -> bool {
        (0..1_u32 << lengths.len()).any(|subset| {
            let first: usize = lengths.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1).map(|(_, l)| l).sum();
            first <= first_room && lengths.iter().sum::<usize>() - first <= second_room
        })
    }

    /// Lengths of prompts, a block and the length of a prefix.
    fn lengths_that_fit() -> impl Strategy<Value = (Vec<usize>, usize, usize)> {
        let block = (1_u32..7).prop_map(|log| 1_usize << log);
        let with_prefix = block.prop_flat_map(|t| (Just(t), 0..=Prefix::MOST_TOKENS.min(t - 1)));
        with_prefix.prop_flat_map(|(t, p)| {
            let fits = move |lengths: &Vec<usize>| p + lengths.iter().sum::<usize>() <= t;
            (prop::collection::vec(1..=t - p, 1..9).prop_filter("fits", fits), Just(t), Just(p))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { max_global_rejects: 200_000, ..ProptestConfig::default() })]
        #[test]
        fn each_prompt_keeps_its_tokens_and_its_positions((lengths, t, p) in lengths_that_fit()) {
            let (given, prefix) = (prompts(&lengths), prefix(p));
            let block = PromptBlock::after(&prefix, &given, t, &config()).unwrap();
            prop_assert_eq!(block.size(), t);
            prop_assert_eq!(block.live(), lengths.iter().sum::<usize>());
            prop_assert_eq!((block.prefix(), &block.tokens()[..p]), (&prefix, prefix.tokens()));
            for (prompt, span) in block.prompts().iter().enumerate() {
                prop_assert_eq!(&block.tokens()[span.positions()], &given[prompt][..]);
                for (place, position) in span.positions().enumerate() {
                    prop_assert_eq!(block.prompt_at(position), Some(prompt));
                    prop_assert_eq!(block.rotary_position(position), p + place);
                    prop_assert!(!block.is_prefix(position));
                }
            }
            for position in (0..t).filter(|&position| !block.is_live(position)) {
                let (token, rotary) = if position < p { (prefix.tokens()[position], position) } else { (given[0][0], p) };
                prop_assert_eq!((block.tokens()[position], block.rotary_position(position)), (token, rotary));
                prop_assert_eq!(block.is_prefix(position), position < p);
            }
        }

        #[test]
        fn attention_is_causal_and_stays_inside_prefix_and_prompt((lengths, t, p) in lengths_that_fit()) {
            let block = PromptBlock::after(&prefix(p), &prompts(&lengths), t, &config()).unwrap();
            for query in 0..t {
                prop_assert!(block.attends(query, query));
                for key in (0..t).filter(|&key| key != query) {
                    let same = block.is_live(query) && block.prompt_at(query) == block.prompt_at(key);
                    prop_assert_eq!(block.attends(query, key), key < query && (key < p || same));
                }
            }
        }

        /// No row of the embedded block sees more or less than some position of the model's block does.
        #[test]
        fn embedded_rows_of_the_prefix_repeat_the_first_position((lengths, t, p) in lengths_that_fit()) {
            let block = PromptBlock::after(&prefix(p), &prompts(&lengths), t, &config()).unwrap();
            let (embedded, first) = (block.embedded(), block.prompts()[0].start);
            for (position, token) in embedded.tokens().enumerate() {
                let computed = if position < p { first } else { position };
                prop_assert_eq!(token, block.tokens()[computed]);
                prop_assert_eq!(embedded.rotary_position(position), block.rotary_position(computed));
                let attended = (0..t).filter(|&key| embedded.attends(position, key));
                prop_assert!(attended.eq((0..t).filter(|&key| block.attends(computed, key))));
            }
            for position in 0..p {
                prop_assert!((0..t).all(|key| embedded.attends(position, key) == (key < p || key == first)));
                prop_assert_eq!(embedded.rotary_position(position), p);
            }
        }

        #[test]
        fn no_prompt_straddles_the_middle_unless_it_must((lengths, t, p) in lengths_that_fit()) {
            let block = PromptBlock::after(&prefix(p), &prompts(&lengths), t, &config()).unwrap();
            let rooms = [(t / 2).saturating_sub(p), (t / 2).min(t - p)];
            prop_assert_eq!(block.straddles_middle(), !some_split_exists(&lengths, rooms));
        }
    }

    #[test]
    fn a_prefix_takes_room_and_positions() {
        let config = config();
        let after = |p, lengths: &[usize], t| PromptBlock::after(&prefix(p), &prompts(lengths), t, &config);
        assert_eq!(after(1, &[7], 8).unwrap().live(), 7);
        assert!(matches!(after(1, &[8], 8), Err(Error::PromptTooLong { needed: 9, available: 8 })));
        assert!(matches!(
            after(2, &[3, 63], 128),
            Err(Error::PositionBeyondModel { prompt: 1, found: 65, available: 64 })
        ));
    }

    #[test]
    fn rejects_a_prefix_that_is_long_or_unknown() {
        let new = |tokens| Prefix::new(tokens, &config()).map_err(|error| error.to_string());
        assert_eq!(new(vec![]).unwrap(), Prefix::none());
        assert!(new(vec![0; 5]).unwrap_err().contains("5 tokens, required: at most 4"));
        assert!(
            new(vec![1, 100]).unwrap_err().contains("token 100, required: tokens of the model's vocabulary of 100")
        );
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
