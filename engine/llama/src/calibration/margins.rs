//! How much wider than anything seen a window is made.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Margins per kind of site and side. Factors are at least 1; an upper excess explodes like a Chebyshev polynomial
/// outside its interval, a lower one of an inverse root is nearly harmless, and each factor costs precision, so they
/// differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Margins {
    /// Divides the lower end of a mean square. A token with a smaller residual than any seen is rare, and only loses
    /// accuracy.
    pub mean_square_lower: f64,
    /// Multiplies the upper end of a mean square. It explodes, and grows with the square of an outlier.
    pub mean_square_upper: f64,
    /// Multiplies the half width of the score windows. Scores exceed what was seen more often than any other site.
    pub score_factor: f64,
    /// Added to the half width of the score windows, in nats: a head with nearly constant scores needs room that no
    /// factor gives.
    pub score_addend: f64,
    /// Divides the lower end of a SoftMax denominator.
    pub denominator_lower: f64,
    /// Multiplies the upper end of a SoftMax denominator. It is exponential in the scores, so it moves most.
    pub denominator_upper: f64,
    /// Divides the lower end of the first sum of squares of a SoftMax in rounds.
    #[serde(default = "first_sum_lower")]
    pub first_sum_lower: f64,
    /// Multiplies its upper end, which the sum left by a factor of 1.6 on held-out text, and which explodes.
    #[serde(default = "first_sum_upper")]
    pub first_sum_upper: f64,
    /// Multiplies the half width of SiLU's argument; a wider window needs a higher degree.
    pub silu: f64,
    /// Multiplies the largest absolute value of every other tensor. They only pass through bootstraps, whose error grows
    /// linearly with the range: half a bit for factor 1.5.
    pub linear: f64,
    /// Whether the score windows cover masked pairs too: needed by a circuit that exponentiates before it masks.
    pub cover_masked_scores: bool,
}

/// What files that do not name them yet get.
fn first_sum_lower() -> f64 {
    1.3
}

fn first_sum_upper() -> f64 {
    4.0
}

impl Default for Margins {
    fn default() -> Self {
        Self {
            mean_square_lower: 1.5,
            mean_square_upper: 2.0,
            score_factor: 1.3,
            score_addend: 1.0,
            denominator_lower: 2.0,
            denominator_upper: 2.0,
            first_sum_lower: first_sum_lower(),
            first_sum_upper: first_sum_upper(),
            silu: 1.5,
            linear: 1.5,
            cover_masked_scores: false,
        }
    }
}

impl Margins {
    /// No margin at all: the windows are what was seen.
    pub const NONE: Self = Self {
        mean_square_lower: 1.0,
        mean_square_upper: 1.0,
        score_factor: 1.0,
        score_addend: 0.0,
        denominator_lower: 1.0,
        denominator_upper: 1.0,
        first_sum_lower: 1.0,
        first_sum_upper: 1.0,
        silu: 1.0,
        linear: 1.0,
        cover_masked_scores: false,
    };

    /// # Errors
    /// [`Error::CalibrationSetting`] naming the first factor below 1, or an addend below 0.
    pub(super) fn validate(&self) -> Result<()> {
        let factors = [
            ("mean-square-lower", self.mean_square_lower),
            ("mean-square-upper", self.mean_square_upper),
            ("score-factor", self.score_factor),
            ("denominator-lower", self.denominator_lower),
            ("denominator-upper", self.denominator_upper),
            ("first-sum-lower", self.first_sum_lower),
            ("first-sum-upper", self.first_sum_upper),
            ("silu", self.silu),
            ("linear", self.linear),
        ];
        let refuse = |key, found, required| Err(Error::CalibrationSetting { key, found, required });
        if let Some((key, found)) = factors.into_iter().find(|(_, factor)| !(factor.is_finite() && *factor >= 1.0)) {
            return refuse(key, found, "a factor of at least 1");
        }
        if !(self.score_addend.is_finite() && self.score_addend >= 0.0) {
            return refuse("score-addend", self.score_addend, "at least 0");
        }
        Ok(())
    }
}
