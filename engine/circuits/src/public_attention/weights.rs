//! The products as integer weights at the lowest modulus.
//!
//! Query heads that share a head of keys are multiplied by the same matrix. So they count as tokens: with rows of coefficients
//! ordered `[query head of it | head of keys | channel]`, channel lowest, a ciphertext splits into module rows of `tokens * group` entries,
//! one row for each channel of each head of keys, and
//!
//! ```text
//! S_b = K_b * Q      keys x channels times channels x (query heads, tokens)          O = sum_b V_b^T * P_b
//! ```
//!
//! are single products with integer matrices, block-diagonal if a ciphertext has several heads of keys. Nothing is computed twice and
//! rows are packed with few keys, since their entries are many. The scores of a block of keys lie as the queries do, keys in place of channels.

use fhe_ckks::{CircuitShape, Evaluator};

use super::{KeyRows, PublicCache};
use crate::attention::{RotaryAngles, ScoreMap};
use crate::crossing::{climb_corrected, descend};
use crate::error::{Result, refuse};
use crate::layout::{Layout, Place, RowModule};
use crate::matrix_product::{QuantisedMatrix, split_rows};

/// Products of encrypted queries and probabilities with one public cache, as weights.
#[derive(Clone, Debug)]
pub struct WeightProducts {
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
    /// For each ciphertext of queries the keys, and the values transposed.
    matrices: Vec<[QuantisedMatrix; 2]>,
}

impl WeightProducts {
    /// Levels that [`WeightProducts::place_queries`] takes.
    pub const PLACEMENT_LEVELS: usize = 1;

    /// Rounds keys and values to integers of `bits` bits, one scale for each ciphertext of queries.
    ///
    /// # Errors
    /// If the heads do not fit: the query heads of one head of keys must fill at most one ciphertext.
    pub fn new(shape: &CircuitShape, module: RowModule, heads: usize, cache: &PublicCache, bits: u32) -> Result<Self> {
        const OPERATION: &str = "WeightProducts::new";
        let (key_heads, head_dim) = (cache.heads(), cache.head_dim());
        if heads == 0 || !heads.is_multiple_of(key_heads) || head_dim % 2 == 1 {
            let (found, required) =
                (format!("{heads} x {head_dim}"), format!("a multiple of {key_heads}, an even number"));
            return Err(refuse(OPERATION, "heads and channels", found, required, "check the model's configuration"));
        }
        let channel_rows = head_dim.next_power_of_two();
        let group_rows = (heads / key_heads).next_power_of_two();
        if channel_rows * group_rows > module.rows() {
            let found = format!("{channel_rows} channels x {group_rows} query heads");
            let required = format!("at most {} rows", module.rows());
            return Err(refuse(OPERATION, "a group of heads", found, required, "use fewer tokens or a larger ring"));
        }
        let key_heads_together = (module.rows() / (channel_rows * group_rows)).min(key_heads.next_power_of_two());
        let merged_rows = channel_rows * key_heads_together;
        let merged = RowModule::new(shape, shape.degree / merged_rows)?;
        let keys = cache.length();
        let mut products = Self {
            module,
            merged,
            heads,
            key_heads,
            head_dim,
            keys,
            channel_rows,
            key_heads_together,
            matrices: Vec::new(),
        };
        products.matrices = (0..products.ciphertexts())
            .map(|ciphertext| products.quantised(cache, ciphertext, bits))
            .collect::<Result<_>>()?;
        Ok(products)
    }

    /// The integers for one ciphertext of queries: keys, and values transposed.
    fn quantised(&self, cache: &PublicCache, ciphertext: usize, bits: u32) -> Result<[QuantisedMatrix; 2]> {
        let (channels, scores) = (self.merged.rows(), self.blocks() * self.merged.rows());
        let [mut keys, mut values] = [vec![0.0; channels * scores], vec![0.0; channels * scores]];
        for together in 0..self.key_heads_together {
            let key_head = ciphertext * self.key_heads_together + together;
            if key_head >= self.key_heads {
                break;
            }
            for key in 0..self.keys {
                let (block, row) = (key / self.channel_rows, key % self.channel_rows);
                let score = block * channels + together * self.channel_rows + row;
                for channel in 0..self.head_dim {
                    let column = together * self.channel_rows + self.channel_row(channel);
                    keys[score * channels + column] = cache.key(key_head, key, channel) as f32;
                    values[column * scores + score] = cache.value(key_head, key, channel) as f32;
                }
            }
        }
        let [narrow, wide] = [channels, scores].map(|rows| Layout::dense(self.merged, rows));
        Ok([
            QuantisedMatrix::quantise(&keys, &wide, &narrow, bits)?,
            QuantisedMatrix::quantise(&values, &narrow, &wide, bits)?,
        ])
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
    fn channel_row(&self, channel: usize) -> usize {
        let pairs = self.head_dim / 2;
        channel / pairs * (self.channel_rows / 2) + channel % pairs
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
    /// None for valid products.
    pub fn projection(&self) -> Result<Layout> {
        let of_head = |head| (0..self.head_dim).map(move |channel| vec![self.place(head, self.channel_row(channel))]);
        Layout::new(self.module, (0..self.heads).flat_map(of_head).collect())
    }

    /// Where the keys lie in the ciphertexts of scores that belong to a ciphertext of queries.
    pub fn key_rows(&self, ciphertext: usize) -> KeyRows {
        let stride = self.stride();
        let live = self.plain(ciphertext, |_, _, _| 1.0);
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

    /// Queries in the layout of their projection with rotary positions, times `range`. One level.
    ///
    /// # Errors
    /// If the projection or the positions have another size; those of the evaluator.
    pub fn place_queries<E: Evaluator>(
        &self,
        e: &E,
        angles: &RotaryAngles,
        projection: &[E::Slots],
        range: f64,
    ) -> Result<Vec<E::Slots>> {
        self.check_ciphertexts("place_queries", projection.len(), self.ciphertexts())?;
        let pairs = self.head_dim / 2;
        angles.check(self.module.tokens(), self.head_dim)?;
        let turned = |ciphertext: usize, turn: fn(f64) -> f64, sign: fn(bool) -> f64| {
            self.plain(ciphertext, |_, row, position| {
                let (first, pair) = (row < self.channel_rows / 2, row % (self.channel_rows / 2));
                if pair < pairs { range * sign(first) * turn(angles.angle(position, pair)) } else { 0.0 }
            })
        };
        // Bits of rows are reversed: the halves of the channels alternate.
        let step = self.stride() as i64;
        let rotations = [0, step, -step].map(|rows| self.module.rotate_rows(rows));
        let place = |(ciphertext, x): (usize, &E::Slots)| {
            let rotated = e.rotate_hoisted(x, &rotations)?;
            let plains = [
                turned(ciphertext, f64::cos, |_| 1.0),
                turned(ciphertext, f64::sin, |first| if first { -1.0 } else { 0.0 }),
                turned(ciphertext, f64::sin, |first| if first { 0.0 } else { 1.0 }),
            ];
            let terms: Vec<_> = rotated.iter().zip(&plains).map(|(x, plain)| (x, plain.as_slice())).collect();
            Ok(e.plain_combination(&terms)?)
        };
        projection.iter().enumerate().map(place).collect()
    }

    /// `scale * (q . k) - centre` for all queries of a ciphertext and all keys, a ciphertext for each block of keys, at `levels` compute
    /// levels; `padding` for keys that pad the last block. The map without its centres must have no value beyond 1: it crosses a
    /// half bootstrap.
    ///
    /// # Errors
    /// If ciphertext or centres are not those of these products; those of the evaluator.
    pub fn scores<E: Evaluator>(
        &self,
        e: &E,
        ciphertext: usize,
        queries: &E::Slots,
        map: &ScoreMap,
        padding: f64,
        levels: usize,
    ) -> Result<Vec<E::Slots>> {
        let coefficients = self.score_coefficients(e, ciphertext, queries, map)?;
        let scores = climb_corrected(e, &coefficients, levels)?;
        self.centred(e, ciphertext, &scores, map, padding)
    }

    /// The scores before they are bootstrapped: coefficients of `scale * (q . k)` whose unit is that of a full message.
    ///
    /// # Errors
    /// If there is no such ciphertext; those of the evaluator.
    pub fn score_coefficients<E: Evaluator>(
        &self,
        e: &E,
        ciphertext: usize,
        queries: &E::Slots,
        map: &ScoreMap,
    ) -> Result<Vec<E::Coefficients>> {
        let keys = &self.matrices_of("public scores", ciphertext)?[0];
        let unit = e.shape().full_scale * map.scale / keys.scale();
        let rows = split_rows(e, self.merged, &descend(e, std::slice::from_ref(queries), unit)?)?;
        keys.multiply(e, &rows)
    }

    /// Bootstrapped scores less their centres.
    fn centred<E: Evaluator>(
        &self,
        e: &E,
        ciphertext: usize,
        scores: &[E::Slots],
        map: &ScoreMap,
        padding: f64,
    ) -> Result<Vec<E::Slots>> {
        if map.centres.len() != self.heads {
            let remedy = "calibrate this model";
            return Err(refuse("public scores", "centres", map.centres.len(), self.heads, remedy));
        }
        self.key_rows(ciphertext).shifted(e, 0..scores.len(), scores, |block| {
            self.plain(ciphertext, |head, row, _| {
                if block * self.channel_rows + row < self.keys { -map.centres[head] } else { padding }
            })
        })
    }

    /// The sum over keys of probability times value for the query heads of one ciphertext, from the probabilities in the layout of
    /// their scores: coefficients, of which `unit` stands for the value 1. Ends all levels.
    ///
    /// # Errors
    /// If ciphertext or probabilities are of another number; those of the evaluator.
    pub fn weighted_values<E: Evaluator>(
        &self,
        e: &E,
        ciphertext: usize,
        probabilities: &[E::Slots],
        unit: f64,
    ) -> Result<E::Coefficients> {
        const OPERATION: &str = "public values";
        self.check_ciphertexts(OPERATION, probabilities.len(), self.blocks())?;
        let values = &self.matrices_of(OPERATION, ciphertext)?[1];
        let rows = split_rows(e, self.merged, &descend(e, probabilities, unit / values.scale())?)?;
        let output = values.multiply(e, &rows)?.into_iter().next();
        output.ok_or_else(|| refuse(OPERATION, "rows", 0, "at least one", "report this"))
    }

    fn matrices_of(&self, operation: &'static str, ciphertext: usize) -> Result<&[QuantisedMatrix; 2]> {
        let required = format!("below {}", self.matrices.len());
        let remedy = "name a ciphertext of queries";
        self.matrices.get(ciphertext).ok_or_else(|| refuse(operation, "ciphertext", ciphertext, required, remedy))
    }

    fn check_ciphertexts(&self, operation: &'static str, found: usize, required: usize) -> Result<()> {
        if found == required {
            return Ok(());
        }
        Err(refuse(operation, "ciphertexts", found, required, "use the layout of these products"))
    }
}
