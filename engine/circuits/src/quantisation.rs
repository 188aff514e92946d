//! Weights as small integers: at one scale for a matrix or one for each of its rows.

use fhe_ckks::Evaluator;

use crate::error::{Result, refuse};

/// Which integer stands for the weight 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightScales {
    /// One integer for the whole matrix, so that the product has one unit.
    #[default]
    PerTensor,
    /// One for each output channel, whose largest weight becomes the largest integer: rows of small weights are rounded as finely as the
    /// others, but come out magnified ([`Quantisation::magnifications`]). For products whose consumer can undo that, in a factor
    /// or in weights of its own.
    PerRow,
}

/// A matrix of weights as integers, arranged for the encrypted tensors on both sides of a product.
pub trait WeightProduct: Clone {
    /// What it multiplies.
    type Input<E: Evaluator>;

    /// How the weights were rounded.
    fn quantisation(&self) -> &Quantisation;
    /// Output and input channels.
    fn sizes(&self) -> [usize; 2];
    /// Number of integers, padding included.
    fn integers(&self) -> usize;
    /// The same with its integers, from the weights that it was planned for.
    ///
    /// # Errors
    /// If these are other weights: another number of them, or another largest magnitude.
    fn filled(&self, weights: &[f32]) -> Result<Self>;
    /// The product. No level.
    ///
    /// # Errors
    /// If the input has another layout, or the integers are needed and not there.
    fn multiply<E: Evaluator>(&self, e: &E, input: &Self::Input<E>) -> Result<Vec<E::Coefficients>>;
}

/// How the weights of a matrix become integers: everything about these but themselves.
#[derive(Clone, Debug)]
pub struct Quantisation {
    bits: u32,
    scales: WeightScales,
    scale: f64,
    largest_weight: f64,
    magnifications: Vec<f64>,
    rms_error: f64,
}

impl Quantisation {
    /// To integers of `bits` bits, sign included, of `rows` rows of `columns` weights each: the largest weight becomes the largest integer
    /// `2^(bits-1) - 1`, of all or of its row, so every weight is off by at most half of what an integer of 1 stands for.
    ///
    /// # Errors
    /// If there is another number of weights, one is not finite, or `bits` is not in 2..=15.
    pub(crate) fn of(
        operation: &'static str,
        weights: &[f32],
        [rows, columns]: [usize; 2],
        bits: u32,
        scales: WeightScales,
    ) -> Result<Self> {
        if weights.len() != rows * columns {
            let required = format!("{rows} rows of {columns}");
            return Err(refuse(operation, "entries", weights.len(), required, "use the layouts of both tensors"));
        }
        let scale = integer_scale(operation, weights, bits)?;
        let mut quantisation = Self::at(scale, rows, bits, scales);
        let mut squares = 0.0;
        for (channel, row) in weights.chunks_exact(columns.max(1)).enumerate() {
            let row_scale = quantisation.row_scale(row);
            quantisation.magnifications[channel] = row_scale / scale;
            let error = |&weight: &f32| f64::from(weight) - f64::from(integer(weight, row_scale)) / row_scale;
            squares += row.iter().map(|weight| error(weight).powi(2)).sum::<f64>();
        }
        quantisation.rms_error = (squares / weights.len().max(1) as f64).sqrt();
        Ok(quantisation)
    }

    /// Of unknown weights, of which only the `largest` magnitude is assumed, at one scale.
    ///
    /// # Errors
    /// If `largest` is not a finite magnitude or `bits` is not in 2..=15.
    pub(crate) fn assumed(operation: &'static str, largest: f64, rows: usize, bits: u32) -> Result<Self> {
        if !(largest.is_finite() && largest >= 0.0) {
            return Err(refuse(operation, "largest weight", largest, "a finite magnitude", "assume another one"));
        }
        let scale = integer_scale(operation, &[largest as f32], bits)?;
        Ok(Self { rms_error: f64::NAN, ..Self::at(scale, rows, bits, WeightScales::PerTensor) })
    }

    fn at(scale: f64, rows: usize, bits: u32, scales: WeightScales) -> Self {
        let largest_weight = largest_integer(bits) / scale;
        Self { bits, scales, scale, largest_weight, magnifications: vec![1.0; rows], rms_error: 0.0 }
    }

    /// Refuses other weights than those that it was made of: another number of them, or another largest magnitude.
    pub(crate) fn check(&self, operation: &'static str, weights: &[f32], columns: usize) -> Result<()> {
        let found = integer_scale(operation, weights, self.bits)?;
        let rows = self.magnifications.len();
        if weights.len() == rows * columns && found == self.scale {
            return Ok(());
        }
        let found = format!("{} at {found} for 1", weights.len());
        let required = format!("{} at {} for 1", rows * columns, self.scale);
        Err(refuse(operation, "weights", found, required, "fill with the weights it was planned for"))
    }

    /// The integers of a row of weights.
    pub(crate) fn integers(&self, row: &[f32]) -> Vec<i16> {
        let scale = self.row_scale(row);
        row.iter().map(|&weight| integer(weight, scale)).collect()
    }

    /// The integer that stands for the weight 1 in a row.
    fn row_scale(&self, row: &[f32]) -> f64 {
        match (self.scales, largest_magnitude(row)) {
            (WeightScales::PerRow, largest) if largest > 0.0 => largest_integer(self.bits) / largest,
            _ => self.scale,
        }
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

    /// Root mean square of the rounding errors of the weights; not a number where none are known.
    pub fn rms_error(&self) -> f64 {
        self.rms_error
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
fn integer_scale(operation: &'static str, weights: &[f32], bits: u32) -> Result<f64> {
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
