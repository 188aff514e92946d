//! What the panels of a sweep show, and on which scale.

use super::super::axis::Axis;
use crate::record::{CellRecord, FLOAT, Status, common_device};
use crate::spec::Mode;

/// From so large a quotient of the extremes on a scale is logarithmic that would otherwise be linear.
const WIDE: f64 = 20.0;

/// How values are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// Whole decades.
    Decades,
    /// From zero, or decades if the values are far apart.
    FromZero,
    /// Around one, or decades if the values are far apart.
    AroundOne,
}

/// How a number is read from a record, if the record holds it.
type Reading = Box<dyn Fn(&CellRecord) -> Option<f64>>;

/// One number of a record.
pub(super) struct Quantity {
    /// Over the panel.
    pub(super) heading: String,
    /// At its axis, with the unit.
    pub(super) name: String,
    scale: Scale,
    /// Whether a record of this kind would have it.
    pub(super) applies: fn(&CellRecord) -> bool,
    pub(super) value: Reading,
    /// A line that means something, and what.
    pub(super) line: Option<(f64, &'static str)>,
}

/// The quantities of which at least one record holds a number.
pub(super) fn of(records: &[&CellRecord]) -> Vec<Quantity> {
    let computes = |record: &CellRecord| record.mode != Mode::Metered;
    let mut quantities = vec![
        Quantity {
            heading: "KL divergence from float, mean".into(),
            name: "nats".into(),
            scale: Scale::Decades,
            applies: computes,
            value: Box::new(|record| Some(record.agreement_with(FLOAT)?.kl_mean)),
            line: common_limit(records).map(|limit| (limit, "limit")),
        },
        Quantity {
            heading: "Perplexity over that of float".into(),
            name: "ratio".into(),
            scale: Scale::AroundOne,
            applies: computes,
            value: Box::new(|record| {
                let float = record.agreement_with(FLOAT)?;
                Some(float.perplexity? / float.perplexity_reference?)
            }),
            line: Some((1.0, "as float")),
        },
        Quantity {
            heading: "Heads whose SoftMax it carries".into(),
            name: "per cent of the heads tried".into(),
            scale: Scale::FromZero,
            applies: |record| record.softmax.is_some(),
            value: Box::new(|record| Some(record.softmax.as_ref()?.coverage())),
            line: None,
        },
        Quantity {
            heading: "Largest error of a probability".into(),
            name: "error, of the heads that ran".into(),
            scale: Scale::Decades,
            applies: |record| record.softmax.is_some(),
            value: Box::new(|record| record.softmax.as_ref()?.error_max.filter(|error| error.is_finite())),
            line: common_bound(records).map(|bound| (bound, "bound")),
        },
        Quantity {
            heading: "Levels, scores to probabilities".into(),
            name: "levels at most".into(),
            scale: Scale::FromZero,
            applies: |record| record.softmax.is_some(),
            value: Box::new(|record| {
                let softmax = record.softmax.as_ref()?;
                (softmax.ran > 0).then_some(softmax.levels[1] as f64)
            }),
            line: None,
        },
        Quantity {
            heading: "Half bootstraps".into(),
            name: "count".into(),
            scale: Scale::FromZero,
            applies: |_| true,
            value: Box::new(|record| Some(*record.counts.get("half_bootstraps")? as f64)),
            line: None,
        },
        Quantity {
            heading: "Time in all, measured".into(),
            name: "seconds".into(),
            scale: Scale::FromZero,
            applies: |record| record.mode == Mode::Encrypted,
            value: Box::new(|record| Some(record.seconds.total).filter(|seconds| *seconds != 0.0)),
            line: None,
        },
    ];
    if let Some(device) = common_device(records) {
        quantities.push(Quantity {
            heading: format!("Layers and head on {device}, predicted"),
            name: "seconds".into(),
            scale: Scale::FromZero,
            applies: |record| record.mode == Mode::Metered,
            value: Box::new(move |record| record.predicted.as_ref()?.seconds_on(&device)),
            line: None,
        });
    }
    let held = |quantity: &Quantity| {
        let applicable = records.iter().filter(|record| record.status == Status::Ok && (quantity.applies)(record));
        applicable.into_iter().any(|record| (quantity.value)(record).is_some())
    };
    quantities.into_iter().filter(held).collect()
}

/// The limit of the mean divergence, where all records are held against the same.
fn common_limit(records: &[&CellRecord]) -> Option<f64> {
    let limit = records.first()?.must.kl_mean;
    limit.filter(|_| records.iter().all(|record| record.must.kl_mean == limit))
}

/// The bound of the errors of probabilities, where it is the same for all records.
fn common_bound(records: &[&CellRecord]) -> Option<f64> {
    let bound = |record: &CellRecord| Some(record.softmax.as_ref()?.error_bound);
    let first = bound(records.first()?);
    first.filter(|_| records.iter().all(|record| bound(record) == first))
}

impl Quantity {
    /// The axis over finite values; the panel's line counts where it would be on the way.
    pub(super) fn axis(&self, values: &[f64], wanted: usize) -> Axis {
        let line = self.line.map(|(value, _)| value);
        let all = || values.iter().copied().chain(line);
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let (low, high) = (least(&mut all().filter(|value| *value > 0.0)), all().fold(0.0, f64::max));
        let far_apart = low * WIDE < high;
        match self.scale {
            _ if low > high => Axis::from_zero(1.0, wanted),
            Scale::Decades => Axis::decades(low, high, wanted),
            _ if far_apart => Axis::decades(low, high, wanted),
            Scale::FromZero => Axis::from_zero(high, wanted),
            Scale::AroundOne => Axis::between(least(&mut all()), high, wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(scale: Scale, line: Option<f64>) -> Quantity {
        Quantity {
            heading: String::new(),
            name: String::new(),
            scale,
            applies: |_| true,
            value: Box::new(|_| None),
            line: line.map(|line| (line, "line")),
        }
    }

    #[test]
    fn a_scale_holds_every_value_and_the_line() {
        let inside = |quantity: &Quantity, values: &[f64]| {
            let axis = quantity.axis(values, 4);
            let places: Vec<f64> = values
                .iter()
                .chain(quantity.line.as_ref().map(|(line, _)| line))
                .map(|value| axis.place(*value, 0.0, 1.0))
                .collect();
            // What lies outside is drawn at the end; two values that differ must not end up there together.
            let ends = places.iter().filter(|place| **place <= 0.0 || **place >= 1.0).count();
            assert!(ends <= 1, "{values:?} are drawn at {places:?}");
        };
        inside(&quantity(Scale::Decades, Some(1e-3)), &[3e-6, 2e-2]);
        inside(&quantity(Scale::FromZero, None), &[19.0, 76.0]);
        inside(&quantity(Scale::FromZero, None), &[1.0, 5000.0]);
        inside(&quantity(Scale::AroundOne, Some(1.0)), &[0.9993, 1.0103]);
        inside(&quantity(Scale::AroundOne, Some(1.0)), &[1.0, 800.0]);
    }

    #[test]
    fn nothing_to_show_still_has_an_axis() {
        assert!(!quantity(Scale::Decades, None).axis(&[], 4).ticks.is_empty());
        assert!(!quantity(Scale::FromZero, None).axis(&[0.0], 4).ticks.is_empty());
    }
}
