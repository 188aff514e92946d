//! Products of public weights with encrypted tensors.
//!
//! The weights become small integers, at one scale per tensor or one per output row ([`WeightScales`]), and act on module rows at the
//! lowest modulus without using a level: ring switching splits a ciphertext in row-module layout into its rows, two plain matrix products act on
//! their `a` and `b` parts, and the result is packed back (Bae, Cheon, Hanrot, Park and Stehlé, "Plaintext-ciphertext
//! matrix multiplication and FHE bootstrapping: fast and fused", CRYPTO 2024). What is done here is the bookkeeping
//! around it: which channel is which row, and at which scale.

use fhe_ckks::{Evaluator, IntegerMatrix, MatrixShape};

use crate::error::{Result, refuse};
use crate::layout::{Layout, RowModule};

/// Which integer stands for the weight 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightScales {
    /// One integer for the whole matrix, so that the product has one unit.
    #[default]
    PerTensor,
    /// One for each output channel, whose largest weight becomes the largest integer: rows of small weights are rounded as finely as the
    /// others, but come out magnified ([`QuantisedMatrix::magnifications`]). For products whose consumer can undo that, in a factor
    /// or in weights of its own.
    PerRow,
}

/// Weights as integers, arranged for the layouts of the tensors on both sides.
#[derive(Clone, Debug)]
pub struct QuantisedMatrix {
    integers: IntegerMatrix,
    scale: f64,
    largest_weight: f64,
    magnifications: Vec<f64>,
    rms_error: f64,
    output: Layout,
}

impl QuantisedMatrix {
    /// Rounds a matrix, given row by row (output channel x input channel), to integers of `bits` bits, sign included.
    /// The largest weight becomes the largest integer `2^(bits-1) - 1`, so every weight is off by at most half of `max
    /// |w| / (2^(bits-1) - 1)`.
    ///
    /// A channel with several places is written to all of them where it is an output, and summed over all of them where
    /// it is an input: the tensor then holds partial sums.
    ///
    /// # Errors
    /// If the sizes differ, a weight is not finite, or `bits` is not in 2..=15.
    pub fn quantise(weights: &[f32], output: &Layout, input: &Layout, bits: u32) -> Result<Self> {
        Self::quantise_at(weights, output, input, bits, WeightScales::PerTensor)
    }

    /// As [`QuantisedMatrix::quantise`], at the chosen scales: per row, the largest weight of every output channel becomes the largest
    /// integer.
    ///
    /// # Errors
    /// As [`QuantisedMatrix::quantise`].
    pub fn quantise_at(
        weights: &[f32],
        output: &Layout,
        input: &Layout,
        bits: u32,
        scales: WeightScales,
    ) -> Result<Self> {
        const OPERATION: &str = "QuantisedMatrix::quantise";
        let (outputs, inputs) = (output.channels(), input.channels());
        if weights.len() != outputs * inputs {
            let required = format!("{outputs} rows of {inputs}");
            return Err(refuse(OPERATION, "entries", weights.len(), required, "use the layouts of both tensors"));
        }
        let scale = integer_scale(OPERATION, weights, bits)?;
        let limit = largest_integer(bits);

        let rows = Self::used_rows(output);
        let columns = input.ciphertexts() * input.module().rows();
        let mut entries = vec![0_i16; rows * columns];
        let mut squares = 0.0;
        let mut magnifications = vec![1.0; outputs];
        for (channel, row) in weights.chunks_exact(inputs.max(1)).enumerate() {
            let row_scale = match (scales, largest_magnitude(row)) {
                (WeightScales::PerRow, largest) if largest > 0.0 => limit / largest,
                _ => scale,
            };
            magnifications[channel] = row_scale / scale;
            let integers: Vec<i16> = row.iter().map(|&weight| (f64::from(weight) * row_scale).round() as i16).collect();
            let error = |(&weight, &integer): (&f32, &i16)| f64::from(weight) - f64::from(integer) / row_scale;
            squares += row.iter().zip(&integers).map(|pair| error(pair).powi(2)).sum::<f64>();
            for &to in output.places(channel) {
                let start = output.matrix_row(to) * columns;
                for (from, &integer) in integers.iter().enumerate() {
                    for &from in input.places(from) {
                        entries[start + input.matrix_row(from)] = integer;
                    }
                }
            }
        }
        let integers = IntegerMatrix::new(MatrixShape { rows, columns }, entries)
            .ok_or_else(|| refuse(OPERATION, "entries", "another number", "rows x columns", "report this"))?;
        let rms_error = (squares / weights.len().max(1) as f64).sqrt();
        Ok(Self { integers, scale, largest_weight: limit / scale, magnifications, rms_error, output: output.clone() })
    }

    /// Rows up to the last one in use; packing fills the rest of its ciphertext with zeros.
    fn used_rows(output: &Layout) -> usize {
        let places = (0..output.channels()).flat_map(|channel| output.places(channel));
        places.map(|&place| output.matrix_row(place) + 1).max().unwrap_or(0)
    }

    /// The integer that stands for the weight 1; a product multiplies the unit by it.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The weight that the largest integer stands for in a row that is not magnified: the largest of all, where any is not zero.
    pub fn largest_weight(&self) -> f64 {
        self.largest_weight
    }

    /// By how much each output channel of a product is too large, at least 1: the consumer must divide it out, and ranges must
    /// hold the magnified channels. All 1 with one scale per tensor; 1 for a channel without weights.
    pub fn magnifications(&self) -> &[f64] {
        &self.magnifications
    }

    /// Root mean square of the rounding errors of the weights.
    pub fn rms_error(&self) -> f64 {
        self.rms_error
    }

    /// The layout of the product.
    pub fn output(&self) -> &Layout {
        &self.output
    }

    /// The product with rows that were split before, so that several matrices can share them. No level.
    ///
    /// # Errors
    /// If the rows come from another layout than that of the input.
    pub fn multiply<E: Evaluator>(&self, e: &E, rows: &E::Rows) -> Result<Vec<E::Coefficients>> {
        Ok(e.pack_rows(&self.multiply_rows(e, rows)?)?)
    }

    /// The product as rows, not yet packed.
    ///
    /// # Errors
    /// If the rows come from another layout than that of the input.
    pub fn multiply_rows<E: Evaluator>(&self, e: &E, rows: &E::Rows) -> Result<E::Rows> {
        Ok(e.integer_product(&self.integers, self.scale, rows)?)
    }
}

/// Infinite if a weight is not a number.
fn largest_magnitude(weights: &[f32]) -> f64 {
    weights.iter().fold(0.0, |largest: f64, &weight| {
        let weight = f64::from(weight).abs();
        if weight.is_nan() { f64::INFINITY } else { largest.max(weight) }
    })
}

/// The integer that stands for the weight 1 where the largest becomes the largest integer of so many bits, sign included.
///
/// # Errors
/// If a weight is not finite, or `bits` is not in 2..=15.
pub(crate) fn integer_scale(operation: &'static str, weights: &[f32], bits: u32) -> Result<f64> {
    if !(2..=15).contains(&bits) {
        return Err(refuse(operation, "bits", bits, "2..=15", "weights are kept as 16-bit integers"));
    }
    let largest = largest_magnitude(weights);
    if !largest.is_finite() {
        return Err(refuse(operation, "a weight", "not finite", "a number", "check the weights"));
    }
    Ok(if largest > 0.0 { largest_integer(bits) / largest } else { 1.0 })
}

/// The largest integer of so many bits, sign included.
fn largest_integer(bits: u32) -> f64 {
    f64::from((1_i32 << (bits - 1)) - 1)
}

/// Splits the ciphertexts of a tensor into module rows, the operand of [`QuantisedMatrix::multiply`].
///
/// # Errors
/// Those of [`Evaluator::module_rows`].
pub fn split_rows<E: Evaluator>(e: &E, module: RowModule, tensor: &[E::Coefficients]) -> Result<E::Rows> {
    Ok(e.module_rows(&tensor.iter().collect::<Vec<_>>(), module.tokens())?)
}
