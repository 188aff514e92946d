//! The feed-forward network of one decoder layer: from residual to residual.

use fhe_circuits::crossing::SINE_LEVELS;
use fhe_circuits::{Distortion, GatedSilu, Layout};
use fhe_ckks::Evaluator;

use super::execution::Execution;
use super::harness::{Harness, Phase, Reading};
use super::location::At;
use super::norm::NormTurn;
use super::projection::{Fill, Projection, ResidualWriter, common_unit};
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
    down_layout: Layout,
    down: ResidualWriter,
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
        let project = |site, matrix: &Tensor, bound| {
            Projection::prepare(preparation, at(site), matrix, &layout, &residual.layout, bound)
        };
        let mut gate = project(Site::Gate, &weights.gate, ranges.gate)?;
        let mut up = project(Site::Up, &weights.up, ranges.up)?;
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
        let silu = GatedSilu::new(gate.range(shape), up.range(shape), Distortion::of(shape), options.accuracy())
            .at(at(Site::Gate))?;
        preparation.check_levels(at(Site::Gate), silu.gate_levels())?;
        preparation.check_levels(at(Site::Up), silu.up_levels() + SINE_LEVELS)?;
        let [to, from] = [at(Site::DownProjection), at(Site::GatedProduct)];
        let down = ResidualWriter::prepare(preparation, to, from, &weights.down, &layout, ranges.gated)?;
        Ok(Self { layer, norm, gate, up, silu, down_layout: layout, down })
    }

    /// The same with the integers of its matrices.
    pub(super) fn filled(&self, [gate, up, down]: [Tensor; 3]) -> Result<Self> {
        let (gate, up) = (self.gate.filled(gate)?, self.up.filled(up)?);
        Ok(Self { gate, up, down: self.down.filled(down)?, ..self.clone() })
    }

    /// Bytes of the weights while it runs.
    pub(super) fn weight_bytes(&self) -> WeightBytes {
        [self.gate.weight_bytes(), self.up.weight_bytes(), self.down.weight_bytes()].into_iter().sum()
    }

    pub(super) fn polynomials(&self) -> [Polynomial; 2] {
        [self.norm.polynomial(), Polynomial::of(self.gate.location(), self.silu.silu())]
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
        let gate = run.climb(self.gate.location(), &gate, self.silu.gate_levels())?;
        let up = run.climb_corrected(self.up.location(), &up, self.silu.up_levels())?;
        let products = run.work(Phase::NonLinear, product_site, |e| {
            gate.iter().zip(&up).map(|(gate, up)| self.silu.apply(e, gate, up)).collect::<Result<Vec<_>, _>>()
        })?;
        drop((gate, up));
        let gated = run.descend(product_site, &products, self.down.input_unit())?;
        run.observe(product_site, &gated, Reading::Dense(&self.down_layout));
        self.down.run(run, &gated, residual, Site::ResidualAfterFfn.in_layer(self.layer))
    }
}
