//! What a circuit can be prepared from: weights, or the shape of a model alone.

use serde::{Deserialize, Serialize};

use super::{LayerWeights, Weights, required_tensors};
use crate::config::Config;
use crate::error::{Error, Result};

/// Bytes of a weight in the files of a model of which only the shape is known: 16-bit numbers, as models are published today.
const STORED_BYTES: u64 = 2;

/// The largest magnitude of each matrix of a model, gamma of the norm before it folded in. Together with the ranges these
/// decide the units between two products.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LargestWeights {
    /// Query projection.
    pub q: f64,
    /// Key projection.
    pub k: f64,
    /// Value projection.
    pub v: f64,
    /// Output projection of attention.
    pub o: f64,
    /// Gate projection.
    pub gate: f64,
    /// Up projection.
    pub up: f64,
    /// Down projection.
    pub down: f64,
}

/// A model without numbers, for evaluators without data: sizes, and the largest magnitudes that its matrices are assumed to have.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelShape {
    config: Config,
    layers: Vec<LargestWeights>,
    head: f64,
}

impl ModelShape {
    /// The shape of a configuration, with the largest weights of every layer and of the LM head.
    ///
    /// # Errors
    /// [`Error::RangesOfOtherDepth`] unless there is one entry per layer.
    pub fn new(config: Config, layers: Vec<LargestWeights>, head: f64) -> Result<Self> {
        match config.num_hidden_layers {
            required if required != layers.len() => Err(Error::RangesOfOtherDepth { found: layers.len(), required }),
            _ => Ok(Self { config, layers, head }),
        }
    }

    /// Largest weights of a layer.
    ///
    /// # Errors
    /// [`Error::LayerOutOfRange`].
    pub(crate) fn layer(&self, layer: usize) -> Result<&LargestWeights> {
        self.layers.get(layer).ok_or(Error::LayerOutOfRange { found: layer, layers: self.layers.len() })
    }

    /// Largest weight of the LM head.
    pub(crate) fn head(&self) -> f64 {
        self.head
    }
}

/// What a circuit is prepared from.
#[derive(Clone, Debug)]
pub enum ModelSource {
    /// Weights, read layer by layer.
    Weights(Weights),
    /// A shape alone: only evaluators without data can run the circuit.
    Shape(ModelShape),
}

impl ModelSource {
    /// The architecture.
    pub fn config(&self) -> &Config {
        match self {
            Self::Weights(weights) => weights.config(),
            Self::Shape(shape) => &shape.config,
        }
    }

    /// Number of trained parameters, tied ones counted once.
    pub fn parameter_count(&self) -> u64 {
        parameter_count(self.config())
    }

    /// Bytes that the weights take in their files; of a shape alone, as 16-bit numbers.
    pub fn stored_bytes(&self) -> u64 {
        match self {
            Self::Weights(weights) => weights.stored_bytes(),
            Self::Shape(shape) => STORED_BYTES * parameter_count(&shape.config),
        }
    }

    /// The weights, for an operation that needs them.
    ///
    /// # Errors
    /// [`Error::ShapeAlone`].
    pub(crate) fn weights(&self, operation: &'static str) -> Result<&Weights> {
        match self {
            Self::Weights(weights) => Ok(weights),
            Self::Shape(_) => Err(Error::ShapeAlone { operation }),
        }
    }
}

impl From<&Weights> for ModelSource {
    fn from(weights: &Weights) -> Self {
        Self::Weights(weights.clone())
    }
}

impl From<&ModelShape> for ModelSource {
    fn from(shape: &ModelShape) -> Self {
        Self::Shape(shape.clone())
    }
}

impl LargestWeights {
    /// Those of a layer's weights.
    pub fn of(weights: &LayerWeights) -> Self {
        let of = |matrix: &crate::Matrix, gamma: Option<&[f32]>| {
            let scaled =
                |(index, &weight): (usize, &f32)| weight * gamma.map_or(1.0, |gamma| gamma[index % gamma.len()]);
            matrix
                .data()
                .iter()
                .enumerate()
                .map(scaled)
                .fold(0.0, |largest: f64, weight| largest.max(f64::from(weight.abs())))
        };
        let (input, post) = (Some(weights.input_norm.as_slice()), Some(weights.post_norm.as_slice()));
        Self {
            q: of(&weights.q, input),
            k: of(&weights.k, input),
            v: of(&weights.v, input),
            o: of(&weights.o, None),
            gate: of(&weights.gate, post),
            up: of(&weights.up, post),
            down: of(&weights.down, None),
        }
    }
}

/// Of a configuration.
pub(super) fn parameter_count(config: &Config) -> u64 {
    required_tensors(config).iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
}
