//! RMSNorm: `x / sqrt(mean(x^2) + epsilon)` over the channels of every token (Zhang and Sennrich, arXiv 1910.07467).
//!
//! The sum over channels is a sum over all rows of all ciphertexts: additions, then rotations of whole rows. A window of
//! all rows is the sum of one half in that half's first row alone, so a mask keeps this row and the same number of
//! rotations spreads it; the mask carries the map to the window of the inverse root and thus takes no level of its own.
//! The inverse root is a polynomial in the mean square, mapped from its window to [-1, 1]. Gamma belongs into the columns
//! of the weights that follow.

use fhe_ckks::Evaluator;

use crate::approximation::{Accuracy, Approximation, Criterion, Target};
use crate::error::{Result, refuse};
use crate::interval::Interval;
use crate::layout::{Layout, RowModule};
use crate::window::Window;

/// Relative error beyond which a fit is refused: a norm this far off is another model.
const LIMIT: f64 = 1.0 / 64.0;

/// One RMSNorm, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    module: RowModule,
    /// Channels lie in multiples of so many rows only: a power of two.
    stride: usize,
    inverse_root: Approximation,
    /// Maps the sum of squares of slot values to [-1, 1].
    slope: f64,
    offset: f64,
}

impl RmsNorm {
    /// The norm over the channels of a layout, whose mean square lies in `mean_square`. Slots hold `x / range`.
    ///
    /// # Errors
    /// If the window is empty or reaches zero, or no polynomial follows the inverse root on it.
    pub fn new(
        layout: &Layout,
        range: f64,
        mean_square: Interval,
        epsilon: f64,
        accuracy: impl Into<Accuracy>,
    ) -> Result<Self> {
        let accuracy = accuracy.into();
        let window = mean_square.widened_to_relative(1e-3);
        if !(window.low + epsilon > 0.0 && window.high > window.low && window.high.is_finite()) {
            let remedy = "calibrate the model";
            return Err(refuse("RmsNorm::new", "mean square", mean_square, "a positive window", remedy));
        }
        let channels = layout.channels();
        if channels == 0 || !(range.is_finite() && range > 0.0) {
            let found = format!("{channels} channels of range {range}");
            return Err(refuse("RmsNorm::new", "input", found, "channels of a positive range", "calibrate the model"));
        }
        let (centre, half_width) = (window.centre(), window.half_width());
        let target = Target { criterion: Criterion::Relative, tolerance: accuracy.tolerance, limit: LIMIT };
        let name = "inverse square root of a mean square";
        let inverse_root = accuracy.approximate(name, &window.to_string(), target, usize::MAX, move |y| {
            range / (centre + half_width * y + epsilon).sqrt()
        })?;
        let slope = range * range / (channels as f64 * half_width);
        let module = layout.module();
        let places = (0..channels).flat_map(|channel| layout.places(channel));
        let stride = 1 << places.fold(module.rows(), |rows, place| rows | place.slot_row).trailing_zeros();
        Ok(Self { module, stride, inverse_root, slope, offset: -centre / half_width })
    }

    /// Levels consumed: square, map to the window, polynomial, product.
    pub fn levels(&self) -> usize {
        3 + self.inverse_root.levels()
    }

    /// The polynomial of the inverse root.
    pub fn inverse_root(&self) -> &Approximation {
        &self.inverse_root
    }

    /// Normalises all ciphertexts of a tensor; rows without a channel must hold zeros. Consumes [`RmsNorm::levels`]
    /// levels.
    ///
    /// # Errors
    /// If the tensor is empty; those of the evaluator.
    pub fn apply<E: Evaluator>(&self, e: &E, tensor: &[E::Slots]) -> Result<Vec<E::Slots>> {
        let factor = self.inverse_root.apply(e, &self.normalised_mean_square(e, tensor)?)?;
        tensor.iter().map(|x| Ok(e.multiply(x, &factor)?)).collect()
    }

    /// The mean square of each token, mapped to [-1, 1], in every row that has a channel in some ciphertext. The others
    /// hold zero, which is inside the window.
    fn normalised_mean_square<E: Evaluator>(&self, e: &E, tensor: &[E::Slots]) -> Result<E::Slots> {
        let Some((first, others)) = tensor.split_first() else {
            return Err(refuse("RmsNorm::apply", "tensor", "empty", "at least one ciphertext", "leave the norm out"));
        };
        let mut squares = e.square(first)?;
        for other in others {
            squares = e.add(&squares, &e.square(other)?)?;
        }
        let length = self.module.rows() / self.stride;
        let following = Window { stride: self.stride, length, before: 0 };
        let preceding = Window { before: length - 1, ..following };
        let sums = following.sum(e, self.module, squares)?;
        let first_row = e.plain_combination(&[(&sums, &self.rows(self.module.rows(), self.slope))])?;
        let spread = preceding.sum(e, self.module, first_row)?;
        Ok(e.add_plain(&spread, &self.rows(self.stride, self.offset))?)
    }

    /// A plaintext that is `value` in the multiples of so many rows of both halves, zero elsewhere.
    fn rows(&self, multiple: usize, value: f64) -> Vec<f64> {
        let kept = |slot: usize| self.module.slot_row(slot).is_multiple_of(multiple);
        (0..self.module.slots()).map(|slot| if kept(slot) { value } else { 0.0 }).collect()
    }
}
