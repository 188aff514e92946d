//! What became of the heads, as a record holds it.

use std::collections::BTreeMap;

use fhe_ckks::OperationCounts;

use super::head::{Errors, HeadCircuit, Refusal, widths};
use super::{Study, products};
use crate::record::{HeadOutcome, PredictedSeconds, SoftmaxOfHeads};

/// What a head that ran took, from scores in slots to probabilities in slots.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    degrees: Vec<usize>,
    levels: usize,
    crossing_levels: usize,
    products: [u64; 2],
    half_bootstraps: u64,
    pub(super) predicted: Vec<PredictedSeconds>,
}

/// What decides the cost: degrees, products, levels.
pub(super) type Kind = (Vec<usize>, [u64; 2], [usize; 2]);

/// What became of a head.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Refused(Refusal),
    Ran(Cost, Errors),
}

impl Cost {
    /// Of operations that leave out what is inside of bootstraps.
    pub(super) fn of(circuit: &HeadCircuit<'_>, counts: OperationCounts) -> Self {
        Self {
            degrees: circuit.degrees(),
            levels: circuit.levels(),
            crossing_levels: circuit.softmax().crossing_levels(),
            products: products(counts),
            half_bootstraps: counts.half_bootstraps,
            predicted: Vec::new(),
        }
    }

    /// What decides the cost.
    pub(super) fn kind(&self) -> Kind {
        (self.degrees.clone(), self.products, [self.levels, self.crossing_levels])
    }
}

impl Outcome {
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }

    pub(super) fn ran(cost: Cost, errors: Errors) -> Self {
        Self::Ran(cost, errors)
    }

    pub(super) fn cost_mut(&mut self) -> Option<&mut Cost> {
        if let Self::Ran(cost, _) = self { Some(cost) } else { None }
    }
}

/// The outcomes of the heads that were tried, in their order; `seconds` of each that ran, if it was timed.
pub(super) fn of(
    study: &Study<'_>,
    heads_of_model: usize,
    error_bound: f64,
    outcomes: &[Outcome],
    seconds: Option<Vec<f64>>,
) -> SoftmaxOfHeads {
    let ran: Vec<(&Cost, Errors)> = outcomes.iter().filter_map(ran).collect();
    let mut refusals = BTreeMap::new();
    for outcome in outcomes {
        if let Outcome::Refused(Refusal(reason)) = outcome {
            *refusals.entry(reason.clone()).or_default() += 1;
        }
    }
    let ciphertexts = study.place.ciphertexts();
    let of_costs = |quantity: &dyn Fn(&Cost) -> f64| mean(ran.iter().map(|(cost, _)| quantity(cost))).unwrap_or(0.0);
    let products = |index: usize| of_costs(&|cost| cost.products[index] as f64 / ciphertexts as f64);
    let ends = |quantity: fn(&Cost) -> usize| {
        let all = || ran.iter().map(|(cost, _)| quantity(cost));
        [all().min().unwrap_or(0), all().max().unwrap_or(0)]
    };
    let mut largest: Vec<f64> = ran.iter().map(|(_, errors)| errors.max).collect();
    largest.sort_by(f64::total_cmp);
    SoftmaxOfHeads {
        error_bound,
        heads_of_model,
        heads: outcomes.len(),
        ran: ran.len(),
        covered: largest.iter().filter(|error| **error <= error_bound).count(),
        refusals,
        error_max: largest.last().copied(),
        error_median: largest.get(largest.len() / 2).copied(),
        error_mean: mean(ran.iter().map(|(_, errors)| errors.mean)),
        levels: ends(|cost| cost.levels),
        crossing_levels: ends(|cost| cost.crossing_levels),
        ciphertexts,
        products_per_ciphertext: products(0),
        plaintext_products_per_ciphertext: products(1),
        half_bootstraps: of_costs(&|cost| cost.half_bootstraps as f64),
        seconds: seconds.and_then(|seconds| mean(seconds.into_iter())),
        predicted: predicted(&ran),
        by_head: study.tried.iter().zip(outcomes).map(|(head, outcome)| by_head(head, outcome)).collect(),
    }
}

fn ran(outcome: &Outcome) -> Option<(&Cost, Errors)> {
    if let Outcome::Ran(cost, errors) = outcome { Some((cost, *errors)) } else { None }
}

/// Mean seconds on every device.
fn predicted(ran: &[(&Cost, Errors)]) -> Vec<PredictedSeconds> {
    let devices = ran.first().map_or(&[][..], |(cost, _)| &cost.predicted);
    let of = |(index, device): (usize, &PredictedSeconds)| PredictedSeconds {
        device: device.device.clone(),
        seconds: mean(ran.iter().filter_map(|(cost, _)| Some(cost.predicted.get(index)?.seconds))).unwrap_or(0.0),
    };
    devices.iter().enumerate().map(of).collect()
}

fn by_head(head: &super::HeadScores, outcome: &Outcome) -> HeadOutcome {
    let [half_width, denominator_log_width] = widths(head);
    let known = HeadOutcome {
        layer: head.layer,
        head: head.head,
        half_width,
        denominator_log_width,
        refusal: None,
        degrees: Vec::new(),
        error_max: None,
        error_mean: None,
    };
    match outcome {
        Outcome::Refused(Refusal(reason)) => HeadOutcome { refusal: Some(reason.clone()), ..known },
        Outcome::Ran(cost, errors) => HeadOutcome {
            degrees: cost.degrees.clone(),
            error_max: Some(errors.max),
            error_mean: Some(errors.mean),
            ..known
        },
    }
}

/// Of no numbers there is none.
fn mean(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = numbers.fold((0.0, 0_usize), |(sum, count), number| (sum + number, count + 1));
    (count > 0).then(|| sum / count as f64)
}
