//! The weights of steps as integers: made for every step, or kept.

use std::borrow::Cow;

use fhe_circuits::VectorProduct;
use fhe_ckks::Evaluator;
use rayon::prelude::*;

use super::{DecodingModel, LayerStep};
use crate::encrypted::projection::Projection;
use crate::encrypted::tensors::{LayerTensors, Tensor, WeightBytes};
use crate::error::{Error, Result};

impl DecodingModel {
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

    /// The layer with its integers, if the evaluator needs any: those that are kept, or new ones.
    pub(super) fn filled_layer<E: Evaluator>(&self, e: &E, index: usize) -> Result<Cow<'_, LayerStep>> {
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

    pub(super) fn head_with_weights(&self) -> Result<Projection<VectorProduct>> {
        self.head.filled(Tensor::head_of(self.source.weights("the LM head")?))
    }
}
