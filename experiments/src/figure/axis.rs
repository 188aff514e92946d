//! Scales: where a value lies on an axis, and which values are worth a label.

/// What stands at a tick: a number, or a base with its exponent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) base: String,
    pub(super) exponent: Option<String>,
}

impl Label {
    fn plain(text: String) -> Self {
        Self { base: text, exponent: None }
    }

    /// With a true minus sign, as wide as a digit.
    fn power(base: u32, exponent: i32) -> Self {
        Self { base: base.to_string(), exponent: Some(exponent.to_string().replace('-', "−")) }
    }
}

/// A mapping from values to a stretch of the picture, with labelled ticks.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    pub(super) ticks: Vec<(f64, Label)>,
}

impl Axis {
    /// From zero to at least `high`, with about `wanted` round steps.
    pub(super) fn from_zero(high: f64, wanted: usize) -> Self {
        let step = round_step(high.max(f64::MIN_POSITIVE) / wanted as f64);
        let count = (high / step).ceil().max(1.0) as usize;
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let ticks = (0..=count).map(|tick| {
            let value = tick as f64 * step;
            (value, Label::plain(format!("{value:.decimals$}")))
        });
        Self { low: 0.0, high: count as f64 * step, logarithmic: false, ticks: ticks.collect() }
    }

    /// From round steps around `low` to those around `high`, which need not hold zero. Steps of less than 1e-5 would
    /// leave no room for their labels.
    pub(super) fn between(low: f64, high: f64, wanted: usize) -> Self {
        let step = round_step(((high - low) / wanted as f64).max(1e-5));
        // A value that is a tick but for its rounding needs no tick beyond it.
        let (first, last) = ((low / step + 1e-6).floor() as i64, (high / step - 1e-6).ceil() as i64);
        let last = last.max(first + 1);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let ticks = (first..=last).map(|tick| {
            let value = tick as f64 * step;
            (value, Label::plain(format!("{value:.decimals$}")))
        });
        Self { low: first as f64 * step, high: last as f64 * step, logarithmic: false, ticks: ticks.collect() }
    }

    /// A tick at each of these numbers, which are in order, with a margin on both sides; logarithmic if they are far
    /// apart.
    pub(super) fn at(numbers: &[(f64, String)]) -> Self {
        const FAR_APART: f64 = 4.0;
        const MARGIN: f64 = 0.07;
        let (low, high) = (numbers.first().map_or(0.0, |(low, _)| *low), numbers.last().map_or(1.0, |(high, _)| *high));
        let logarithmic = low > 0.0 && high >= FAR_APART * low;
        let (low, high) = if logarithmic {
            let margin = (high / low).powf(MARGIN);
            (low / margin, high * margin)
        } else {
            let margin = MARGIN * (high - low).max(f64::MIN_POSITIVE);
            (low - margin, high + margin)
        };
        let ticks = numbers.iter().map(|(value, label)| (*value, Label::plain(label.clone()))).collect();
        Self { low, high, logarithmic, ticks }
    }

    /// Whole numbers from `low` to `high`, with a margin on both sides.
    pub(super) fn integers(low: usize, high: usize, wanted: usize, margin: f64) -> Self {
        let step = round_step((high - low) as f64 / wanted as f64).max(1.0) as usize;
        let ticks = (low..=high).step_by(step).map(|tick| (tick as f64, Label::plain(tick.to_string())));
        Self { low: low as f64 - margin, high: high as f64 + margin, logarithmic: false, ticks: ticks.collect() }
    }

    /// Powers of two by exponent: the values are log2, the labels 2 to that power. Exponents are few and even.
    pub(super) fn powers_of_two(low: f64, high: f64, wanted: usize) -> Self {
        let step = ((high - low) / wanted as f64).ceil().max(1.0) as i32;
        let step = if step > 1 { step + step % 2 } else { 1 };
        let first = (low / f64::from(step)).floor() as i32;
        let last = (high / f64::from(step)).ceil().max(f64::from(first + 1)) as i32;
        let ticks = (first..=last).map(|tick| (f64::from(tick * step), Label::power(2, tick * step)));
        Self { low: f64::from(first * step), high: f64::from(last * step), logarithmic: false, ticks: ticks.collect() }
    }

    /// Whole decades that hold the positive values from `low` to `high` with some air.
    pub(super) fn decades(low: f64, high: f64, wanted: usize) -> Self {
        let (first, last) = ((low.log10() - AIR).floor() as i32, (high.log10() + AIR).ceil() as i32);
        let last = last.max(first + 1);
        let step = (last - first).div_euclid(wanted as i32).max(0) + 1;
        let ticks = (first..=last).rev().step_by(step as usize).map(|tick| (10f64.powi(tick), Label::power(10, tick)));
        Self { low: 10f64.powi(first), high: 10f64.powi(last), logarithmic: true, ticks: ticks.collect() }
    }

    /// Where a value lies between `from` (the low end) and `to`; what lies outside is drawn at the end.
    pub(super) fn place(&self, value: f64, from: f64, to: f64) -> f64 {
        let part = if self.logarithmic {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        from + part.clamp(0.0, 1.0) * (to - from)
    }
}

/// How far, in decades, the outermost value stays from the end of a logarithmic axis.
const AIR: f64 = 0.1;

/// 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let decade = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|step| *step >= least * 0.999).unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        let labels = |axis: &Axis| {
            let text =
                |label: &Label| label.exponent.as_ref().map_or(label.base.clone(), |e| format!("{}^{e}", label.base));
            axis.ticks.iter().map(|(_, label)| text(label)).collect::<Vec<_>>()
        };
        assert_eq!(labels(&Axis::from_zero(362.0, 4)), ["0", "100", "200", "300", "400"]);
        assert_eq!(labels(&Axis::from_zero(0.7, 4)), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(labels(&Axis::powers_of_two(-17.2, -9.5, 4)), ["2^−18", "2^−16", "2^−14", "2^−12", "2^−10", "2^−8"]);
        assert_eq!(labels(&Axis::decades(3e-7, 2e-3, 6)), ["10^−2", "10^−3", "10^−4", "10^−5", "10^−6", "10^−7"]);
        assert_eq!(labels(&Axis::integers(0, 83, 8, 0.5)), ["0", "20", "40", "60", "80"]);
        assert_eq!(labels(&Axis::integers(0, 4, 8, 0.0)), ["0", "1", "2", "3", "4"]);
        assert_eq!(labels(&Axis::between(0.9993, 1.0103, 3)), ["0.995", "1.000", "1.005", "1.010", "1.015"]);
        assert_eq!(labels(&Axis::between(1.0, 1.0, 3)), ["1.00000", "1.00001"]);
        let numbers = [8.0, 16.0, 32.0].map(|number: f64| (number, number.to_string()));
        assert_eq!(labels(&Axis::at(&numbers)), ["8", "16", "32"]);
        let places = numbers.clone().map(|(number, _)| Axis::at(&numbers).place(number, 0.0, 100.0));
        assert!(places[0] > 0.0 && places[2] < 100.0);
        assert!((places[1] - places[0] - (places[2] - places[1])).abs() < 1e-9, "doubling is one step");
    }

    #[test]
    fn values_outside_stay_on_the_axis() {
        let axis = Axis::decades(2e-6, 5e-3, 5);
        assert_eq!(axis.place(0.0, 100.0, 0.0), 100.0);
        assert_eq!(axis.place(1.0, 100.0, 0.0), 0.0);
        assert!((axis.place(1e-4, 100.0, 0.0) - 50.0).abs() < 1e-9);
    }
}
