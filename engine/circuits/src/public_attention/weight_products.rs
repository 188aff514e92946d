//! The products as integer weights at the lowest modulus.
//!
//! In the rows of a [`WeightLayout`]
//!
//! ```text
//! S_b = K_b * Q      keys x channels times channels x (query heads, tokens)          O = sum_b V_b^T * P_b
//! ```
//!
//! are single products with integer matrices, block-diagonal if a ciphertext has several heads of keys. Nothing is computed twice and
//! rows are packed with few keys, since their entries are many.
//!
//! **Range.** Scores cross a half bootstrap before their centres are taken off, since a centre belongs to a query head and the heads of a group share
//! their matrix. So they cross as an integer fraction of what they are to be, and are multiplied afterwards, which takes no level.

use std::ops::Range;

use fhe_ckks::{CircuitShape, Evaluator};

use super::{PublicCache, WeightLayout};
use crate::attention::ScoreMap;
use crate::crossing::{climb_corrected, descend};
use crate::error::{Result, refuse};
use crate::layout::Layout;
use crate::matrix_product::{QuantisedMatrix, split_rows};

const SCORES: &str = "public scores";
const VALUES: &str = "public values";

/// Products of encrypted queries and probabilities with one public cache, as weights.
#[derive(Clone, Debug)]
pub struct WeightProducts<'a> {
    layout: &'a WeightLayout,
    /// For each ciphertext of queries the keys, and the values transposed.
    matrices: Vec<[QuantisedMatrix; 2]>,
}

impl<'a> WeightProducts<'a> {
    /// Rounds keys and values to integers of `bits` bits, one scale for each ciphertext of queries.
    ///
    /// # Errors
    /// If the cache has other heads, channels or keys than the layout.
    pub fn new(layout: &'a WeightLayout, cache: &PublicCache, bits: u32) -> Result<Self> {
        let found = [cache.heads(), cache.head_dim(), cache.length()];
        let required = [layout.key_heads(), layout.head_dim(), layout.keys()];
        if found != required {
            let (found, required) = (format!("{found:?}"), format!("{required:?}"));
            let remedy = "make the layout for this cache";
            return Err(refuse("WeightProducts::new", "heads, channels and keys", found, required, remedy));
        }
        let quantised = |[keys, values]: [Vec<f32>; 2], [narrow, wide]: &[Layout; 2]| {
            Ok([
                QuantisedMatrix::quantise(&keys, wide, narrow, bits)?,
                QuantisedMatrix::quantise(&values, narrow, wide, bits)?,
            ])
        };
        let sides = Self::sides(layout);
        let matrices = (0..layout.ciphertexts())
            .map(|ciphertext| quantised(Self::dense(layout, cache, ciphertext), &sides))
            .collect::<Result<_>>()?;
        Ok(Self { layout, matrices })
    }

    /// The layout.
    pub fn layout(&self) -> &'a WeightLayout {
        self.layout
    }

    /// Products with keys and values of which only the largest magnitudes are assumed, for evaluators without data.
    ///
    /// # Errors
    /// If a magnitude is not finite or `bits` is not in 2..=15.
    pub fn assumed(layout: &'a WeightLayout, [key, value]: [f64; 2], bits: u32) -> Result<Self> {
        let [narrow, wide] = Self::sides(layout);
        let pair = [
            QuantisedMatrix::assumed(key, &wide, &narrow, bits)?,
            QuantisedMatrix::assumed(value, &narrow, &wide, bits)?,
        ];
        Ok(Self { layout, matrices: vec![pair; layout.ciphertexts()] })
    }

    /// The layouts of queries (and outputs) and of the scores of all blocks, in merged rows.
    fn sides(layout: &WeightLayout) -> [Layout; 2] {
        let (merged, channels) = (layout.merged(), layout.merged().rows());
        [channels, layout.blocks() * channels].map(|rows| Layout::dense(merged, rows))
    }

    /// Keys (scores x channels) and values (channels x scores) for one ciphertext of queries, zero between different heads and beyond the last key.
    fn dense(layout: &WeightLayout, cache: &PublicCache, ciphertext: usize) -> [Vec<f32>; 2] {
        let channels = layout.merged().rows();
        let scores = layout.blocks() * channels;
        let [mut keys, mut values] = [vec![0.0; channels * scores], vec![0.0; channels * scores]];
        for (key_head, first) in layout.key_heads_of(ciphertext) {
            for key in 0..layout.keys() {
                let score = key / layout.channel_rows() * channels + first + key % layout.channel_rows();
                for channel in 0..layout.head_dim() {
                    let column = first + layout.channel_row(channel);
                    keys[score * channels + column] = cache.key(key_head, key, channel) as f32;
                    values[column * scores + score] = cache.value(key_head, key, channel) as f32;
                }
            }
        }
        [keys, values]
    }

    /// `scale * (q . k) - centre` for all queries of a ciphertext and all keys, a ciphertext for each block of keys, at `levels` compute
    /// levels; `padding` for keys that pad the last block. With its centres the map must have no value beyond 1. The parts of the way are
    /// [`WeightProducts::query_unit`], [`WeightProducts::multiply_keys`], a half bootstrap, [`WeightProducts::centred`].
    ///
    /// # Errors
    /// If ciphertext or centres are not those of these products; those of the evaluator.
    pub fn scores<E: Evaluator>(
        &self,
        e: &E,
        ciphertext: usize,
        queries: &E::Slots,
        map: &ScoreMap,
        (padding, levels): (f64, usize),
    ) -> Result<Vec<E::Slots>> {
        let queries = descend(e, std::slice::from_ref(queries), self.query_unit(e.shape(), ciphertext, map)?)?;
        let raised = climb_corrected(e, &self.multiply_keys(e, ciphertext, &queries)?, levels)?;
        self.centred(e, ciphertext, 0..raised.len(), &raised, map, padding)
    }

    /// The unit of the queries of a ciphertext from which scores fill a half bootstrap.
    ///
    /// # Errors
    /// If ciphertext or centres are not those of these products.
    pub fn query_unit(&self, shape: &CircuitShape, ciphertext: usize, map: &ScoreMap) -> Result<f64> {
        let [keys, _] = self.matrices_of(SCORES, ciphertext)?;
        Ok(shape.full_scale * map.scale / self.overrun(map)? as f64 / keys.scale())
    }

    /// Products of the queries of a ciphertext, one coefficient ciphertext at [`WeightProducts::query_unit`], with all keys, a ciphertext for each
    /// block.
    ///
    /// # Errors
    /// If there is no such ciphertext; those of the evaluator.
    pub fn multiply_keys<E: Evaluator>(
        &self,
        e: &E,
        ciphertext: usize,
        queries: &[E::Coefficients],
    ) -> Result<Vec<E::Coefficients>> {
        self.layout.check_ciphertexts(SCORES, queries.len(), 1)?;
        let [keys, _] = self.matrices_of(SCORES, ciphertext)?;
        keys.multiply(e, &split_rows(e, self.layout.merged(), queries)?)
    }

    /// The scores of some blocks, from what a half bootstrap has made of their products, its sine corrected; no level.
    ///
    /// # Errors
    /// As [`WeightProducts::scores`]; if there is not one ciphertext for each block.
    pub fn centred<E: Evaluator>(
        &self,
        e: &E,
        ciphertext: usize,
        blocks: Range<usize>,
        raised: &[E::Slots],
        map: &ScoreMap,
        padding: f64,
    ) -> Result<Vec<E::Slots>> {
        self.layout.check_ciphertexts(SCORES, raised.len(), blocks.len())?;
        let overrun = self.overrun(map)?;
        let whole = raised.iter().map(|x| e.multiply_integer(x, overrun));
        let scores: Vec<E::Slots> =
            if overrun == 1 { raised.to_vec() } else { whole.collect::<std::result::Result<_, _>>()? };
        let (rows, keys) = (self.layout.channel_rows(), self.layout.keys());
        self.layout.key_rows(ciphertext).shifted(e, blocks, &scores, |block| {
            self.layout
                .plain(ciphertext, |head, row, _| if block * rows + row < keys { -map.centres[head] } else { padding })
        })
    }

    /// How many times further than 1 scores reach before their centres are taken off, rounded up.
    fn overrun(&self, map: &ScoreMap) -> Result<i64> {
        if map.centres.len() != self.layout.heads() {
            let remedy = "calibrate this model";
            return Err(refuse(SCORES, "centres", map.centres.len(), self.layout.heads(), remedy));
        }
        let furthest = map.centres.iter().fold(0.0, |furthest: f64, centre| furthest.max(centre.abs()));
        Ok((1.0 + furthest).ceil() as i64)
    }

    /// The sum over keys of probability times value for the query heads of one ciphertext, from the probabilities in the layout of
    /// their scores: coefficients, of which `unit` stands for the value 1. Ends all levels. The parts of the way are
    /// [`WeightProducts::probability_unit`], SlotsToCoeffs, [`WeightProducts::multiply_values`].
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
        let probabilities = descend(e, probabilities, self.probability_unit(ciphertext, unit)?)?;
        self.multiply_values(e, ciphertext, &probabilities)
    }

    /// The unit of the probabilities of a ciphertext of queries from which weighted values come out at a `unit`.
    ///
    /// # Errors
    /// If there is no such ciphertext.
    pub fn probability_unit(&self, ciphertext: usize, unit: f64) -> Result<f64> {
        let [_, values] = self.matrices_of(VALUES, ciphertext)?;
        Ok(unit / values.scale())
    }

    /// Products of the probabilities of all blocks, coefficient ciphertexts, with the values.
    ///
    /// # Errors
    /// If ciphertext or probabilities are of another number; those of the evaluator.
    pub fn multiply_values<E: Evaluator>(
        &self,
        e: &E,
        ciphertext: usize,
        probabilities: &[E::Coefficients],
    ) -> Result<E::Coefficients> {
        self.layout.check_ciphertexts(VALUES, probabilities.len(), self.layout.blocks())?;
        let [_, values] = self.matrices_of(VALUES, ciphertext)?;
        let output = values.multiply(e, &split_rows(e, self.layout.merged(), probabilities)?)?.into_iter().next();
        output.ok_or_else(|| refuse(VALUES, "rows", 0, "at least one", "report this"))
    }

    fn matrices_of(&self, operation: &'static str, ciphertext: usize) -> Result<&[QuantisedMatrix; 2]> {
        let required = format!("below {}", self.matrices.len());
        let remedy = "name a ciphertext of queries";
        self.matrices.get(ciphertext).ok_or_else(|| refuse(operation, "ciphertext", ciphertext, required, remedy))
    }
}
