//! Where queries, keys, values and scores of one token lie.

use fhe_ckks::{CircuitShape, Copies, Packing};

use super::masks::CacheMasks;
use crate::error::{Result, refuse};
use crate::latest::Latest;

/// Where the heads of one token, the cached tokens, and the scores lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheLayout {
    pub(super) slots: usize,
    pub(super) heads: usize,
    pub(super) key_value_heads: usize,
    pub(super) head_dim: usize,
    pub(super) channel_rows: usize,
    pub(super) head_rows: usize,
    pub(super) tokens: usize,
    /// More copies than these a sparse bootstrap does not take.
    most_copies: usize,
    /// By the number of cached tokens.
    pub(super) masks: Latest<usize, CacheMasks>,
}

/// A score's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScorePlace {
    /// Which ciphertext of scores.
    pub ciphertext: usize,
    /// Which of its slots.
    pub slot: usize,
}

impl CacheLayout {
    /// Levels that the queries need for [`CacheLayout::scores`]: their selection, the product, the mask.
    pub const QUERY_LEVELS: usize = 3;
    /// Levels that the keys need: the product and the mask.
    pub const KEY_LEVELS: usize = 2;
    /// Levels that the probabilities need for [`CacheLayout::select`] and [`CacheLayout::weighted_values`]: selection and product.
    pub const PROBABILITY_LEVELS: usize = Self::SELECTION_LEVELS + Self::VALUE_LEVELS;
    /// Levels of the selection.
    pub const SELECTION_LEVELS: usize = 1;
    /// Levels that the values need: the product.
    pub const VALUE_LEVELS: usize = 1;

    /// Levels at which keys and values wait in a cache: one below the queries, and one below the probabilities, whose weighted values are to be
    /// moved.
    pub const KEPT_LEVELS: usize = Self::KEY_LEVELS;

    /// The layout of `heads` query heads that share `key_value_heads` heads of keys and values, with `head_dim` channels each.
    ///
    /// # Errors
    /// Unless `key_value_heads` divides `heads`, and the heads of one token fit into a ciphertext.
    pub fn new(shape: &CircuitShape, heads: usize, key_value_heads: usize, head_dim: usize) -> Result<Self> {
        const OPERATION: &str = "CacheLayout::new";
        let check_model = "check the model's configuration";
        if heads == 0 || key_value_heads == 0 || !heads.is_multiple_of(key_value_heads) {
            let required = format!("a divisor of {heads}, neither of them zero");
            return Err(refuse(OPERATION, "key and value heads", key_value_heads, required, check_model));
        }
        if head_dim == 0 {
            return Err(refuse(OPERATION, "head_dim", 0, "at least one channel", check_model));
        }
        let slots = shape.slots(Packing::Real);
        let (channel_rows, head_rows) = (head_dim.next_power_of_two(), key_value_heads.next_power_of_two());
        let layout = Self {
            slots,
            heads,
            key_value_heads,
            head_dim,
            channel_rows,
            head_rows,
            tokens: slots / (channel_rows * head_rows),
            most_copies: shape.most_copies(),
            masks: Latest::default(),
        };
        let group = layout.group_rows();
        if layout.tokens < group || group > channel_rows {
            let found = format!("{channel_rows} x {head_rows} channels of {group} query heads each");
            let required = format!("{slots} slots, and as many tokens and channels as query heads in a group");
            return Err(refuse(OPERATION, "the heads of one token", found, required, "use a larger ring"));
        }
        Ok(layout)
    }

    /// Tokens that share a ciphertext.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Query heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Query heads that share a key and value head.
    pub fn group(&self) -> usize {
        self.heads / self.key_value_heads
    }

    pub(super) fn group_rows(&self) -> usize {
        self.group().next_power_of_two()
    }

    /// Slots from one channel row to the next.
    pub(super) fn row(&self) -> usize {
        self.head_rows * self.tokens
    }

    /// The slot of a channel of a key and value head of a token of a cache ciphertext.
    pub(super) fn slot(&self, channel_row: usize, key_value_head: usize, token: usize) -> usize {
        channel_row * self.row() + key_value_head * self.tokens + token
    }

    /// Slots of a channel of a query head: of queries, and of outputs.
    pub fn query_slot(&self, head: usize, channel: usize) -> usize {
        self.slot(channel, head / self.group(), head % self.group())
    }

    /// Slots of a channel of a key head of a new token, as [`CacheLayout::append`] takes it: in the token behind those of the queries, so that one product's
    /// places for both are different and the same distance away.
    pub fn key_slot(&self, key_value_head: usize, channel: usize) -> usize {
        self.slot(channel, key_value_head, self.new_tokens()[0])
    }

    /// The same of a value head: in the next token.
    pub fn value_slot(&self, key_value_head: usize, channel: usize) -> usize {
        self.slot(channel, key_value_head, self.new_tokens()[1])
    }

    /// In which tokens a new token's keys and values come; the first, where there are no others.
    pub(super) fn new_tokens(&self) -> [usize; 2] {
        let group = self.group();
        if self.tokens >= group + 2 { [group, group + 1] } else { [0, 0] }
    }

    /// Rows in use for the scores with so many tokens: they are repeated in all other rows.
    pub(super) fn used_rows(&self, length: usize) -> usize {
        (length.div_ceil(self.tokens) * self.group_rows()).next_power_of_two().min(self.channel_rows)
    }

    /// In how many copies in each half of the slots what repeats after so many rows stands.
    pub(super) fn copies_of_rows(&self, rows: usize) -> Copies {
        Copies((self.channel_rows / 2 / rows).clamp(1, self.most_copies))
    }

    /// In how many copies the scores with so many tokens stand in each half of the slots, those of their sums the same or more.
    pub fn score_copies(&self, length: usize) -> Copies {
        self.copies_of_rows(self.used_rows(length))
    }

    /// Where the score of a query head with one of so many cached tokens lies: in several slots of one ciphertext.
    pub fn score_places(&self, length: usize, head: usize, position: usize) -> impl Iterator<Item = ScorePlace> {
        let row = position / self.tokens * self.group_rows() + head % self.group();
        let ciphertext = row / self.channel_rows;
        let first = self.slot(row % self.channel_rows, head / self.group(), position % self.tokens);
        let rows = (0..self.channel_rows).step_by(self.used_rows(length));
        let length = self.row();
        rows.map(move |row| ScorePlace { ciphertext, slot: first + row * length })
    }

    /// Ciphertexts of the scores with so many tokens.
    pub fn score_ciphertexts(&self, length: usize) -> usize {
        (length.div_ceil(self.tokens) * self.group_rows()).div_ceil(self.channel_rows)
    }

    /// Slots of the queries or outputs of all heads, given head by head; zero elsewhere.
    ///
    /// # Errors
    /// If their number is another one.
    pub fn pack_queries(&self, queries: &[f64]) -> Result<Vec<f64>> {
        self.pack("CacheLayout::pack_queries", queries, self.heads, |head, channel| self.query_slot(head, channel))
    }

    /// Slots of the keys of one token, given head by head; zero elsewhere.
    ///
    /// # Errors
    /// If their number is another one.
    pub fn pack_keys(&self, keys: &[f64]) -> Result<Vec<f64>> {
        self.pack("CacheLayout::pack_keys", keys, self.key_value_heads, |head, channel| self.key_slot(head, channel))
    }

    /// The same of values.
    ///
    /// # Errors
    /// If their number is another one.
    pub fn pack_values(&self, values: &[f64]) -> Result<Vec<f64>> {
        let slot = |head, channel| self.value_slot(head, channel);
        self.pack("CacheLayout::pack_values", values, self.key_value_heads, slot)
    }

    /// Inverse of [`CacheLayout::pack_queries`].
    ///
    /// # Errors
    /// If the number of slots is another one.
    pub fn unpack_queries(&self, slots: &[f64]) -> Result<Vec<f64>> {
        if slots.len() != self.slots {
            let remedy = "use the layout of this ring";
            return Err(refuse("CacheLayout::unpack_queries", "slots", slots.len(), self.slots, remedy));
        }
        let channels = |head| (0..self.head_dim).map(move |channel| slots[self.query_slot(head, channel)]);
        Ok((0..self.heads).flat_map(channels).collect())
    }

    fn pack(
        &self,
        operation: &'static str,
        entries: &[f64],
        heads: usize,
        slot: impl Fn(usize, usize) -> usize,
    ) -> Result<Vec<f64>> {
        if entries.len() != heads * self.head_dim {
            let required = format!("{heads} heads of {}", self.head_dim);
            return Err(refuse(operation, "entries", entries.len(), required, "give every head its channels"));
        }
        let mut packed = vec![0.0; self.slots];
        for (head, channels) in entries.chunks_exact(self.head_dim).enumerate() {
            channels.iter().enumerate().for_each(|(channel, &entry)| packed[slot(head, channel)] = entry);
        }
        Ok(packed)
    }

    /// A plaintext over the slots of one ciphertext of scores: `value` of the head in the place of every score, zero elsewhere.
    pub fn score_plain(&self, length: usize, ciphertext: usize, value: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut plain = vec![0.0; self.slots];
        for head in 0..self.heads {
            for place in (0..length).flat_map(|position| self.score_places(length, head, position)) {
                if place.ciphertext == ciphertext {
                    plain[place.slot] = value(head);
                }
            }
        }
        plain
    }
}
