//! RMSNorm: `x / sqrt(mean(x^2) + epsilon)` over the channels of every token (Zhang and Sennrich, arXiv 1910.07467).
//!
//! The sum over channels is a sum over all rows of all ciphertexts: additions, then rotations of whole rows. A window of
//! all rows is the sum of one half in that half's first row alone, so a mask keeps this row and the same number of
//! rotations spreads it; the mask carries the map to the window of the inverse root and thus takes no level of its own.
//! The inverse root is a polynomial in the mean square, mapped from its window to [-1, 1]. Gamma belongs into the columns
//! of the weights that follow.
//!
//! A mean square is one number per token and stands in every row, so the inverse root can be evaluated slimly ([`crate::slim`]), for one level more
//! than by Paterson and Stockmeyer. Its values come from two sides; the masks that join them are taken on the tensor, where they cost no level but a product
//! for each ciphertext. [`RmsNorm::slim`] says whether that saves products.

mod mean_square;
mod vector;

use fhe_ckks::Evaluator;

use crate::approximation::{Accuracy, FittedPolynomial, Functions};
use crate::error::{Result, refuse};
use crate::interval::Interval;
use crate::layout::{Layout, RowModule};
use crate::slim::{Blocks, FewValues, SlimApproximation};
use crate::window::Window;

use mean_square::MeanSquare;
pub use vector::VectorNorm;

/// Levels beside the polynomial: square, map to the window, product.
const AROUND: usize = 3;

/// One RMSNorm, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    module: RowModule,
    /// Channels lie in multiples of so many rows only: a power of two.
    stride: usize,
    inverse_root: FewValues,
    /// Maps the sum of squares of slot values to [-1, 1].
    slope: f64,
    offset: f64,
}

/// What both ways to evaluate the inverse root are prepared from.
struct Preparation {
    module: RowModule,
    stride: usize,
    mean_square: MeanSquare,
}

impl RmsNorm {
    /// The norm over the channels of a layout, whose mean square lies in `mean_square`. Slots hold `x / range`. It takes at most
    /// `most_levels`.
    ///
    /// # Errors
    /// If the window is empty or reaches zero, or no polynomial for which there are levels follows the inverse root on it.
    pub fn new(
        layout: &Layout,
        range: f64,
        mean_square: Interval,
        epsilon: f64,
        accuracy: impl Into<Accuracy>,
        most_levels: usize,
    ) -> Result<Self> {
        let accuracy = accuracy.into();
        let preparation = Preparation::new(layout, range, mean_square, epsilon)?;
        let inverse_root = preparation.mean_square.inverse_root_by(accuracy, most_levels.saturating_sub(AROUND))?;
        Ok(preparation.with(FewValues::PatersonStockmeyer(inverse_root)))
    }

    /// The same with the inverse root evaluated slimly, if that takes fewer products in all on so many ciphertexts of the tensor;
    /// otherwise as [`RmsNorm::new`]. A function that needs no polynomial is not evaluated slimly.
    ///
    /// # Errors
    /// As [`RmsNorm::new`].
    pub fn slim(
        layout: &Layout,
        range: f64,
        mean_square: Interval,
        epsilon: f64,
        accuracy: impl Into<Accuracy>,
        most_levels: usize,
    ) -> Result<Self> {
        let accuracy = accuracy.into();
        let usual = Self::new(layout, range, mean_square, epsilon, accuracy, most_levels)?;
        let FewValues::PatersonStockmeyer(by_usual) = &usual.inverse_root else { return Ok(usual) };
        if accuracy.functions == Functions::Exact {
            return Ok(usual);
        }
        let preparation = Preparation::new(layout, range, mean_square, epsilon)?;
        let rows = preparation.module.rows() / preparation.stride;
        let length = preparation.stride * preparation.module.half_tokens();
        let blocks = Blocks::new(preparation.module.slots() / 2, length, rows)?;
        let levels = most_levels.saturating_sub(AROUND);
        let slim = preparation.mean_square.inverse_root_slimly(accuracy, blocks, levels);
        // As accurate as the other, or as was asked for.
        let enough = by_usual.error().max(accuracy.tolerance);
        let saves = |slim: &SlimApproximation| {
            let joining = if slim.is_two_sided() { layout.ciphertexts() } else { 0 };
            slim.error() <= enough && slim.products() + joining < by_usual.products()
        };
        Ok(match slim {
            Ok(slim) if saves(&slim) => preparation.with(FewValues::Slim(Box::new(slim))),
            _ => usual,
        })
    }

    /// Levels consumed: square, map to the window, polynomial, product.
    pub fn levels(&self) -> usize {
        AROUND
            + match &self.inverse_root {
                FewValues::PatersonStockmeyer(usual) => usual.levels(),
                FewValues::Slim(slim) => slim.levels(),
            }
    }

    /// The polynomial of the inverse root as data.
    pub fn fitted(&self) -> FittedPolynomial {
        self.inverse_root.fitted()
    }

    /// Degree of the polynomial of the inverse root.
    pub fn degree(&self) -> usize {
        self.inverse_root.degree()
    }

    /// Relative error of the polynomial of the inverse root.
    pub fn error(&self) -> f64 {
        self.inverse_root.error()
    }

    /// Whether the inverse root is evaluated slimly.
    pub fn is_slim(&self) -> bool {
        matches!(self.inverse_root, FewValues::Slim(_))
    }

    /// Normalises all ciphertexts of a tensor; rows without a channel must hold zeros. Consumes [`RmsNorm::levels`]
    /// levels.
    ///
    /// # Errors
    /// If the tensor is empty; those of the evaluator.
    pub fn apply<E: Evaluator>(&self, e: &E, tensor: &[E::Slots]) -> Result<Vec<E::Slots>> {
        let mean_square = self.normalised_mean_square(e, tensor)?;
        match &self.inverse_root {
            FewValues::PatersonStockmeyer(usual) => {
                let factor = usual.apply(e, &mean_square)?;
                tensor.iter().map(|x| Ok(e.multiply(x, &factor)?)).collect()
            }
            FewValues::Slim(slim) => {
                let factor = slim.apply(e, &mean_square)?;
                tensor.iter().map(|x| factor.times(e, x)).collect()
            }
        }
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

impl Preparation {
    fn new(layout: &Layout, range: f64, window: Interval, epsilon: f64) -> Result<Self> {
        let channels = layout.channels();
        let mean_square = MeanSquare::new(channels, range, window, epsilon)?;
        let module = layout.module();
        let places = (0..channels).flat_map(|channel| layout.places(channel));
        let stride = 1 << places.fold(module.rows(), |rows, place| rows | place.slot_row).trailing_zeros();
        Ok(Self { module, stride, mean_square })
    }

    fn with(self, inverse_root: FewValues) -> RmsNorm {
        let Self { module, stride, mean_square } = self;
        RmsNorm { module, stride, inverse_root, slope: mean_square.slope(), offset: mean_square.offset() }
    }
}
