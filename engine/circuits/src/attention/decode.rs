//! Attention of one new token with a cache of keys and values, all encrypted.
//!
//! The slots of a cache ciphertext are `[channel row | key and value head | token]`, channel row highest, each field padded to a power
//! of two; so many tokens as fit share a ciphertext. The query heads that share a key and value head are its *group*: member `m` has
//! its queries, and later its output, in token `m`.
//!
//! Scores come in rows: row `G b + m` of channel rows has the scores of member `m` with the tokens of cache ciphertext `b`, where `G` is
//! the size of a group, padded; further rows in further ciphertexts. The rows in use, a power of two, are repeated in all others.
//!
//! The channel rows are the highest field of one cycle of rotations ([`Packing::Real`]): whole rows that leave it at one end come back at the
//! other. So a product's sum over channels takes two steps of rotations. The first sums blocks of as many rows as are in use, in
//! the row of each block that the product's scores are to lie in; masks put those rows of all products into one ciphertext; and the
//! second, now once for all of them, sums the blocks. On the way back a row of every block is spread over its block alone. Tokens are the lowest
//! field, where a rotation drags entries of the next row in; what is spread over tokens is zero but for one token before, and what is
//! summed over tokens is wanted in one token only, which a mask picks.

use fhe_ckks::{CircuitShape, Evaluator, Level, Packing, Rotation};

use super::ScoreMap;
use crate::error::{Result, refuse};

/// Where the heads of one token, the cached tokens, and the scores lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheLayout {
    slots: usize,
    heads: usize,
    key_value_heads: usize,
    head_dim: usize,
    channel_rows: usize,
    head_rows: usize,
    tokens: usize,
}

/// Keys and values of the tokens so far, from which no server learns more than their number.
#[derive(Clone, Debug)]
pub struct KeyValueCache<S> {
    keys: Vec<S>,
    values: Vec<S>,
    length: usize,
}

impl<S> Default for KeyValueCache<S> {
    fn default() -> Self {
        Self { keys: Vec::new(), values: Vec::new(), length: 0 }
    }
}

impl<S> KeyValueCache<S> {
    /// Number of tokens.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Number of ciphertexts of keys, and of values.
    pub fn ciphertexts(&self) -> usize {
        self.keys.len()
    }
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
    /// Levels that the probabilities need for [`CacheLayout::weighted_values`]: selection, product, mask.
    pub const PROBABILITY_LEVELS: usize = 3;
    /// Levels that the values need: the product and the mask.
    pub const VALUE_LEVELS: usize = 2;

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

    /// Query heads that share a key and value head.
    pub fn group(&self) -> usize {
        self.heads / self.key_value_heads
    }

    fn group_rows(&self) -> usize {
        self.group().next_power_of_two()
    }

    /// Slots from one channel row to the next.
    fn row(&self) -> usize {
        self.head_rows * self.tokens
    }

    fn slot(&self, channel_row: usize, key_value_head: usize, token: usize) -> usize {
        channel_row * self.row() + key_value_head * self.tokens + token
    }

    /// Slots of a channel of a query head: of queries, and of outputs.
    pub fn query_slot(&self, head: usize, channel: usize) -> usize {
        self.slot(channel, head / self.group(), head % self.group())
    }

    /// Slots of a channel of a key and value head of a new token, as [`CacheLayout::append`] takes it.
    pub fn key_slot(&self, key_value_head: usize, channel: usize) -> usize {
        self.slot(channel, key_value_head, 0)
    }

    /// Rows in use for the scores with so many tokens: they are repeated in all other rows.
    fn used_rows(&self, length: usize) -> usize {
        (length.div_ceil(self.tokens) * self.group_rows()).next_power_of_two().min(self.channel_rows)
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

    /// Slots of the keys or values of one token, given head by head; zero elsewhere.
    ///
    /// # Errors
    /// If their number is another one.
    pub fn pack_keys(&self, keys: &[f64]) -> Result<Vec<f64>> {
        self.pack("CacheLayout::pack_keys", keys, self.key_value_heads, |head, channel| self.key_slot(head, channel))
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

    /// Adds a token to the cache: its keys and values in token 0, zero elsewhere. No level; a rotation of each for every bit of the token's
    /// place.
    ///
    /// # Errors
    /// If keys or values are at a lower level than those before; those of the evaluator.
    pub fn append<E: Evaluator>(
        &self,
        e: &E,
        cache: &mut KeyValueCache<E::Slots>,
        keys: &E::Slots,
        values: &E::Slots,
    ) -> Result<()> {
        let token = cache.length % self.tokens;
        let moved = [
            self.appended(e, "keys", cache.keys.last(), keys, token)?,
            self.appended(e, "values", cache.values.last(), values, token)?,
        ];
        for (known, new) in [&mut cache.keys, &mut cache.values].into_iter().zip(moved) {
            match known.last_mut() {
                Some(last) if token > 0 => *last = new,
                _ => known.push(new),
            }
        }
        cache.length += 1;
        Ok(())
    }

    /// What the ciphertext of a new token becomes: moved to its token, at the level of the last ciphertext, and added to it unless it
    /// begins another one.
    fn appended<E: Evaluator>(
        &self,
        e: &E,
        operand: &'static str,
        last: Option<&E::Slots>,
        new: &E::Slots,
        token: usize,
    ) -> Result<E::Slots> {
        let mut moved = new.clone();
        for bit in (0..self.tokens.trailing_zeros()).filter(|bit| token >> bit & 1 == 1) {
            moved = e.rotate(&moved, Rotation(-(1 << bit)))?;
        }
        let Some(last) = last else { return Ok(moved) };
        let (Level(found), Level(required)) = (e.level(&moved), e.level(last));
        if found < required {
            let (found, required) = (format!("at level {found}"), format!("at {required} or above"));
            return Err(refuse("append", operand, found, required, "give new tokens as many levels as the cache has"));
        }
        let moved = e.lower(&moved, Level(required))?;
        Ok(if token == 0 { moved } else { e.add(last, &moved)? })
    }

    /// `scale * (q . k) - centre` for every query head and cached token, zero elsewhere: [`CacheLayout::score_ciphertexts`] of them.
    /// Consumes [`CacheLayout::QUERY_LEVELS`] levels of the queries, whose keys are best one level below.
    ///
    /// For every member of a group one selection and `log2 tokens` rotations; for every member and ciphertext of keys one product and `log2` rotations
    /// of the rows in use; and as many rotations as the other bits of a row once for all of them.
    ///
    /// # Errors
    /// If the cache is empty or the map has not a centre for every head; those of the evaluator.
    pub fn scores<E: Evaluator>(
        &self,
        e: &E,
        queries: &E::Slots,
        cache: &KeyValueCache<E::Slots>,
        map: &ScoreMap,
    ) -> Result<Vec<E::Slots>> {
        const OPERATION: &str = "scores";
        if cache.length == 0 {
            return Err(refuse(OPERATION, "the cache", "empty", "one token or more", "append the query's own token"));
        }
        if map.centres.len() != self.heads {
            let remedy = "calibrate this model";
            return Err(refuse(OPERATION, "centres", map.centres.len(), self.heads, remedy));
        }
        let used = self.used_rows(cache.length);
        // By rows: member, then ciphertext of keys.
        let mut rows = Vec::with_capacity(self.group() * cache.keys.len());
        for member in 0..self.group() {
            let selected = e.plain_combination(&[(queries, &self.token_mask(member))])?;
            let spread = self.token_field().spread(e, selected, member)?;
            for (number, keys) in cache.keys.iter().enumerate() {
                let row = number * self.group_rows() + member;
                let product = e.multiply(&spread, keys)?;
                rows.push((row, self.rows(used).sum(e, product, row % used)?));
            }
        }
        let ciphertext = |number: usize| {
            let own = rows.iter().filter(|(row, _)| row / self.channel_rows == number);
            let scales = self.score_plain(cache.length, number, |_| map.scale);
            let masks: Vec<_> = own.map(|(row, x)| (x, self.row_of_blocks(&scales, row % used, used))).collect();
            let terms: Vec<_> = masks.iter().map(|(x, mask)| (*x, mask.as_slice())).collect();
            let scores = self.sum_rows(e, e.plain_combination(&terms)?, used, self.channel_rows)?;
            Ok(e.add_plain(&scores, &self.score_plain(cache.length, number, |head| -map.centres[head]))?)
        };
        (0..self.score_ciphertexts(cache.length)).map(ciphertext).collect()
    }

    /// The sum over so many cached tokens of each head, in the places of all of its scores: over entries in the places of the scores, which
    /// must be zero elsewhere. One level.
    ///
    /// # Errors
    /// If there is no ciphertext; those of the evaluator.
    pub fn sum_over_keys<E: Evaluator>(&self, e: &E, scores: &[E::Slots], length: usize) -> Result<E::Slots> {
        let Some((first, others)) = scores.split_first() else {
            let remedy = "append the query's own token";
            return Err(refuse("sum_over_keys", "ciphertexts", "none", "at least one", remedy));
        };
        let mut sum = first.clone();
        for other in others {
            sum = e.add(&sum, other)?;
        }
        let sum = self.sum_rows(e, sum, self.group_rows(), self.used_rows(length))?;
        let sum = self.token_field().sum(e, sum, 0)?;
        self.token_field().spread(e, e.plain_combination(&[(&sum, &self.token_mask(0))])?, 0)
    }

    /// The sum over cached tokens of probability times value, in the places of the queries; zero elsewhere. Probabilities lie in the places of
    /// the scores and are zero elsewhere. Consumes [`CacheLayout::PROBABILITY_LEVELS`] levels of the probabilities, whose values
    /// are best one level below.
    ///
    /// For every member of a group and ciphertext of values one selection, one product and `log2` rotations of the rows in use; for every member
    /// `log2 tokens` rotations.
    ///
    /// # Errors
    /// If there are more or fewer ciphertexts of probabilities than of scores; those of the evaluator.
    pub fn weighted_values<E: Evaluator>(
        &self,
        e: &E,
        probabilities: &[E::Slots],
        cache: &KeyValueCache<E::Slots>,
    ) -> Result<E::Slots> {
        const OPERATION: &str = "weighted_values";
        let required = self.score_ciphertexts(cache.length);
        if probabilities.len() != required || required == 0 {
            let required = format!("{required}, and at least one");
            let remedy = "use the layout of the scores with this cache";
            return Err(refuse(OPERATION, "ciphertexts of probabilities", probabilities.len(), required, remedy));
        }
        let used = self.used_rows(cache.length);
        let ones = vec![1.0; self.slots];
        let mut outputs = Vec::with_capacity(self.group());
        for member in 0..self.group() {
            let mut sum: Option<E::Slots> = None;
            for (number, values) in cache.values.iter().enumerate() {
                let row = number * self.group_rows() + member;
                let mask = self.row_of_blocks(&ones, row % used, used);
                let selected = e.plain_combination(&[(&probabilities[row / self.channel_rows], &mask)])?;
                let product = e.multiply(&self.rows(used).spread(e, selected, row % used)?, values)?;
                sum = Some(match sum {
                    None => product,
                    Some(sum) => e.add(&sum, &product)?,
                });
            }
            let sum = sum.ok_or_else(|| refuse(OPERATION, "the cache", "empty", "one token or more", "append one"))?;
            outputs.push((self.token_field().sum(e, sum, member)?, self.token_mask(member)));
        }
        let terms: Vec<_> = outputs.iter().map(|(x, mask)| (x, mask.as_slice())).collect();
        Ok(e.plain_combination(&terms)?)
    }

    /// The sum over every `step`-th row, up to `period` rows, in every row of what repeats after `period` rows; all rows are a period.
    fn sum_rows<E: Evaluator>(&self, e: &E, mut x: E::Slots, step: usize, period: usize) -> Result<E::Slots> {
        let mut rows = step;
        while rows < period {
            x = e.add(&x, &e.rotate(&x, Rotation((rows * self.row()) as i64))?)?;
            rows *= 2;
        }
        Ok(x)
    }

    /// The tokens of a row.
    fn token_field(&self) -> Field {
        Field { stride: 1, length: self.tokens }
    }

    /// Rows of a block of so many.
    fn rows(&self, used: usize) -> Field {
        Field { stride: self.row(), length: used }
    }

    /// One in a token of every row.
    fn token_mask(&self, token: usize) -> Vec<f64> {
        (0..self.slots).map(|slot| f64::from(u8::from(slot % self.tokens == token))).collect()
    }

    /// The same row of every block of `used` rows of a plaintext, zero elsewhere.
    fn row_of_blocks(&self, plain: &[f64], row: usize, used: usize) -> Vec<f64> {
        let kept = |(slot, &value): (usize, &f64)| if slot / self.row() % used == row { value } else { 0.0 };
        plain.iter().enumerate().map(kept).collect()
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

/// Neighbours in slots `stride` apart, a power of two of them, beside others of their kind.
#[derive(Clone, Copy)]
struct Field {
    stride: usize,
    length: usize,
}

impl Field {
    /// The sum over the field, in one of its places; nothing of use in the others.
    fn sum<E: Evaluator>(self, e: &E, x: E::Slots, place: usize) -> Result<E::Slots> {
        self.double(e, x, |bit| place >> bit & 1 == 0)
    }

    /// One place in all of them, where the others were zero.
    fn spread<E: Evaluator>(self, e: &E, x: E::Slots, place: usize) -> Result<E::Slots> {
        self.double(e, x, |bit| place >> bit & 1 == 1)
    }

    /// Adds what lies ahead, or else behind, by every power of two.
    fn double<E: Evaluator>(self, e: &E, mut x: E::Slots, ahead: impl Fn(u32) -> bool) -> Result<E::Slots> {
        for bit in 0..self.length.trailing_zeros() {
            let steps = (self.stride << bit) as i64;
            x = e.add(&x, &e.rotate(&x, Rotation(if ahead(bit) { steps } else { -steps }))?)?;
        }
        Ok(x)
    }
}
