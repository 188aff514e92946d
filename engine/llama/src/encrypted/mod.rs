//! The decoder over encrypted activations, written once over any [`Evaluator`].
//!
//! [`EncryptedModel`] is everything public about one run: integer weights, masks and rotary tables of one
//! [`PromptBlock`], polynomials fitted to calibrated windows, units, levels. It knows no ciphertext type. The client
//! embeds and encrypts a block, an evaluator takes the residual through the layers and the head, the client decrypts
//! logits of all positions:
//!
//! ```text
//! embed -> residual -> layer 0 -> ... -> residual -> head -> logits
//! ```
//!
//! The residual stays in coefficients at the lowest modulus for the whole model, at one unit, and is never
//! bootstrapped. Each of its readers (the norms) climbs from a copy magnified to fill the range; each of its writers
//! (output and down projection) lands on its unit. A layer is a chain of **turns**, each from coefficients through a
//! half bootstrap and slots back to coefficients, between products with weights:
//!
//! | turn | levels of its half bootstrap |
//! |---|---|
//! | norm -> Q, K, V or gate, up or logits | sine, square, map, inverse root, product |
//! | rotary positions -> scores | sine, placement, product, mask |
//! | values, climbing with queries and keys | sine, placement; product, where the probabilities come |
//! | SoftMax -> weighted values -> O | exponential, mask, division, renormalisation; selection, product |
//! | denominators, inside the turn of SoftMax | inverse, down to where the exponentials wait |
//! | or sums of squares, once a round ([`fhe_circuits::SoftmaxVariant::NormalizeAndSquare`]) | inverse, down to where the squares wait |
//! | SiLU times up -> down | SiLU, product; for up: sine, product |
//!
//! Over lanes ([`AttentionProducts`]) the turns of attention are others: positions, exchange, factors; then sine, lanes, SoftMax, factors;
//! then sine, lanes, exchange, on the way to O.
//!
//! Behind a [`PublicContext`](crate::PublicContext) queries climb once more, to scores with its keys, which share one SoftMax with the block's own; what the weighted public values
//! write to the residual joins there ([`CircuitOptions::public_products`]).
//!
//! A public [`Prefix`](crate::Prefix) is in the circuit as plaintext keys and values alone; its rows carry what the first prompt's first
//! position carries ([`EmbeddedBlock`](crate::EmbeddedBlock)), as padding does.
//!
//! The inverse of the bootstrap's sine is folded into the polynomials of SoftMax and SiLU; with scales per row of weights
//! ([`CircuitOptions::weight_scales`]) SiLU's sine is corrected explicitly, two levels more, since the factors of the rows come in between. Every number of levels
//! follows from the degrees of the polynomials; none is written down.

mod attention_layer;
mod cache;
mod client;
mod context;
mod decoding;
mod execution;
mod feed_forward;
mod harness;
mod layer;
mod location;
mod norm;
mod options;
mod prefix;
mod preparation;
mod products;
mod projection;
mod reading;
mod residual_writer;
mod tensors;

use std::borrow::Cow;
use std::sync::Arc;

use fhe_circuits::approximation::FittedPolynomial;
use fhe_circuits::{LaneAttention, Layout, RowModule};
use fhe_ckks::{CircuitShape, Evaluator, LaneProducts, OperationCounts};
use rayon::prelude::*;

use crate::calibration::ModelRanges;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::{ContextTensors, Location, Site};
use crate::matrix::Matrix;
use crate::prompt::PromptBlock;
use crate::weights::ModelSource;

pub use decoding::DecodingModel;
pub use harness::{Harness, Phase, Sight, Unattended};
pub use layer::{FilledHead, FilledLayer, LayerOutput};
pub use options::CircuitOptions;
pub use products::{AttentionProducts, softmax_windows};
pub use tensors::WeightBytes;

use context::Context;
use layer::Layer;
use location::At;
use norm::NormTurn;
use prefix::PrefixTensors;
use preparation::Preparation;
use products::PublicPlace;
use projection::Projection;
use tensors::{LayerTensors, Tensor};

/// A polynomial of the circuit and how well it follows its function.
#[derive(Clone, Debug, PartialEq)]
pub struct Polynomial {
    /// Layer and site of its argument.
    pub location: Location,
    /// What was fitted; its error is by the criterion of [`CircuitOptions::tolerance`].
    pub fitted: FittedPolynomial,
}

/// A model prepared for one block of prompts and one parameter set.
///
/// It holds units, levels, polynomials and layouts, but no weights: the integers of a layer are made from its source when the layer
/// runs over an evaluator with data, and dropped after it.
#[derive(Clone, Debug)]
pub struct EncryptedModel {
    source: ModelSource,
    block: PromptBlock,
    context: Context,
    residual: Residual,
    /// What the block starts with, tokens x channels; absent where only the shape of the model is known.
    embedded: Option<Matrix>,
    layers: Vec<Layer>,
    final_norm: NormTurn,
    head: Projection,
}

/// The residual stream: where it lies and the integer that stands for 1.
#[derive(Clone, Debug)]
struct Residual {
    layout: Layout,
    unit: f64,
}

impl EncryptedModel {
    /// Finds the scales of the weights, fits the polynomials and chooses units and levels. A [`ModelShape`](crate::ModelShape) in place of
    /// weights is enough for evaluators without data.
    ///
    /// # Errors
    /// [`Error::Circuit`] naming layer and site where a window, a size or the levels of `shape` do not carry the
    /// circuit; [`Error::Levels`]; [`Error::Headroom`]; [`Error::RangesOfOtherDepth`] for ranges of another model;
    /// [`Error::MaskedScores`] for ranges that leave out what products over lanes compute; [`Error::RangesOfOtherPrefix`].
    pub fn prepare(
        source: impl Into<ModelSource>,
        ranges: &ModelRanges,
        block: &PromptBlock,
        shape: &CircuitShape,
        options: CircuitOptions,
    ) -> Result<Self> {
        let source = source.into();
        let config = source.config();
        ranges.check_depth(config.num_hidden_layers)?;
        ranges.check_block(block)?;
        let prefix = &PrefixTensors::compute(&source, block.prefix())?;
        let embedding_site = Site::Embedding.outside_layers();
        let module = RowModule::new(shape, block.size()).at(embedding_site)?;
        let residual = Residual {
            layout: Layout::dense(module, config.hidden_size),
            unit: projection::filling_unit(shape, ranges.largest_residual()),
        };
        let lanes = match options.products {
            AttentionProducts::Slots => None,
            AttentionProducts::Lanes if !ranges.covers_masked_scores => return Err(Error::MaskedScores),
            AttentionProducts::Lanes => {
                let (heads, shared) = (config.num_attention_heads, config.num_key_value_heads);
                let lanes = LaneAttention::new(shape, block.size(), heads, shared, config.head_dim);
                Some(Arc::new(lanes.at(Site::Score.in_layer(0))?))
            }
        };
        let lanes = lanes.as_ref();
        let public = lanes.filter(|_| !block.context().is_empty()).map(|lanes| {
            let ring = (config, shape, module);
            PublicPlace::new(ring, (block, lanes), options.public_products).at(Site::PublicScore.in_layer(0))
        });
        let public = &public.transpose()?.map(Arc::new);
        let (residual_layout, public) = (&residual, public.as_ref());
        let preparation =
            Preparation { config, block, shape, module, residual: residual_layout, prefix, lanes, public, options };

        // What a layer starts with is what the one before it may leave, so that all are prepared at once.
        let entering = ranges.entering();
        let layers = ranges.layers.par_iter().zip(&entering).enumerate().map(|(index, (ranges, entering))| {
            preparation.layer(&LayerTensors::layer(&source, index)?, index, ranges, *entering)
        });
        let layers: Vec<Layer> = layers.collect::<Vec<Result<Layer>>>().into_iter().collect::<Result<_>>()?;
        let entering = entering[ranges.layers.len()];
        let (final_norm, head) = preparation.head(&Tensor::head(&source), ranges, entering)?;
        let embedded = match &source {
            ModelSource::Weights(weights) => Some(weights.embed(&block.embedded().tokens().collect::<Vec<_>>())?),
            ModelSource::Shape(_) => None,
        };
        Ok(Self {
            block: block.clone(),
            context: Context::of(block),
            embedded,
            layers,
            final_norm,
            head,
            residual,
            source,
        })
    }

    /// The same with the keys and values of its block's public context, without which no evaluator with data runs its layers.
    ///
    /// # Errors
    /// [`Error::OtherContext`] for those of another context; [`Error::ContextOfOtherWeights`]; [`Error::ShapeAlone`].
    pub fn behind(self, context: Arc<ContextTensors>) -> Result<Self> {
        let context = self.context.known(context, &self.source)?;
        Ok(Self { context, ..self })
    }

    /// The architecture.
    pub fn config(&self) -> &Config {
        self.source.config()
    }

    /// What it was prepared from.
    pub fn source(&self) -> &ModelSource {
        &self.source
    }

    /// Bytes of a layer's weights while the layer runs.
    ///
    /// # Errors
    /// [`Error::LayerOutOfRange`].
    pub fn layer_weight_bytes(&self, index: usize) -> Result<WeightBytes> {
        Ok(self.prepared_layer(index)?.weight_bytes())
    }

    /// Bytes of the LM head's weights while it runs.
    pub fn head_weight_bytes(&self) -> WeightBytes {
        self.head.weight_bytes()
    }

    /// Bytes of all weights as integers, which are never there at once.
    pub fn integer_bytes(&self) -> u64 {
        let layers = self.layers.iter().map(Layer::weight_bytes);
        layers.chain([self.head_weight_bytes()]).sum::<WeightBytes>().integers
    }

    /// The block it was prepared for.
    pub fn block(&self) -> &PromptBlock {
        &self.block
    }

    /// Number of decoder layers.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// The layout of the residual.
    pub fn residual(&self) -> &Layout {
        &self.residual.layout
    }

    /// Ciphertexts that the client sends.
    pub fn input_ciphertexts(&self) -> usize {
        self.residual.layout.ciphertexts()
    }

    /// Ciphertexts that the client gets back.
    pub fn output_ciphertexts(&self) -> usize {
        self.head.layout().ciphertexts()
    }

    /// Every polynomial of the circuit, in the order of the computation.
    pub fn polynomials(&self) -> Vec<Polynomial> {
        let layers = self
            .layers
            .iter()
            .flat_map(|layer| layer.attention.polynomials().into_iter().chain(layer.feed_forward.polynomials()));
        layers.chain([self.final_norm.polynomial()]).collect()
    }

    /// One decoder layer: the residual after it. Its weights are converted to integers first, if the evaluator needs any.
    ///
    /// # Errors
    /// [`Error::LayerOutOfRange`] for a layer that does not exist; [`Error::ShapeAlone`] for a model without weights on an evaluator with
    /// data; those of the evaluator, with their site.
    pub fn layer<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        index: usize,
        residual: &[E::Coefficients],
        harness: &mut H,
    ) -> Result<Vec<E::Coefficients>> {
        self.filled_layer(e, index, harness)?.run(e, residual, harness)
    }

    /// As [`EncryptedModel::layer`], with the cache of the layer's keys and values for the tokens that follow, if the model was prepared with
    /// [`CircuitOptions::keep_cache`].
    ///
    /// # Errors
    /// As [`EncryptedModel::layer`].
    pub fn layer_and_cache<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        index: usize,
        residual: &[E::Coefficients],
        harness: &mut H,
    ) -> Result<LayerOutput<E>> {
        self.filled_layer(e, index, harness)?.run_caching(e, residual, harness)
    }

    /// A decoder layer with its weights as integers, if the evaluator needs any: to run over several residuals.
    ///
    /// # Errors
    /// [`Error::LayerOutOfRange`]; [`Error::ShapeAlone`].
    pub fn filled_layer<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        index: usize,
        harness: &mut H,
    ) -> Result<FilledLayer<'_>> {
        let layer = self.prepared_layer(index)?;
        let layer = if e.holds_data() {
            harness.phase(Phase::Linear);
            let weights = self.source.weights("a decoder layer")?.layer(index)?;
            Cow::Owned(layer.filled(weights.into(), self.context.cache(index)?)?)
        } else {
            Cow::Borrowed(layer)
        };
        Ok(FilledLayer { layer, residual: &self.residual.layout })
    }

    fn prepared_layer(&self, index: usize) -> Result<&Layer> {
        self.layers.get(index).ok_or(Error::LayerOutOfRange { found: index, layers: self.layers.len() })
    }

    /// Final norm and LM head: logits at all positions. Its weights are converted to integers first, if the evaluator needs any.
    ///
    /// # Errors
    /// [`Error::ShapeAlone`] as in [`EncryptedModel::layer`]; those of the evaluator, with their site.
    pub fn head<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        residual: &[E::Coefficients],
        harness: &mut H,
    ) -> Result<Vec<E::Coefficients>> {
        self.filled_head(e, harness)?.run(e, residual, harness)
    }

    /// Final norm and LM head with the weights as integers, if the evaluator needs any: to run over several residuals.
    ///
    /// # Errors
    /// [`Error::ShapeAlone`].
    pub fn filled_head<E: Evaluator, H: Harness<E> + ?Sized>(&self, e: &E, harness: &mut H) -> Result<FilledHead<'_>> {
        let head = if e.holds_data() {
            harness.phase(Phase::Linear);
            Cow::Owned(self.head.filled(Tensor::head_of(self.source.weights("the LM head")?))?)
        } else {
            Cow::Borrowed(&self.head)
        };
        Ok(FilledHead { norm: &self.final_norm, head, residual: &self.residual.layout })
    }

    /// All layers and the head in one call. Returns the logits and what was executed.
    ///
    /// # Errors
    /// Those of [`EncryptedModel::layer`] and [`EncryptedModel::head`].
    pub fn run<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        mut residual: Vec<E::Coefficients>,
        harness: &mut H,
    ) -> Result<(Vec<E::Coefficients>, OperationCounts)> {
        let before = e.counts();
        for layer in 0..self.layers.len() {
            residual = self.layer(e, layer, &residual, harness)?;
        }
        let logits = self.head(e, &residual, harness)?;
        Ok((logits, e.counts() - before))
    }
}
