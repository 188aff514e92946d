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
//! entries carry rotary positions and what undoes scales per row.
//!
//! [`EncryptedModel::layer_and_cache`](super::EncryptedModel::layer_and_cache) fills the caches of the prompt; a step appends its own keys and values before
//! it attends. All keys of a cache are attended to: it is that of one sequence, public prefix included, whose keys and values are plaintexts
//! that were added to it.

mod attention;
mod feed_forward;
mod layouts;
mod norm;

use std::borrow::Cow;

use fhe_circuits::{CacheLayout, KeyValueCache, VectorProduct};
use fhe_ckks::{CircuitShape, Client, Evaluator};
use rayon::prelude::*;

use super::execution::Execution;
use super::harness::Harness;
use super::location::At;
use super::projection::{Fill, OutputRange, Projection, common_unit, filling_unit};
use super::tensors::{LayerTensors, Tensor, WeightBytes};
use super::{CircuitOptions, Polynomial};
use crate::calibration::ModelRanges;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::Site;
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
        if ranges.layers.len() != config.num_hidden_layers {
            return Err(Error::RangesOfOtherDepth { found: ranges.layers.len(), required: config.num_hidden_layers });
        }
        ranges.check_prefix(block)?;
        let prompt_length = sequence_length(block)?;
        let largest = ranges.layers.iter().fold(ranges.embedding, |largest, layer| {
            largest.max(layer.residual_after_attention).max(layer.residual_after_ffn)
        });
        let layouts = StepLayouts::new(config, shape)?;
        let residual_unit = filling_unit(shape, largest);
        let preparation = StepPreparation { config, shape, layouts: &layouts, residual_unit, options, capacity };
        let mut entering = ranges.embedding;
        let mut layers = Vec::with_capacity(ranges.layers.len());
        for (index, of_layer) in ranges.layers.iter().enumerate() {
            let weights = LayerTensors::layer(&source, index)?;
            layers.push(LayerStep {
                attention: AttentionStep::prepare(&preparation, index, &weights, of_layer, entering)?,
                feed_forward: FeedForwardStep::prepare(&preparation, index, &weights, of_layer)?,
            });
            entering = of_layer.residual_after_ffn;
        }
        let (final_norm, head) = preparation.head(&Tensor::head(&source), ranges, entering)?;
        Ok(Self {
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

    /// Bytes of a layer's weights while the layer runs.
    ///
    /// # Errors
    /// [`Error::LayerOutOfRange`].
    pub fn layer_weight_bytes(&self, index: usize) -> Result<WeightBytes> {
        let layers = self.layers.len();
        let layer = self.layers.get(index).ok_or(Error::LayerOutOfRange { found: index, layers })?;
        Ok([layer.attention.weight_bytes(), layer.feed_forward.weight_bytes()].into_iter().sum())
    }

    /// Bytes of the LM head's weights while it runs.
    pub fn head_weight_bytes(&self) -> WeightBytes {
        self.head.weight_bytes()
    }

    /// Tokens of the prompt that is continued, prefix included.
    pub fn prompt_length(&self) -> usize {
        self.prompt_length
    }

    /// Most tokens of a sequence, prefix and prompt included.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Every polynomial of a step, in the order of the computation.
    pub fn polynomials(&self) -> Vec<Polynomial> {
        let of_layer = |layer: &LayerStep| [layer.attention.polynomials(), layer.feed_forward.polynomials()].concat();
        self.layers.iter().flat_map(of_layer).chain([self.final_norm.polynomial()]).collect()
    }

    /// The client's part before a step: the embedding of one token, encrypted. Of a shape alone zeros, with which only an evaluator without
    /// data goes on.
    ///
    /// # Errors
    /// [`Error::TokenOutOfVocabulary`]; those of [`Client::encrypt`].
    pub fn embed<E: Evaluator, C: Client<E> + ?Sized>(&self, client: &C, token: u32) -> Result<Vec<E::Coefficients>> {
        let site = Site::Embedding.outside_layers();
        let embedded = match &self.source {
            ModelSource::Weights(weights) => weights.embed(&[token])?.data().iter().map(|&x| f64::from(x)).collect(),
            ModelSource::Shape(_) => vec![0.0; self.config().hidden_size],
        };
        let packed = self.layouts.residual.pack(&embedded).at(site)?;
        packed.iter().map(|vector| client.encrypt(vector, self.residual_unit).at(site)).collect()
    }

    /// One decoder layer of a step: the residual after it. The token takes the next place of the layer's cache and is attended to with the
    /// others.
    ///
    /// # Errors
    /// [`Error::LayerOutOfRange`]; [`Error::CacheFull`]; [`Error::ShapeAlone`] for a model without weights on an evaluator with data; those of the
    /// evaluator, with their site.
    pub fn layer<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        index: usize,
        cache: &mut KeyValueCache<E::Slots>,
        residual: &[E::Coefficients],
        harness: &mut H,
    ) -> Result<Vec<E::Coefficients>> {
        if cache.length() >= self.capacity {
            return Err(Error::CacheFull { found: cache.length() + 1, required: self.capacity });
        }
        let filled = self.filled_layer(e, index)?;
        let LayerStep { attention, feed_forward } = filled.as_ref();
        let mut run = Execution::new(e, harness);
        let residual = attention.run(&mut run, &self.layouts, self.config().rope_theta, cache, residual)?;
        feed_forward.run(&mut run, &self.layouts, &residual)
    }

    /// The layer with its integers, if the evaluator needs any: those that are kept, or new ones.
    fn filled_layer<E: Evaluator>(&self, e: &E, index: usize) -> Result<Cow<'_, LayerStep>> {
        let layers = self.layers.len();
        let layer = self.layers.get(index).ok_or(Error::LayerOutOfRange { found: index, layers })?;
        if !e.holds_data() || self.keeps_weights {
            return Ok(Cow::Borrowed(layer));
        }
        Ok(Cow::Owned(self.with_weights(layer, index)?))
    }

    fn with_weights(&self, layer: &LayerStep, index: usize) -> Result<LayerStep> {
        let weights = self.source.weights("a decoder layer")?.layer(index)?;
        let LayerTensors { q, k, v, o, gate, up, down } = weights.into();
        Ok(LayerStep {
            attention: layer.attention.filled([&q, &k, &v], o)?,
            feed_forward: layer.feed_forward.filled([&gate, &up], down)?,
        })
    }

    fn head_with_weights(&self) -> Result<Projection<VectorProduct>> {
        self.head.filled(Tensor::head_of(self.source.weights("the LM head")?))
    }

    /// The same with the integers of all its weights, [`DecodingModel::integer_bytes`], which otherwise are made anew at every step.
    ///
    /// # Errors
    /// [`Error::ShapeAlone`] for a model without weights.
    pub fn keeping_weights(&self) -> Result<Self> {
        let layers = self.layers.par_iter().enumerate().map(|(index, layer)| self.with_weights(layer, index));
        let layers = layers.collect::<Vec<_>>().into_iter().collect::<Result<_>>()?;
        Ok(Self { layers, head: self.head_with_weights()?, keeps_weights: true, ..self.clone() })
    }

    /// Bytes of all weights as integers.
    pub fn integer_bytes(&self) -> u64 {
        let of_layer = |layer: &LayerStep| [layer.attention.weight_bytes(), layer.feed_forward.weight_bytes()];
        let layers = self.layers.iter().flat_map(of_layer);
        layers.chain([self.head.weight_bytes()]).sum::<WeightBytes>().integers
    }

    /// Final norm and LM head: the logits of what follows the token.
    ///
    /// # Errors
    /// [`Error::ShapeAlone`]; those of the evaluator, with their site.
    pub fn head<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        residual: &[E::Coefficients],
        harness: &mut H,
    ) -> Result<Vec<E::Coefficients>> {
        let head = if e.holds_data() && !self.keeps_weights {
            Cow::Owned(self.head_with_weights()?)
        } else {
            Cow::Borrowed(&self.head)
        };
        let mut run = Execution::new(e, harness);
        let vector = self.final_norm.run(&mut run, &self.layouts, residual)?;
        head.run(&mut run, &vector)
    }

    /// All layers and the head: one step.
    ///
    /// # Errors
    /// [`Error::RangesOfOtherDepth`] for another number of caches than of layers; those of [`DecodingModel::layer`] and [`DecodingModel::head`].
    pub fn step<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        caches: &mut [KeyValueCache<E::Slots>],
        mut residual: Vec<E::Coefficients>,
        harness: &mut H,
    ) -> Result<Vec<E::Coefficients>> {
        if caches.len() != self.layers.len() {
            return Err(Error::CachesOfOtherDepth { found: caches.len(), required: self.layers.len() });
        }
        for (index, cache) in caches.iter_mut().enumerate() {
            residual = self.layer(e, index, cache, &residual, harness)?;
        }
        self.head(e, &residual, harness)
    }

    /// The client's part after a step: the logits of every token of the vocabulary; `None` if the execution holds no data.
    ///
    /// # Errors
    /// Those of [`Client::decrypt`].
    pub fn logits<E: Evaluator, C: Client<E> + ?Sized>(
        &self,
        client: &C,
        logits: &[E::Coefficients],
    ) -> Result<Option<Vec<f32>>> {
        let revealed = self.head.reveal::<E, C>(client, logits).at(Site::Logits.outside_layers())?;
        Ok(revealed.map(|column| column.data().to_vec()))
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

/// Tokens of the one sequence that a block holds, prefix included.
///
/// # Errors
/// [`Error::SeveralPrompts`].
pub(super) fn sequence_length(block: &PromptBlock) -> Result<usize> {
    match block.prompts() {
        [prompt] => Ok(prompt.start + prompt.len),
        prompts => Err(Error::SeveralPrompts { found: prompts.len() }),
    }
}
