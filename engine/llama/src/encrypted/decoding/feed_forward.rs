//! The feed-forward network of a step: from residual to residual.

use fhe_circuits::crossing::SINE_LEVELS;
use fhe_circuits::{Distortion, GatedSilu, Landing, VectorProduct, WeightScales, split_vector};
use fhe_ckks::{Evaluator, Level};

use super::StepPreparation;
use super::layouts::StepLayouts;
use super::norm::VectorNormTurn;
use crate::calibration::LayerRanges;
use crate::encrypted::Polynomial;
use crate::encrypted::execution::Execution;
use crate::encrypted::harness::{Harness, Phase};
use crate::encrypted::location::At;
use crate::encrypted::preparation::check_levels;
use crate::encrypted::projection::{Fill, OutputRange, Projection, common_unit};
use crate::encrypted::reading::Reading;
use crate::encrypted::residual_writer::ResidualWriter;
use crate::encrypted::tensors::{LayerTensors, Tensor, WeightBytes};
use crate::error::Result;
use crate::float::Site;

/// The level of the move from the places of gates to the down projection.
const MOVE_LEVELS: usize = 1;

/// The feed-forward network of one layer of a step, ready to be evaluated.
///
/// Gates and ups are one product and cross together; ups meet the gates by a rotation. The correction of the sine takes every channel to a
/// fraction of the calibrated window of its kind, so that the polynomial, which sees ups as well, sees them inside its interval. Ups also take the share
/// of their channel that the down projection is handed, so that the move there is the same in all layers.
#[derive(Clone, Debug)]
pub(super) struct FeedForwardStep {
    layer: usize,
    norm: VectorNormTurn,
    /// To gates, then ups.
    projection: Projection<VectorProduct>,
    /// What its channels are multiplied by to be fractions of their windows, and of ups the shares of their channels.
    factors: Vec<f64>,
    silu: GatedSilu,
    /// The share of every channel that the down projection is handed; none without scales per row.
    shares: Vec<f64>,
    down: ResidualWriter<VectorProduct>,
}

impl FeedForwardStep {
    pub(super) fn prepare(
        preparation: &StepPreparation<'_>,
        layer: usize,
        weights: &LayerTensors,
        ranges: &LayerRanges,
    ) -> Result<Self> {
        let StepPreparation { config, shape, layouts, residual_unit, options, .. } = *preparation;
        let at = |site: Site| site.in_layer(layer);
        let stacked = Tensor::stacked([&weights.gate, &weights.up]);
        let range = OutputRange { bound: ranges.gate.max(ranges.up), reach: ranges.gate_reach.max(ranges.up_reach) };
        let rounding = (options.weight_bits, options.weight_scales);
        let sides = [&layouts.gated, &layouts.normalised];
        let mut projection = Projection::prepare_for_vectors(shape, at(Site::Gate), &stacked, sides, rounding, range)?;
        let norm = VectorNormTurn::prepare(
            preparation,
            [at(Site::FfnMeanSquare), at(Site::FfnNormalisedInput)],
            ranges.ffn_mean_square,
            ranges.normalised_ffn_input,
            ranges.residual_after_attention,
            common_unit(shape, [&projection]),
        )?;
        projection.scale_output(norm.output_unit(), Fill::Range);
        let windows = [ranges.gate, ranges.up].map(Projection::<VectorProduct>::window_of);
        let of_channel = |channel: usize| windows[channel / config.intermediate_size];
        let channel_ranges = projection.channel_ranges(shape);
        let levels = shape.compute_levels.saturating_sub(SINE_LEVELS + MOVE_LEVELS);
        let silu =
            GatedSilu::new(windows[0], windows[1], Distortion::NONE, options.accuracy(), levels).at(at(Site::Gate))?;
        check_levels(shape, at(Site::Gate), silu.gate_levels() + SINE_LEVELS + MOVE_LEVELS)?;
        let mut down_weights = weights.down.clone();
        let shares = match options.weight_scales {
            WeightScales::PerTensor => Vec::new(),
            WeightScales::PerRow => down_weights.share_columns(config.intermediate_size),
        };
        let share_of = |channel: usize| {
            let up = channel.checked_sub(config.intermediate_size);
            up.and_then(|up| shares.get(up)).copied().unwrap_or(1.0)
        };
        let factors = channel_ranges.iter().enumerate();
        let factors = factors.map(|(channel, range)| range / of_channel(channel) * share_of(channel)).collect();
        let down = ResidualWriter::prepare_for_vectors(
            shape,
            at(Site::DownProjection),
            &down_weights,
            [&layouts.residual, &layouts.down],
            (options.weight_bits, residual_unit),
            (at(Site::GatedProduct), ranges.gated),
        )?;
        Ok(Self { layer, norm, projection, factors, silu, shares, down })
    }

    /// The same with the integers of its matrices.
    pub(super) fn filled(&self, parts: [&Tensor; 2], mut down: Tensor) -> Result<Self> {
        if !self.shares.is_empty() {
            down.share_columns(self.shares.len());
        }
        let projection = self.projection.filled(Tensor::stacked(parts))?;
        Ok(Self { projection, down: self.down.filled(down)?, ..self.clone() })
    }

    /// Bytes of the weights while it runs.
    pub(super) fn weight_bytes(&self) -> WeightBytes {
        [self.projection.weight_bytes(), self.down.weight_bytes()].into_iter().sum()
    }

    pub(super) fn polynomials(&self) -> Vec<Polynomial> {
        vec![
            self.norm.polynomial(),
            Polynomial { location: self.projection.location(), fitted: self.silu.silu().fitted() },
        ]
    }

    pub(super) fn run<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        layouts: &StepLayouts,
        residual: &[E::Coefficients],
    ) -> Result<Vec<E::Coefficients>> {
        let product_site = Site::GatedProduct.in_layer(self.layer);
        let gate_site = self.projection.location();
        let vector = self.norm.run(run, layouts, residual)?;
        let projected = self.projection.run(run, &vector)?;
        let factors = layouts.gated.pack_slots(&self.factors).at(gate_site)?;
        let landing = Landing { levels: self.silu.gate_levels() + MOVE_LEVELS, copies: layouts.gated.copies() };
        let raised = run.climb_scaled(gate_site, &projected, landing, factors)?;
        let products = run.work(Phase::NonLinear, product_site, |e| {
            let waiting = Level(e.shape().slots_to_coefficients_levels + self.silu.up_levels() + MOVE_LEVELS);
            let product = |x: &E::Slots| {
                let up = e.rotate(&e.lower(x, waiting)?, layouts.to_gates)?;
                self.silu.apply(e, x, &up)
            };
            let products = raised.iter().map(product).collect::<Result<Vec<_>, _>>()?;
            layouts.to_down.apply(e, &products)
        })?;
        let gated = run.descend_vector(product_site, (&layouts.down, &products), self.down.input_unit())?;
        let shares = Some(self.shares.as_slice()).filter(|shares| !shares.is_empty());
        run.observe(product_site, &gated, Reading::Vector(&layouts.down, shares));
        let vector = run.work(Phase::Linear, self.down.location(), |e| split_vector(e, &layouts.down, &gated))?;
        let sum = (Site::ResidualAfterFfn.in_layer(self.layer), Reading::Vector(&layouts.residual, None));
        self.down.run(run, &vector, residual, sum)
    }
}
