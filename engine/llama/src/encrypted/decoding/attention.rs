//! Attention of a step: the residual of one token and a cache, to the residual.

use fhe_circuits::crossing::SINE_LEVELS;
use fhe_circuits::{
    CacheLayout, CircuitError, KeyValueCache, Landing, Passage, PublicPages, RotaryAngles, Softmax, SoftmaxVariant,
    VectorProduct, split_vector,
};
use fhe_ckks::{Evaluator, Level};

use super::StepPreparation;
use super::layouts::StepLayouts;
use super::norm::VectorNormTurn;
use crate::calibration::LayerRanges;
use crate::encrypted::Polynomial;
use crate::encrypted::attention_layer::softmax_polynomials;
use crate::encrypted::execution::Execution;
use crate::encrypted::harness::{Harness, Phase};
use crate::encrypted::location::At;
use crate::encrypted::preparation::check_levels;
use crate::encrypted::products::softmax_windows;
use crate::encrypted::projection::{Fill, OutputRange, Projection, common_unit};
use crate::encrypted::reading::Reading;
use crate::encrypted::residual_writer::ResidualWriter;
use crate::encrypted::tensors::{LayerTensors, Tensor, WeightBytes};
use crate::error::Result;
use crate::float::Site;

/// Levels of queries, keys and values after the correction of the sine.
const OPERAND_LEVELS: usize = CacheLayout::PLACEMENT_LEVELS + CacheLayout::QUERY_LEVELS;

/// The probability that fills the range of a half bootstrap: a little more than there is, for the error of SoftMax.
const PROBABILITY_RANGE: f64 = 1.0 + 1.0 / 64.0;

/// Levels of probabilities that have crossed, after the correction of the sine.
const CROSSED_LEVELS: usize = CacheLayout::PROBABILITY_LEVELS + CacheLayout::PLACEMENT_LEVELS;

/// The attention of one layer of a step, ready to be evaluated.
#[derive(Clone, Debug)]
pub(super) struct AttentionStep {
    layer: usize,
    head_dim: usize,
    norm: VectorNormTurn,
    /// To queries, keys and values at once.
    projection: Projection<VectorProduct>,
    /// What a normalised slot value of 1 stands for in the channels of the projection: the correction of the sine takes them to their values, so that
    /// what brings them to their places is the same in all layers.
    ranges: Vec<f64>,
    softmax: Softmax,
    /// Whether its probabilities cross once more.
    crosses: bool,
    output: ResidualWriter<VectorProduct>,
}

impl AttentionStep {
    pub(super) fn prepare(
        preparation: &StepPreparation<'_>,
        layer: usize,
        weights: &LayerTensors,
        ranges: &LayerRanges,
        entering: f64,
    ) -> Result<Self> {
        let StepPreparation { config, shape, layouts, residual_unit, options, capacity } = *preparation;
        let at = |site: Site| site.in_layer(layer);
        let stacked = Tensor::stacked([&weights.q, &weights.k, &weights.v]);
        let range = OutputRange {
            bound: ranges.query.max(ranges.key).max(ranges.value),
            reach: ranges.query_reach.max(ranges.key_reach).max(ranges.value_reach),
        };
        let rounding = (options.weight_bits, options.weight_scales);
        let sides = [&layouts.projection, &layouts.normalised];
        let mut projection = Projection::prepare_for_vectors(shape, at(Site::Query), &stacked, sides, rounding, range)?;
        let norm = VectorNormTurn::prepare(
            preparation,
            [at(Site::AttentionMeanSquare), at(Site::AttentionNormalisedInput)],
            ranges.attention_mean_square,
            ranges.normalised_attention_input,
            entering,
            common_unit(shape, [&projection]),
        )?;
        projection.scale_output(norm.output_unit(), Fill::Range);
        let windows = softmax_windows(options.softmax, ranges);
        // With as few half bootstraps as the levels allow.
        let (variant, accuracy, head_dim) = (options.softmax, options.accuracy(), config.head_dim);
        let kept = match variant {
            SoftmaxVariant::NormalizeAndSquare { .. } => {
                let kept = layouts.cache.scores_of::<false>(capacity);
                match Softmax::new(variant, &windows, head_dim, shape, accuracy, &kept) {
                    Err(CircuitError::Approximation { .. }) => None,
                    softmax => Some(softmax.at(at(Site::Score))?),
                }
            }
            // Their last factor makes no selections.
            _ => None,
        };
        let fits = |softmax: &Softmax| softmax.score_levels().max(softmax.crossing_levels()) <= shape.compute_levels;
        let (softmax, crosses) = match kept.filter(fits) {
            Some(softmax) => (softmax, false),
            None => {
                let crossing = layouts.cache.scores_of::<true>(capacity);
                let softmax = Softmax::new(variant, &windows, head_dim, shape, accuracy, &crossing);
                (softmax.at(at(Site::Score))?, true)
            }
        };
        check_levels(shape, at(Site::Query), OPERAND_LEVELS + SINE_LEVELS)?;
        check_levels(shape, at(Site::Score), softmax.score_levels())?;
        check_levels(shape, at(Site::LogDenominator), softmax.crossing_levels())?;
        if crosses {
            check_levels(shape, at(Site::AttentionOutput), CROSSED_LEVELS + SINE_LEVELS)?;
        }
        let output = ResidualWriter::prepare_for_vectors(
            shape,
            at(Site::OProjection),
            &weights.o,
            [&layouts.residual, &layouts.output],
            (options.weight_bits, residual_unit),
            (at(Site::AttentionOutput), ranges.attention_output),
        )?;
        let ranges = projection.channel_ranges(shape);
        Ok(Self { layer, head_dim, norm, projection, ranges, softmax, crosses, output })
    }

    /// The same with the integers of its matrices.
    pub(super) fn filled(&self, parts: [&Tensor; 3], output: Tensor) -> Result<Self> {
        let projection = self.projection.filled(Tensor::stacked(parts))?;
        Ok(Self { projection, output: self.output.filled(output)?, ..self.clone() })
    }

    /// Bytes of the weights while it runs.
    pub(super) fn weight_bytes(&self) -> WeightBytes {
        [self.projection.weight_bytes(), self.output.weight_bytes()].into_iter().sum()
    }

    pub(super) fn polynomials(&self) -> Vec<Polynomial> {
        [self.norm.polynomial()]
            .into_iter()
            .chain(softmax_polynomials(self.softmax.polynomials(), self.layer))
            .collect()
    }

    pub(super) fn run<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        layouts: &StepLayouts,
        rope_theta: f64,
        (public, cache): (&PublicPages, &mut KeyValueCache<E::Slots>),
        residual: &[E::Coefficients],
    ) -> Result<Vec<E::Coefficients>> {
        let at = |site: Site| site.in_layer(self.layer);
        let heads = &layouts.cache;
        let vector = self.norm.run(run, layouts, residual)?;
        let projected = self.projection.run(run, &vector)?;
        let ranges = layouts.projection.pack_slots(&self.ranges).at(at(Site::Query))?;
        let landing = Landing { levels: OPERAND_LEVELS, copies: layouts.projection.copies() };
        let raised = run.climb_scaled(at(Site::Query), &projected, landing, ranges)?;
        let queries = run.work(Phase::NonLinear, at(Site::RotatedQuery), |e| {
            let position = cache.length();
            let angles = || RotaryAngles::new(rope_theta, self.head_dim, vec![position]);
            let placed = layouts.placement(position, angles)?.apply(e, &raised)?;
            let kept = Level(e.shape().slots_to_coefficients_levels + CacheLayout::KEPT_LEVELS);
            let [queries, keys, values] = &placed[..] else { unreachable!("a placement has three targets") };
            heads.append(e, cache, &e.lower(keys, kept)?, &e.lower(values, kept)?)?;
            Ok(queries.clone())
        })?;
        let scores = run.work(Phase::Linear, at(Site::Score), |e| {
            heads.scores(e, &queries, (public, cache), self.softmax.score_map())
        })?;
        let passage =
            Passage { copies: heads.score_copies(cache.length()), ..Passage::dense(self.softmax.score_levels()) };
        let scores = run.cross(at(Site::Score), &scores, passage, None).at(at(Site::Score))?;
        let (location, length) = (at(Site::LogDenominator), cache.length());
        let selected = if self.crosses {
            let layout = heads.scores_of::<true>(length);
            let ended = run.probabilities(location, (&self.softmax, &layout), &scores, None)?;
            let unit = run.e.shape().full_scale / PROBABILITY_RANGE;
            let ended = run.descend(at(Site::AttentionOutput), &ended, unit)?;
            let probabilities = run.climb_corrected(at(Site::AttentionOutput), &ended, CROSSED_LEVELS)?;
            let select = |e: &E| heads.select(e, &probabilities, PROBABILITY_RANGE, length);
            run.work(Phase::Linear, at(Site::AttentionOutput), select)?
        } else {
            let (layout, selections) = (heads.scores_of::<false>(length), heads.selections(length));
            run.selected_probabilities(location, (&self.softmax, &layout), (&scores, &selections))?
        };
        let outputs = run.work(Phase::Linear, at(Site::AttentionOutput), |e| {
            layouts.to_output.apply(e, &heads.weighted_values(e, &selected, (public, cache))?)
        })?;
        let outputs =
            run.descend_vector(at(Site::AttentionOutput), (&layouts.output, &outputs), self.output.input_unit())?;
        run.observe(at(Site::AttentionOutput), &outputs, Reading::Vector(&layouts.output, None));
        let vector = run.work(Phase::Linear, self.output.location(), |e| split_vector(e, &layouts.output, &outputs))?;
        let sum = (at(Site::ResidualAfterAttention), Reading::Vector(&layouts.residual, None));
        self.output.run(run, &vector, residual, sum)
    }
}
