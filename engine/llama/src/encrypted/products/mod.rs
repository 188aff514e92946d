//! The two products of attention with SoftMax between them: from climbed queries, keys and values to weighted values in slots.

mod joint;
mod lanes;
mod public;
mod slots;

use fhe_circuits::{
    ChannelFactors, Interval, Layout, ScoreLayout, Softmax, SoftmaxPolynomial, SoftmaxVariant, SoftmaxWindows,
};
use fhe_ckks::{Evaluator, LaneProducts};
use serde::{Deserialize, Serialize};

use super::Preparation;
use super::execution::Execution;
use super::harness::Harness;
use super::location::At;
use super::reading::Reading;
use super::tensors::LayerTensors;
use crate::calibration::LayerRanges;
use crate::error::{Error, Result};
use crate::float::Site;

pub(super) use joint::JointProducts;
use lanes::ProductsOverLanes;
pub(super) use public::PublicPlace;
use slots::ProductsInSlots;

/// How the products of queries with keys and of probabilities with values are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionProducts {
    /// Slot by slot, one offset between query and key at a time: live pairs alone, for small blocks. Behind a public prefix every query is
    /// at an offset of its own from it, and the number of offsets grows to that of the tokens.
    #[default]
    Slots,
    /// As matrix products of all heads over lanes; scores of all pairs.
    Lanes,
}

/// The products of one layer, ready to be evaluated.
#[derive(Clone, Debug)]
pub(super) enum Products {
    Slots(ProductsInSlots),
    Lanes(ProductsOverLanes, Softmax),
    /// Over lanes, behind a public context.
    Joint(Box<JointProducts>),
}

/// Weighted values: in slots those of the block's own keys, in true values and ready to descend; as coefficients at the unit of the output
/// projection those of public keys, where there are any.
pub(super) struct WeightedValues<E: Evaluator> {
    pub(super) own: Vec<E::Slots>,
    pub(super) public: Option<Vec<E::Coefficients>>,
}

/// Queries, keys and values after their half bootstrap, its sine corrected; values normalised to their ranges.
pub(super) struct Operands<S> {
    queries: Vec<S>,
    keys: Vec<S>,
    values: Vec<S>,
}

impl<S> Operands<S> {
    /// One call for all three, so that they share what a half bootstrap reads.
    pub(super) fn climb<E: LaneProducts<Slots = S>, H: Harness<E> + ?Sized>(
        run: &mut Execution<'_, E, H>,
        layer: usize,
        levels: usize,
        projections: [Vec<E::Coefficients>; 3],
    ) -> Result<Self> {
        let [queries, keys, _] = &projections;
        let (first_key, first_value) = (queries.len(), queries.len() + keys.len());
        let projections: Vec<E::Coefficients> = projections.into_iter().flatten().collect();
        let mut queries = run.climb_corrected(Site::Query.in_layer(layer), &projections, levels)?;
        let values = queries.split_off(first_value);
        let keys = queries.split_off(first_key);
        Ok(Self { queries, keys, values })
    }
}

impl Products {
    pub(super) fn prepare(
        preparation: &Preparation<'_>,
        layer: usize,
        weights: &LayerTensors,
        ranges: &LayerRanges,
    ) -> Result<Self> {
        let Preparation { block, lanes, public, .. } = *preparation;
        Ok(match lanes {
            None if !block.context().is_empty() => return Err(Error::ContextBeside { found: "products in slots" }),
            None => Self::Slots(ProductsInSlots::prepare(preparation, layer, ranges)?),
            Some(lanes) => {
                let own = ProductsOverLanes::prepare(preparation, lanes, layer, ranges)?;
                let Some(public) = public else {
                    let softmax = prepare_softmax(preparation, layer, ranges, own.scores())?;
                    return Ok(Self::Lanes(own, softmax));
                };
                Self::Joint(Box::new(JointProducts::prepare(preparation, (own, public), layer, weights, ranges)?))
            }
        })
    }

    /// Layouts of the query projection, which is also that of the output, and of the key and value projections.
    pub(super) fn projections(&self) -> [&Layout; 2] {
        match self {
            Self::Slots(products) => products.projections(),
            Self::Lanes(products, _) => products.projections(),
            Self::Joint(products) => products.own().projections(),
        }
    }

    /// Levels of the operands after the correction of the sine.
    pub(super) fn operand_levels(&self) -> usize {
        match self {
            Self::Slots(_) => ProductsInSlots::OPERAND_LEVELS,
            Self::Lanes(..) | Self::Joint(_) => ProductsOverLanes::OPERAND_LEVELS,
        }
    }

    pub(super) fn polynomials(&self) -> Vec<SoftmaxPolynomial> {
        match self {
            Self::Slots(products) => products.softmax().polynomials(),
            Self::Lanes(_, softmax) => softmax.polynomials(),
            Self::Joint(products) => products.polynomials(),
        }
    }

    /// The part behind a public context.
    pub(super) fn joint(&self) -> Option<&JointProducts> {
        if let Self::Joint(products) = self { Some(products) } else { None }
    }

    /// The same, to be filled.
    pub(super) fn joint_mut(&mut self) -> Option<&mut JointProducts> {
        if let Self::Joint(products) = self { Some(products) } else { None }
    }

    /// How coefficients of the output are read; not at all where it is only a part.
    pub(super) fn output_reading(&self) -> Option<Reading<'_>> {
        let [layout, _] = self.projections();
        match self {
            Self::Slots(_) => Some(Reading::Sums(layout)),
            Self::Lanes(..) => Some(Reading::Dense(layout)),
            Self::Joint(_) => None,
        }
    }

    /// Weighted values. `ranges` are those of the channels of queries, keys and values; `public_queries` the projection that
    /// [`JointProducts::project`] makes.
    pub(super) fn run<E: LaneProducts, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        layer: usize,
        (operands, public_queries): (Operands<E::Slots>, Option<Vec<E::Coefficients>>),
        ranges: &[ChannelFactors; 3],
    ) -> Result<WeightedValues<E>> {
        let own = match self {
            Self::Slots(products) => products.run(run, layer, operands, ranges)?,
            Self::Lanes(products, softmax) => products.run(run, layer, operands, (softmax, ranges))?,
            Self::Joint(products) => {
                return products.run(run, (operands, public_queries.unwrap_or_default()), ranges);
            }
        };
        Ok(WeightedValues { own, public: None })
    }
}

/// The SoftMax of a layer on its calibrated windows; refuses turns of scores or denominators that need more levels than there are.
fn prepare_softmax<L: ScoreLayout>(
    preparation: &Preparation<'_>,
    layer: usize,
    ranges: &LayerRanges,
    layout: &L,
) -> Result<Softmax> {
    let Preparation { config, shape, options, .. } = *preparation;
    let at = |site: Site| site.in_layer(layer);
    let windows = softmax_windows(options.softmax, ranges);
    let softmax = Softmax::new(options.softmax, &windows, config.head_dim, shape, options.accuracy(), layout)
        .at(at(Site::Score))?;
    preparation.check_levels(at(Site::Score), softmax.score_levels())?;
    preparation.check_levels(at(Site::LogDenominator), softmax.crossing_levels())?;
    Ok(softmax)
}

/// The calibrated windows of a layer's scores, or of one head's, as a variant of SoftMax is prepared from them.
pub fn softmax_windows(variant: SoftmaxVariant, ranges: &LayerRanges) -> SoftmaxWindows {
    SoftmaxWindows {
        centres: ranges.score_centre.clone(),
        half_width: ranges.score_half_width,
        denominator: Interval::new(ranges.denominator.lo, ranges.denominator.hi),
        first_sum: first_sum(variant, ranges),
    }
}

/// The calibrated window of what the first round of a SoftMax sums, if it was recorded for so many rounds.
fn first_sum(variant: SoftmaxVariant, ranges: &LayerRanges) -> Option<Interval> {
    let window = match variant {
        SoftmaxVariant::NormalizeAndSquare { rounds: 2 } => ranges.halved_sum,
        SoftmaxVariant::NormalizeAndSquare { rounds: 3 } => ranges.quartered_sum,
        _ => None,
    };
    window.map(|window| Interval::new(window.lo, window.hi))
}
