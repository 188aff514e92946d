//! The feed-forward network of one decoder layer: from residual to residual.

use fhe_circuits::crossing::SINE_LEVELS;
use fhe_circuits::{Distortion, GatedSilu, Layout, WeightScales};
use fhe_ckks::Evaluator;

use super::execution::Execution;
use super::harness::{Harness, Phase};
use super::location::At;
use super::norm::NormTurn;
use super::projection::{Fill, OutputRange, Projection, common_unit};
use super::reading::Reading;
use super::residual_writer::ResidualWriter;
use super::tensors::{LayerTensors, Tensor, WeightBytes};
use super::{Polynomial, Preparation};
use crate::calibration::LayerRanges;
use crate::error::Result;
use crate::float::Site;

/// The feed-forward network of one layer, ready to be evaluated.
#[derive(Clone, Debug)]
pub(super) struct FeedForwardLayer {
    layer: usize,
    norm: NormTurn,
    gate: Projection,
    up: Projection,
    silu: GatedSilu,
    /// With scales per row.
    rows: Option<Rows>,
    down_layout: Layout,
    down: ResidualWriter,
}

/// What undoes scales per row.
#[derive(Clone, Debug)]
struct Rows {
    /// What channels of gate and up are multiplied by to be fractions of their windows; of up, to be a share of that.
    factors: [Vec<f64>; 2],
    /// The share of every channel that the down projection is handed.
    shares: Vec<f64>,
}

impl FeedForwardLayer {
    pub(super) fn prepare(
        preparation: &Preparation<'_>,
        layer: usize,
        weights: &LayerTensors,
        ranges: &LayerRanges,
    ) -> Result<Self> {
        let Preparation { config, shape, module, residual, options, .. } = *preparation;
        let at = |site: Site| site.in_layer(layer);
        let layout = Layout::dense(module, config.intermediate_size);
        let scales = options.weight_scales;
        let project = |site, matrix: &Tensor, range| {
            Projection::prepare(preparation, at(site), matrix, &layout, &residual.layout, scales, range)
        };
        let mut gate =
            project(Site::Gate, &weights.gate, OutputRange { bound: ranges.gate, reach: ranges.gate_reach })?;
        let mut up = project(Site::Up, &weights.up, OutputRange { bound: ranges.up, reach: ranges.up_reach })?;
        let norm = NormTurn::prepare(
            preparation,
            [at(Site::FfnMeanSquare), at(Site::FfnNormalisedInput)],
            ranges.ffn_mean_square,
            ranges.normalised_ffn_input,
            ranges.residual_after_attention,
            common_unit(shape, [&gate, &up]),
        )?;
        for projection in [&mut gate, &mut up] {
            projection.scale_output(norm.output_unit(), Fill::Range);
        }
        let mut down_weights = weights.down.clone();
        let (silu, rows, correction) = match scales {
            WeightScales::PerTensor => {
                let ranges = [&gate, &up].map(|projection| projection.range(shape));
                let (distortion, levels) = (Distortion::of(shape), shape.compute_levels);
                (GatedSilu::new(ranges[0], ranges[1], distortion, options.accuracy(), levels), None, 0)
            }
            // A factor of its own for each channel comes between the distortion of the bootstrap and SiLU, so that the one cannot be part of
            // the other's polynomial. The explicit correction carries the factors, and takes SiLU's window to the calibrated one.
            WeightScales::PerRow => {
                let windows = [&gate, &up].map(Projection::window);
                let shares = down_weights.share_columns(config.intermediate_size);
                let [gate_factors, mut up_factors] = [&gate, &up].map(|projection| {
                    let ranges = projection.channel_ranges(shape);
                    ranges.iter().map(|range| range / projection.window()).collect::<Vec<_>>()
                });
                up_factors.iter_mut().zip(&shares).for_each(|(factor, share)| *factor *= share);
                let levels = shape.compute_levels.saturating_sub(SINE_LEVELS);
                let silu = GatedSilu::new(windows[0], windows[1], Distortion::NONE, options.accuracy(), levels);
                (silu, Some(Rows { factors: [gate_factors, up_factors], shares }), SINE_LEVELS)
            }
        };
        let silu = silu.at(at(Site::Gate))?;
        preparation.check_levels(at(Site::Gate), silu.gate_levels() + correction)?;
        preparation.check_levels(at(Site::Up), silu.up_levels() + SINE_LEVELS)?;
        let [to, from] = [at(Site::DownProjection), at(Site::GatedProduct)];
        let down = ResidualWriter::prepare(preparation, to, from, &down_weights, &layout, ranges.gated)?;
        Ok(Self { layer, norm, gate, up, silu, rows, down_layout: layout, down })
    }

    /// The same with the integers of its matrices.
    pub(super) fn filled(&self, [gate, up, mut down]: [Tensor; 3]) -> Result<Self> {
        if self.rows.is_some() {
            down.share_columns(self.down_layout.channels());
        }
        let (gate, up) = (self.gate.filled(gate)?, self.up.filled(up)?);
        Ok(Self { gate, up, down: self.down.filled(down)?, ..self.clone() })
    }

    /// Bytes of the weights while it runs.
    pub(super) fn weight_bytes(&self) -> WeightBytes {
        [self.gate.weight_bytes(), self.up.weight_bytes(), self.down.weight_bytes()].into_iter().sum()
    }

    pub(super) fn polynomials(&self) -> [Polynomial; 2] {
        [self.norm.polynomial(), Polynomial { location: self.gate.location(), fitted: self.silu.silu().fitted() }]
    }

    pub(super) fn run<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        residual_layout: &Layout,
        residual: &[E::Coefficients],
    ) -> Result<Vec<E::Coefficients>> {
        let product_site = Site::GatedProduct.in_layer(self.layer);
        let rows = self.norm.run(run, residual_layout, residual)?;
        let gate = self.gate.run(run, &rows)?;
        let up = self.up.run(run, &rows)?;
        drop(rows);
        let [gate_levels, up_levels] = [self.silu.gate_levels(), self.silu.up_levels()];
        let [gate, up] = match &self.rows {
            None => [
                run.climb(self.gate.location(), &gate, gate_levels)?,
                run.climb_corrected(self.up.location(), &up, up_levels)?,
            ],
            Some(Rows { factors: [gate_factors, up_factors], .. }) => {
                let plains = |projection: &Projection, factors: &[f64]| {
                    projection.layout().channel_plains(factors).at(projection.location())
                };
                let gate_plains = plains(&self.gate, gate_factors)?;
                let gate = run.climb_scaled(self.gate.location(), &gate, gate_levels, gate_plains)?;
                let up_plains = plains(&self.up, up_factors)?;
                [gate, run.climb_scaled(self.up.location(), &up, up_levels, up_plains)?]
            }
        };
        let products = run.work(Phase::NonLinear, product_site, |e| {
            gate.iter().zip(&up).map(|(gate, up)| self.silu.apply(e, gate, up)).collect::<Result<Vec<_>, _>>()
        })?;
        drop((gate, up));
        let gated = run.descend(product_site, &products, self.down.input_unit())?;
        let reading = match &self.rows {
            None => Reading::Dense(&self.down_layout),
            Some(rows) => Reading::Shares(&self.down_layout, &rows.shares),
        };
        run.observe(product_site, &gated, reading);
        let rows = run.split_rows(self.down.location(), residual_layout.module(), &gated)?;
        let sum = (Site::ResidualAfterFfn.in_layer(self.layer), Reading::Dense(residual_layout));
        self.down.run(run, &rows, residual, sum)
    }
}
