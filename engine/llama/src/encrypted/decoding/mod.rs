//! Decoding: one new token against the keys and values of those before it, all encrypted.
//!
//! A single token must not pay for a block of them. Its activations are vectors in a few coefficients of one ciphertext
//! ([`fhe_circuits::vector_product`]), so that every turn of a layer is one half bootstrap:
//!
//! | turn | levels of its half bootstrap | half bootstraps |
//! |---|---|---|
//! | norm -> queries, keys and values; gate and up; logits | sine, square, map, inverse root, product, move | 1 each |
//! | positions and the cache's places -> scores | sine, move, selection, product, mask | 1 |
//! | SoftMax | exponential, division | 1 |
//! | sums over cached tokens, inside it | inverse, down to where the exponentials wait | 1, or 1 a round |
//! | probabilities -> weighted values -> O | selection, product, move: of SoftMax's own, or sine before and crossed | 0 or 1 |
//! | SiLU times up -> down | sine, SiLU, product, move | 1 |
//!
//! What a product with a vector leaves in slots is moved to where the next product wants it by a [`SparseMap`](fhe_circuits::SparseMap), whose
//! entries carry rotary positions.
//!
//! **What layers share.** Maps and masks depend on the model's sizes, on the position of the token and on the number of cached tokens, but on no layer:
//! scales per row are undone where the sine is corrected, shares of columns ride on the ups, and what else a layer has of its own is one number for each
//! mask. So every plaintext vector but those of the corrections and of the centres of scores is embedded once a step or once for all
//! ([`fhe_ckks::PlainVector`]), about 160 of 2^16 slots for SmolLM2-135M, a mebibyte each.
//!
//! **What crosses is mostly zero or repeated.** A product of up to as many rows as the small ring has coefficients lies at multiples of their ratio, and
//! returns in so many copies; scores and sums repeat in the rows that are not in use, and cross in copies; what goes to a product lies in the first
//! coefficients alone ([`fhe_circuits::descend_vector`]). None of these needs all butterflies of its transform.
//!
//! [`EncryptedModel::layer_and_cache`](super::EncryptedModel::layer_and_cache) fills the caches of the prompt; a step appends its own keys and values before
//! it attends. All keys of a cache are attended to: it is that of one sequence, public prefix included, whose keys and values are plaintexts
//! that were added to it. Those of a public context take its first places as plaintexts ([`fhe_circuits::PublicPages`]).

mod attention;
mod client;
mod feed_forward;
mod layouts;
mod norm;
mod step;
mod weights;

use std::sync::Arc;

use fhe_circuits::{CacheLayout, VectorProduct};
use fhe_ckks::CircuitShape;
use rayon::prelude::*;

use super::context::Context;
use super::location::At;
use super::projection::{Fill, OutputRange, Projection, common_unit, filling_unit};
use super::tensors::{LayerTensors, Tensor};
use super::{CircuitOptions, Polynomial};
use crate::calibration::ModelRanges;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::{ContextTensors, Site};
use crate::prompt::PromptBlock;
use crate::weights::ModelSource;

use attention::AttentionStep;
use feed_forward::FeedForwardStep;
use layouts::StepLayouts;
use norm::VectorNormTurn;

/// A model prepared to decode behind one block of prompts.
///
/// As [`EncryptedModel`](super::EncryptedModel) it holds no weights; those of a layer are made from its source when it runs, unless they are to be kept
/// ([`DecodingModel::keeping_weights`]).
#[derive(Clone, Debug)]
pub struct DecodingModel {
    source: ModelSource,
    context: Context,
    prompt_length: usize,
    layouts: StepLayouts,
    residual_unit: f64,
    capacity: usize,
    layers: Vec<LayerStep>,
    final_norm: VectorNormTurn,
    head: Projection<VectorProduct>,
    /// Whether layers and head hold their integers.
    keeps_weights: bool,
}

/// One decoder layer of a step.
#[derive(Clone, Debug)]
struct LayerStep {
    attention: AttentionStep,
    feed_forward: FeedForwardStep,
}

/// What every part of a step is prepared from.
struct StepPreparation<'a> {
    config: &'a Config,
    shape: &'a CircuitShape,
    layouts: &'a StepLayouts,
    residual_unit: f64,
    options: CircuitOptions,
    /// Most tokens of a cache.
    capacity: usize,
}

impl DecodingModel {
    /// Finds scales, polynomials, units and levels for tokens that follow the one prompt of a block, up to so many tokens with it: those of a
    /// block that calibration saw.
    ///
    /// # Errors
    /// [`Error::SeveralPrompts`]; otherwise as [`EncryptedModel::prepare`](super::EncryptedModel::prepare).
    pub fn prepare(
        source: impl Into<ModelSource>,
        ranges: &ModelRanges,
        block: &PromptBlock,
        shape: &CircuitShape,
        options: CircuitOptions,
        capacity: usize,
    ) -> Result<Self> {
        let source = source.into();
        let config = source.config();
        ranges.check_depth(config.num_hidden_layers)?;
        ranges.check_block(block)?;
        let prompt_length = sequence_length(block)?;
        let layouts = StepLayouts::new(config, shape)?;
        let residual_unit = filling_unit(shape, ranges.largest_residual());
        let preparation = StepPreparation { config, shape, layouts: &layouts, residual_unit, options, capacity };
        // As in a prompt's model, all are prepared at once.
        let entering = ranges.entering();
        let layers = ranges.layers.par_iter().zip(&entering).enumerate().map(|(index, (ranges, entering))| {
            let weights = LayerTensors::layer(&source, index)?;
            Ok(LayerStep {
                attention: AttentionStep::prepare(&preparation, index, &weights, ranges, *entering)?,
                feed_forward: FeedForwardStep::prepare(&preparation, index, &weights, ranges)?,
            })
        });
        let layers = layers.collect::<Vec<Result<LayerStep>>>().into_iter().collect::<Result<Vec<_>>>()?;
        let (final_norm, head) = preparation.head(&Tensor::head(&source), ranges, entering[layers.len()])?;
        Ok(Self {
            context: Context::of(block),
            prompt_length,
            layouts,
            residual_unit,
            capacity,
            layers,
            final_norm,
            head,
            source,
            keeps_weights: false,
        })
    }

    /// The same with the keys and values of the public context, without which no evaluator with data makes a step behind one.
    ///
    /// # Errors
    /// [`Error::OtherContext`] for those of another context; [`Error::ContextOfOtherWeights`]; [`Error::ShapeAlone`].
    pub fn behind(self, context: Arc<ContextTensors>) -> Result<Self> {
        let context = self.context.known(context, &self.source)?;
        Ok(Self { context, ..self })
    }

    /// Number of public tokens before the prompt.
    pub fn public_tokens(&self) -> usize {
        self.context.tokens()
    }

    /// The architecture.
    pub fn config(&self) -> &Config {
        self.source.config()
    }

    /// Number of decoder layers.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Where keys and values lie.
    pub fn cache_layout(&self) -> &CacheLayout {
        &self.layouts.cache
    }

    /// Ciphertexts that the client sends for a step.
    pub fn input_ciphertexts(&self) -> usize {
        self.layouts.residual.ciphertexts()
    }

    /// Ciphertexts that the client gets back.
    pub fn output_ciphertexts(&self) -> usize {
        self.head.layout().ciphertexts()
    }

    /// Tokens of the prompt that is continued, prefix and public context included.
    pub fn prompt_length(&self) -> usize {
        self.prompt_length
    }

    /// Most tokens of a sequence, prefix or public context and prompt included.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Every polynomial of a step, in the order of the computation.
    pub fn polynomials(&self) -> Vec<Polynomial> {
        let of_layer = |layer: &LayerStep| [layer.attention.polynomials(), layer.feed_forward.polynomials()].concat();
        self.layers.iter().flat_map(of_layer).chain([self.final_norm.polynomial()]).collect()
    }
}

impl StepPreparation<'_> {
    fn head(
        &self,
        weights: &Tensor,
        ranges: &ModelRanges,
        entering: f64,
    ) -> Result<(VectorNormTurn, Projection<VectorProduct>)> {
        let location = Site::Logits.outside_layers();
        let layout = self.layouts.normalised.product(self.config.vocab_size).at(location)?;
        let rounding = (self.options.weight_bits, self.options.weight_scales);
        let layouts = [&layout, &self.layouts.normalised];
        let range = OutputRange::of(ranges.logits);
        let mut head = Projection::prepare_for_vectors(self.shape, location, weights, layouts, rounding, range)?;
        let norm = VectorNormTurn::prepare(
            self,
            [Site::FinalMeanSquare.outside_layers(), Site::FinalNormalisedInput.outside_layers()],
            ranges.final_mean_square,
            ranges.normalised_final_input,
            entering,
            common_unit(self.shape, [&head]),
        )?;
        head.scale_output(norm.output_unit(), Fill::Nothing);
        Ok((norm, head))
    }
}

/// Tokens of the one sequence that a block holds, prefix and public context included.
///
/// # Errors
/// [`Error::SeveralPrompts`]; [`Error::PromptBehindGap`].
pub(super) fn sequence_length(block: &PromptBlock) -> Result<usize> {
    match block.prompts() {
        [prompt] if prompt.start == block.prefix().len() => Ok(block.context().len() + prompt.start + prompt.len),
        // A prompt that would straddle the middle of its block may lie behind it.
        [prompt] => Err(Error::PromptBehindGap { found: prompt.start, required: block.prefix().len() }),
        prompts => Err(Error::SeveralPrompts { found: prompts.len() }),
    }
}
