//! Attention over lanes: scores `Q K^T` and weighted values `P V` of all heads at once, both operands encrypted.
//!
//! A head is a **lane** of the ciphertexts of a small ring ([`fhe_ckks::LaneProducts`]), a token is a row, and a ciphertext is what the product
//! contracts: one channel of queries and of keys, or one key of probabilities and of values. One product then serves all heads.
//!
//! ```text
//! queries  [channel | head | token] --rotary positions, exchange--> [channel | token | head] --> by columns, one channel each
//! keys     [channel | kv head | token] ----exchange, rotary positions, copies--> [channel | token | head] --> by rows, one channel each
//! scores   by columns, one key each --half bootstrap, lanes--> slots [key | token | head] --SoftMax--> by columns, one key each
//! values   as keys: by columns, one channel each --transposition--> by rows, one key each
//! output   by columns, one channel each --half bootstrap, lanes, exchange--> [channel | head | token], the layout of the queries
//! ```
//!
//! Queries, probabilities and the output are complex in the lanes, one half of the tokens in the real and one in the imaginary parts, and travel with
//! two channels (or keys) in the even and odd rows of one ciphertext. Keys and values are real and take all rows; they are
//! bootstrapped dense, one copy for the query heads that share them, and repeated at a low level ([`LaneLayout`] has the indices).
//!
//! Levels, of which a half bootstrap and the correction of its sine come before: queries 2 (positions, exchange), keys and
//! values 2 (exchange, copies), what comes back from a product 1 (lanes), the output 1 more (exchange). Factors stand one level higher than what becomes
//! coefficients.

mod keys;
mod layout;
mod products;
mod queries;
mod scores;

pub use layout::{LaneLayout, LanePair};
pub use scores::LaneScores;

use fhe_ckks::transforms::{lanes::lanes_from_coefficients, slot_transform::SlotTransform};
use fhe_ckks::{CircuitShape, Evaluator};

use crate::error::Result;

/// The attention of one block of tokens over lanes.
#[derive(Clone, Debug)]
pub struct LaneAttention {
    layout: LaneLayout,
    /// Makes lanes of what a half bootstrap returns.
    lanes: SlotTransform,
    /// Exchanges heads and tokens in the slots; its own inverse.
    exchange: SlotTransform,
}

impl LaneAttention {
    /// Levels that queries take from the corrected half bootstrap to factors, beside those of the factors.
    pub const QUERY_LEVELS: usize = 2;
    /// Levels that keys and values take.
    pub const KEY_LEVELS: usize = 2;
    /// Levels that scores take from the corrected half bootstrap to slots.
    pub const LANE_LEVELS: usize = 1;
    /// Levels that the output takes from the corrected half bootstrap to slots in the layout of the queries.
    pub const OUTPUT_LEVELS: usize = 2;
    /// Levels below which nothing may be left for factors, beyond those of SlotsToCoeffs.
    pub const FACTOR_LEVELS: usize = 1;

    /// Attention of so many heads over blocks of `tokens`.
    ///
    /// # Errors
    /// As [`LaneLayout::new`].
    pub fn new(
        shape: &CircuitShape,
        tokens: usize,
        heads: usize,
        key_value_heads: usize,
        head_dim: usize,
    ) -> Result<Self> {
        let layout = LaneLayout::new(shape, tokens, heads, key_value_heads, head_dim)?;
        let lanes = lanes_from_coefficients(shape.degree, layout.lanes())?;
        let exchange = SlotTransform::gather(shape.degree, |slot| layout.exchanged(slot))?;
        Ok(Self { layout, lanes, exchange })
    }

    /// Where everything lies.
    pub fn layout(&self) -> &LaneLayout {
        &self.layout
    }

    /// Slots of scores, times `factor`, from the coefficients that a half bootstrap returned, its sine corrected. One level.
    ///
    /// # Errors
    /// Unless the factor is finite; those of the evaluator.
    pub fn open_scores<E: Evaluator>(&self, e: &E, raised: &[E::Slots], factor: f64) -> Result<Vec<E::Slots>> {
        let raised: Vec<_> = raised.iter().collect();
        if factor == 1.0 {
            return Ok(e.transform(&raised, &self.lanes)?);
        }
        Ok(e.transform(&raised, &self.lanes.scaled(factor)?)?)
    }

    /// Slots of the output, times `factor`, in the layout of the queries, likewise. Two levels.
    ///
    /// # Errors
    /// As [`LaneAttention::open_scores`].
    pub fn open_output<E: Evaluator>(&self, e: &E, raised: &[E::Slots], factor: f64) -> Result<Vec<E::Slots>> {
        let opened = self.open_scores(e, raised, factor)?;
        self.exchange(e, &opened)
    }

    /// Lanes of decrypted coefficients of scores or outputs, in the order of slots: what an observer sees.
    ///
    /// # Errors
    /// If their number is not that of slots.
    pub fn lanes_of(&self, coefficients: &[f64]) -> Result<Vec<f64>> {
        let module = self.layout.module();
        let slots: Vec<f64> = (0..module.slots())
            .map(|slot| coefficients.get(module.coefficient_of_slot(slot)).copied().unwrap_or(f64::NAN))
            .collect();
        Ok(self.lanes.apply(&slots)?)
    }

    /// The largest coefficient of lanes of a set, by the largest real (or imaginary) part `bound` of each head's lane: a coefficient is a mean
    /// over the lanes of numbers no larger than these, and lanes without a head are zero.
    pub fn coefficient_bound(&self, bound: impl Fn(usize) -> f64) -> f64 {
        let of_set = |set| self.layout.heads_of_set(set).map(|(head, _)| bound(head).abs()).sum::<f64>();
        let largest = (0..self.layout.sets()).map(of_set).fold(0.0, f64::max);
        std::f64::consts::SQRT_2 * largest / self.layout.lanes() as f64
    }

    /// Heads for tokens and tokens for heads. One level.
    pub(crate) fn exchange<E: Evaluator>(&self, e: &E, x: &[E::Slots]) -> Result<Vec<E::Slots>> {
        Ok(e.transform(&x.iter().collect::<Vec<_>>(), &self.exchange)?)
    }
}
