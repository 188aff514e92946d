//! SoftMax of one head over lanes: prepared for its windows, run on any evaluator, compared with the definition.
//!
//! The head stands alone in the layout of [`LaneScores`], in one of its lanes. Its scores are encrypted in the order of slots, climb once and are corrected, so that
//! they stand where [`fhe_circuits::LaneAttention::open_scores`] would leave them; the map that makes lanes of coefficients is no part of SoftMax.

use std::sync::Arc;

use fhe_circuits::crossing::{self, SINE_LEVELS};
use fhe_circuits::{
    Accuracy, CircuitError, LaneAttention, LaneScores, Passage, ScoreContract, ScoreLayout, Softmax, SoftmaxVariant,
};
use fhe_ckks::{CircuitShape, Client, Evaluator, Level};
use fhe_model::PromptBlock;
use fhe_model::encrypted::softmax_windows;

use super::heads::HeadScores;
use crate::error::HarnessError;

/// What all heads share.
pub(super) struct Place {
    shape: CircuitShape,
    block: PromptBlock,
    head_dim: usize,
    variant: SoftmaxVariant,
    accuracy: Accuracy,
    layout: LaneScores,
}

/// Why a head does not run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal(pub(super) String);

/// One head, ready to be evaluated.
pub(super) struct HeadCircuit<'a> {
    place: &'a Place,
    softmax: Softmax,
    /// Normalised scores of every ciphertext, in the order of coefficients.
    scores: Vec<Vec<f64>>,
    /// Probabilities of live pairs by ciphertext and coefficient, queries that belong to no prompt left out.
    expected: Vec<Vec<(usize, f64)>>,
}

/// Errors of probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Errors {
    pub(super) max: f64,
    pub(super) mean: f64,
}

impl Place {
    /// # Errors
    /// If the block does not fit the lanes.
    pub(super) fn new(
        shape: &CircuitShape,
        block: &PromptBlock,
        head_dim: usize,
        variant: SoftmaxVariant,
        accuracy: Accuracy,
    ) -> Result<Self, HarnessError> {
        let failed = |error| HarnessError::execution("lay out the scores of a head", error);
        let attention = Arc::new(LaneAttention::new(shape, block.size(), 1, 1, head_dim).map_err(failed)?);
        let attends = |query: usize, key: usize| block.embedded().attends(query, key);
        let layout = LaneScores::new(attention, attends).map_err(failed)?;
        Ok(Self { shape: shape.clone(), block: block.clone(), head_dim, variant, accuracy, layout })
    }

    /// Ciphertexts of scores.
    pub(super) fn ciphertexts(&self) -> usize {
        self.layout.ciphertexts()
    }

    /// The circuit of a head.
    ///
    /// # Errors
    /// Why the variant does not carry it.
    pub(super) fn prepare(&self, head: &HeadScores) -> Result<HeadCircuit<'_>, Refusal> {
        if let Some(site) = head.left_window(self.variant) {
            return Err(Refusal(format!("{site} outside of the calibrated window")));
        }
        let windows = softmax_windows(self.variant, &head.ranges.layers[head.layer]);
        let softmax = Softmax::new(self.variant, &windows, self.head_dim, &self.shape, self.accuracy, &self.layout);
        let softmax = softmax.map_err(|error| Refusal::of(&error))?;
        let levels = softmax.score_levels().max(softmax.crossing_levels());
        if levels > self.shape.compute_levels {
            return Err(Refusal("levels".into()));
        }
        let (map, module) = (softmax.score_map(), self.layout.attention().layout().module());
        // Products of queries and keys are scores times the root of the head's width.
        let scale = map.scale * (self.head_dim as f64).sqrt();
        let normalised = |query: usize, key: usize| scale * head.score(self.computed(query), key) - map.centres[0];
        let scores = (0..self.layout.ciphertexts()).map(|ciphertext| {
            let slots = self.layout.pair_plain(ciphertext, |pair| normalised(pair.query, pair.key));
            (0..slots.len()).map(|coefficient| slots[self.shape.slot_of_coefficient(coefficient)]).collect()
        });
        let scores = scores.collect();
        let rows = (0..self.block.size()).map(|query| probabilities(&self.block, head, query));
        let rows: Vec<Vec<f64>> = rows.collect();
        let expected = (0..self.layout.ciphertexts()).map(|ciphertext| {
            let pairs = self.layout.live_pairs(ciphertext).into_iter();
            let of_prompts = pairs.filter(|(_, pair)| self.block.is_live(pair.query));
            of_prompts.map(|(slot, pair)| (module.coefficient_of_slot(slot), rows[pair.query][pair.key])).collect()
        });
        let expected = expected.collect();
        Ok(HeadCircuit { place: self, softmax, scores, expected })
    }

    /// The position whose queries a block position carries: those of the prefix repeat the first prompt's first.
    fn computed(&self, query: usize) -> usize {
        if self.block.is_prefix(query) { self.block.prompts()[0].start } else { query }
    }
}

/// SoftMax of a query by its definition, over all keys of the block.
fn probabilities(block: &PromptBlock, head: &HeadScores, query: usize) -> Vec<f64> {
    let live = |key: usize| block.attends(query, key);
    let keys = 0..block.size();
    let largest = keys.clone().filter(|&key| live(key)).map(|key| head.score(query, key)).fold(f64::MIN, f64::max);
    let exponential = |key: usize| if live(key) { (head.score(query, key) - largest).exp() } else { 0.0 };
    let exponentials: Vec<f64> = keys.map(exponential).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|exponential| exponential / sum).collect()
}

impl Refusal {
    /// The kind of a refusal, without the numbers that differ from head to head.
    pub(super) fn of(error: &CircuitError) -> Self {
        Self(match error {
            CircuitError::Approximation { function, .. } => format!("error of {function}"),
            CircuitError::Precondition { operand, .. } => (*operand).into(),
            CircuitError::Ckks(_) => "a value outside of the range of a bootstrap".into(),
        })
    }
}

impl HeadCircuit<'_> {
    pub(super) fn softmax(&self) -> &Softmax {
        &self.softmax
    }

    /// Levels from scores in slots to probabilities in slots.
    pub(super) fn levels(&self) -> usize {
        let contract = ScoreContract::LANES;
        self.softmax.score_levels() - contract.opening_levels - contract.output_levels
    }

    /// Encrypts the scores and brings them to slots.
    ///
    /// # Errors
    /// Those of client and evaluator.
    pub(super) fn open<E: Evaluator, C: Client<E>>(&self, e: &E, client: &C) -> Result<Vec<E::Slots>, CircuitError> {
        let encrypt = |scores: &Vec<f64>| client.encrypt(scores, self.place.shape.full_scale);
        let encrypted = self.scores.iter().map(encrypt).collect::<Result<Vec<_>, _>>()?;
        let levels = self.softmax.score_levels() - ScoreContract::LANES.opening_levels;
        crossing::correct(e, &crossing::climb(e, &encrypted, levels + SINE_LEVELS)?)
    }

    /// SoftMax itself.
    ///
    /// # Errors
    /// Those of the evaluator.
    pub(super) fn apply<E: Evaluator>(&self, e: &E, scores: &[E::Slots]) -> Result<Vec<E::Slots>, CircuitError> {
        let mut crossing = |sums: Vec<E::Slots>, passage: Passage| passage.cross(e, &sums);
        self.softmax.apply(e, &self.place.layout, scores, &mut crossing)
    }

    /// Decrypts probabilities and compares them with the definition; `None` without data.
    ///
    /// # Errors
    /// Those of client and evaluator.
    pub(super) fn compare<E: Evaluator, C: Client<E>>(
        &self,
        e: &E,
        client: &C,
        probabilities: &[E::Slots],
    ) -> Result<Option<Errors>, CircuitError> {
        let shape = &self.place.shape;
        let floor = Level(shape.slots_to_coefficients_levels);
        let (mut max, mut sum, mut count) = (0.0_f64, 0.0, 0_usize);
        for (slots, expected) in probabilities.iter().zip(&self.expected) {
            let coefficients = e.slots_to_coefficients(&e.lower(slots, floor)?, shape.full_scale)?;
            let Some(found) = client.decrypt(&coefficients)? else { return Ok(None) };
            for &(coefficient, expected) in expected {
                let error = (found[coefficient] - expected).abs();
                let error = if error.is_nan() { f64::INFINITY } else { error };
                (max, sum, count) = (max.max(error), sum + error, count + 1);
            }
        }
        Ok(Some(Errors { max, mean: sum / count.max(1) as f64 }))
    }

    /// Degrees of the polynomials.
    pub(super) fn degrees(&self) -> Vec<usize> {
        self.softmax.polynomials().iter().map(|polynomial| polynomial.fitted.degree).collect()
    }
}

/// The half width of a head's scores, and the logarithm of the ratio of its denominators.
pub(super) fn widths(head: &HeadScores) -> [f64; 2] {
    let ranges = &head.ranges.layers[head.layer];
    [ranges.score_half_width, (ranges.denominator.hi / ranges.denominator.lo).ln()]
}
