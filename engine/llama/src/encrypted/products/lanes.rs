//! Products of all heads over lanes.
//!
//! **Units.** Factors stand in slots normalised by calibrated bounds, queries and keys with their positions, so that none exceeds 1. A product's
//! unit is chosen so that its coefficients fill the range of a half bootstrap without leaving it. A coefficient is a mean over the lanes:
//! it is bounded by the mean of the bounds of the heads, padding lanes counting as zero, and not by the largest of them. A
//! head's scores are bounded by its window, which must cover the pairs that the mask removes: their scores are computed too, and one
//! coefficient out of range would spoil a row of all heads. What the unit leaves to be done for normalised scores and true
//! outputs is a factor of the map that makes lanes of coefficients.

use std::sync::Arc;

use fhe_circuits::crossing::{self, SINE_LEVELS};
use fhe_circuits::{ChannelFactors, LaneAttention, LaneScores, Layout, PrefixRows, RotaryAngles, ScoreMap, Softmax};
use fhe_ckks::LaneProducts;

use super::Operands;
use crate::calibration::LayerRanges;
use crate::encrypted::Preparation;
use crate::encrypted::execution::Execution;
use crate::encrypted::harness::{Harness, Phase};
use crate::encrypted::location::At;
use crate::encrypted::projection::filling_unit;
use crate::encrypted::reading::Reading;
use crate::error::Result;
use crate::float::Site;

/// What the first product leaves.
pub(super) struct ScoresAndValues<E: LaneProducts> {
    pub(super) scores: Vec<E::Coefficients>,
    pub(super) values: Vec<E::Slots>,
}

/// The attention of one layer over lanes.
#[derive(Clone, Debug)]
pub(in crate::encrypted) struct ProductsOverLanes {
    scores: LaneScores,
    angles: RotaryAngles,
    projections: [Layout; 2],
    /// What a factor of 1 stands for: rotated queries, rotated keys, values.
    bounds: [f64; 3],
    /// Keys and values of the public prefix, in these units.
    prefix: [PrefixRows; 2],
    /// Integers for 1 of the products of normalised factors: scores, outputs.
    product_units: [f64; 2],
    /// True score for a product of 1.
    score_scale: f64,
}

impl ProductsOverLanes {
    /// Levels of queries, keys and values after the correction of the sine.
    pub(super) const OPERAND_LEVELS: usize = LaneAttention::QUERY_LEVELS + LaneAttention::FACTOR_LEVELS;

    pub(super) fn prepare(
        preparation: &Preparation<'_>,
        lanes: &Arc<LaneAttention>,
        layer: usize,
        ranges: &LayerRanges,
    ) -> Result<Self> {
        const { assert!(LaneAttention::QUERY_LEVELS == LaneAttention::KEY_LEVELS) };
        let Preparation { config, block, shape, .. } = *preparation;
        let at = |site: Site| site.in_layer(layer);
        let scores = LaneScores::new(Arc::clone(lanes), |query, key| block.embedded().attends(query, key))
            .at(at(Site::Score))?;
        let projections = [lanes.layout().queries().at(at(Site::Query))?, lanes.layout().keys().at(at(Site::Key))?];
        preparation.check_levels(at(Site::Query), Self::OPERAND_LEVELS + SINE_LEVELS)?;
        preparation.check_levels(at(Site::AttentionOutput), LaneAttention::OUTPUT_LEVELS + SINE_LEVELS)?;

        // A tensor that calibration saw vanish gets a bound of 1.
        let bounds =
            [ranges.rotated_query, ranges.rotated_key, ranges.value].map(|bound| if bound > 0.0 { bound } else { 1.0 });
        let [query_bound, key_bound, value_bound] = bounds;
        let prefix = [
            preparation.prefix.rows(at(Site::RotatedKey), key_bound, ranges.rotated_key)?,
            preparation.prefix.rows(at(Site::Value), value_bound, ranges.value)?,
        ];
        let score_scale = query_bound * key_bound / (config.head_dim as f64).sqrt();
        let largest_score =
            lanes.coefficient_bound(|head| (ranges.score_centre[head].abs() + ranges.score_half_width) / score_scale);
        // Weighted values are no larger than values.
        let largest_output = lanes.coefficient_bound(|_| (ranges.attention_output / value_bound).clamp(0.0, 1.0));
        let product_units =
            [largest_score, largest_output].map(|bound| filling_unit(shape, if bound > 0.0 { bound } else { 1.0 }));
        let angles = preparation.angles();
        Ok(Self { scores, angles, projections, bounds, prefix, product_units, score_scale })
    }

    pub(super) fn projections(&self) -> [&Layout; 2] {
        self.projections.each_ref()
    }

    /// The scores as SoftMax sees them.
    pub(super) fn scores(&self) -> &LaneScores {
        &self.scores
    }

    /// Scores as coefficients of lanes, and the values where their product wants them.
    pub(super) fn products<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        layer: usize,
        operands: Operands<E::Slots>,
        [query_ranges, key_ranges, value_ranges]: &[ChannelFactors; 3],
    ) -> Result<ScoresAndValues<E>> {
        let at = |site: Site| site.in_layer(layer);
        let attention = self.scores.attention();
        let [query_bound, key_bound, value_bound] = self.bounds;
        let [score_unit, _] = self.product_units;
        let [prefix_keys, prefix_values] = &self.prefix;
        let Operands { queries, keys, values } = operands;
        let queries = run.work(Phase::NonLinear, at(Site::RotatedQuery), |e| {
            attention.place_queries(e, &self.angles, &queries, query_ranges.times(1.0 / query_bound))
        })?;
        let keys = run.work(Phase::NonLinear, at(Site::RotatedKey), |e| {
            attention.place_keys(e, &self.angles, &keys, key_ranges.times(1.0 / key_bound), prefix_keys)
        })?;
        let values = run.work(Phase::NonLinear, at(Site::Value), |e| {
            attention.place_values(e, &values, value_ranges.times(1.0 / value_bound), prefix_values)
        })?;
        let scores = run.work(Phase::Linear, at(Site::Score), |e| {
            attention.scores(e, &queries, &keys, factor_units(e, score_unit))
        })?;
        drop((queries, keys));
        run.observe(at(Site::Score), &scores, Reading::LaneScores(attention, self.score_scale));
        Ok(ScoresAndValues { scores, values })
    }

    /// Normalised scores in slots, raised to so many levels and opened.
    pub(super) fn open<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        layer: usize,
        scores: &[E::Coefficients],
        (map, levels): (&ScoreMap, usize),
    ) -> Result<Vec<E::Slots>> {
        let at = |site: Site| site.in_layer(layer);
        let [query_bound, key_bound, _] = self.bounds;
        let raised = run.climb(at(Site::Score), scores, levels)?;
        run.work(Phase::NonLinear, at(Site::Score), |e| {
            let corrected = crossing::correct(e, &raised)?;
            let factor = map.scale * query_bound * key_bound * e.shape().full_scale / self.product_units[0];
            let opened = self.scores.attention().open_scores(e, &corrected, factor)?;
            let centred = opened.iter().enumerate().map(|(ciphertext, scores)| {
                Ok(e.add_plain(scores, &self.scores.pair_plain(ciphertext, |pair| -map.centres[pair.head]))?)
            });
            centred.collect()
        })
    }

    /// Weighted values in true values, in slots, from probabilities and values.
    pub(super) fn weigh<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        layer: usize,
        probabilities: Vec<E::Slots>,
        values: Vec<E::Slots>,
    ) -> Result<Vec<E::Slots>> {
        let location = Site::AttentionOutput.in_layer(layer);
        let attention = self.scores.attention();
        let ([_, output_unit], [_, _, value_bound]) = (self.product_units, self.bounds);
        let outputs = run.work(Phase::Linear, location, |e| {
            attention.weighted_values(e, &probabilities, &values, factor_units(e, output_unit))
        })?;
        drop((probabilities, values));
        let outputs = run.climb_corrected(location, &outputs, LaneAttention::OUTPUT_LEVELS)?;
        run.work(Phase::NonLinear, location, |e| {
            attention.open_output(e, &outputs, value_bound * e.shape().full_scale / output_unit)
        })
    }

    /// All of it with a SoftMax of its own.
    pub(super) fn run<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        layer: usize,
        operands: Operands<E::Slots>,
        (softmax, ranges): (&Softmax, &[ChannelFactors; 3]),
    ) -> Result<Vec<E::Slots>> {
        let ScoresAndValues { scores, values } = self.products(run, layer, operands, ranges)?;
        let scores = self.open(run, layer, &scores, (softmax.score_map(), softmax.score_levels()))?;
        let reading = Reading::LaneDenominators(&self.scores, softmax);
        let location = Site::LogDenominator.in_layer(layer);
        let probabilities = run.probabilities(location, (softmax, &self.scores), &scores, Some(reading))?;
        self.weigh(run, layer, probabilities, values)
    }
}

/// Units of two factors whose product has this one.
fn factor_units<E: LaneProducts>(e: &E, product: f64) -> [f64; 2] {
    [(product * e.shape().lane_divisor).sqrt(); 2]
}
