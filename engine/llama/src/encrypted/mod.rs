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
//! | or sums of squares, once a round ([`SoftmaxVariant::NormalizeAndSquare`]) | inverse, down to where the squares wait |
//! | SiLU times up -> down | SiLU, product; for up: sine, product |
//!
//! Over lanes ([`AttentionProducts`]) the turns of attention are others: positions, exchange, factors; then sine, lanes, SoftMax, factors;
//! then sine, lanes, exchange, on the way to O.
//!
//! A public [`Prefix`](crate::Prefix) is in the circuit as plaintext keys and values alone; its rows carry what the first prompt's first
//! position carries ([`EmbeddedBlock`](crate::EmbeddedBlock)), as padding does.
//!
//! The inverse of the bootstrap's sine is folded into the polynomials of SoftMax and SiLU; with scales per row of weights
//! ([`CircuitOptions::weight_scales`]) SiLU's sine is corrected explicitly, two levels more, since the factors of the rows come in between. Every number of levels
//! follows from the degrees of the polynomials; none is written down.

mod attention_layer;
mod execution;
mod feed_forward;
mod harness;
mod location;
mod norm;
mod prefix;
mod products;
mod projection;
mod tensors;

use std::sync::Arc;

use fhe_circuits::approximation::Approximation;
use fhe_circuits::{Accuracy, Functions, LaneAttention, Layout, RotaryAngles, RowModule, SoftmaxVariant, WeightScales};
use fhe_ckks::{CircuitShape, Client, Evaluator, LaneProducts, OperationCounts};

use crate::calibration::{LayerRanges, ModelRanges};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::{Location, Site};
use crate::matrix::Matrix;
use crate::prompt::PromptBlock;
use crate::weights::ModelSource;

pub use harness::{Harness, Phase, Sight, Unattended};
pub use products::{AttentionProducts, softmax_windows};
pub use tensors::WeightBytes;

use attention_layer::AttentionLayer;
use execution::Execution;
use feed_forward::FeedForwardLayer;
use location::At;
use norm::NormTurn;
use prefix::PrefixTensors;
use projection::Projection;
use tensors::{LayerTensors, Tensor};

/// Choices that a model leaves open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CircuitOptions {
    /// Bits of the integer weights, sign included.
    pub weight_bits: u32,
    /// Which integer stands for the weight 1 in products whose rows the circuit can tell apart afterwards: queries, keys, values, gate, up and
    /// logits. Output and down projection write to the residual, which has one unit, and have one scale each in any case; with scales per row
    /// the down projection is handed a share of every channel that lets each of its columns fill the integers.
    pub weight_scales: WeightScales,
    /// Error asked of every polynomial (relative for inverses and roots; of the window for SiLU, of the smallest
    /// denominator for the exponential).
    pub tolerance: f64,
    /// How SoftMax divides.
    pub softmax: SoftmaxVariant,
    /// How the products of attention are computed.
    pub products: AttentionProducts,
    /// Whether polynomials must follow their functions.
    pub functions: Functions,
    /// Whether the inverse roots of norms are evaluated slimly where that saves products and the levels allow it.
    pub slim_norms: bool,
}

impl Default for CircuitOptions {
    fn default() -> Self {
        Self {
            weight_bits: 13,
            weight_scales: WeightScales::default(),
            tolerance: 1e-6,
            softmax: SoftmaxVariant::default(),
            products: AttentionProducts::default(),
            functions: Functions::default(),
            slim_norms: false,
        }
    }
}

impl CircuitOptions {
    fn accuracy(&self) -> Accuracy {
        Accuracy { tolerance: self.tolerance, functions: self.functions }
    }
}

/// A polynomial of the circuit and how well it follows its function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Polynomial {
    /// Layer and site of its argument.
    pub location: Location,
    /// Degree.
    pub degree: usize,
    /// Error by the criterion of [`CircuitOptions::tolerance`].
    pub error: f64,
}

impl Polynomial {
    fn of(location: Location, approximation: &Approximation) -> Self {
        Self { location, degree: approximation.degree(), error: approximation.error() }
    }
}

/// A model prepared for one block of prompts and one parameter set.
///
/// It holds units, levels, polynomials and layouts, but no weights: the integers of a layer are made from its source when the layer
/// runs over an evaluator with data, and dropped after it.
#[derive(Clone, Debug)]
pub struct EncryptedModel {
    source: ModelSource,
    block: PromptBlock,
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

#[derive(Clone, Debug)]
struct Layer {
    attention: AttentionLayer,
    feed_forward: FeedForwardLayer,
}

/// What every part is prepared from.
struct Preparation<'a> {
    config: &'a Config,
    block: &'a PromptBlock,
    shape: &'a CircuitShape,
    module: RowModule,
    residual: &'a Residual,
    prefix: &'a PrefixTensors,
    /// Products over lanes, one for all layers.
    lanes: Option<&'a Arc<LaneAttention>>,
    options: CircuitOptions,
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
        if ranges.layers.len() != config.num_hidden_layers {
            return Err(Error::RangesOfOtherDepth { found: ranges.layers.len(), required: config.num_hidden_layers });
        }
        ranges.check_prefix(block)?;
        let prefix = &PrefixTensors::compute(&source, block.prefix())?;
        let embedding_site = Site::Embedding.outside_layers();
        let module = RowModule::new(shape, block.size()).at(embedding_site)?;
        let largest = ranges.layers.iter().fold(ranges.embedding, |largest, layer| {
            largest.max(layer.residual_after_attention).max(layer.residual_after_ffn)
        });
        let residual = Residual {
            layout: Layout::dense(module, config.hidden_size),
            unit: projection::filling_unit(shape, largest),
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
        let preparation = Preparation { config, block, shape, module, residual: &residual, prefix, lanes, options };

        let mut entering = ranges.embedding;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for (index, ranges) in ranges.layers.iter().enumerate() {
            layers.push(preparation.layer(&LayerTensors::layer(&source, index)?, index, ranges, entering)?);
            entering = ranges.residual_after_ffn;
        }
        let (final_norm, head) = preparation.head(&Tensor::head(&source), ranges, entering)?;
        let embedded = match &source {
            ModelSource::Weights(weights) => Some(weights.embed(&block.embedded().tokens().collect::<Vec<_>>())?),
            ModelSource::Shape(_) => None,
        };
        Ok(Self { block: block.clone(), embedded, layers, final_norm, head, residual, source })
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

    /// The client's part before: embeds the tokens of the block and encrypts the residual that they start with. Of a shape alone these are
    /// zeros, with which only an evaluator without data goes on.
    ///
    /// # Errors
    /// Those of [`Client::encrypt`].
    pub fn embed<E: Evaluator, C: Client<E> + ?Sized>(&self, client: &C) -> Result<Vec<E::Coefficients>> {
        let site = Site::Embedding.outside_layers();
        let mut tensor = vec![0.0; self.config().hidden_size * self.block.size()];
        if let Some(embedded) = &self.embedded {
            for position in 0..self.block.size() {
                for (channel, &value) in embedded.row(position).iter().enumerate() {
                    tensor[channel * self.block.size() + position] = value.into();
                }
            }
        }
        let packed = self.residual.layout.pack(&tensor).at(site)?;
        packed.iter().map(|vector| client.encrypt(vector, self.residual.unit).at(site)).collect()
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
        let layer = self.prepared_layer(index)?;
        if !e.holds_data() {
            return layer.run(&mut Execution::new(e, harness), &self.residual.layout, residual);
        }
        harness.phase(Phase::Linear);
        let layer = layer.filled(self.source.weights("a decoder layer")?.layer(index)?.into())?;
        layer.run(&mut Execution::new(e, harness), &self.residual.layout, residual)
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
        let filled = if e.holds_data() {
            harness.phase(Phase::Linear);
            Some(self.head.filled(Tensor::head_of(self.source.weights("the LM head")?))?)
        } else {
            None
        };
        let mut run = Execution::new(e, harness);
        let rows = self.final_norm.run(&mut run, &self.residual.layout, residual)?;
        filled.as_ref().unwrap_or(&self.head).run(&mut run, &rows)
    }

    /// The client's part after: the logits, vocabulary x block positions; `None` if the execution holds no data.
    ///
    /// # Errors
    /// Those of [`Client::decrypt`].
    pub fn logits<E: Evaluator, C: Client<E> + ?Sized>(
        &self,
        client: &C,
        logits: &[E::Coefficients],
    ) -> Result<Option<Matrix>> {
        self.head.reveal::<E, C>(client, logits).at(Site::Logits.outside_layers())
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

impl Layer {
    /// The same with the integers of its matrices.
    fn filled(&self, weights: LayerTensors) -> Result<Self> {
        let LayerTensors { q, k, v, o, gate, up, down } = weights;
        Ok(Self {
            attention: self.attention.filled([q, k, v, o])?,
            feed_forward: self.feed_forward.filled([gate, up, down])?,
        })
    }

    fn weight_bytes(&self) -> WeightBytes {
        [self.attention.weight_bytes(), self.feed_forward.weight_bytes()].into_iter().sum()
    }

    fn run<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        layout: &Layout,
        residual: &[E::Coefficients],
    ) -> Result<Vec<E::Coefficients>> {
        let residual = self.attention.run(run, layout, residual)?;
        self.feed_forward.run(run, layout, &residual)
    }
}

impl Preparation<'_> {
    /// Rotary positions of the block.
    fn angles(&self) -> RotaryAngles {
        let embedded = self.block.embedded();
        let positions = (0..self.block.size()).map(|position| embedded.rotary_position(position)).collect();
        RotaryAngles::new(self.config.rope_theta, self.config.head_dim, positions)
    }

    fn layer(&self, weights: &LayerTensors, index: usize, ranges: &LayerRanges, entering: f64) -> Result<Layer> {
        Ok(Layer {
            attention: AttentionLayer::prepare(self, index, weights, ranges, entering)?,
            feed_forward: FeedForwardLayer::prepare(self, index, weights, ranges)?,
        })
    }

    fn head(&self, weights: &Tensor, ranges: &ModelRanges, entering: f64) -> Result<(NormTurn, Projection)> {
        let site = Site::Logits.outside_layers();
        let layout = Layout::dense(self.module, self.config.vocab_size);
        let mut head = Projection::prepare(
            self,
            site,
            weights,
            &layout,
            &self.residual.layout,
            self.options.weight_scales,
            projection::OutputRange::of(ranges.logits),
        )?;
        let norm = NormTurn::prepare(
            self,
            [Site::FinalMeanSquare.outside_layers(), Site::FinalNormalisedInput.outside_layers()],
            ranges.final_mean_square,
            ranges.normalised_final_input,
            entering,
            projection::common_unit(self.shape, [&head]),
        )?;
        head.scale_output(norm.output_unit(), projection::Fill::Nothing);
        Ok((norm, head))
    }
}
