//! Closed intervals of real numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A closed interval, written `[lo, hi]` in files.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 2]", into = "[f64; 2]")]
pub struct Interval {
    /// Lower end.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
}

impl Interval {
    /// Contains nothing; the neutral element of [`Interval::hull`].
    pub const EMPTY: Self = Self { lo: f64::INFINITY, hi: f64::NEG_INFINITY };

    /// `[lo, hi]`.
    pub const fn new(lo: f64, hi: f64) -> Self {
        Self { lo, hi }
    }

    /// `[-bound, bound]`.
    pub const fn symmetric(bound: f64) -> Self {
        Self { lo: -bound, hi: bound }
    }

    /// `[centre - half_width, centre + half_width]`.
    pub const fn around(centre: f64, half_width: f64) -> Self {
        Self { lo: centre - half_width, hi: centre + half_width }
    }

    /// The smallest interval that contains all numbers.
    pub fn of(numbers: &[f32]) -> Self {
        let (lo, hi) = numbers
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), &number| (lo.min(number), hi.max(number)));
        Self { lo: lo.into(), hi: hi.into() }
    }

    /// Whether it contains nothing.
    pub fn is_empty(self) -> bool {
        !matches!(self.lo.partial_cmp(&self.hi), Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal))
    }

    /// The smallest interval that contains both.
    pub fn hull(self, other: Self) -> Self {
        Self { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }

    /// Grown to contain one more number.
    pub fn including(self, number: f64) -> Self {
        self.hull(Self { lo: number, hi: number })
    }

    /// The largest absolute value inside.
    pub fn magnitude(self) -> f64 {
        self.lo.abs().max(self.hi.abs())
    }

    /// The number in the middle.
    pub fn centre(self) -> f64 {
        f64::midpoint(self.lo, self.hi)
    }

    /// Half of the length.
    pub fn half_width(self) -> f64 {
        (self.hi - self.lo) / 2.0
    }

    /// The upper end divided by the lower one: what a fit of an inverse root has to span.
    pub fn ratio(self) -> f64 {
        self.hi / self.lo
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:.6}, {:.6}]", self.lo, self.hi)
    }
}

impl From<[f64; 2]> for Interval {
    fn from([lo, hi]: [f64; 2]) -> Self {
        Self { lo, hi }
    }
}

impl From<Interval> for [f64; 2] {
    fn from(interval: Interval) -> Self {
        [interval.lo, interval.hi]
    }
}
