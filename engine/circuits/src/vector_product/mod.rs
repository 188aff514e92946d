//! Products of public weights with the vector of one token.
//!
//! Decoding meets every matrix with a single token. In row-module layout it would fill one coefficient of each row and pay for
//! all of them; here the vector lies in parts with zeros behind, and one product with a weight polynomial gives several rows at once
//! ([`fhe_ring::Backend::weight_products`]). With `N` the degree, `n` that of the small ring and `g = N / n`:
//!
//! ```text
//! input    channel  block J + c            coefficient  J mod g + g c             of ciphertext J div g      c < block
//! output   channel  n K + o + h i          coefficient  K mod g + g (stride o + block i)   of ciphertext K div g      o < h, i < n / block
//! ```
//!
//! where `h` is the number of rows of the `K`-th group, `n` but for the last, over `n / block`, rounded up, and `stride` the largest power
//! of two with `h stride <= block`: for `n` rows the output is in natural order, `K mod g + g (channel mod n)`. Everywhere else are zeros, on
//! both sides.
//!
//! SlotsToCoeffs and half bootstrapping reverse the bits of a coefficient below the highest one
//! ([`CircuitShape::slot_of_coefficient`](fhe_ckks::CircuitShape::slot_of_coefficient)). At `N = 2^16`, `n = 2^12` and 4096 channels a vector in parts of 256 has its channels in the lower
//! half, `[c: 8 bits reversed | 3 zero bits]` in each of sixteen stretches of 2048 slots, `J` reversed; a product has its channels in the first
//! 2048 slots of each half, the highest bit of the channel being the half and the others reversed.
//!
//! What comes from one side to the other is a [`SparseMap`](crate::SparseMap), at a level; channels can be in any order, which decides how many
//! rotations it takes.
//!
//! The noise of the input's ring switch lies in every coefficient of a part, also behind its block, and all of it meets weights:
//! a product has the noise of `n` entries for each part, as though rows were `n / block` times as long.
//!
//! A larger block takes fewer input ciphertexts and more key switches, one for almost every entry of a block; the number of weight
//! polynomials, which is most of the work, stays the same.

mod layout;

use fhe_ckks::{Evaluator, IntegerMatrix, MatrixShape};

use crate::error::{Result, refuse};
use crate::quantisation::{Quantisation, WeightProduct, WeightScales};

pub use layout::{VectorLayout, VectorPlace};

/// Weights as integers, for vectors of one layout. As of [`QuantisedMatrix`](crate::QuantisedMatrix), they may be left out until they are needed.
#[derive(Clone, Debug)]
pub struct VectorProduct {
    /// Groups of as many rows as the small ring has coefficients.
    integers: Vec<IntegerMatrix>,
    quantisation: Quantisation,
    output: VectorLayout,
    input: VectorLayout,
}

const OPERATION: &str = "VectorProduct::quantise";

impl VectorProduct {
    /// Rounds a matrix, given row by row (output channel x input channel), to integers of `bits` bits, sign included, at one scale.
    ///
    /// # Errors
    /// If the output is no [`VectorLayout::product`] of the input, the number of weights is another one, a weight is not finite, or `bits` is not
    /// in 2..=15.
    pub fn quantise(weights: &[f32], output: &VectorLayout, input: &VectorLayout, bits: u32) -> Result<Self> {
        Self::planned(weights, output, input, bits, WeightScales::PerTensor)?.filled(weights)
    }

    /// Everything about the integers but themselves, at the chosen scales.
    ///
    /// # Errors
    /// As [`VectorProduct::quantise`].
    pub fn planned(
        weights: &[f32],
        output: &VectorLayout,
        input: &VectorLayout,
        bits: u32,
        scales: WeightScales,
    ) -> Result<Self> {
        let sizes = [output.channels(), input.channels()];
        Self::unfilled(Quantisation::of(OPERATION, weights, sizes, bits, scales)?, output, input)
    }

    /// A matrix of unknown weights, of which only the `largest` magnitude is assumed, at one scale: for evaluators without data.
    ///
    /// # Errors
    /// If the output is no product of the input, `largest` is not a finite magnitude, or `bits` is not in 2..=15.
    pub fn assumed(largest: f64, output: &VectorLayout, input: &VectorLayout, bits: u32) -> Result<Self> {
        let quantisation = Quantisation::assumed("VectorProduct::assumed", largest, output.channels(), bits)?;
        Self::unfilled(quantisation, output, input)
    }

    fn unfilled(quantisation: Quantisation, output: &VectorLayout, input: &VectorLayout) -> Result<Self> {
        if output.block != input.block || output.shape != input.shape {
            let (found, required) = (format!("of blocks of {}", output.block), format!("of blocks of {}", input.block));
            return Err(refuse(OPERATION, "output", found, required, "take the product of the input's layout"));
        }
        let small = input.shape.small_degree;
        let integers = (0..output.rows).step_by(small).map(|first| {
            let rows = small.min(output.rows - first);
            IntegerMatrix::unfilled(MatrixShape { rows, columns: input.rows })
        });
        Ok(Self { integers: integers.collect(), quantisation, output: output.clone(), input: input.clone() })
    }

    /// The same with its integers, from the weights that it was planned for.
    ///
    /// # Errors
    /// If these are other weights: another number of them, or another largest magnitude.
    pub fn filled(&self, weights: &[f32]) -> Result<Self> {
        let (inputs, columns) = (self.input.channels(), self.input.rows);
        self.quantisation.check(OPERATION, weights, inputs)?;
        let mut entries = vec![0_i16; self.output.rows * columns];
        for (row, &to) in weights.chunks_exact(inputs).zip(&self.output.order) {
            for (&from, integer) in self.input.order.iter().zip(self.quantisation.integers(row)) {
                entries[to * columns + from] = integer;
            }
        }
        let mut rows = entries.as_slice();
        let group = |unfilled: &IntegerMatrix| {
            let (own, others) = rows.split_at(unfilled.shape().words());
            rows = others;
            IntegerMatrix::new(unfilled.shape(), own.to_vec())
                .ok_or_else(|| refuse(OPERATION, "entries", "another number", "rows x columns", "report this"))
        };
        let integers = self.integers.iter().map(group).collect::<Result<_>>()?;
        Ok(Self { integers, ..self.clone() })
    }

    /// See [`Quantisation::scale`].
    pub fn scale(&self) -> f64 {
        self.quantisation.scale()
    }

    /// See [`Quantisation::rms_error`].
    pub fn rms_error(&self) -> f64 {
        self.quantisation.rms_error()
    }

    /// The layout of the vector.
    pub fn input(&self) -> &VectorLayout {
        &self.input
    }

    /// The layout of the product.
    pub fn output(&self) -> &VectorLayout {
        &self.output
    }

    /// The product with a vector that was split before, so that several matrices can share it. No level.
    ///
    /// # Errors
    /// If the vector comes from another layout than that of the input.
    pub fn multiply<E: Evaluator>(&self, e: &E, vector: &E::VectorParts) -> Result<Vec<E::Coefficients>> {
        Ok(e.vector_products(&self.integers, self.quantisation.scale(), vector)?)
    }
}

impl WeightProduct for VectorProduct {
    type Input<E: Evaluator> = E::VectorParts;

    fn quantisation(&self) -> &Quantisation {
        &self.quantisation
    }

    fn sizes(&self) -> [usize; 2] {
        [self.output.channels(), self.input.channels()]
    }

    fn integers(&self) -> usize {
        self.integers.iter().map(|group| group.shape().words()).sum()
    }

    fn filled(&self, weights: &[f32]) -> Result<Self> {
        self.filled(weights)
    }

    fn multiply<E: Evaluator>(&self, e: &E, input: &E::VectorParts) -> Result<Vec<E::Coefficients>> {
        self.multiply(e, input)
    }
}

/// SlotsToCoeffs of a vector that is zero where no channel lies: cheaper the fewer coefficients it takes. Ends all levels.
///
/// # Errors
/// Those of [`Evaluator::spaced_slots_to_coefficients`].
pub fn descend_vector<E: Evaluator>(
    e: &E,
    layout: &VectorLayout,
    vector: &[E::Slots],
    unit: f64,
) -> Result<Vec<E::Coefficients>> {
    vector.iter().map(|slots| Ok(e.spaced_slots_to_coefficients(slots, layout.spacing(), unit)?)).collect()
}

/// Splits the ciphertexts of a vector, the operand of [`VectorProduct::multiply`].
///
/// # Errors
/// Those of [`Evaluator::split_vector`].
pub fn split_vector<E: Evaluator>(e: &E, layout: &VectorLayout, vector: &[E::Coefficients]) -> Result<E::VectorParts> {
    let parts = layout.rows.div_ceil(layout.block());
    Ok(e.split_vector(&vector.iter().collect::<Vec<_>>(), layout.block(), parts)?)
}
