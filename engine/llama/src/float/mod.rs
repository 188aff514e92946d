//! The reference: the same Llama in `f32`, one block of prompts at a time.
//!
//! It answers two questions about the encrypted circuit: what the logits should be, at all positions
//! ([`FloatModel::logits`], [`agreement`]), and how large every intermediate tensor gets ([`FloatModel::observe`],
//! which is what calibration and the pre-flight of a prompt are made of). Products accumulate in `f32`; mean squares,
//! SoftMax and the rotary angles are computed in `f64`.
//!
//! Activations are rows (channels) x tokens (block positions). Padding is computed like everything else, because it runs
//! through the encrypted circuit as well.
//!
//! A block behind a public context takes the keys and values of that from [`ContextTensors`], which the model fills by running over the
//! context itself ([`FloatModel::behind`]). A long text is run as [successive](FloatModel::observe_successive) blocks.

pub mod agreement;
mod attention;
mod context;
mod linear;
mod norm;
mod observer;
mod reach;
mod rotary;

use rayon::prelude::*;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::prompt::{PromptBlock, PublicContext};
use crate::tokenizer::check_vocabulary;
use crate::weights::{LayerWeights, Weights};
use context::check_context;
pub use context::{ContextLayer, ContextTensors};
use linear::{add_in_place, product};
use norm::{Norm, NormSites};
use observer::show;
pub use observer::{Location, Observer, Site, Unobserved};
use reach::{RowPeaks, reach};
use rotary::RotaryTable;

/// The float model over one set of weights, at the beginning or behind one public context.
#[derive(Clone, Copy, Debug)]
pub struct FloatModel<'w> {
    weights: &'w Weights,
    context: Option<&'w ContextTensors>,
}

impl<'w> FloatModel<'w> {
    /// The float model of these weights; nothing is read yet.
    pub fn new(weights: &'w Weights) -> Self {
        Self { weights, context: None }
    }

    /// The same model for blocks behind a context, given the keys and values that its weights gave it. Blocks behind any other are refused.
    #[must_use]
    pub fn behind(self, context: &'w ContextTensors) -> Self {
        Self { context: Some(context), ..self }
    }

    /// The weights it runs on.
    pub fn weights(&self) -> &'w Weights {
        self.weights
    }

    /// The logits of a block: vocabulary x tokens, at all positions, padding included.
    ///
    /// # Errors
    /// [`Error::TokenOutOfVocabulary`] for a block made for another model; [`Error::NotFinite`]; [`Error::OtherContext`] for a block
    /// behind another context than the model; [`Error::ContextOfOtherWeights`].
    pub fn logits(&self, block: &PromptBlock) -> Result<Matrix> {
        self.observe(block, &mut Unobserved)
    }

    /// As [`FloatModel::logits`], with every intermediate tensor shown to `observer` in the order of the computation.
    ///
    /// # Errors
    /// As [`FloatModel::logits`].
    pub fn observe(&self, block: &PromptBlock, observer: &mut dyn Observer) -> Result<Matrix> {
        let mut logits = None;
        self.observe_each(std::slice::from_ref(block), &mut [observer], |_, result| logits = Some(result))?;
        Ok(logits.expect("one block gives one matrix of logits"))
    }

    /// Runs several blocks layer by layer, so that each layer's weights are read and converted once for all of them.
    /// Every block has its own observer; its logits go to `sink` with its index, one block after the other.
    ///
    /// # Errors
    /// As [`FloatModel::logits`], for the first block that fails; [`Error::Shape`] unless there are as many observers as
    /// blocks.
    pub fn observe_each(
        &self,
        blocks: &[PromptBlock],
        observers: &mut [&mut dyn Observer],
        sink: impl FnMut(usize, Matrix),
    ) -> Result<()> {
        if let Some(context) = self.context {
            context.check_weights(self.weights)?;
        }
        let none = PublicContext::none();
        let context = self.context.map_or(&none, ContextTensors::context);
        blocks.iter().try_for_each(|block| check_context(context, block))?;
        let residuals = self.layers_over(blocks, observers, None)?;
        self.head(blocks, observers, &residuals, sink)
    }

    /// Runs the blocks of one text, as [`PromptBlock::successive`] cuts them, layer by layer: each attends to all before it.
    ///
    /// # Errors
    /// As [`FloatModel::observe_each`]; [`Error::OtherContext`] for a block whose context is not the text before it.
    pub fn observe_successive(
        &self,
        blocks: &[PromptBlock],
        observers: &mut [&mut dyn Observer],
        sink: impl FnMut(usize, Matrix),
    ) -> Result<()> {
        let residuals = self.through_layers(blocks, observers, |_| ())?;
        self.head(blocks, observers, &residuals, sink)
    }

    /// The layers of [`FloatModel::observe_successive`]. What each gives the whole text for keys and values goes to `filled`; the
    /// residuals that the last leaves are returned.
    fn through_layers(
        &self,
        blocks: &[PromptBlock],
        observers: &mut [&mut dyn Observer],
        mut filled: impl FnMut(ContextLayer),
    ) -> Result<Vec<Matrix>> {
        let config = self.weights.config();
        let mut before = Vec::new();
        for block in blocks {
            check_context(&PublicContext::new(before.as_slice(), config)?, block)?;
            before.extend(block.text_positions().map(|position| block.tokens()[position]));
        }
        Self { context: None, ..*self }.layers_over(blocks, observers, Some(&mut filled))
    }

    /// Takes blocks through all layers and returns their residuals. Without `filled` they lie behind the model's context; with it each
    /// behind those before it, whose keys and values it is given layer by layer.
    fn layers_over(
        &self,
        blocks: &[PromptBlock],
        observers: &mut [&mut dyn Observer],
        mut filled: Option<&mut dyn FnMut(ContextLayer)>,
    ) -> Result<Vec<Matrix>> {
        if blocks.len() != observers.len() {
            let (found, required) = ((observers.len(), 1), (blocks.len(), 1));
            return Err(Error::Shape { operation: "FloatModel::observe_each", found, required });
        }
        let config = self.weights.config();
        let mut residuals = self.embed(blocks)?;
        for ((block, observer), residual) in blocks.iter().zip(observers.iter_mut()).zip(&residuals) {
            show(*observer, Site::Embedding.outside_layers(), residual, block)?;
        }
        let tables: Vec<RotaryTable> = blocks.iter().map(|block| RotaryTable::new(block, config)).collect();
        for layer in 0..config.num_hidden_layers {
            let weights = self.weights.layer(layer)?;
            let peaks = RowPeaks::of(&weights);
            let given = self.context.map(|context| context.layer(layer)).transpose()?;
            let mut before = ContextLayer::empty(config);
            for (index, block) in blocks.iter().enumerate() {
                let (context, observer) = (given.unwrap_or(&before), &mut *observers[index]);
                let mut pass = LayerPass { config, layer, weights: &weights, peaks: &peaks, block, context, observer };
                let (keys, values) = pass.attention(&mut residuals[index], &tables[index])?;
                pass.feed_forward(&mut residuals[index])?;
                if filled.is_some() {
                    before.append(block, &keys, &values);
                }
            }
            if let Some(filled) = &mut filled {
                filled(before);
            }
        }
        Ok(residuals)
    }

    /// Final norm and LM head of every block.
    fn head(
        &self,
        blocks: &[PromptBlock],
        observers: &mut [&mut dyn Observer],
        residuals: &[Matrix],
        mut sink: impl FnMut(usize, Matrix),
    ) -> Result<()> {
        let config = self.weights.config();
        let (gamma, head) = (self.weights.final_norm(), self.weights.lm_head());
        for (index, (block, residual)) in blocks.iter().zip(residuals).enumerate() {
            let norm = Norm { gamma: &gamma, epsilon: config.rms_norm_eps, sites: NormSites::FINAL, layer: None };
            let logits = product(&head, &norm.apply(residual, block, observers[index])?);
            show(observers[index], Site::Logits.outside_layers(), &logits, block)?;
            sink(index, logits);
        }
        Ok(())
    }

    /// The residual stream of each block before the first layer: hidden x tokens.
    fn embed(&self, blocks: &[PromptBlock]) -> Result<Vec<Matrix>> {
        let vocabulary = self.weights.config().vocab_size;
        let embedding = self.weights.embedding();
        let embed = |block: &PromptBlock| {
            check_vocabulary(0, block.tokens(), vocabulary)?;
            let mut residual = Matrix::zeros(embedding.cols(), block.size());
            residual.data_mut().par_chunks_mut(block.size()).enumerate().for_each(|(channel, row)| {
                row.iter_mut().zip(block.tokens()).for_each(|(slot, &id)| *slot = embedding.at(id as usize, channel));
            });
            Ok(residual)
        };
        blocks.iter().map(embed).collect()
    }
}

/// One decoder layer on its way over one block.
struct LayerPass<'a> {
    config: &'a Config,
    layer: usize,
    weights: &'a LayerWeights,
    peaks: &'a RowPeaks,
    block: &'a PromptBlock,
    /// Keys and values before the block.
    context: &'a ContextLayer,
    observer: &'a mut dyn Observer,
}

impl LayerPass<'_> {
    /// Adds attention to the residual. Returns the block's own keys, with rotary positions, and values.
    fn attention(&mut self, residual: &mut Matrix, rotary: &RotaryTable) -> Result<(Matrix, Matrix)> {
        let input = self.norm(&self.weights.input_norm, NormSites::ATTENTION, residual)?;
        let mut q = self.see(Site::Query, product(&self.weights.q, &input))?;
        let mut k = self.see(Site::Key, product(&self.weights.k, &input))?;
        let v = self.see(Site::Value, product(&self.weights.v, &input))?;
        self.show(Site::QueryReach, &reach(&q, &self.peaks.q))?;
        self.show(Site::KeyReach, &reach(&k, &self.peaks.k))?;
        self.show(Site::ValueReach, &reach(&v, &self.peaks.v))?;
        rotary.turn(&mut q);
        rotary.turn(&mut k);
        let q = self.see(Site::RotatedQuery, q)?;
        let k = self.see(Site::RotatedKey, k)?;
        let attention = attention::attend(self.config, self.block, self.context, &q, &k, &v);
        if !self.context.is_empty() {
            self.see(Site::PublicScore, attention.public_scores)?;
        }
        self.see(Site::Score, attention.scores)?;
        self.see(Site::ScoreRowMaximum, attention.row_maxima)?;
        self.see(Site::LogDenominator, attention.log_denominators)?;
        let [halved, quartered] = attention.log_root_sums;
        self.see(Site::LogHalvedSum, halved)?;
        self.see(Site::LogQuarteredSum, quartered)?;
        let output = self.see(Site::AttentionOutput, attention.output)?;
        let update = self.see(Site::OProjection, product(&self.weights.o, &output))?;
        add_in_place(residual, &update);
        self.show(Site::ResidualAfterAttention, residual)?;
        Ok((k, v))
    }

    fn feed_forward(&mut self, residual: &mut Matrix) -> Result<()> {
        let input = self.norm(&self.weights.post_norm, NormSites::FEED_FORWARD, residual)?;
        let gate = self.see(Site::Gate, product(&self.weights.gate, &input))?;
        let mut gated = self.see(Site::Up, product(&self.weights.up, &input))?;
        self.show(Site::GateReach, &reach(&gate, &self.peaks.gate))?;
        self.show(Site::UpReach, &reach(&gated, &self.peaks.up))?;
        gated.data_mut().par_iter_mut().zip(gate.data()).for_each(|(up, &gate)| *up *= silu(gate));
        let gated = self.see(Site::GatedProduct, gated)?;
        let update = self.see(Site::DownProjection, product(&self.weights.down, &gated))?;
        add_in_place(residual, &update);
        self.show(Site::ResidualAfterFfn, residual)
    }

    fn norm(&mut self, gamma: &[f32], sites: NormSites, residual: &Matrix) -> Result<Matrix> {
        let epsilon = self.config.rms_norm_eps;
        Norm { gamma, epsilon, sites, layer: Some(self.layer) }.apply(residual, self.block, self.observer)
    }

    fn show(&mut self, site: Site, tensor: &Matrix) -> Result<()> {
        show(self.observer, site.in_layer(self.layer), tensor, self.block)
    }

    fn see(&mut self, site: Site, tensor: Matrix) -> Result<Matrix> {
        self.show(site, &tensor)?;
        Ok(tensor)
    }
}

/// `x / (1 + exp(-x))`.
fn silu(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}
