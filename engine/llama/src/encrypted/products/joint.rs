//! Products of one block over lanes with its own keys and with those of a public context, and the SoftMax that they share.
//!
//! Queries climb a second time, for the layout of the products with public keys; what the two ways of these have in common, from queries to
//! what is added to the residual, is [`PublicAttention`]'s. Sums over keys join once a round ([`JointSoftmax`]).
//!
//! Source of attention in two parts: arXiv 2601.18511, section 4.

use std::sync::Arc;

use fhe_circuits::{
    ChannelFactors, JointSoftmax, JointTerms, PublicCache, RowModule, SoftmaxPolynomial, SoftmaxVariant,
};
use fhe_ckks::{Evaluator, LaneProducts};

use super::lanes::{ProductsOverLanes, ScoresAndValues};
use super::public::{PublicAttention, PublicPlace};
use super::{Operands, WeightedValues, softmax_windows};
use crate::calibration::LayerRanges;
use crate::encrypted::Preparation;
use crate::encrypted::execution::Execution;
use crate::encrypted::harness::{Harness, Phase};
use crate::encrypted::location::At;
use crate::encrypted::projection::{OutputRange, Projection};
use crate::encrypted::residual_writer::ResidualWriter;
use crate::encrypted::tensors::{LayerTensors, Tensor, WeightBytes};
use crate::error::{Error, Result};
use crate::float::Site;

/// The attention of one layer behind a public context.
#[derive(Clone, Debug)]
pub(in crate::encrypted) struct JointProducts {
    layer: usize,
    own: ProductsOverLanes,
    public: PublicAttention,
    queries: Projection,
    output: ResidualWriter,
    place: Arc<PublicPlace>,
    softmax: JointSoftmax,
}

impl JointProducts {
    pub(super) fn prepare(
        preparation: &Preparation<'_>,
        (own, place): (ProductsOverLanes, &Arc<PublicPlace>),
        layer: usize,
        weights: &LayerTensors,
        ranges: &LayerRanges,
    ) -> Result<Self> {
        let Preparation { config, shape, options, residual, .. } = *preparation;
        let at = |site: Site| site.in_layer(layer);
        let SoftmaxVariant::NormalizeAndSquare { rounds } = options.softmax else {
            return Err(Error::ContextBeside { found: "another SoftMax than normalize-and-square" });
        };
        let public = PublicAttention::prepare(preparation, place, layer, ranges)?;
        let windows = softmax_windows(options.softmax, ranges);
        let accuracy = options.accuracy();
        let sums = (place.sums(), place.contract(shape));
        let softmax =
            JointSoftmax::new(rounds, &windows, config.head_dim, shape, accuracy, sums).at(at(Site::Score))?;
        preparation.check_levels(at(Site::Score), softmax.own_score_levels())?;
        preparation.check_levels(at(Site::LogDenominator), softmax.crossing_levels())?;

        let layout = place.projection().at(at(Site::Query))?;
        let range = OutputRange { bound: ranges.query, reach: ranges.query_reach };
        let (input, scales) = (&residual.layout, options.weight_scales);
        let queries = Projection::prepare(preparation, at(Site::Query), &weights.q, &layout, input, scales, range)?;
        let [to, from] = [at(Site::OProjection), at(Site::AttentionOutput)];
        let output = ResidualWriter::prepare(preparation, to, from, &weights.o, &layout, ranges.value)?;
        Ok(Self { layer, own, public, queries, output, place: Arc::clone(place), softmax })
    }

    /// The products with the block's own keys.
    pub(super) fn own(&self) -> &ProductsOverLanes {
        &self.own
    }

    pub(super) fn polynomials(&self) -> Vec<SoftmaxPolynomial> {
        self.softmax.polynomials()
    }

    /// The projection whose output is to be scaled as those of the block's own products are.
    pub(in crate::encrypted) fn queries_mut(&mut self) -> &mut Projection {
        &mut self.queries
    }

    /// Takes over the integers of its matrices, and keys and values.
    pub(in crate::encrypted) fn fill(&mut self, queries: Tensor, output: Tensor, context: PublicCache) -> Result<()> {
        self.queries = self.queries.filled(queries)?;
        self.output = self.output.filled(output)?;
        self.public.fill(context);
        Ok(())
    }

    /// Bytes of the weights while it runs, beside those of the block's own products.
    pub(in crate::encrypted) fn weight_bytes(&self) -> WeightBytes {
        [self.queries.weight_bytes(), self.output.weight_bytes()].into_iter().sum()
    }

    /// Queries for public keys, of rows of a normalised residual.
    pub(in crate::encrypted) fn project<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        rows: &E::Rows,
    ) -> Result<Vec<E::Coefficients>> {
        self.queries.product(run, rows)
    }

    /// Weighted values of both kinds.
    pub(super) fn run<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        (operands, public_queries): (Operands<E::Slots>, Vec<E::Coefficients>),
        ranges: &[ChannelFactors; 3],
    ) -> Result<WeightedValues<E>> {
        let Self { layer, own, public, place, softmax, .. } = self;
        let sums = place.sums();
        let at = |site: Site| site.in_layer(*layer);
        let ScoresAndValues { scores, values } = own.products(run, *layer, operands, ranges)?;
        let scores = own.open(run, *layer, &scores, (softmax.score_map(), softmax.own_score_levels()))?;
        let squares = run.work(Phase::NonLinear, at(Site::Score), |e| softmax.own_squares(e, sums, &scores))?;
        drop(scores);
        let factors = self.queries.channel_factors(run.e.shape());
        let products = public.products(run)?;
        let public_squares = public.squares(run, &products, (public_queries, factors), softmax)?;
        let terms = JointTerms { own: squares, public: public_squares };
        let probabilities = run
            .crossing_sums(at(Site::LogDenominator), None, |e, crossing| softmax.normalise(e, sums, terms, crossing))?;
        let weighted = (probabilities.public, probabilities.factors);
        let public = public.weigh(run, &products, weighted, self.output.input_unit())?;
        let own = own.weigh(run, *layer, probabilities.own, values)?;
        Ok(WeightedValues { own, public: Some(public) })
    }

    /// What weighted public values add to the residual.
    pub(in crate::encrypted) fn update<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        module: RowModule,
        public: &[E::Coefficients],
    ) -> Result<Vec<E::Coefficients>> {
        let rows = run.split_rows(self.output.location(), module, public)?;
        self.output.update(run, &rows)
    }
}
