//! Where channels, heads, tokens and keys lie, before and after the exchange of heads and tokens.
//!
//! With `t` tokens, `L` lanes and `g` ciphertexts of lanes in one of the main ring, the slots of a half are, highest bits first,
//!
//! ```text
//! row-module layout   [ channel: 2 g | head: L | token: t/2 ]
//! exchanged           [ channel: 2 g | token: t/2 | head: L ]
//! ```
//!
//! The exchange swaps the lower bits of both fields pair by pair, so that all its offsets are multiples of one number; what order of
//! tokens (and of heads, where there are more lanes than tokens in a half) that leaves is public, and this type knows it. As a ciphertext of
//! lanes, the channel field is `[ciphertext m, bits reversed | parity of the row]` and the token field the rest of the row, bits
//! reversed: row `parity + 2 bit_reverse(token field)`.
//!
//! Query head `kv (heads / kv heads) + u` is lane `kv + K u`, `K` the number of key and value heads padded to a power of two: a key
//! or value repeats with period `K`. Dense keys hold other channels in these places instead of copies.

use fhe_ckks::CircuitShape;

use crate::error::{Result, refuse};
use crate::layout::{Layout, Place, RowModule};

/// The layout of one attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneLayout {
    module: RowModule,
    group: usize,
    lanes: usize,
    heads: usize,
    key_value_heads: usize,
    head_dim: usize,
    /// Key and value heads that share a ciphertext, a power of two.
    key_lanes: usize,
}

/// A query and a key of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanePair {
    /// Query head.
    pub head: usize,
    /// Block position of the query.
    pub query: usize,
    /// Block position of the key.
    pub key: usize,
}

/// What one ciphertext of lanes of keys or values is made of: slots of a dense one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyCopy {
    /// Which dense ciphertext of its set of heads.
    pub(super) source: usize,
    /// Which of the channels that share the lanes there.
    pub(super) place: usize,
    /// Parity of its channels.
    pub(super) parity: usize,
}

fn reversed(index: usize, size: usize) -> usize {
    if size == 1 { index } else { index.reverse_bits() >> (usize::BITS - size.trailing_zeros()) }
}

impl LaneLayout {
    /// A layout for so many heads; more than there are lanes take several sets of ciphertexts.
    ///
    /// # Errors
    /// If the block does not fit the shape's lanes, `head_dim` is odd or zero, or `key_value_heads` does not divide `heads`.
    pub fn new(
        shape: &CircuitShape,
        tokens: usize,
        heads: usize,
        key_value_heads: usize,
        head_dim: usize,
    ) -> Result<Self> {
        const OPERATION: &str = "LaneLayout::new";
        let module = RowModule::new(shape, tokens)?;
        let most = shape.lane_degree / 2;
        if tokens < 4 || tokens > most {
            let required = format!("4 to {most}");
            return Err(refuse(OPERATION, "tokens", tokens, required, "use another block size"));
        }
        let lanes = shape.lane_degree / (2 * tokens);
        shape.check_lanes(OPERATION, lanes)?;
        if key_value_heads == 0 || heads == 0 || !heads.is_multiple_of(key_value_heads) {
            let required = format!("a divisor of {heads}");
            let remedy = "check the model's configuration";
            return Err(refuse(OPERATION, "key and value heads", key_value_heads, required, remedy));
        }
        if head_dim == 0 || head_dim % 2 == 1 {
            return Err(refuse(OPERATION, "head_dim", head_dim, "an even number", "check the model's configuration"));
        }
        let query_lanes = (heads / key_value_heads).next_power_of_two().min(lanes);
        let key_lanes = key_value_heads.next_power_of_two().min(lanes / query_lanes);
        Ok(Self { module, group: shape.lane_group(), lanes, heads, key_value_heads, head_dim, key_lanes })
    }

    /// The row-module geometry.
    pub fn module(&self) -> RowModule {
        self.module
    }

    /// Lanes of a ciphertext.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Query heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Key and value heads.
    pub fn key_value_heads(&self) -> usize {
        self.key_value_heads
    }

    /// Channels of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Ciphertexts of lanes in one ciphertext.
    pub(super) fn group(&self) -> usize {
        self.group
    }

    /// Query heads that share a key and value head in one ciphertext, padding included: also how many channels share a lane of dense
    /// keys.
    pub(super) fn copies(&self) -> usize {
        self.lanes / self.key_lanes
    }

    /// Lanes from one copy to the next.
    pub(super) fn key_lanes(&self) -> usize {
        self.key_lanes
    }

    /// Sets of key and value heads.
    pub(super) fn key_sets(&self) -> usize {
        self.key_value_heads.div_ceil(self.key_lanes)
    }

    /// Sets of query heads for each of them.
    pub(super) fn query_sets(&self) -> usize {
        (self.heads / self.key_value_heads).div_ceil(self.copies())
    }

    /// Sets of query heads in all.
    pub fn sets(&self) -> usize {
        self.key_sets() * self.query_sets()
    }

    /// Channels of all heads of a set that one ciphertext holds.
    fn channels(&self) -> usize {
        2 * self.group
    }

    /// Ciphertexts of the queries of a set, and of its output.
    pub fn query_ciphertexts(&self) -> usize {
        self.head_dim.div_ceil(self.channels())
    }

    /// Dense ciphertexts of the keys (or values) of a set of key and value heads.
    pub fn key_ciphertexts(&self) -> usize {
        self.head_dim.div_ceil(self.channels() * self.copies())
    }

    /// Ciphertexts of the scores of a set.
    pub fn score_ciphertexts(&self) -> usize {
        (self.module.tokens() / 2).div_ceil(self.group)
    }

    /// Set and lane of a query head.
    fn lane_of_head(&self, head: usize) -> (usize, usize) {
        let shared = self.heads / self.key_value_heads;
        let (key, copy) = (head / shared, head % shared);
        let set = key / self.key_lanes * self.query_sets() + copy / self.copies();
        (set, key % self.key_lanes + self.key_lanes * (copy % self.copies()))
    }

    /// The query heads of a set with their lanes.
    pub(super) fn heads_of_set(&self, set: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.heads).filter_map(move |head| {
            let (of, lane) = self.lane_of_head(head);
            (of == set).then_some((head, lane))
        })
    }

    /// The slot that exchanges its content with this one.
    pub fn exchanged(&self, slot: usize) -> usize {
        let (tokens, lanes) = (self.module.half_tokens().trailing_zeros(), self.lanes.trailing_zeros());
        let distance = tokens.max(lanes);
        (0..tokens.min(lanes)).fold(slot, |slot, bit| {
            let difference = (slot >> bit ^ slot >> (bit + distance)) & 1;
            slot ^ (difference << bit | difference << (bit + distance))
        })
    }

    /// The token field of a slot token after the exchange.
    fn token_field(&self, slot_token: usize) -> usize {
        self.exchanged(slot_token) / self.lanes
    }

    /// Row of a ciphertext of lanes, without its parity, of a slot token.
    fn row_pair(&self, slot_token: usize) -> usize {
        reversed(self.token_field(slot_token), self.module.half_tokens())
    }

    /// Number of a key among those that scores and probabilities are numbered by: its row among keys and values.
    pub(super) fn key_index(&self, position: usize) -> usize {
        let (half, slot_token) = self.module.half_and_token(position);
        half + 2 * self.row_pair(slot_token)
    }

    /// Channel field of an index (a channel, or a key) among those of one ciphertext.
    fn field(&self, index: usize) -> usize {
        2 * reversed(index / 2 % self.group, self.group) + index % 2
    }

    /// Slot after the exchange.
    pub(super) fn slot(&self, half: usize, index: usize, slot_token: usize, lane: usize) -> usize {
        let row = self.field(index) * self.module.half_tokens() + self.token_field(slot_token);
        half * self.module.slots() / 2 + row * self.lanes + lane
    }

    /// Slot row, before the exchange, of a channel and a lane.
    fn slot_row(&self, channel: usize, lane: usize) -> usize {
        self.field(channel) * self.lanes + self.exchanged(lane) / self.module.half_tokens()
    }

    /// The place of a channel of a query head before the exchange.
    pub(super) fn query_place(&self, head: usize, channel: usize) -> Place {
        let (set, lane) = self.lane_of_head(head);
        let ciphertext = set * self.query_ciphertexts() + channel / self.channels();
        Place { ciphertext, slot_row: self.slot_row(channel, lane) }
    }

    /// Ciphertext of a channel of keys among those of its set, and which of the channels that share its lanes it is.
    pub(super) fn key_place(&self, channel: usize) -> (usize, usize) {
        let block = channel / self.channels();
        (block / self.copies(), block % self.copies())
    }

    /// The layout of the query projection, and of the attention's output.
    ///
    /// # Errors
    /// If the layout is not one; report this.
    pub fn queries(&self) -> Result<Layout> {
        let place = |head| move |channel| vec![self.query_place(head, channel)];
        let places = (0..self.heads).flat_map(|head| (0..self.head_dim).map(place(head)));
        Layout::new(self.module, places.collect())
    }

    /// The layout of the key projection, and of the value projection: dense.
    ///
    /// # Errors
    /// If the layout is not one; report this.
    pub fn keys(&self) -> Result<Layout> {
        let place = |head: usize| {
            move |channel: usize| {
                let (source, place) = self.key_place(channel);
                let ciphertext = head / self.key_lanes * self.key_ciphertexts() + source;
                let lane = place * self.key_lanes + head % self.key_lanes;
                vec![Place { ciphertext, slot_row: self.slot_row(channel, lane) }]
            }
        };
        let places = (0..self.key_value_heads).flat_map(|head| (0..self.head_dim).map(place(head)));
        Layout::new(self.module, places.collect())
    }

    /// Key and value heads of a set, with their lane of the first copy.
    pub(super) fn keys_of_set(&self, set: usize) -> impl Iterator<Item = (usize, usize)> {
        let first = set * self.key_lanes;
        (first..self.key_value_heads.min(first + self.key_lanes)).map(move |head| (head, head - first))
    }

    /// The ciphertexts of copied keys (or values) of a set in order: channel `c` is ciphertext of lanes `c / 2 mod g` of number
    /// `2 (c div 2g) + c mod 2`.
    pub(super) fn key_copies(&self) -> Vec<KeyCopy> {
        let blocks = self.head_dim.div_ceil(self.channels());
        let block = |block: usize| (block / self.copies(), block % self.copies());
        let of_block = |(source, place)| [0, 1].map(|parity| KeyCopy { source, place, parity });
        (0..blocks).map(block).flat_map(of_block).collect()
    }

    /// Position in `[copy][ciphertext of lanes]` of a channel of copied keys.
    pub(super) fn copied_key(&self, channel: usize) -> (usize, usize) {
        (2 * (channel / self.channels()) + channel % 2, channel / 2 % self.group)
    }

    /// Slot of a channel of copied keys: real parts, the half of the block in the parity of the row.
    pub(super) fn copied_slot(&self, channel: usize, position: usize, lane: usize) -> usize {
        let (half, slot_token) = self.module.half_and_token(position);
        self.slot(0, channel - channel % 2 + half, slot_token, lane)
    }

    /// Channels of a copy.
    pub(super) fn channels_of(&self, copy: KeyCopy) -> impl Iterator<Item = usize> + '_ {
        let first = (copy.source * self.copies() + copy.place) * self.channels() + copy.parity;
        (first..self.head_dim.min(first + self.channels())).step_by(2)
    }

    /// The rotation that brings the tokens of a half of a dense ciphertext to their rows of a copy, in the real parts.
    pub(super) fn half_rotation(&self, half: usize, parity: usize) -> i64 {
        let row = (self.module.half_tokens() * self.lanes) as i64;
        match half {
            0 => parity as i64 * row,
            _ => self.module.slots() as i64 / 2 + (parity as i64 - 1) * row,
        }
    }

    /// Set of a query head, and the slot of a query among its scores of the first key.
    pub fn first_score(&self, head: usize, query: usize) -> (usize, usize) {
        let (set, lane) = self.lane_of_head(head);
        let (half, slot_token) = self.module.half_and_token(query);
        (set, self.slot(half, 0, slot_token, lane))
    }

    /// Every pair of a set's ciphertext of scores, with its slot, padding heads left out.
    pub fn pairs(&self, set: usize, ciphertext: usize) -> impl Iterator<Item = (usize, LanePair)> + '_ {
        let tokens = self.module.tokens();
        let keys = (0..tokens).filter(move |&key| self.key_index(key) / self.channels() == ciphertext);
        keys.flat_map(move |key| {
            let heads = self.heads_of_set(set);
            heads.flat_map(move |(head, lane)| {
                (0..tokens).map(move |query| {
                    let (half, slot_token) = self.module.half_and_token(query);
                    let slot = self.slot(half, self.key_index(key), slot_token, lane);
                    (slot, LanePair { head, query, key })
                })
            })
        })
    }

    /// A plaintext over the slots of a set's ciphertext of scores: `value` of every pair, zero for padding heads.
    pub fn score_plain(&self, set: usize, ciphertext: usize, value: impl Fn(LanePair) -> f64) -> Vec<f64> {
        let mut plain = vec![0.0; self.module.slots()];
        self.pairs(set, ciphertext).for_each(|(slot, pair)| plain[slot] = value(pair));
        plain
    }
}
