//! Where the vectors of a step lie, and what moves them.

use std::sync::Arc;

use fhe_circuits::{
    CacheLayout, ChannelFactors, CircuitError, Latest, RotaryAngles, SlotEntry, SlotPlace, SparseMap, VectorLayout,
};
use fhe_ckks::{CircuitShape, Packing, Rotation};

use crate::config::Config;
use crate::encrypted::location::At;
use crate::error::Result;
use crate::float::Site;

/// The vectors of a step, the same for all layers. Rows of weights come in orders that the moves between products have few rotations for.
#[derive(Clone, Debug)]
pub(super) struct StepLayouts {
    pub(super) cache: CacheLayout,
    /// The residual, as both of its writers leave it.
    pub(super) residual: VectorLayout,
    /// The normalised residual, as its readers want it.
    pub(super) normalised: VectorLayout,
    /// From the one to the other.
    pub(super) to_normalised: SparseMap,
    /// Queries, keys and values.
    pub(super) projection: VectorLayout,
    /// Weighted values as O wants them, and the way there.
    pub(super) output: VectorLayout,
    pub(super) to_output: SparseMap,
    /// Gates, then ups, and the rotation from these to those.
    pub(super) gated: VectorLayout,
    pub(super) to_gates: Rotation,
    /// Products of gate and up as the down projection wants them, and the way there from the places of the gates.
    pub(super) down: VectorLayout,
    pub(super) to_down: SparseMap,
    /// The way from a projection to queries, keys and values, by the position of the token.
    placement: Latest<usize, SparseMap>,
}

impl StepLayouts {
    pub(super) fn new(config: &Config, shape: &CircuitShape) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let slots = shape.slots(Packing::Real);
        let at = Site::Query.in_layer(0);
        let cache =
            CacheLayout::new(shape, config.num_attention_heads, config.num_key_value_heads, config.head_dim).at(at)?;
        let normalised = VectorLayout::input(shape, hidden, 1).at(at)?;
        let projection = cache.projection(&normalised).at(at)?;
        // What O and the down projection leave is added: they have parts of one size.
        let down = VectorLayout::input(shape, inner.max(hidden), 1).at(Site::GatedProduct.in_layer(0))?;
        let down = VectorLayout::in_blocks(shape, inner, down.block()).at(Site::GatedProduct.in_layer(0))?;
        let (output, to_output) = cache.output(shape, down.block()).at(Site::AttentionOutput.in_layer(0))?;
        let residual = down.product_towards(&normalised.slot_places()).at(Site::DownProjection.in_layer(0))?;
        let to_normalised = moved(slots, &residual.slot_places(), &normalised.slot_places()).at(at)?;
        let (gated, to_gates) = normalised.paired_product(&down.slot_places()).at(Site::Gate.in_layer(0))?;
        let gates = &gated.slot_places()[..inner];
        let to_down = moved(slots, gates, &down.slot_places()).at(Site::GatedProduct.in_layer(0))?;
        Ok(Self {
            cache,
            residual,
            normalised,
            to_normalised,
            projection,
            output,
            to_output,
            gated,
            to_gates,
            down,
            to_down,
            placement: Latest::default(),
        })
    }

    /// From a projection, its channels at their true values, to queries, keys and values of a token at a rotary position: made once for all layers.
    pub(super) fn placement(
        &self,
        position: usize,
        angles: impl FnOnce() -> RotaryAngles,
    ) -> Result<Arc<SparseMap>, CircuitError> {
        self.placement.of(position, || self.cache.placement(&self.projection, &angles(), &ChannelFactors::Common(1.0)))
    }
}

/// Every channel from one place to another.
fn moved(slots: usize, from: &[SlotPlace], to: &[SlotPlace]) -> Result<SparseMap, CircuitError> {
    SparseMap::new(slots, from.iter().zip(to).map(|(&from, &to)| SlotEntry { from, to, factor: 1.0 }))
}
