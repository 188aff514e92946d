//! `assumed-ranges.toml`: windows that nobody measured, for circuits that are only counted.
//!
//! What a circuit costs depends on its windows through the degrees of a few polynomials. Of a model without weights they are assumed, in a
//! file of a few numbers that says why. No run with data accepts them: they come with a [`ModelShape`], which has no weights to run.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::ranges::{LayerRanges, ModelRanges};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::prompt::Prefix;
use crate::weights::{LargestWeights, ModelShape};

/// Assumed windows of a model, margins included, and the largest weights that are assumed beside them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AssumedRanges {
    /// What the numbers are taken from.
    pub reason: String,
    /// Largest entry of the embedding.
    pub embedding: f64,
    /// Mean square before the LM head.
    pub final_mean_square: Interval,
    /// The last residual over its root mean square.
    pub normalised_final_input: f64,
    /// Logits.
    pub logits: f64,
    /// Largest weight of the LM head, gamma folded in.
    pub largest_head_weight: f64,
    /// Largest weights of every layer.
    pub largest_weights: LargestWeights,
    /// Groups of layers that follow one another.
    pub layers: Vec<AssumedLayers>,
}

/// Assumed windows of some layers. Bounds of a single number are on the absolute value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AssumedLayers {
    /// How many layers.
    pub count: usize,
    /// The residual, after attention and after the layer.
    pub residual: f64,
    /// Mean square of the residual before attention.
    pub attention_mean_square: Interval,
    /// Mean square of the residual before the feed-forward network.
    pub ffn_mean_square: Interval,
    /// The residual over its root mean square, before both.
    pub normalised_input: f64,
    /// Queries before rotary positions; a rotation makes them larger by the root of two at most.
    pub query: f64,
    /// Keys, likewise.
    pub key: f64,
    /// Values, which also bound what attention gives.
    pub value: f64,
    /// Half width of the scores of a head, masked ones included.
    pub score_half_width: f64,
    /// Natural logarithms of the SoftMax denominators, less the largest score of the window.
    pub log_denominator: Interval,
    /// Argument of SiLU.
    pub gate: f64,
    /// Up projection.
    pub up: f64,
    /// `silu(gate) * up`.
    pub gated: f64,
}

impl AssumedRanges {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Malformed`] for another layout, or for numbers that bound nothing.
    pub fn load(path: &Path) -> Result<Self> {
        let malformed = |reason: String| Error::malformed("assumed-ranges.toml", path)(reason);
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        let ranges: Self = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        ranges.defect().map_or(Ok(()), |defect| Err(malformed(defect)))?;
        Ok(ranges)
    }

    /// What keeps these numbers from being windows, if anything. A window that is merely too wide is refused with the circuit.
    fn defect(&self) -> Option<String> {
        if self.reason.trim().is_empty() {
            return Some("`reason` is empty: say what the numbers are taken from".into());
        }
        let LargestWeights { q, k, v, o, gate, up, down } = self.largest_weights;
        let whole = [self.embedding, self.normalised_final_input, self.logits, self.largest_head_weight];
        let of_layers = self.layers.iter().flat_map(|layers| {
            let AssumedLayers { residual, normalised_input, query, key, value, gate, up, gated, .. } = *layers;
            [residual, normalised_input, query, key, value, layers.score_half_width, gate, up, gated]
        });
        let mut bounds = whole.into_iter().chain([q, k, v, o, gate, up, down]).chain(of_layers);
        if let Some(bound) = bounds.find(|bound| !(bound.is_finite() && *bound > 0.0)) {
            return Some(format!("{bound} bounds nothing, required: a positive number"));
        }
        let of_layers = self.layers.iter().flat_map(|layers| {
            let log = Interval::new(layers.log_denominator.lo.exp(), layers.log_denominator.hi.exp());
            [layers.attention_mean_square, layers.ffn_mean_square, log]
        });
        let mut windows = [self.final_mean_square].into_iter().chain(of_layers);
        let bad = windows.find(|window| !(window.lo > 0.0 && window.lo < window.hi && window.hi.is_finite()))?;
        Some(format!("{bad} is no window, required: a positive lower end below the upper one"))
    }

    /// The windows of a model of this configuration.
    ///
    /// # Errors
    /// [`Error::RangesOfOtherDepth`] unless the groups make up its layers.
    pub fn model(&self, config: &Config) -> Result<ModelRanges> {
        let heads = config.num_attention_heads;
        let layers: Vec<LayerRanges> =
            self.layers.iter().flat_map(|layers| std::iter::repeat_n(layers.ranges(heads), layers.count)).collect();
        if layers.len() != config.num_hidden_layers {
            return Err(Error::RangesOfOtherDepth { found: layers.len(), required: config.num_hidden_layers });
        }
        Ok(ModelRanges {
            embedding: self.embedding,
            layers,
            final_mean_square: self.final_mean_square,
            normalised_final_input: self.normalised_final_input,
            logits: self.logits,
            covers_masked_scores: true,
            prefix: Prefix::none(),
            context: 0,
            context_least: 0,
        })
    }

    /// The shape that the windows belong to.
    ///
    /// # Errors
    /// Those of [`ModelShape::new`].
    pub fn shape(&self, config: &Config) -> Result<ModelShape> {
        let layers = vec![self.largest_weights; config.num_hidden_layers];
        ModelShape::new(config.clone(), layers, self.largest_head_weight)
    }
}

impl AssumedLayers {
    fn ranges(&self, heads: usize) -> LayerRanges {
        let rotated = std::f64::consts::SQRT_2;
        LayerRanges {
            attention_mean_square: self.attention_mean_square,
            ffn_mean_square: self.ffn_mean_square,
            normalised_attention_input: self.normalised_input,
            normalised_ffn_input: self.normalised_input,
            query: self.query,
            query_reach: f64::INFINITY,
            key: self.key,
            key_reach: f64::INFINITY,
            value: self.value,
            value_reach: f64::INFINITY,
            rotated_query: rotated * self.query,
            rotated_key: rotated * self.key,
            score_centre: vec![0.0; heads],
            score_half_width: self.score_half_width,
            denominator: Interval::new(self.log_denominator.lo.exp(), self.log_denominator.hi.exp()),
            halved_sum: None,
            quartered_sum: None,
            attention_output: self.value,
            residual_after_attention: self.residual,
            gate: self.gate,
            gate_reach: f64::INFINITY,
            up: self.up,
            up_reach: f64::INFINITY,
            gated: self.gated,
            residual_after_ffn: self.residual,
        }
    }
}
