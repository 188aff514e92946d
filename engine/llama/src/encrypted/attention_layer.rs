//! Attention of one decoder layer: from residual to residual.

use fhe_circuits::{ChannelFactors, Layout, PublicCache, SoftmaxArgument, SoftmaxPolynomial};
use fhe_ckks::LaneProducts;

use super::cache::CacheTurn;
use super::execution::Execution;
use super::harness::Harness;
use super::layer::LayerOutput;
use super::norm::NormTurn;
use super::products::{JointProducts, Operands, Products, WeightedValues};
use super::projection::{Fill, OutputRange, Projection, common_unit};
use super::reading::Reading;
use super::residual_writer::ResidualWriter;
use super::tensors::{LayerTensors, Tensor, WeightBytes};
use super::{Polynomial, Preparation};
use crate::calibration::LayerRanges;
use crate::error::Result;
use crate::float::Site;

/// The attention of one layer, ready to be evaluated.
#[derive(Clone, Debug)]
pub(super) struct AttentionLayer {
    layer: usize,
    norm: NormTurn,
    queries: Projection,
    keys: Projection,
    values: Projection,
    /// What a normalised slot value of 1 stands for in the channels of queries, keys and values.
    ranges: [ChannelFactors; 3],
    products: Products,
    output: ResidualWriter,
    /// Keeps keys and values for the tokens that follow.
    cache: Option<CacheTurn>,
}

impl AttentionLayer {
    pub(super) fn prepare(
        preparation: &Preparation<'_>,
        layer: usize,
        weights: &LayerTensors,
        ranges: &LayerRanges,
        entering: f64,
    ) -> Result<Self> {
        let Preparation { shape, residual, .. } = *preparation;
        let at = |site: Site| site.in_layer(layer);
        let mut products = Products::prepare(preparation, layer, weights, ranges)?;
        let [query_layout, key_layout] = products.projections();
        let project = |site, matrix: &Tensor, layout: &Layout, range| {
            let scales = preparation.options.weight_scales;
            Projection::prepare(preparation, at(site), matrix, layout, &residual.layout, scales, range)
        };
        let mut queries = project(
            Site::Query,
            &weights.q,
            query_layout,
            OutputRange { bound: ranges.query, reach: ranges.query_reach },
        )?;
        let mut keys =
            project(Site::Key, &weights.k, key_layout, OutputRange { bound: ranges.key, reach: ranges.key_reach })?;
        let mut values = project(
            Site::Value,
            &weights.v,
            key_layout,
            OutputRange { bound: ranges.value, reach: ranges.value_reach },
        )?;
        let norm = NormTurn::prepare(
            preparation,
            [at(Site::AttentionMeanSquare), at(Site::AttentionNormalisedInput)],
            ranges.attention_mean_square,
            ranges.normalised_attention_input,
            entering,
            common_unit(shape, [&queries, &keys, &values]),
        )?;
        let [to, from] = [at(Site::OProjection), at(Site::AttentionOutput)];
        // Replicas hold partial sums over keys: each is bounded by the values.
        let output = ResidualWriter::prepare(preparation, to, from, &weights.o, query_layout, ranges.value)?;
        let public_queries = products.joint_mut().map(JointProducts::queries_mut);
        for projection in [&mut queries, &mut keys, &mut values].into_iter().chain(public_queries) {
            projection.scale_output(norm.output_unit(), Fill::Range);
        }
        let cache = if preparation.options.keep_cache {
            Some(CacheTurn::prepare(preparation, layer, weights, ranges, norm.output_unit())?)
        } else {
            None
        };
        let ranges = [&queries, &keys, &values].map(|projection| projection.channel_factors(shape));
        Ok(Self { layer, norm, queries, keys, values, ranges, products, output, cache })
    }

    /// The same with the integers of its matrices, and with the keys and values of the public context, if there is one.
    pub(super) fn filled(&self, [q, k, v, o]: [Tensor; 4], context: Option<PublicCache>) -> Result<Self> {
        let mut products = self.products.clone();
        let cache =
            self.cache.as_ref().map(|cache| cache.filled(k.clone(), v.clone(), context.as_ref())).transpose()?;
        if let (Some(joint), Some(context)) = (products.joint_mut(), context) {
            joint.fill(q.clone(), o.clone(), context)?;
        }
        let (queries, keys, values) = (self.queries.filled(q)?, self.keys.filled(k)?, self.values.filled(v)?);
        Ok(Self { queries, keys, values, products, output: self.output.filled(o)?, cache, ..self.clone() })
    }

    /// Bytes of the weights while it runs.
    pub(super) fn weight_bytes(&self) -> WeightBytes {
        let projections = [&self.queries, &self.keys, &self.values].map(Projection::weight_bytes);
        let cache = self.cache.as_ref().map(CacheTurn::weight_bytes);
        let joint = self.products.joint().map(JointProducts::weight_bytes);
        projections.into_iter().chain([self.output.weight_bytes()]).chain(cache).chain(joint).sum()
    }

    pub(super) fn polynomials(&self) -> Vec<Polynomial> {
        [self.norm.polynomial()]
            .into_iter()
            .chain(softmax_polynomials(self.products.polynomials(), self.layer))
            .collect()
    }

    pub(super) fn run<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        residual_layout: &Layout,
        residual: &[E::Coefficients],
    ) -> Result<LayerOutput<E>> {
        let at = |site: Site| site.in_layer(self.layer);
        let rows = self.norm.run(run, residual_layout, residual)?;
        let cache = self.cache.as_ref().map(|cache| cache.run(run, &rows)).transpose()?;
        let queries = self.queries.run(run, &rows)?;
        let keys = self.keys.run(run, &rows)?;
        let values = self.values.run(run, &rows)?;
        let joint = self.products.joint();
        let public_queries = joint.map(|joint| joint.project(run, &rows)).transpose()?;
        drop(rows);
        let operands = Operands::climb(run, self.layer, self.products.operand_levels(), [queries, keys, values])?;
        let WeightedValues { own, public } =
            self.products.run(run, self.layer, (operands, public_queries), &self.ranges)?;
        let output = run.descend(at(Site::AttentionOutput), &own, self.output.input_unit())?;
        drop(own);
        if let Some(reading) = self.products.output_reading() {
            run.observe(at(Site::AttentionOutput), &output, reading);
        }
        let rows = run.split_rows(self.output.location(), residual_layout.module(), &output)?;
        let public = joint.zip(public).map(|(joint, public)| joint.update(run, residual_layout.module(), &public));
        let sum = (at(Site::ResidualAfterAttention), Reading::Dense(residual_layout));
        Ok(LayerOutput { residual: self.output.run_with(run, &rows, public.transpose()?, residual, sum)?, cache })
    }
}

/// The polynomials of a SoftMax of a layer.
pub(super) fn softmax_polynomials(
    polynomials: Vec<SoftmaxPolynomial>,
    layer: usize,
) -> impl Iterator<Item = Polynomial> {
    polynomials.into_iter().map(move |polynomial| {
        let site = match polynomial.argument {
            SoftmaxArgument::Score => Site::Score,
            SoftmaxArgument::Denominator | SoftmaxArgument::SumOfSquares { .. } => Site::LogDenominator,
        };
        Polynomial { location: site.in_layer(layer), fitted: polynomial.fitted }
    })
}
