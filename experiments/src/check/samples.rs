//! Raw samples beside the numbers that were made of them: a record states both, and they must tell the same story.

use super::record::Problems;
use crate::record::{Agreement, CellRecord, SoftmaxOfHeads};

/// Sums in another order differ in their last bits.
const TOLERANCE: f64 = 1e-9;

pub(super) fn check(record: &CellRecord, problems: &mut Problems) {
    // Windows of a text are too many for samples by position.
    if record.windows.is_none() {
        record.agreement.iter().for_each(|agreement| by_position(agreement, problems));
    }
    if let Some(softmax) = &record.softmax {
        by_head(softmax, problems);
    }
}

fn by_position(agreement: &Agreement, problems: &mut Problems) {
    let samples = &agreement.by_position;
    let key = |field: &str| format!("agreement[{}].{field}", agreement.against);
    if samples.len() != agreement.positions {
        let problem = format!("holds {} samples of {} positions", samples.len(), agreement.positions);
        return problems.add(&key("by_position"), problem);
    }
    let top1 = samples.iter().filter(|sample| sample.top1).count();
    if top1 != agreement.top1 {
        problems.add(&key("top1"), format!("is {}, but {top1} of its samples agree", agreement.top1));
    }
    let mean = |of: &dyn Fn(usize) -> f64| (0..samples.len()).map(of).sum::<f64>() / samples.len().max(1) as f64;
    let max = |of: &dyn Fn(usize) -> f64| (0..samples.len()).map(of).fold(0.0, f64::max);
    let (kl, error) = (|index: usize| samples[index].kl, |index: usize| samples[index].top5_logit_error);
    for (field, stated, sampled) in [
        ("kl_mean", agreement.kl_mean, mean(&kl)),
        ("kl_max", agreement.kl_max, max(&kl)),
        ("top5_logit_error_max", agreement.top5_logit_error_max, max(&error)),
    ] {
        // What is not a number in a sample is none in what was made of it.
        let agrees = (stated - sampled).abs() <= TOLERANCE * sampled.abs() || stated.is_nan();
        if !agrees {
            problems.add(&key(field), format!("is {stated:e}, but its samples give {sampled:e}"));
        }
    }
}

fn by_head(softmax: &SoftmaxOfHeads, problems: &mut Problems) {
    let heads = &softmax.by_head;
    let ran = heads.iter().filter(|head| head.refusal.is_none()).count();
    let within = |error: Option<f64>| error.is_some_and(|error| error <= softmax.error_bound);
    let covered = heads.iter().filter(|head| head.refusal.is_none() && within(head.error_max)).count();
    for (field, stated, sampled) in
        [("heads", softmax.heads, heads.len()), ("ran", softmax.ran, ran), ("covered", softmax.covered, covered)]
    {
        if stated != sampled {
            problems.add(&format!("softmax.{field}"), format!("is {stated}, but `by_head` shows {sampled}"));
        }
    }
}
