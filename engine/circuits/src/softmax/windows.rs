//! What calibration knows of one layer's scores.

use crate::error::{Result, refuse};
use crate::interval::Interval;

/// Windows are stretched by this fraction, so that noise does not push a message at their very end out of the range of
/// a bootstrap.
pub(super) const SLACK: f64 = 1.0 / 1024.0;

/// Calibrated windows of one layer's scores.
#[derive(Clone, Debug)]
pub struct SoftmaxWindows {
    /// Per query head, the centre of its scores.
    pub centres: Vec<f64>,
    /// Half width of the scores, common to all heads.
    pub half_width: f64,
    /// The sum over live keys of `exp(score - centre - half_width)`, over all heads.
    pub denominator: Interval,
    /// For [`SoftmaxVariant::NormalizeAndSquare`](super::SoftmaxVariant::NormalizeAndSquare), the sum over live keys of `exp((score - centre -
    /// half_width) / 2^(rounds - 1))`, over all heads: that of its first squares. Without it the window follows from the denominators.
    pub first_sum: Option<Interval>,
}

impl SoftmaxWindows {
    /// The same windows without the part of the scores that the denominators rule out. No exponential exceeds its
    /// denominator, so no score exceeds `centre + half_width + ln(denominator.high)`. Scores far below their row's
    /// maximum widen a symmetric window upwards as well, and the exponential would spend its precision on values that
    /// never occur. `whole` windows are for scores that no denominator contains.
    pub(super) fn tightened(&self, whole: bool) -> Result<Self> {
        const OPERATION: &str = "Softmax::new";
        let Self { centres, half_width, denominator, first_sum } = self;
        if !(half_width.is_finite() && *half_width > 0.0 && centres.iter().all(|centre| centre.is_finite())) {
            let found = format!("half width {half_width} around {centres:?}");
            return Err(refuse(OPERATION, "scores", found, "a positive half width", "calibrate the model"));
        }
        let wide = slack(*denominator);
        if !(wide.low > 0.0 && wide.high.is_finite()) {
            return Err(refuse(OPERATION, "denominator", denominator, "a positive window", "calibrate the model"));
        }
        let cut = if whole { 0.0 } else { wide.high.ln().min(0.0) };
        let (low, high) = (-half_width, half_width + cut);
        if high <= low {
            let required = format!("above exp(-2 * {half_width})");
            return Err(refuse(OPERATION, "denominator", denominator, required, "calibrate the model"));
        }
        let (shift, rescaled) = (f64::midpoint(low, high), (half_width - high).exp());
        Ok(Self {
            centres: centres.iter().map(|centre| centre + shift).collect(),
            half_width: (high - low) / 2.0,
            denominator: Interval::new(wide.low * rescaled, wide.high * rescaled),
            first_sum: *first_sum,
        })
    }

    /// The window of the first sum of squares after so many rounds, of at most `keys` exponentials relative to the upper end of the
    /// tightened scores. With `p = 2^(rounds - 1)`, terms `x^(1/p)` of a sum `D` of up to `keys` terms `x` sum to at least `D^(1/p)`, and to at most
    /// `keys (D / keys)^(1/p)` since the root is concave.
    pub(super) fn first_sum(&self, rounds: usize, keys: f64, whole: bool) -> Result<Interval> {
        let tight = self.tightened(whole)?;
        let fraction = 1.0 / f64::from(1_u32 << (rounds - 1));
        let Interval { low, high } = tight.denominator;
        // No exponential exceeds 1.
        let most = keys.min(keys.powf(1.0 - fraction) * high.powf(fraction));
        let window = match self.first_sum {
            None => Interval::new(low.powf(fraction), most),
            Some(window) => {
                // The upper end of the tightened scores lies lower.
                let rescaled = (2.0 * (self.half_width - tight.half_width) * fraction).exp();
                Interval::new(window.low * rescaled, (window.high * rescaled).min(keys))
            }
        };
        if !(window.low > 0.0 && window.low <= window.high && window.high.is_finite()) {
            let remedy = "calibrate the model";
            return Err(refuse("Softmax::new", "first sum of squares", window, "a positive window", remedy));
        }
        Ok(slack(window))
    }
}

/// A window that noise at its ends does not leave.
pub(super) fn slack(window: Interval) -> Interval {
    // Widening about the centre would lose a lower end far below it.
    let wide = if window.half_width() < SLACK * window.centre() { window.widened_to_relative(SLACK) } else { window };
    Interval::new(wide.low * (1.0 - SLACK), wide.high * (1.0 + SLACK))
}
