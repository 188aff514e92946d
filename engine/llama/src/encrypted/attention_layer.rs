//! Attention of one decoder layer: from residual to residual.

use fhe_circuits::crossing::SINE_LEVELS;
use fhe_circuits::{Interval, Layout, RotaryAngles, SlotAttention, Softmax, SoftmaxWindows};
use fhe_ckks::{CircuitShape, Evaluator, Level};

use super::execution::Execution;
use super::harness::{Harness, Phase, Reading};
use super::location::At;
use super::norm::NormTurn;
use super::projection::{Fill, Projection, ResidualWriter, common_unit, with_gamma};
use super::{Polynomial, Preparation};
use crate::calibration::LayerRanges;
use crate::error::{Error, Result};
use crate::float::{Location, Site};
use crate::weights::LayerWeights;

/// The attention of one layer, ready to be evaluated.
#[derive(Clone, Debug)]
pub(super) struct AttentionLayer {
    layer: usize,
    norm: NormTurn,
    queries: Projection,
    keys: Projection,
    values: Projection,
    ranges: [f64; 3],
    attention: SlotAttention,
    angles: RotaryAngles,
    softmax: Softmax,
    output_layout: Layout,
    output: ResidualWriter,
}

/// Levels of the scores' operands after the correction of the sine.
const OPERAND_LEVELS: usize = SlotAttention::PLACEMENT_LEVELS + SlotAttention::SCORE_LEVELS;
/// Levels of the values after the correction of the sine; they climb with the others and are lowered.
const VALUE_LEVELS: usize = SlotAttention::PLACEMENT_LEVELS + SlotAttention::VALUE_LEVELS;
const _: () = assert!(VALUE_LEVELS <= OPERAND_LEVELS);

impl AttentionLayer {
    pub(super) fn prepare(
        preparation: &Preparation<'_>,
        layer: usize,
        weights: &LayerWeights,
        ranges: &LayerRanges,
        entering: f64,
    ) -> Result<Self> {
        let Preparation { config, block, shape, module, residual, options } = *preparation;
        let at = |site: Site| site.in_layer(layer);
        let attention =
            SlotAttention::new(module, config.num_attention_heads, config.head_dim, |q, k| block.attends(q, k))
                .at(at(Site::Score))?;
        let positions = (0..block.size()).map(|position| block.rotary_position(position)).collect();
        let angles = RotaryAngles::new(config.rope_theta, config.head_dim, positions);

        let query_layout = attention.heads().projection(config.num_attention_heads).at(at(Site::Query))?;
        let key_layout = attention.heads().projection(config.num_key_value_heads).at(at(Site::Key))?;
        let project = |site, matrix: &crate::Matrix, layout: &Layout, bound| {
            let matrix = with_gamma(matrix.clone(), &weights.input_norm);
            Projection::prepare(preparation, at(site), &matrix, layout, &residual.layout, bound)
        };
        let mut queries = project(Site::Query, &weights.q, &query_layout, ranges.query)?;
        let mut keys = project(Site::Key, &weights.k, &key_layout, ranges.key)?;
        let mut values = project(Site::Value, &weights.v, &key_layout, ranges.value)?;
        let norm = NormTurn::prepare(
            preparation,
            [at(Site::AttentionMeanSquare), at(Site::AttentionNormalisedInput)],
            ranges.attention_mean_square,
            ranges.normalised_attention_input,
            entering,
            common_unit(shape, [&queries, &keys, &values]),
        )?;
        for projection in [&mut queries, &mut keys, &mut values] {
            projection.scale_output(norm.output_unit(), Fill::Range);
        }

        let windows = SoftmaxWindows {
            centres: ranges.score_centre.clone(),
            half_width: ranges.score_half_width,
            denominator: Interval::new(ranges.denominator.lo, ranges.denominator.hi),
        };
        let softmax =
            Softmax::new(options.softmax, &windows, config.head_dim, shape, options.tolerance).at(at(Site::Score))?;
        preparation.check_levels(at(Site::Query), OPERAND_LEVELS + SINE_LEVELS)?;
        let after = SlotAttention::PROBABILITY_LEVELS;
        preparation.check_levels(at(Site::Score), softmax.score_levels() + after)?;
        preparation.check_levels(at(Site::LogDenominator), softmax.denominator_levels(after))?;

        let locations = [at(Site::OProjection), at(Site::AttentionOutput)];
        let [to, from] = locations;
        // Replicas hold partial sums over keys: each is bounded by the values.
        let output = ResidualWriter::prepare(preparation, to, from, &weights.o, &query_layout, ranges.value)?;
        let output_ranges = [&queries, &keys, &values].map(|projection| projection.range(shape));
        Ok(Self {
            layer,
            norm,
            queries,
            keys,
            values,
            ranges: output_ranges,
            attention,
            angles,
            softmax,
            output_layout: query_layout,
            output,
        })
    }

    pub(super) fn polynomials(&self) -> [Polynomial; 3] {
        [
            self.norm.polynomial(),
            Polynomial::of(Site::Score.in_layer(self.layer), self.softmax.exponential()),
            Polynomial::of(Site::LogDenominator.in_layer(self.layer), self.softmax.inverse()),
        ]
    }

    pub(super) fn run<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        residual_layout: &Layout,
        residual: &[E::Coefficients],
    ) -> Result<Vec<E::Coefficients>> {
        let at = |site: Site| site.in_layer(self.layer);
        let rows = self.norm.run(run, residual_layout, residual)?;
        let [query_range, key_range, value_range] = self.ranges;
        let queries = self.queries.run(run, &rows)?;
        let keys = self.keys.run(run, &rows)?;
        let values = self.values.run(run, &rows)?;
        drop(rows);

        // One call for all three, so that they share what a half bootstrap reads; the values wait below the others.
        let [first_key, first_value] = [queries.len(), queries.len() + keys.len()];
        let projections: Vec<E::Coefficients> = queries.into_iter().chain(keys).chain(values).collect();
        let climbed = run.climb_corrected(at(Site::Query), &projections, OPERAND_LEVELS)?;
        let (operands, values) = climbed.split_at(first_value);
        let (queries, keys) = operands.split_at(first_key);
        let values = run.work(Phase::NonLinear, at(Site::Value), |e| {
            let level = Level(e.shape().slots_to_coefficients_levels + VALUE_LEVELS);
            let values = values.iter().map(|x| e.lower(x, level)).collect::<std::result::Result<Vec<_>, _>>()?;
            self.attention.place_values(e, &values, value_range)
        })?;
        let queries = run.work(Phase::NonLinear, at(Site::RotatedQuery), |e| {
            self.attention.place_queries(e, &self.angles, queries, query_range)
        })?;
        let keys = run.work(Phase::NonLinear, at(Site::RotatedKey), |e| {
            self.attention.place_keys(e, &self.angles, keys, key_range)
        })?;
        let scores = run.work(Phase::Linear, at(Site::Score), |e| {
            self.attention.scores(e, &queries, &keys, self.softmax.score_map())
        })?;
        drop((climbed, queries, keys));

        let probabilities = self.probabilities(run, &scores)?;
        let output = run.work(Phase::Linear, at(Site::AttentionOutput), |e| {
            self.attention.weighted_values(e, &probabilities, &values)
        })?;
        let output = run.descend(at(Site::AttentionOutput), &output, self.output.input_unit())?;
        run.observe(at(Site::AttentionOutput), &output, Reading::Sums(&self.output_layout));
        self.output.run(run, &output, residual, at(Site::ResidualAfterAttention))
    }

    fn probabilities<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        scores: &[E::Slots],
    ) -> Result<Vec<E::Slots>> {
        let at = |site: Site| site.in_layer(self.layer);
        let after = SlotAttention::PROBABILITY_LEVELS;
        let reading = Reading::Scores(&self.attention, &self.softmax);
        let scores =
            run.cross(at(Site::Score), scores, self.softmax.score_levels() + after, reading).at(at(Site::Score))?;
        run.phase(Phase::NonLinear);
        let e = run.e;
        let mut crossing = |denominators: Vec<E::Slots>, levels: usize| {
            let reading = Reading::Denominators(&self.attention, &self.softmax);
            let crossed = run.cross(at(Site::LogDenominator), &denominators, levels, reading);
            run.phase(Phase::NonLinear);
            crossed
        };
        self.softmax.apply(e, &self.attention, &scores, after, &mut crossing).at(at(Site::LogDenominator))
    }
}

impl Preparation<'_> {
    /// Refuses a turn that needs more levels than a half bootstrap leaves.
    pub(super) fn check_levels(&self, location: Location, found: usize) -> Result<()> {
        let CircuitShape { compute_levels: required, .. } = *self.shape;
        if found <= required { Ok(()) } else { Err(Error::Levels { location, found, required }) }
    }
}
