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

const OPERATION: &str = "QuantisedMatrix::quantise";

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
///
/// Integers may be left out ([`QuantisedMatrix::planned`]) until they are needed ([`QuantisedMatrix::filled`]), so that the matrices of a
/// large model never exist at once. An evaluator without data does without them, and with [`QuantisedMatrix::assumed`] without weights.
#[derive(Clone, Debug)]
pub struct QuantisedMatrix {
    integers: IntegerMatrix,
    bits: u32,
    scales: WeightScales,
    scale: f64,
    largest_weight: f64,
    magnifications: Vec<f64>,
    rms_error: f64,
    output: Layout,
    input: Layout,
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
        Self::planned(weights, output, input, bits, scales)?.filled(weights)
    }

    /// Everything about the integers of [`QuantisedMatrix::quantise_at`] but themselves.
    ///
    /// # Errors
    /// As [`QuantisedMatrix::quantise`].
    pub fn planned(weights: &[f32], output: &Layout, input: &Layout, bits: u32, scales: WeightScales) -> Result<Self> {
        let (outputs, inputs) = (output.channels(), input.channels());
        if weights.len() != outputs * inputs {
            let required = format!("{outputs} rows of {inputs}");
            return Err(refuse(OPERATION, "entries", weights.len(), required, "use the layouts of both tensors"));
        }
        let scale = integer_scale(OPERATION, weights, bits)?;
        let mut planned = Self {
            integers: Self::unfilled(output, input),
            bits,
            scales,
            scale,
            largest_weight: largest_integer(bits) / scale,
            magnifications: vec![1.0; outputs],
            rms_error: 0.0,
            output: output.clone(),
            input: input.clone(),
        };
        let mut squares = 0.0;
        for (channel, row) in weights.chunks_exact(inputs.max(1)).enumerate() {
            let row_scale = planned.row_scale(row);
            planned.magnifications[channel] = row_scale / scale;
            let error = |&weight: &f32| f64::from(weight) - f64::from(integer(weight, row_scale)) / row_scale;
            squares += row.iter().map(|weight| error(weight).powi(2)).sum::<f64>();
        }
        planned.rms_error = (squares / weights.len().max(1) as f64).sqrt();
        Ok(planned)
    }

    /// A matrix of unknown weights, of which only the `largest` magnitude is assumed, at one scale: for evaluators without data. Others
    /// refuse to multiply by it.
    ///
    /// # Errors
    /// If `largest` is not a finite magnitude or `bits` is not in 2..=15.
    pub fn assumed(largest: f64, output: &Layout, input: &Layout, bits: u32) -> Result<Self> {
        const OPERATION: &str = "QuantisedMatrix::assumed";
        if !(largest.is_finite() && largest >= 0.0) {
            return Err(refuse(OPERATION, "largest weight", largest, "a finite magnitude", "assume another one"));
        }
        let scale = integer_scale(OPERATION, &[largest as f32], bits)?;
        Ok(Self {
            integers: Self::unfilled(output, input),
            bits,
            scales: WeightScales::PerTensor,
            scale,
            largest_weight: largest_integer(bits) / scale,
            magnifications: vec![1.0; output.channels()],
            rms_error: f64::NAN,
            output: output.clone(),
            input: input.clone(),
        })
    }

    /// The same with its integers, from the weights that it was planned for.
    ///
    /// # Errors
    /// If these are other weights: another number of them, or another largest magnitude.
    pub fn filled(&self, weights: &[f32]) -> Result<Self> {
        let inputs = self.input.channels();
        let found = integer_scale(OPERATION, weights, self.bits)?;
        if weights.len() != self.output.channels() * inputs || found != self.scale {
            let found = format!("{} at {found} for 1", weights.len());
            let required = format!("{} at {} for 1", self.output.channels() * inputs, self.scale);
            return Err(refuse(OPERATION, "weights", found, required, "fill with the weights it was planned for"));
        }
        let shape = self.integers.shape();
        let mut entries = vec![0_i16; shape.words()];
        for (channel, row) in weights.chunks_exact(inputs.max(1)).enumerate() {
            let row_scale = self.row_scale(row);
            let integers: Vec<i16> = row.iter().map(|&weight| integer(weight, row_scale)).collect();
            for &to in self.output.places(channel) {
                let start = self.output.matrix_row(to) * shape.columns;
                for (from, &integer) in integers.iter().enumerate() {
                    for &from in self.input.places(from) {
                        entries[start + self.input.matrix_row(from)] = integer;
                    }
                }
            }
        }
        let integers = IntegerMatrix::new(shape, entries)
            .ok_or_else(|| refuse(OPERATION, "entries", "another number", "rows x columns", "report this"))?;
        Ok(Self { integers, ..self.clone() })
    }

    fn unfilled(output: &Layout, input: &Layout) -> IntegerMatrix {
        let columns = input.ciphertexts() * input.module().rows();
        IntegerMatrix::unfilled(MatrixShape { rows: Self::used_rows(output), columns })
    }

    /// The integer that stands for the weight 1 in a row.
    fn row_scale(&self, row: &[f32]) -> f64 {
        match (self.scales, largest_magnitude(row)) {
            (WeightScales::PerRow, largest) if largest > 0.0 => largest_integer(self.bits) / largest,
            _ => self.scale,
        }
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

    /// Rows and columns of the integers, padding included.
    pub fn shape(&self) -> MatrixShape {
        self.integers.shape()
    }

    /// Root mean square of the rounding errors of the weights; not a number where none are known.
    pub fn rms_error(&self) -> f64 {
        self.rms_error
    }

    /// The layout of what it multiplies.
    pub fn input(&self) -> &Layout {
        &self.input
    }

    /// The layout of the product.
    pub fn output(&self) -> &Layout {
        &self.output
    }

    /// The product with rows that were split before, so that several matrices can share them. No level.
    ///
    /// # Errors
    /// If the rows come from another layout than that of the input, or the integers are needed and not there.
    pub fn multiply<E: Evaluator>(&self, e: &E, rows: &E::Rows) -> Result<Vec<E::Coefficients>> {
        Ok(e.pack_rows(&self.multiply_rows(e, rows)?)?)
    }

    /// The product as rows, not yet packed.
    ///
    /// # Errors
    /// As [`QuantisedMatrix::multiply`].
    pub fn multiply_rows<E: Evaluator>(&self, e: &E, rows: &E::Rows) -> Result<E::Rows> {
        Ok(e.integer_product(&self.integers, self.scale, rows)?)
    }
}

/// A weight in units of `1 / scale`.
fn integer(weight: f32, scale: f64) -> i16 {
    (f64::from(weight) * scale).round() as i16
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
