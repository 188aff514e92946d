//! The norm of one token's vector, whose channels lie in some slots of one ciphertext with zeros in all others.
//!
//! Rotations by every power of two go once round the cycle of real slots, so that each slot ends with the sum over all of them: no mask, and the sum is
//! where the channels are. A factor for the window and the product with the inverse root are all that comes besides.
//!
//! What a sparse half bootstrap returned stands in copies. With `n` slots to a copy, rotations by powers of two below `n` leave in every slot a sum over
//! `n` neighbours, which is a whole copy of its half, or the end of one half's and the beginning of the other's; the rotation by half of the slots adds
//! the rest.

use fhe_ckks::{Copies, Evaluator, Packing, Rotation};

use super::mean_square::MeanSquare;
use crate::approximation::{Accuracy, Approximation, FittedPolynomial};
use crate::error::Result;
use crate::interval::Interval;

/// Levels beside the polynomial: square, map to the window, product.
const AROUND: usize = 3;

/// One RMSNorm of a vector, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct VectorNorm {
    mean_square: MeanSquare,
    inverse_root: Approximation,
    copies: Copies,
}

impl VectorNorm {
    /// The norm over so many channels, whose mean square lies in `mean_square`. Slots hold `x / range`. It takes at most `most_levels`.
    ///
    /// # Errors
    /// As [`RmsNorm::new`](super::RmsNorm::new).
    pub fn new(
        channels: usize,
        range: f64,
        mean_square: Interval,
        epsilon: f64,
        accuracy: impl Into<Accuracy>,
        most_levels: usize,
    ) -> Result<Self> {
        let mean_square = MeanSquare::new(channels, range, mean_square, epsilon)?;
        let inverse_root = mean_square.inverse_root_by(accuracy.into(), most_levels.saturating_sub(AROUND))?;
        Ok(Self { mean_square, inverse_root, copies: Copies::ONE })
    }

    /// The same for a vector that stands in so many copies in each half of the slots.
    #[must_use]
    pub fn over_copies(self, copies: Copies) -> Self {
        Self { copies, ..self }
    }

    /// Levels consumed: square, map to the window, polynomial, product.
    pub fn levels(&self) -> usize {
        AROUND + self.inverse_root.levels()
    }

    /// The polynomial of the inverse root as data.
    pub fn fitted(&self) -> FittedPolynomial {
        self.inverse_root.fitted()
    }

    /// Normalises a vector, in all of its copies. Consumes [`VectorNorm::levels`] levels, with a rotation for every bit of a slot of a copy and one more.
    ///
    /// # Errors
    /// Those of the evaluator.
    pub fn apply<E: Evaluator>(&self, e: &E, x: &E::Slots) -> Result<E::Slots> {
        let half = e.shape().slots(Packing::Real) / 2;
        let within = (0..(half / self.copies.0).trailing_zeros()).map(|bit| 1 << bit);
        let mut sum = e.square(x)?;
        for steps in within.chain([half]) {
            sum = e.add(&sum, &e.rotate(&sum, Rotation(steps as i64))?)?;
        }
        let mean_square = e.linear_combination(&[(&sum, self.mean_square.slope())], self.mean_square.offset())?;
        Ok(e.multiply(x, &self.inverse_root.apply(e, &mean_square)?)?)
    }
}
