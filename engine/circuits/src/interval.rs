//! Windows of the arguments of approximated functions.

use std::fmt;

/// A closed interval of real numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// `[low, high]`.
    pub const fn new(low: f64, high: f64) -> Self {
        Self { low, high }
    }

    /// The number in the middle.
    pub fn centre(self) -> f64 {
        f64::midpoint(self.low, self.high)
    }

    /// Half of the length.
    pub fn half_width(self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// The interval itself, or one around the same centre whose half width is this fraction of the centre: a constant
    /// needs a window too.
    pub fn widened_to_relative(self, fraction: f64) -> Self {
        let half_width = self.half_width().max(fraction * self.centre().abs());
        Self { low: self.centre() - half_width, high: self.centre() + half_width }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:.4e}, {:.4e}]", self.low, self.high)
    }
}
