//! Where channels, keys, heads and tokens lie where keys and values are weights.
//!
//! Query heads that share a head of keys are multiplied by the same matrix. So they count as tokens: rows of coefficients are
//! ordered `[query head of it | head of keys | channel]`, channel lowest, and a ciphertext splits into module rows of `tokens * group` entries,
//! one row for each channel of each head of keys. The scores of a block of keys lie as the queries do, keys in place of channels.

use fhe_ckks::{CircuitShape, Evaluator};

use super::KeyRows;
use crate::attention::RotaryAngles;
use crate::channel_factors::ChannelFactors;
use crate::error::{Result, refuse};
use crate::layout::{Layout, Place, RowModule};

/// The layout of queries, scores and outputs of the products as weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightLayout {
    module: RowModule,
    /// The same ciphertexts in rows of all entries that share a matrix.
    merged: RowModule,
    heads: usize,
    key_heads: usize,
    head_dim: usize,
    keys: usize,
    /// Channels of a head and keys of a block, padded to a power of two.
    channel_rows: usize,
    /// Heads of keys in a ciphertext.
    key_heads_together: usize,
}

impl WeightLayout {
    /// Levels that [`WeightLayout::place_queries`] takes.
    pub const PLACEMENT_LEVELS: usize = 1;

    /// `heads` query heads of `head_dim` channels, of which equally many attend with each of `key_heads` heads of so many `keys`.
    ///
    /// # Errors
    /// If a size is zero, `head_dim` odd, `key_heads` no divisor of `heads`, or the heads do not fit: the query heads of one head of keys must fill
    /// at most one ciphertext.
    pub fn new(
        shape: &CircuitShape,
        module: RowModule,
        [heads, key_heads]: [usize; 2],
        head_dim: usize,
        keys: usize,
    ) -> Result<Self> {
        const OPERATION: &str = "WeightLayout::new";
        if heads == 0 || key_heads == 0 || !heads.is_multiple_of(key_heads) || head_dim == 0 || head_dim % 2 == 1 {
            let found = format!("{heads} x {head_dim} on {key_heads}");
            let required = "a multiple of the heads of keys, an even number";
            return Err(refuse(OPERATION, "heads and channels", found, required, "check the model's configuration"));
        }
        if keys == 0 {
            return Err(refuse(OPERATION, "keys", keys, "at least one", "leave public attention out"));
        }
        let channel_rows = head_dim.next_power_of_two();
        let group_rows = (heads / key_heads).next_power_of_two();
        if channel_rows * group_rows > module.rows() {
            let found = format!("{channel_rows} channels x {group_rows} query heads");
            let required = format!("at most {} rows", module.rows());
            return Err(refuse(OPERATION, "a group of heads", found, required, "use fewer tokens or a larger ring"));
        }
        let key_heads_together = (module.rows() / (channel_rows * group_rows)).min(key_heads.next_power_of_two());
        let merged = RowModule::new(shape, shape.degree / (channel_rows * key_heads_together))?;
        Ok(Self { module, merged, heads, key_heads, head_dim, keys, channel_rows, key_heads_together })
    }

    /// Ciphertexts of queries, and of outputs.
    pub fn ciphertexts(&self) -> usize {
        self.key_heads.div_ceil(self.key_heads_together)
    }

    /// Blocks of keys: ciphertexts of scores for each ciphertext of queries.
    pub fn blocks(&self) -> usize {
        self.keys.div_ceil(self.channel_rows)
    }

    /// Keys of a block, and rows of channels of a head.
    pub fn channel_rows(&self) -> usize {
        self.channel_rows
    }

    /// Number of keys.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Channels of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Query heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Heads of keys.
    pub fn key_heads(&self) -> usize {
        self.key_heads
    }

    /// Rows of all entries that share a matrix.
    pub(super) fn merged(&self) -> RowModule {
        self.merged
    }

    /// The heads of keys of a ciphertext with the first of their rows of channels.
    pub(super) fn key_heads_of(&self, ciphertext: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let first = ciphertext * self.key_heads_together;
        let heads = first..self.key_heads.min(first + self.key_heads_together);
        heads.map(move |head| (head, (head - first) * self.channel_rows))
    }

    /// Query heads that share a head of keys.
    fn group(&self) -> usize {
        self.heads / self.key_heads
    }

    /// Ciphertext and slot of a row (a channel, or a key of a block) of a query head at a block position.
    pub fn slot(&self, head: usize, row: usize, position: usize) -> (usize, usize) {
        let (half, token) = self.module.half_and_token(position);
        let Place { ciphertext, slot_row } = self.place(head, row);
        (ciphertext, self.module.slot(half, slot_row, token))
    }

    /// The row of a channel: the first channels of all rotary pairs in the lower half of the rows, the second ones in the upper half.
    pub(super) fn channel_row(&self, channel: usize) -> usize {
        let pairs = self.head_dim / 2;
        channel / pairs * (self.channel_rows / 2) + channel % pairs
    }

    /// The channel in a row, if any.
    fn channel(&self, row: usize) -> Option<usize> {
        let (half, pair, pairs) = (self.channel_rows / 2, row % (self.channel_rows / 2), self.head_dim / 2);
        (pair < pairs).then_some(row / half * pairs + pair)
    }

    /// Rows of slots from one row of channels or keys to the next, in their reversed order.
    fn stride(&self) -> usize {
        self.module.rows() / self.channel_rows
    }

    fn place(&self, head: usize, row: usize) -> Place {
        let (key_head, query) = (head / self.group(), head % self.group());
        let together = key_head % self.key_heads_together;
        let coefficient_row = row + self.channel_rows * together + self.merged.rows() * query;
        Place { ciphertext: key_head / self.key_heads_together, slot_row: self.module.coefficient_row(coefficient_row) }
    }

    /// The layout in which a projection of the queries ends and one from the outputs begins: head after head, channel after
    /// channel.
    ///
    /// # Errors
    /// None for a valid layout.
    pub fn projection(&self) -> Result<Layout> {
        let of_head = |head| (0..self.head_dim).map(move |channel| vec![self.place(head, self.channel_row(channel))]);
        Layout::new(self.module, (0..self.heads).flat_map(of_head).collect())
    }

    /// Where the keys lie in the ciphertexts of scores that belong to a ciphertext of queries.
    pub fn key_rows(&self, ciphertext: usize) -> KeyRows {
        let stride = self.stride();
        let live = self.plain(ciphertext, |_, _, _| 1.0).into();
        KeyRows { module: self.module, stride, rows: self.channel_rows, keys: self.keys, live, reversed: true }
    }

    /// A plaintext over the slots of a ciphertext of queries or scores: `value(head, row, position)` for the entries of its query heads,
    /// zero in idle slots.
    pub fn plain(&self, ciphertext: usize, value: impl Fn(usize, usize, usize) -> f64) -> Vec<f64> {
        let mut plain = vec![0.0; self.module.slots()];
        for head in 0..self.heads {
            if self.place(head, 0).ciphertext != ciphertext {
                continue;
            }
            for row in 0..self.channel_rows {
                for position in 0..self.module.tokens() {
                    plain[self.slot(head, row, position).1] = value(head, row, position);
                }
            }
        }
        plain
    }

    /// Queries in the layout of their projection, multiplied by their `factors`, with rotary positions.
    /// [`WeightLayout::PLACEMENT_LEVELS`] levels.
    ///
    /// # Errors
    /// If the projection, the factors or the positions have another size; those of the evaluator.
    pub fn place_queries<E: Evaluator>(
        &self,
        e: &E,
        angles: &RotaryAngles,
        projection: &[E::Slots],
        factors: impl Into<ChannelFactors>,
    ) -> Result<Vec<E::Slots>> {
        const OPERATION: &str = "place_queries";
        let factors = factors.into();
        self.check_ciphertexts(OPERATION, projection.len(), self.ciphertexts())?;
        factors.check(OPERATION, self.heads * self.head_dim)?;
        angles.check(self.module.tokens(), self.head_dim)?;
        let factor = |head: usize, channel: usize| factors.of(head * self.head_dim + channel);
        // Bits of rows are reversed: the halves of the channels alternate.
        let step = self.stride() as i64;
        let rotations = [0, step, -step].map(|rows| self.module.rotate_rows(rows));
        let place = |(ciphertext, x): (usize, &E::Slots)| {
            let rotated = e.rotate_hoisted(x, &rotations)?;
            let own = self.plain(ciphertext, |head, row, position| {
                self.channel(row).map_or(0.0, |channel| factor(head, channel) * angles.turn(position, channel)[0])
            });
            let from_partner = |first: bool| {
                self.plain(ciphertext, |head, row, position| {
                    let channel = self.channel(row).filter(|_| (row < self.channel_rows / 2) == first);
                    let turned = |channel| factor(head, angles.partner(channel)) * angles.turn(position, channel)[1];
                    channel.map_or(0.0, turned)
                })
            };
            let plains = [own, from_partner(true), from_partner(false)];
            let terms: Vec<_> = rotated.iter().zip(&plains).map(|(x, plain)| (x, plain.as_slice())).collect();
            Ok(e.plain_combination(&terms)?)
        };
        projection.iter().enumerate().map(place).collect()
    }

    /// Refuses another number of ciphertexts.
    pub(super) fn check_ciphertexts(&self, operation: &'static str, found: usize, required: usize) -> Result<()> {
        if found == required {
            return Ok(());
        }
        Err(refuse(operation, "ciphertexts", found, required, "use the layout of these products"))
    }
}
