//! Products slot by slot.

use fhe_circuits::crossing::SINE_LEVELS;
use fhe_circuits::{ChannelFactors, Layout, Passage, PrefixRows, RotaryAngles, SlotAttention, Softmax};
use fhe_ckks::{LaneProducts, Level};

use super::{Operands, prepare_softmax};
use crate::calibration::LayerRanges;
use crate::encrypted::Preparation;
use crate::encrypted::execution::Execution;
use crate::encrypted::harness::{Harness, Phase};
use crate::encrypted::location::At;
use crate::encrypted::reading::Reading;
use crate::error::Result;
use crate::float::Site;

/// The slot-wise attention of one layer.
#[derive(Clone, Debug)]
pub(in crate::encrypted) struct ProductsInSlots {
    attention: SlotAttention,
    angles: RotaryAngles,
    softmax: Softmax,
    projections: [Layout; 2],
    /// Keys and values of the public prefix.
    prefix: [PrefixRows; 2],
}

impl ProductsInSlots {
    /// Levels of the scores' operands after the correction of the sine.
    pub(super) const OPERAND_LEVELS: usize = SlotAttention::PLACEMENT_LEVELS + SlotAttention::SCORE_LEVELS;
    /// Levels of the values after the correction of the sine; they climb with the others and are lowered.
    const VALUE_LEVELS: usize = SlotAttention::PLACEMENT_LEVELS + SlotAttention::VALUE_LEVELS;

    pub(super) fn prepare(preparation: &Preparation<'_>, layer: usize, ranges: &LayerRanges) -> Result<Self> {
        const { assert!(Self::VALUE_LEVELS <= Self::OPERAND_LEVELS) };
        let Preparation { config, block, module, .. } = *preparation;
        let at = |site: Site| site.in_layer(layer);
        let attends = |query, key| block.embedded().attends(query, key);
        let attention =
            SlotAttention::new(module, config.num_attention_heads, config.head_dim, attends).at(at(Site::Score))?;
        let projections = [
            attention.heads().projection(config.num_attention_heads).at(at(Site::Query))?,
            attention.heads().projection(config.num_key_value_heads).at(at(Site::Key))?,
        ];
        let softmax = prepare_softmax(preparation, layer, ranges, &attention)?;
        preparation.check_levels(at(Site::Query), Self::OPERAND_LEVELS + SINE_LEVELS)?;
        let prefix = [
            preparation.prefix.rows(at(Site::RotatedKey), 1.0, ranges.rotated_key)?,
            preparation.prefix.rows(at(Site::Value), 1.0, ranges.value)?,
        ];
        Ok(Self { attention, angles: preparation.angles(), softmax, projections, prefix })
    }

    pub(super) fn projections(&self) -> [&Layout; 2] {
        self.projections.each_ref()
    }

    pub(super) fn softmax(&self) -> &Softmax {
        &self.softmax
    }

    pub(super) fn run<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        layer: usize,
        operands: Operands<E::Slots>,
        [query_ranges, key_ranges, value_ranges]: &[ChannelFactors; 3],
    ) -> Result<Vec<E::Slots>> {
        let at = |site: Site| site.in_layer(layer);
        let Operands { queries, keys, values } = operands;
        let [prefix_keys, prefix_values] = &self.prefix;
        // The values wait below the others.
        let values = run.work(Phase::NonLinear, at(Site::Value), |e| {
            let level = Level(e.shape().slots_to_coefficients_levels + Self::VALUE_LEVELS);
            let values = values.iter().map(|x| e.lower(x, level)).collect::<std::result::Result<Vec<_>, _>>()?;
            self.attention.place_values(e, &values, value_ranges.clone(), prefix_values)
        })?;
        let queries = run.work(Phase::NonLinear, at(Site::RotatedQuery), |e| {
            self.attention.place_queries(e, &self.angles, &queries, query_ranges.clone())
        })?;
        let keys = run.work(Phase::NonLinear, at(Site::RotatedKey), |e| {
            self.attention.place_keys(e, &self.angles, &keys, key_ranges.clone(), prefix_keys)
        })?;
        let scores = run.work(Phase::Linear, at(Site::Score), |e| {
            self.attention.scores(e, &queries, &keys, self.softmax.score_map())
        })?;
        drop((queries, keys));

        let reading = Reading::Scores(&self.attention, &self.softmax);
        let passage = Passage::dense(self.softmax.score_levels());
        let scores = run.cross(at(Site::Score), &scores, passage, Some(reading)).at(at(Site::Score))?;
        let probabilities = run.probabilities(
            at(Site::LogDenominator),
            (&self.softmax, &self.attention),
            &scores,
            Some(Reading::Denominators(&self.attention, &self.softmax)),
        )?;
        run.work(Phase::Linear, at(Site::AttentionOutput), |e| {
            self.attention.weighted_values(e, &probabilities, &values)
        })
    }
}
