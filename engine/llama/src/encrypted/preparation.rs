//! What every part of a model is prepared from, and how the parts follow from it.

use std::sync::Arc;

use fhe_circuits::{LaneAttention, Layout, RotaryAngles, RowModule};
use fhe_ckks::CircuitShape;

use super::attention_layer::AttentionLayer;
use super::feed_forward::FeedForwardLayer;
use super::layer::Layer;
use super::norm::NormTurn;
use super::prefix::PrefixTensors;
use super::products::PublicPlace;
use super::projection::{self, Projection};
use super::tensors::{LayerTensors, Tensor};
use super::{CircuitOptions, Residual};
use crate::calibration::{LayerRanges, ModelRanges};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::float::{Location, Site};
use crate::prompt::PromptBlock;

/// What every part is prepared from.
pub(super) struct Preparation<'a> {
    pub(super) config: &'a Config,
    pub(super) block: &'a PromptBlock,
    pub(super) shape: &'a CircuitShape,
    pub(super) module: RowModule,
    pub(super) residual: &'a Residual,
    pub(super) prefix: &'a PrefixTensors,
    /// Products over lanes, one for all layers.
    pub(super) lanes: Option<&'a Arc<LaneAttention>>,
    /// Where attention to the public context lies, where there is one.
    pub(super) public: Option<&'a Arc<PublicPlace>>,
    pub(super) options: CircuitOptions,
}

impl Preparation<'_> {
    /// Rotary positions of the block.
    pub(super) fn angles(&self) -> RotaryAngles {
        let embedded = self.block.embedded();
        let positions = (0..self.block.size()).map(|position| embedded.rotary_position(position)).collect();
        RotaryAngles::new(self.config.rope_theta, self.config.head_dim, positions)
    }

    pub(super) fn layer(
        &self,
        weights: &LayerTensors,
        index: usize,
        ranges: &LayerRanges,
        entering: f64,
    ) -> Result<Layer> {
        Ok(Layer {
            attention: AttentionLayer::prepare(self, index, weights, ranges, entering)?,
            feed_forward: FeedForwardLayer::prepare(self, index, weights, ranges)?,
        })
    }

    pub(super) fn head(&self, weights: &Tensor, ranges: &ModelRanges, entering: f64) -> Result<(NormTurn, Projection)> {
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

    /// See [`check_levels`].
    pub(super) fn check_levels(&self, location: Location, found: usize) -> Result<()> {
        check_levels(self.shape, location, found)
    }
}

/// Refuses a turn that needs more levels than a half bootstrap leaves.
pub(super) fn check_levels(shape: &CircuitShape, location: Location, found: usize) -> Result<()> {
    let CircuitShape { compute_levels: required, .. } = *shape;
    if found <= required { Ok(()) } else { Err(Error::Levels { location, found, required }) }
}
