//! RMSNorm: `x / sqrt(mean(x^2) + epsilon)` over the channels of every token (Zhang and Sennrich, arXiv 1910.07467).
//!
//! The sum over channels is a sum over all rows of all ciphertexts: additions and rotations by powers of two of whole
//! rows, which are cyclic and so leave the sum in every row. The inverse root is a polynomial in the mean square,
//! mapped from its window to [-1, 1]. Gamma belongs into the columns of the weights that follow.

use fhe_ckks::Evaluator;

use crate::approximation::{Approximation, Criterion, Target};
use crate::crossing::Halves;
use crate::error::{Result, refuse};
use crate::interval::Interval;
use crate::layout::RowModule;

/// Relative error beyond which a fit is refused: a norm this far off is another model.
const LIMIT: f64 = 1.0 / 64.0;

/// One RMSNorm, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    module: RowModule,
    inverse_root: Approximation,
    /// Maps the sum of squares of slot values to [-1, 1].
    slope: f64,
    offset: f64,
}

impl RmsNorm {
    /// The norm over `channels` channels whose mean square lies in `mean_square`. Slots hold `x / range`.
    ///
    /// # Errors
    /// If the window is empty or reaches zero, or no polynomial follows the inverse root on it.
    pub fn new(
        module: RowModule,
        channels: usize,
        range: f64,
        mean_square: Interval,
        epsilon: f64,
        tolerance: f64,
    ) -> Result<Self> {
        let window = mean_square.widened_to_relative(1e-3);
        if !(window.low + epsilon > 0.0 && window.high > window.low && window.high.is_finite()) {
            let remedy = "calibrate the model";
            return Err(refuse("RmsNorm::new", "mean square", mean_square, "a positive window", remedy));
        }
        if channels == 0 || !(range.is_finite() && range > 0.0) {
            let found = format!("{channels} channels of range {range}");
            return Err(refuse("RmsNorm::new", "input", found, "channels of a positive range", "calibrate the model"));
        }
        let (centre, half_width) = (window.centre(), window.half_width());
        let target = Target { criterion: Criterion::Relative, tolerance, limit: LIMIT };
        let inverse_root =
            Approximation::fit("inverse square root of a mean square", &window.to_string(), target, |y| {
                range / (centre + half_width * y + epsilon).sqrt()
            })?;
        let slope = range * range / (channels as f64 * half_width);
        Ok(Self { module, inverse_root, slope, offset: -centre / half_width })
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
    pub fn apply<E: Evaluator>(&self, e: &E, tensor: &[Halves<E::Slots>]) -> Result<Vec<Halves<E::Slots>>> {
        let factors = self.inverse_root.apply_halves(e, &self.normalised_mean_squares(e, tensor)?)?;
        let scale = |x: &Halves<E::Slots>| Ok([e.multiply(&x[0], &factors[0])?, e.multiply(&x[1], &factors[1])?]);
        tensor.iter().map(scale).collect()
    }

    /// The mean square of each token, mapped to [-1, 1], in every row.
    fn normalised_mean_squares<E: Evaluator>(&self, e: &E, tensor: &[Halves<E::Slots>]) -> Result<Halves<E::Slots>> {
        // Both halves share the rotations as real and imaginary part.
        let mut sum: Option<E::Slots> = None;
        for [first, second] in tensor {
            let squares = e.add(&e.square(first)?, &e.multiply_imaginary(&e.square(second)?)?)?;
            sum = Some(match sum {
                None => squares,
                Some(sum) => e.add(&sum, &squares)?,
            });
        }
        let Some(mut sum) = sum else {
            return Err(refuse("RmsNorm::apply", "tensor", "empty", "at least one ciphertext", "leave the norm out"));
        };
        let mut rows = 1;
        while rows < self.module.rows() {
            sum = e.add(&sum, &e.rotate(&sum, self.module.rotate_rows(rows))?)?;
            rows *= 2;
        }
        let conjugate = e.conjugate(&sum)?;
        let twice = [e.add(&sum, &conjugate)?, e.multiply_imaginary(&e.subtract(&conjugate, &sum)?)?];
        let normalise = |x: &E::Slots| e.linear_combination(&[(x, 0.5 * self.slope)], self.offset);
        Ok([normalise(&twice[0])?, normalise(&twice[1])?])
    }
}
