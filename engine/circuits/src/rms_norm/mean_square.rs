//! Mean squares in a calibrated window, and their inverse roots.

use crate::approximation::{Accuracy, Approximation, Criterion, Target};
use crate::error::{Result, refuse};
use crate::interval::Interval;
use crate::slim::{Blocks, SlimApproximation};

/// Relative error beyond which a fit is refused: a norm this far off is another model.
const LIMIT: f64 = 1.0 / 64.0;
const NAME: &str = "inverse square root of a mean square";

/// The mean square of so many channels that slots hold over a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeanSquare {
    channels: usize,
    range: f64,
    window: Interval,
    epsilon: f64,
}

impl MeanSquare {
    /// Refuses a window that is empty or reaches zero.
    pub(super) fn new(channels: usize, range: f64, mean_square: Interval, epsilon: f64) -> Result<Self> {
        let window = mean_square.widened_to_relative(1e-3);
        if !(window.low + epsilon > 0.0 && window.high > window.low && window.high.is_finite()) {
            let remedy = "calibrate the model";
            return Err(refuse("RmsNorm::new", "mean square", mean_square, "a positive window", remedy));
        }
        if channels == 0 || !(range.is_finite() && range > 0.0) {
            let found = format!("{channels} channels of range {range}");
            return Err(refuse("RmsNorm::new", "input", found, "channels of a positive range", "calibrate the model"));
        }
        Ok(Self { channels, range, window, epsilon })
    }

    /// The factor that maps the sum of squares of slots to the window as [-1, 1], but for [`MeanSquare::offset`].
    pub(super) fn slope(&self) -> f64 {
        self.range * self.range / (self.channels as f64 * self.window.half_width())
    }

    /// What is added after that factor.
    pub(super) fn offset(&self) -> f64 {
        -self.window.centre() / self.window.half_width()
    }

    /// The inverse root of the mean square that a number in [-1, 1] stands for, of what slots hold.
    fn inverse_root(&self) -> impl Fn(f64) -> f64 + Send + Sync + Clone + 'static {
        let (range, epsilon) = (self.range, self.epsilon);
        let (centre, half_width) = (self.window.centre(), self.window.half_width());
        move |y| range / (centre + half_width * y + epsilon).sqrt()
    }

    /// The inverse root by Paterson and Stockmeyer's scheme.
    pub(super) fn inverse_root_by(&self, accuracy: Accuracy, levels: usize) -> Result<Approximation> {
        accuracy.approximate(NAME, &self.window.to_string(), target(accuracy), levels, self.inverse_root())
    }

    /// The inverse root evaluated slimly.
    pub(super) fn inverse_root_slimly(
        &self,
        accuracy: Accuracy,
        blocks: Blocks,
        levels: usize,
    ) -> Result<SlimApproximation> {
        let window = self.window.to_string();
        SlimApproximation::fit(NAME, &window, target(accuracy), blocks, levels, self.inverse_root())
    }
}

fn target(accuracy: Accuracy) -> Target {
    Target { criterion: Criterion::Relative, tolerance: accuracy.tolerance, limit: LIMIT }
}
