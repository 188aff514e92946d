//! A decoder layer and the head, with their weights as integers or without.

use std::borrow::Cow;

use fhe_circuits::{KeyValueCache, Layout, PublicCache};
use fhe_ckks::{Evaluator, LaneProducts};

use super::attention_layer::AttentionLayer;
use super::execution::Execution;
use super::feed_forward::FeedForwardLayer;
use super::harness::Harness;
use super::norm::NormTurn;
use super::projection::Projection;
use super::tensors::{LayerTensors, WeightBytes};
use crate::error::Result;

/// What a layer leaves.
#[derive(Clone, Debug)]
pub struct LayerOutput<E: Evaluator> {
    /// The residual.
    pub residual: Vec<E::Coefficients>,
    /// Keys and values for the tokens that follow, if they are kept.
    pub cache: Option<KeyValueCache<E::Slots>>,
}

#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) attention: AttentionLayer,
    pub(super) feed_forward: FeedForwardLayer,
}

impl Layer {
    /// The same with the integers of its matrices, and with the keys and values of the public context, if there is one.
    pub(super) fn filled(&self, weights: LayerTensors, context: Option<PublicCache>) -> Result<Self> {
        let LayerTensors { q, k, v, o, gate, up, down } = weights;
        Ok(Self {
            attention: self.attention.filled([q, k, v, o], context)?,
            feed_forward: self.feed_forward.filled([gate, up, down])?,
        })
    }

    pub(super) fn weight_bytes(&self) -> WeightBytes {
        [self.attention.weight_bytes(), self.feed_forward.weight_bytes()].into_iter().sum()
    }

    fn run<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        layout: &Layout,
        residual: &[E::Coefficients],
    ) -> Result<LayerOutput<E>> {
        let LayerOutput { residual, cache } = self.attention.run(run, layout, residual)?;
        Ok(LayerOutput { residual: self.feed_forward.run(run, layout, &residual)?, cache })
    }
}

/// A layer of an [`EncryptedModel`], ready to run over any number of residuals.
#[derive(Clone, Debug)]
pub struct FilledLayer<'a> {
    pub(super) layer: Cow<'a, Layer>,
    pub(super) residual: &'a Layout,
}

impl FilledLayer<'_> {
    /// The residual after the layer.
    ///
    /// # Errors
    /// Those of the evaluator, with their site.
    pub fn run<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        residual: &[E::Coefficients],
        harness: &mut H,
    ) -> Result<Vec<E::Coefficients>> {
        Ok(self.run_caching(e, residual, harness)?.residual)
    }

    /// The same with the cache of keys and values, if it is one to keep.
    pub(super) fn run_caching<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        residual: &[E::Coefficients],
        harness: &mut H,
    ) -> Result<LayerOutput<E>> {
        self.layer.run(&mut Execution::new(e, harness), self.residual, residual)
    }
}

/// Final norm and LM head of an [`EncryptedModel`], ready to run over any number of residuals.
#[derive(Clone, Debug)]
pub struct FilledHead<'a> {
    pub(super) norm: &'a NormTurn,
    pub(super) head: Cow<'a, Projection>,
    pub(super) residual: &'a Layout,
}

impl FilledHead<'_> {
    /// Logits at all positions.
    ///
    /// # Errors
    /// Those of the evaluator, with their site.
    pub fn run<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        e: &E,
        residual: &[E::Coefficients],
        harness: &mut H,
    ) -> Result<Vec<E::Coefficients>> {
        let mut run = Execution::new(e, harness);
        let rows = self.norm.run(&mut run, self.residual, residual)?;
        self.head.run(&mut run, &rows)
    }
}
