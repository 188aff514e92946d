//! Queries against the keys and values of a public context, in either way to multiply with these.

use std::ops::Range;
use std::sync::Arc;

use fhe_circuits::crossing::SINE_LEVELS;
use fhe_circuits::{
    ChannelFactors, CircuitError, JointSoftmax, JointSums, KeyRows, LaneAttention, LaneScores, LastDivision, Layout,
    PublicCache, PublicContract, PublicLayout, PublicProducts, RotaryAngles, RowModule, SlotPlace, SlotProducts,
    WeightLayout, WeightProducts,
};
use fhe_ckks::{CircuitShape, Evaluator};

use crate::calibration::LayerRanges;
use crate::config::Config;
use crate::encrypted::Preparation;
use crate::encrypted::execution::Execution;
use crate::encrypted::harness::{Harness, Phase};
use crate::encrypted::location::At;
use crate::encrypted::projection::filling_unit;
use crate::error::Result;
use crate::float::{Location, Site};
use crate::prompt::PromptBlock;

/// Blocks of scores that are raised and made exponentials of at once: what a half bootstrap likes to have together, and no more than memory likes.
const RAISED_TOGETHER: usize = 4;
/// Blocks of scores that are multiplied in slots at once: as many as make reading all rotated queries little beside what follows.
const MULTIPLIED_TOGETHER: usize = 16;
/// Bits of keys and values as weights. They span more than a row of weights does, and their integers are few.
const BITS: u32 = 15;
/// Score of keys that pad a block, inside its window.
const PADDING: f64 = 0.0;

/// Terms or probabilities by ciphertexts of queries and blocks of keys.
type Wide<E> = Vec<Vec<<E as fhe_ckks::SlotArithmetic>::Slots>>;

/// Where queries, scores and outputs of attention to a public context lie, and where its sums over keys meet those of the block: the same in all
/// layers.
#[derive(Clone, Debug)]
pub(in crate::encrypted) struct PublicPlace {
    layout: PublicKeyLayout,
    sums: JointSums,
}

#[derive(Clone, Debug)]
enum PublicKeyLayout {
    Slots(PublicLayout),
    Weights(WeightLayout),
}

impl PublicPlace {
    /// For the context of a block whose scores lie over lanes.
    pub(in crate::encrypted) fn new(
        (config, shape, module): (&Config, &CircuitShape, RowModule),
        (block, lanes): (&PromptBlock, &Arc<LaneAttention>),
        products: PublicProducts,
    ) -> Result<Self, CircuitError> {
        let (heads, key_heads, head_dim) = (config.num_attention_heads, config.num_key_value_heads, config.head_dim);
        let own = LaneScores::new(Arc::clone(lanes), |query, key| block.embedded().attends(query, key))?;
        let keys = block.context().len();
        let place = |(ciphertext, slot): (usize, usize)| SlotPlace { ciphertext, slot };
        Ok(match products {
            PublicProducts::Slots => {
                let layout = PublicLayout::new(module, heads, key_heads, head_dim)?;
                let first = |head, query| place((0, layout.slot(head, 0, query)));
                let sums = JointSums::new(&own, vec![layout.key_rows(keys)], first, &layout.exchange_steps())?;
                Self { layout: PublicKeyLayout::Slots(layout), sums }
            }
            PublicProducts::Weights => {
                let layout = WeightLayout::new(shape, module, [heads, key_heads], head_dim, keys)?;
                let rows = (0..layout.ciphertexts()).map(|ciphertext| layout.key_rows(ciphertext)).collect();
                let sums = JointSums::new(&own, rows, |head, query| place(layout.slot(head, 0, query)), &[])?;
                Self { layout: PublicKeyLayout::Weights(layout), sums }
            }
        })
    }

    /// Where sums over all keys meet.
    pub(super) fn sums(&self) -> &JointSums {
        &self.sums
    }

    /// What is left of the levels for SoftMax.
    pub(super) fn contract(&self, shape: &CircuitShape) -> PublicContract {
        match self.layout {
            PublicKeyLayout::Slots(_) => {
                let before = PublicLayout::PLACEMENT_LEVELS + SlotProducts::SCORE_LEVELS;
                PublicContract {
                    score_levels: shape.compute_levels.saturating_sub(before),
                    output_levels: SlotProducts::VALUE_LEVELS,
                    last_division: LastDivision::OfOutputs,
                }
            }
            PublicKeyLayout::Weights(_) => PublicContract {
                score_levels: shape.compute_levels.saturating_sub(SINE_LEVELS),
                output_levels: 0,
                last_division: LastDivision::OfTerms,
            },
        }
    }

    /// The layout in which the projection of queries ends and that of outputs begins.
    pub(super) fn projection(&self) -> Result<Layout, CircuitError> {
        match &self.layout {
            PublicKeyLayout::Slots(layout) => layout.projection(),
            PublicKeyLayout::Weights(layout) => layout.projection(),
        }
    }
}

/// Attention of one layer to a public context.
#[derive(Clone, Debug)]
pub(super) struct PublicAttention {
    layer: usize,
    place: Arc<PublicPlace>,
    angles: RotaryAngles,
    cache: PublicCache,
    /// The largest key and value, for evaluators without data.
    largest: [f64; 2],
    /// The largest weighted value.
    output_bound: f64,
}

/// Public keys and values, ready to be multiplied with.
pub(super) enum PublicKeyProducts<'a> {
    Slots(SlotProducts<'a>),
    Weights(WeightProducts<'a>),
}

impl PublicAttention {
    pub(super) fn prepare(
        preparation: &Preparation<'_>,
        place: &Arc<PublicPlace>,
        layer: usize,
        ranges: &LayerRanges,
    ) -> Result<Self> {
        let Preparation { config, block, .. } = *preparation;
        let cache = PublicCache::unknown(config.num_key_value_heads, config.head_dim, block.context().len());
        Ok(Self {
            layer,
            place: Arc::clone(place),
            angles: preparation.angles(),
            cache: cache.at(Site::PublicScore.in_layer(layer))?,
            largest: [ranges.rotated_key, ranges.value],
            output_bound: if ranges.attention_output > 0.0 { ranges.attention_output } else { 1.0 },
        })
    }

    /// Takes over keys and values.
    pub(super) fn fill(&mut self, cache: PublicCache) {
        self.cache = cache;
    }

    /// Keys and values for both products of a run, as integers where these are weights and the evaluator needs any.
    pub(super) fn products<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
    ) -> Result<PublicKeyProducts<'_>> {
        run.work(Phase::Linear, self.location(), |e| {
            Ok(match &self.place.layout {
                PublicKeyLayout::Slots(layout) => PublicKeyProducts::Slots(SlotProducts::new(layout, &self.cache)?),
                PublicKeyLayout::Weights(layout) if e.holds_data() => {
                    PublicKeyProducts::Weights(WeightProducts::new(layout, &self.cache, BITS)?)
                }
                PublicKeyLayout::Weights(layout) => {
                    PublicKeyProducts::Weights(WeightProducts::assumed(layout, self.largest, BITS)?)
                }
            })
        })
    }

    /// Squares of the exponentials of all scores, a few blocks at a time, from projected queries with the factors of their channels.
    pub(super) fn squares<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        products: &PublicKeyProducts<'_>,
        (queries, factors): (Vec<E::Coefficients>, ChannelFactors),
        softmax: &JointSoftmax,
    ) -> Result<Wide<E>> {
        match products {
            PublicKeyProducts::Slots(products) => self.squares_in_slots(run, products, (queries, factors), softmax),
            PublicKeyProducts::Weights(products) => self.squares_of_weights(run, products, (queries, factors), softmax),
        }
    }

    fn squares_in_slots<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        products: &SlotProducts<'_>,
        (queries, factors): (Vec<E::Coefficients>, ChannelFactors),
        softmax: &JointSoftmax,
    ) -> Result<Wide<E>> {
        let location = self.location();
        let levels = PublicLayout::PLACEMENT_LEVELS + SlotProducts::SCORE_LEVELS + softmax.public_score_levels();
        let queries = run.climb(location, &queries, levels)?;
        let queries = run.work(Phase::NonLinear, location, |e| {
            products.layout().place_queries(e, &self.angles, &queries, factors)
        })?;
        let rotated = run.work(Phase::Linear, location, |e| products.rotate_queries(e, &queries))?;
        drop(queries);
        let rows = &self.place.sums.key_rows()[0];
        let mut squares = Vec::with_capacity(rows.blocks());
        for blocks in chunks(rows.blocks(), MULTIPLIED_TOGETHER) {
            let scores = run.work(Phase::Linear, location, |e| {
                products.scores(e, &rotated, blocks.clone(), softmax.score_map(), PADDING)
            })?;
            squares.extend(squared(run, location, (softmax, rows), (blocks, &scores))?);
        }
        Ok(vec![squares])
    }

    fn squares_of_weights<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        products: &WeightProducts<'_>,
        (queries, factors): (Vec<E::Coefficients>, ChannelFactors),
        softmax: &JointSoftmax,
    ) -> Result<Wide<E>> {
        let (location, map) = (self.location(), softmax.score_map());
        let queries = run.climb_corrected(location, &queries, WeightLayout::PLACEMENT_LEVELS)?;
        let queries = run.work(Phase::NonLinear, location, |e| {
            products.layout().place_queries(e, &self.angles, &queries, factors)
        })?;
        let mut squares = Vec::with_capacity(queries.len());
        for (ciphertext, queries) in queries.iter().enumerate() {
            let unit = products.query_unit(run.e.shape(), ciphertext, map).at(location)?;
            let queries = run.descend(location, std::slice::from_ref(queries), unit)?;
            let scores = run.work(Phase::Linear, location, |e| products.multiply_keys(e, ciphertext, &queries))?;
            let rows = &self.place.sums.key_rows()[ciphertext];
            let mut of_ciphertext = Vec::with_capacity(scores.len());
            for blocks in chunks(scores.len(), RAISED_TOGETHER) {
                let levels = softmax.public_score_levels();
                let raised = run.climb_corrected(location, &scores[blocks.clone()], levels)?;
                let scores = run.work(Phase::NonLinear, location, |e| {
                    products.centred(e, ciphertext, blocks.clone(), &raised, map, PADDING)
                })?;
                drop(raised);
                of_ciphertext.extend(squared(run, location, (softmax, rows), (blocks, &scores))?);
            }
            squares.push(of_ciphertext);
        }
        Ok(squares)
    }

    /// Weighted values as coefficients at a unit, in the layout of the projection.
    pub(super) fn weigh<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        products: &PublicKeyProducts<'_>,
        (probabilities, factors): (Wide<E>, Vec<E::Slots>),
        unit: f64,
    ) -> Result<Vec<E::Coefficients>> {
        let location = self.location();
        match products {
            PublicKeyProducts::Slots(products) => {
                let outputs = run.work(Phase::Linear, location, |e| {
                    // All queries of a context lie in one ciphertext of scores.
                    let terms = probabilities.first().map_or(&[][..], Vec::as_slice);
                    products.layout().collect_outputs(e, &products.weighted_values(e, terms)?, &factors)
                })?;
                drop(probabilities);
                run.descend(location, &outputs, unit)
            }
            PublicKeyProducts::Weights(products) => {
                // Two products with weights in a row would leave the probabilities no bits: what the first leaves climbs once more.
                let full = filling_unit(run.e.shape(), self.output_bound);
                let mut outputs = Vec::with_capacity(probabilities.len());
                for (ciphertext, probabilities) in probabilities.into_iter().enumerate() {
                    let unit = products.probability_unit(ciphertext, full).at(location)?;
                    let coefficients = run.descend(location, &probabilities, unit)?;
                    drop(probabilities);
                    outputs.push(
                        run.work(Phase::Linear, location, |e| products.multiply_values(e, ciphertext, &coefficients))?,
                    );
                }
                let raised = run.climb_corrected(location, &outputs, 1)?;
                let range = run.e.shape().full_scale / full;
                let outputs = run.work(Phase::NonLinear, location, |e| {
                    let valued = raised.iter().map(|x| e.linear_combination(&[(x, range)], 0.0));
                    Ok(valued.collect::<std::result::Result<Vec<_>, _>>()?)
                })?;
                run.descend(location, &outputs, unit)
            }
        }
    }

    fn location(&self) -> Location {
        Site::PublicScore.in_layer(self.layer)
    }
}

/// Blocks in groups that are worked on together.
fn chunks(blocks: usize, together: usize) -> impl Iterator<Item = Range<usize>> {
    (0..blocks).step_by(together).map(move |first| first..(first + together).min(blocks))
}

fn squared<E: Evaluator, H: Harness<E> + ?Sized>(
    run: &mut Execution<'_, E, H>,
    location: Location,
    (softmax, rows): (&JointSoftmax, &KeyRows),
    (blocks, scores): (Range<usize>, &[E::Slots]),
) -> Result<Vec<E::Slots>> {
    run.work(Phase::NonLinear, location, |e| {
        blocks.zip(scores).map(|(block, scores)| softmax.public_squares(e, rows, block, scores)).collect()
    })
}
