//! Keys and values of public tokens: what a block behind a context attends to besides itself.
//!
//! They are computed as those of any text, block after block, each behind all before it: a causal pass, whose memory is that of one block and
//! of what is kept.

use fhe_circuits::PublicCache;

use super::FloatModel;
use super::observer::Unobserved;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Site;
use crate::matrix::Matrix;
use crate::prompt::{Prefix, PromptBlock, PublicContext};
use crate::weights::Weights;

/// Tokens of a block on the way through a context.
const BLOCK: usize = 128;

/// Keys with rotary positions, and values, of every token of a [`PublicContext`] in every layer of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextTensors {
    context: PublicContext,
    /// Hash of the weights that computed them.
    weights: String,
    layers: Vec<ContextLayer>,
}

impl ContextTensors {
    /// Runs the float model of these weights over a context. Of [`PublicContext::none`] there are no keys.
    ///
    /// # Errors
    /// [`Error::PositionBeyondModel`] and [`Error::Context`] for a context of another model; [`Error::NotFinite`].
    pub fn prefill(weights: &Weights, context: &PublicContext) -> Result<Self> {
        let config = weights.config();
        let blocks = PromptBlock::successive(&Prefix::none(), context.tokens(), BLOCK, config)?;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        let mut observers = vec![Unobserved; blocks.len()];
        let mut observers: Vec<_> = observers.iter_mut().map(|observer| observer as _).collect();
        FloatModel::new(weights).through_layers(&blocks, &mut observers, |layer| layers.push(layer))?;
        Ok(Self { context: context.clone(), weights: weights.hash().to_owned(), layers })
    }

    /// The tokens.
    pub fn context(&self) -> &PublicContext {
        &self.context
    }

    /// Keys and values of a layer.
    ///
    /// # Errors
    /// [`Error::LayerOutOfRange`].
    pub fn layer(&self, layer: usize) -> Result<&ContextLayer> {
        self.layers.get(layer).ok_or(Error::LayerOutOfRange { found: layer, layers: self.layers.len() })
    }

    /// Refuses a block behind another context.
    ///
    /// # Errors
    /// [`Error::OtherContext`].
    pub fn check_block(&self, block: &PromptBlock) -> Result<()> {
        check_context(&self.context, block)
    }

    /// Refuses a model of other weights.
    ///
    /// # Errors
    /// [`Error::ContextOfOtherWeights`].
    pub fn check_weights(&self, weights: &Weights) -> Result<()> {
        let (found, required) = (&self.weights, weights.hash());
        if found == required {
            return Ok(());
        }
        Err(Error::ContextOfOtherWeights { found: found.clone(), required: required.to_owned() })
    }
}

/// Refuses a block behind another context than `found`.
pub(super) fn check_context(found: &PublicContext, block: &PromptBlock) -> Result<()> {
    if found == block.context() {
        return Ok(());
    }
    Err(Error::OtherContext { found: found.clone(), required: block.context().clone() })
}

/// Keys with rotary positions, and values, of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextLayer {
    head_dim: usize,
    /// Heads of keys and values.
    heads: Vec<Head>,
}

/// Both are keys x channels.
#[derive(Clone, Debug, Default, PartialEq)]
struct Head {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl ContextLayer {
    /// No keys.
    pub(super) fn empty(config: &Config) -> Self {
        Self { head_dim: config.head_dim, heads: vec![Head::default(); config.num_key_value_heads] }
    }

    /// Adds what a block computes for its own tokens; both operands are stacked heads x block positions.
    pub(super) fn append(&mut self, block: &PromptBlock, keys: &Matrix, values: &Matrix) {
        for (index, head) in self.heads.iter_mut().enumerate() {
            let channels = index * self.head_dim..(index + 1) * self.head_dim;
            for position in block.text_positions() {
                head.keys.extend(channels.clone().map(|channel| keys.at(channel, position)));
                head.values.extend(channels.clone().map(|channel| values.at(channel, position)));
            }
        }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.heads.first().map_or(0, |head| head.keys.len() / self.head_dim)
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of heads of keys and values.
    pub fn heads(&self) -> usize {
        self.heads.len()
    }

    /// Channels of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// The keys of a head with their rotary positions, keys x channels.
    ///
    /// # Panics
    /// For a head that the layer does not have, as indexing a slice does; so does [`ContextLayer::values`].
    pub fn keys(&self, head: usize) -> &[f32] {
        &self.heads[head].keys
    }

    /// The values of a head, keys x channels.
    pub fn values(&self, head: usize) -> &[f32] {
        &self.heads[head].values
    }

    /// A copy as the circuits take it. `layer` is for the error's place.
    ///
    /// # Errors
    /// [`Error::Circuit`] where there is no key.
    pub fn to_public_cache(&self, layer: usize) -> Result<PublicCache> {
        let concatenated =
            |part: &dyn Fn(&Head) -> &[f32]| self.heads.iter().flat_map(part).copied().collect::<Vec<f32>>();
        let (keys, values) = (concatenated(&|head| &head.keys), concatenated(&|head| &head.values));
        PublicCache::new(self.heads.len(), self.head_dim, keys, values)
            .map_err(|source| Error::Circuit { location: Site::PublicScore.in_layer(layer), source: Box::new(source) })
    }
}
