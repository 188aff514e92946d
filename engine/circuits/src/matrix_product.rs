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
use crate::quantisation::{Quantisation, WeightProduct, WeightScales};

const OPERATION: &str = "QuantisedMatrix::quantise";

/// Weights as integers, arranged for the layouts of the tensors on both sides.
///
/// Integers may be left out ([`QuantisedMatrix::planned`]) until they are needed ([`QuantisedMatrix::filled`]), so that the matrices of a
/// large model never exist at once. An evaluator without data does without them, and with [`QuantisedMatrix::assumed`] without weights.
#[derive(Clone, Debug)]
pub struct QuantisedMatrix {
    integers: IntegerMatrix,
    quantisation: Quantisation,
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
        let sizes = [output.channels(), input.channels()];
        let quantisation = Quantisation::of(OPERATION, weights, sizes, bits, scales)?;
        Ok(Self::unfilled(quantisation, output, input))
    }

    /// A matrix of unknown weights, of which only the `largest` magnitude is assumed, at one scale: for evaluators without data. Others
    /// refuse to multiply by it.
    ///
    /// # Errors
    /// If `largest` is not a finite magnitude or `bits` is not in 2..=15.
    pub fn assumed(largest: f64, output: &Layout, input: &Layout, bits: u32) -> Result<Self> {
        let quantisation = Quantisation::assumed("QuantisedMatrix::assumed", largest, output.channels(), bits)?;
        Ok(Self::unfilled(quantisation, output, input))
    }

    /// The same with its integers, from the weights that it was planned for.
    ///
    /// # Errors
    /// If these are other weights: another number of them, or another largest magnitude.
    pub fn filled(&self, weights: &[f32]) -> Result<Self> {
        let inputs = self.input.channels();
        self.quantisation.check(OPERATION, weights, inputs)?;
        let shape = self.integers.shape();
        let mut entries = vec![0_i16; shape.words()];
        for (channel, row) in weights.chunks_exact(inputs.max(1)).enumerate() {
            let integers = self.quantisation.integers(row);
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

    fn unfilled(quantisation: Quantisation, output: &Layout, input: &Layout) -> Self {
        let columns = input.ciphertexts() * input.module().rows();
        let integers = IntegerMatrix::unfilled(MatrixShape { rows: Self::used_rows(output), columns });
        Self { integers, quantisation, output: output.clone(), input: input.clone() }
    }

    /// Rows up to the last one in use; packing fills the rest of its ciphertext with zeros.
    fn used_rows(output: &Layout) -> usize {
        let places = (0..output.channels()).flat_map(|channel| output.places(channel));
        places.map(|&place| output.matrix_row(place) + 1).max().unwrap_or(0)
    }

    /// See [`Quantisation::scale`].
    pub fn scale(&self) -> f64 {
        self.quantisation.scale()
    }

    /// See [`Quantisation::magnifications`].
    pub fn magnifications(&self) -> &[f64] {
        self.quantisation.magnifications()
    }

    /// See [`Quantisation::rms_error`].
    pub fn rms_error(&self) -> f64 {
        self.quantisation.rms_error()
    }

    /// Rows and columns of the integers, padding included.
    pub fn shape(&self) -> MatrixShape {
        self.integers.shape()
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
        Ok(e.packed_product(&self.integers, self.quantisation.scale(), rows)?)
    }

    /// The product as rows, not yet packed.
    ///
    /// # Errors
    /// As [`QuantisedMatrix::multiply`].
    pub fn multiply_rows<E: Evaluator>(&self, e: &E, rows: &E::Rows) -> Result<E::Rows> {
        Ok(e.integer_product(&self.integers, self.quantisation.scale(), rows)?)
    }
}

impl WeightProduct for QuantisedMatrix {
    type Input<E: Evaluator> = E::Rows;

    fn quantisation(&self) -> &Quantisation {
        &self.quantisation
    }

    fn sizes(&self) -> [usize; 2] {
        [self.output.channels(), self.input.channels()]
    }

    fn integers(&self) -> usize {
        self.integers.shape().words()
    }

    fn filled(&self, weights: &[f32]) -> Result<Self> {
        self.filled(weights)
    }

    fn multiply<E: Evaluator>(&self, e: &E, input: &E::Rows) -> Result<Vec<E::Coefficients>> {
        self.multiply(e, input)
    }
}

/// Splits the ciphertexts of a tensor into module rows, the operand of [`QuantisedMatrix::multiply`].
///
/// # Errors
/// Those of [`Evaluator::module_rows`].
pub fn split_rows<E: Evaluator>(e: &E, module: RowModule, tensor: &[E::Coefficients]) -> Result<E::Rows> {
    Ok(e.module_rows(&tensor.iter().collect::<Vec<_>>(), module.tokens())?)
}
