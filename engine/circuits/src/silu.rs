//! SiLU, `x / (1 + exp(-x))`, and the gated product of SwiGLU (Shazeer, arXiv 2002.05202).

use fhe_ckks::SlotArithmetic;

use crate::approximation::{Accuracy, Approximation, Criterion, Target};
use crate::crossing::Distortion;
use crate::error::{Result, refuse};

/// Error, as a fraction of the half width of the window, beyond which a fit is refused.
const LIMIT: f64 = 1.0 / 2048.0;
/// Levels of the gated product.
const PRODUCT_LEVELS: usize = 1;

/// `silu(gate) * up`, ready to be evaluated on half-bootstrapped ciphertexts.
#[derive(Clone, Debug)]
pub struct GatedSilu {
    silu: Approximation,
}

impl GatedSilu {
    /// For slots that hold the distorted `gate / gate_range` and the corrected `up / up_range`. It takes at most `most_levels` on the
    /// side of the gate.
    ///
    /// # Errors
    /// If a range is not positive or no polynomial for which there are levels follows SiLU on `[-gate_range, gate_range]`.
    pub fn new(
        gate_range: f64,
        up_range: f64,
        distortion: Distortion,
        accuracy: impl Into<Accuracy>,
        most_levels: usize,
    ) -> Result<Self> {
        let accuracy = accuracy.into();
        for range in [gate_range, up_range] {
            if !(range.is_finite() && range > 0.0) {
                return Err(refuse("GatedSilu::new", "range", range, "a positive number", "calibrate the model"));
            }
        }
        let criterion = Criterion::Absolute(gate_range * up_range);
        let window = format!("[-{gate_range:.4}, {gate_range:.4}]");
        let target = Target { criterion, tolerance: accuracy.tolerance, limit: LIMIT };
        let levels = most_levels.saturating_sub(PRODUCT_LEVELS);
        let silu = accuracy.approximate("SiLU", &window, target, levels, move |y| {
            let x = gate_range * distortion.undo(y);
            up_range * x / (1.0 + (-x).exp())
        })?;
        Ok(Self { silu })
    }

    /// Levels consumed on the side of the gate: polynomial and product.
    pub fn gate_levels(&self) -> usize {
        self.silu.levels() + self.up_levels()
    }

    /// Levels consumed on the side of `up`: the product.
    pub fn up_levels(&self) -> usize {
        PRODUCT_LEVELS
    }

    /// The polynomial of SiLU.
    pub fn silu(&self) -> &Approximation {
        &self.silu
    }

    /// The gated product of one ciphertext each, in true values.
    ///
    /// # Errors
    /// Those of the evaluator.
    pub fn apply<E: SlotArithmetic>(&self, e: &E, gate: &E::Slots, up: &E::Slots) -> Result<E::Slots> {
        Ok(e.multiply(&self.silu.apply(e, gate)?, up)?)
    }
}
