//! Products with weights, and the units on both sides of them.
//!
//! **Scales per row.** With one integer for the weight 1 in each row, the product of channel `i` comes out magnified by `m_i >= 1`
//! ([`Quantisation::magnifications`](fhe_circuits::Quantisation::magnifications)), and its coefficients are `unit * m_i * y_i`. What must hold is that none of them leaves the range of
//! a half bootstrap,
//!
//! ```text
//! unit * max_i (m_i * b_i) <= FILL * full_scale,    |y_i| <= b_i,
//! ```
//!
//! so the unit is that of the *magnified* bound, `max m_i b_i`, where per tensor it is that of `b = max b_i`. A row of small weights gains bits in
//! its weights and has its values magnified just as much; it costs range only if it is magnified beyond the largest of the values. Calibration
//! measures the largest `|y_i|` over the largest weight of its row, one number for all rows ([`OutputRange::reach`]). Without it a bound of
//! each channel follows from its weights: the input is a normalised residual, of length at most `sqrt(hidden)`, so by Cauchy and Schwarz
//! `b_i = min(b, sqrt(hidden) |w_i|)`; the smaller of both holds. Whoever reads the product divides `m_i` out in a plaintext that is multiplied with all the same:
//! rotary positions, the placement of values, the correction of the sine before SiLU, the client's decoding of logits.
//!
//! **Shares per column.** What writes to the residual has one scale, but where its input passes a plaintext, that plaintext may hand over a
//! share `s_j <= 1` of channel `j` to weights divided by it ([`Tensor::share_columns`]). With `s_j` the largest weight of a column over the largest of all,
//! every column fills the integers, the scale stays, and the error of a column's weights meets a share of its channel instead of all of it.

use fhe_circuits::{
    ChannelFactors, CircuitError, Layout, Quantisation, QuantisedMatrix, VectorLayout, VectorProduct, WeightScales,
};
use fhe_ckks::{CircuitShape, Client, Evaluator};

use super::Preparation;
use super::execution::Execution;
use super::harness::{Harness, Phase};
use super::location::At;
use super::reading::{Legible, Reading, decrypt};
use super::tensors::{Tensor, WeightBytes};
use crate::error::{Error, Result};
use crate::float::Location;
use crate::matrix::Matrix;

/// How much of the range of a half bootstrap a calibrated bound may take; the rest is for noise beyond the bound.
const FILL: f64 = 1.0 - 1.0 / 1024.0;

/// By how much a normalised input may be longer than `sqrt(hidden)`: the error at which a polynomial for the norm is refused.
const NORM_SLACK: f64 = 1.0 + 1.0 / 64.0;

/// The integer for 1 at which values up to `bound` fill the range of a half bootstrap.
pub(super) fn filling_unit(shape: &CircuitShape, bound: f64) -> f64 {
    FILL * shape.full_scale / bound
}

/// How large the output of a projection gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputRange {
    /// The largest absolute value.
    pub(super) bound: f64,
    /// The largest absolute value over the largest weight of its row; infinite where nobody knows.
    pub(super) reach: f64,
}

impl OutputRange {
    /// Of values of which nothing but a bound is known.
    pub(super) fn of(bound: f64) -> Self {
        Self { bound, reach: f64::INFINITY }
    }
}

/// A linear layer of the model: integer weights, which come when they are needed, and what its output means.
#[derive(Clone, Debug)]
pub(super) struct Projection<M = QuantisedMatrix> {
    location: Location,
    matrix: M,
    /// The bound of the output before any magnification.
    bound: f64,
    /// The unit at which the magnified bound fills the range.
    largest_unit: f64,
    unit: f64,
    magnification: u64,
}

/// What a projection does about room that the common unit of its input leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// Its output climbs: an integer factor fills the range.
    Range,
    /// Its output is read as it is.
    Nothing,
}

impl Projection {
    pub(super) fn prepare(
        preparation: &Preparation<'_>,
        location: Location,
        weights: &Tensor,
        output: &Layout,
        input: &Layout,
        scales: WeightScales,
        range: OutputRange,
    ) -> Result<Self> {
        let matrix = weights.planned(output, input, preparation.options.weight_bits, scales).at(location)?;
        Ok(Self::of(preparation.shape, location, matrix, weights, scales, range))
    }

    pub(super) fn layout(&self) -> &Layout {
        self.matrix.output()
    }
}

impl Projection<VectorProduct> {
    /// A product with the vector of one token.
    pub(super) fn prepare_for_vectors(
        shape: &CircuitShape,
        location: Location,
        weights: &Tensor,
        [output, input]: [&VectorLayout; 2],
        (bits, scales): (u32, WeightScales),
        range: OutputRange,
    ) -> Result<Self> {
        let matrix = weights.planned_for_vectors(output, input, bits, scales).at(location)?;
        Ok(Self::of(shape, location, matrix, weights, scales, range))
    }
}

impl<M: Legible> Projection<M> {
    fn of(
        shape: &CircuitShape,
        location: Location,
        matrix: M,
        weights: &Tensor,
        scales: WeightScales,
        OutputRange { bound, reach }: OutputRange,
    ) -> Self {
        // A tensor that calibration saw vanish gets the unit of a bound of 1.
        let bound = if bound > 0.0 { bound } else { 1.0 };
        let magnified = match scales {
            WeightScales::PerTensor => bound,
            WeightScales::PerRow => magnified_bound(matrix.quantisation(), weights, bound, reach),
        };
        let largest_unit = filling_unit(shape, magnified);
        Self { location, matrix, bound, largest_unit, unit: largest_unit, magnification: 1 }
    }

    /// The same with its integers, from the weights that it was prepared with.
    pub(super) fn filled(&self, weights: Tensor) -> Result<Self> {
        Ok(Self { matrix: weights.fill(&self.matrix).at(self.location)?, ..self.clone() })
    }

    /// Bytes of the weights while it runs.
    pub(super) fn weight_bytes(&self) -> WeightBytes {
        WeightBytes::of(&self.matrix)
    }

    /// Fixes the unit of the output for an input at `input_unit`.
    pub(super) fn scale_output(&mut self, input_unit: f64, fill: Fill) {
        let unit = input_unit * self.scale();
        self.magnification = match fill {
            Fill::Range => (self.largest_unit / unit).floor().max(1.0) as u64,
            Fill::Nothing => 1,
        };
        self.unit = unit * self.magnification as f64;
    }

    /// The value that a normalised slot value of 1 stands for after a half bootstrap of the output, of a row that is not magnified.
    pub(super) fn range(&self, shape: &CircuitShape) -> f64 {
        shape.full_scale / self.unit
    }

    /// The value that a normalised slot value of 1 stands for in every channel.
    pub(super) fn channel_ranges(&self, shape: &CircuitShape) -> Vec<f64> {
        let magnifications = self.matrix.quantisation().magnifications().iter();
        magnifications.map(|magnification| self.range(shape) / magnification).collect()
    }

    /// The same as what a circuit multiplies channels by.
    pub(super) fn channel_factors(&self, shape: &CircuitShape) -> ChannelFactors {
        if self.matrix.quantisation().magnifications().iter().all(|&magnification| magnification == 1.0) {
            return ChannelFactors::Common(self.range(shape));
        }
        ChannelFactors::Each(self.channel_ranges(shape))
    }

    /// The bound of the output, with the room that fills leave for noise.
    pub(super) fn window(&self) -> f64 {
        Self::window_of(self.bound)
    }

    /// The same of any bound.
    pub(super) fn window_of(bound: f64) -> f64 {
        bound / FILL
    }

    /// How coefficients of the output are read.
    pub(super) fn reading(&self) -> Reading<'_> {
        self.matrix.reading()
    }

    pub(super) fn location(&self) -> Location {
        self.location
    }

    /// The integer that stands for the weight 1.
    pub(super) fn scale(&self) -> f64 {
        self.matrix.quantisation().scale()
    }

    /// The product in the clear, for its client.
    pub(super) fn reveal<E: Evaluator, C: Client<E> + ?Sized>(
        &self,
        client: &C,
        product: &[E::Coefficients],
    ) -> Result<Option<Matrix>, CircuitError> {
        let read = |vectors: Vec<Vec<f64>>| self.matrix.reading().tensor(&vectors);
        decrypt::<E, C>(client, product)?.map(read).transpose()
    }

    /// The product, magnified, shown as the tensor of its site.
    pub(super) fn run<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        input: &M::Input<E>,
    ) -> Result<Vec<E::Coefficients>> {
        let product = self.product(run, input)?;
        run.observe(self.location, &product, self.reading());
        Ok(product)
    }

    /// The same where the tensor of the site is shown elsewhere.
    pub(super) fn product<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        input: &M::Input<E>,
    ) -> Result<Vec<E::Coefficients>> {
        run.work(Phase::Linear, self.location, |e| {
            let product = self.matrix.multiply(e, input)?;
            if self.magnification == 1 {
                return Ok(product);
            }
            Ok(product.iter().map(|x| e.magnify(x, self.magnification)).collect::<std::result::Result<_, _>>()?)
        })
    }
}

/// The largest `m_i b_i` of any row of weights that read a normalised residual: see the head of this file. Unknown weights magnify nothing.
fn magnified_bound(matrix: &Quantisation, weights: &Tensor, bound: f64, reach: f64) -> f64 {
    let Tensor::Numbers(weights) = weights else { return bound };
    let length = NORM_SLACK * (weights.cols() as f64).sqrt();
    let rows = weights.data().chunks_exact(weights.cols()).zip(matrix.magnifications());
    let magnified = rows.map(|(row, magnification)| {
        let norm = row.iter().map(|&weight| f64::from(weight).powi(2)).sum::<f64>().sqrt();
        magnification * bound.min(length * norm)
    });
    // Rows without weights alone leave nothing to bound.
    let by_weights = Some(magnified.fold(0.0, f64::max)).filter(|largest| *largest > 0.0).unwrap_or(bound);
    // A reach of zero is that of a tensor that calibration saw vanish.
    if reach > 0.0 { by_weights.min(reach * matrix.largest_weight()) } else { by_weights }
}

/// The input unit at which no output of projections that share the input leaves the range.
pub(super) fn common_unit<'p, M: Legible + 'p>(
    shape: &CircuitShape,
    projections: impl IntoIterator<Item = &'p Projection<M>>,
) -> f64 {
    let own = projections.into_iter().map(|projection| projection.largest_unit / projection.scale());
    own.fold(shape.full_scale, f64::min)
}

/// Refuses a unit at which calibrated values come near `q_0 / 2`.
pub(super) fn check_headroom(shape: &CircuitShape, location: Location, bound: f64, unit: f64) -> Result<()> {
    let largest = 0.25 * shape.full_scale / shape.message_ratio / unit;
    if bound <= largest {
        return Ok(());
    }
    Err(Error::Headroom { location, found: bound, required: largest })
}
