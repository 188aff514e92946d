//! Products with weights, and the units on both sides of them.
//!
//! **Scales per row.** With one integer for the weight 1 in each row, the product of channel `i` comes out magnified by `m_i >= 1`
//! ([`QuantisedMatrix::magnifications`]), and its coefficients are `unit * m_i * y_i`. What must hold is that none of them leaves the range of
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

use fhe_circuits::{ChannelFactors, CircuitError, Layout, QuantisedMatrix, WeightScales};
use fhe_ckks::{CircuitShape, Client, Evaluator};

use super::execution::Execution;
use super::harness::{Harness, Phase, Reading, reveal_product};
use super::location::At;
use super::tensors::{Tensor, WeightBytes};
use super::{Preparation, Residual};
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
pub(super) struct Projection {
    location: Location,
    matrix: QuantisedMatrix,
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
        OutputRange { bound, reach }: OutputRange,
    ) -> Result<Self> {
        let matrix = weights.planned(output, input, preparation.options.weight_bits, scales).at(location)?;
        // A tensor that calibration saw vanish gets the unit of a bound of 1.
        let bound = if bound > 0.0 { bound } else { 1.0 };
        let magnified = match scales {
            WeightScales::PerTensor => bound,
            WeightScales::PerRow => magnified_bound(&matrix, weights, bound, reach),
        };
        let largest_unit = filling_unit(preparation.shape, magnified);
        Ok(Self { location, matrix, bound, largest_unit, unit: largest_unit, magnification: 1 })
    }

    /// The same with its integers, from the weights that it was prepared with.
    pub(super) fn filled(&self, weights: Tensor) -> Result<Self> {
        Ok(Self { matrix: weights.fill(&self.matrix).at(self.location)?, ..self.clone() })
    }

    /// Bytes of the weights while it runs.
    pub(super) fn weight_bytes(&self) -> WeightBytes {
        WeightBytes::of(&self.matrix, self.matrix.output().channels() * self.matrix.input().channels())
    }

    /// Fixes the unit of the output for an input at `input_unit`.
    pub(super) fn scale_output(&mut self, input_unit: f64, fill: Fill) {
        let unit = input_unit * self.matrix.scale();
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
        self.matrix.magnifications().iter().map(|magnification| self.range(shape) / magnification).collect()
    }

    /// The same as what a circuit multiplies channels by.
    pub(super) fn channel_factors(&self, shape: &CircuitShape) -> ChannelFactors {
        if self.matrix.magnifications().iter().all(|&magnification| magnification == 1.0) {
            return ChannelFactors::Common(self.range(shape));
        }
        ChannelFactors::Each(self.channel_ranges(shape))
    }

    /// The bound of the output, with the room that fills leave for noise.
    pub(super) fn window(&self) -> f64 {
        self.bound / FILL
    }

    pub(super) fn layout(&self) -> &Layout {
        self.matrix.output()
    }

    /// How coefficients of the output are read.
    pub(super) fn reading(&self) -> Reading<'_> {
        Reading::Product(&self.matrix)
    }

    pub(super) fn location(&self) -> Location {
        self.location
    }

    /// The product in the clear, for its client.
    pub(super) fn reveal<E: Evaluator, C: Client<E> + ?Sized>(
        &self,
        client: &C,
        product: &[E::Coefficients],
    ) -> Result<Option<Matrix>, CircuitError> {
        reveal_product::<E, C>(client, product, &self.matrix)
    }

    /// The product, magnified, shown as the tensor of its site.
    pub(super) fn run<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        rows: &E::Rows,
    ) -> Result<Vec<E::Coefficients>> {
        let product = run.work(Phase::Linear, self.location, |e| {
            let product = self.matrix.multiply(e, rows)?;
            if self.magnification == 1 {
                return Ok(product);
            }
            Ok(product.iter().map(|x| e.magnify(x, self.magnification)).collect::<std::result::Result<_, _>>()?)
        })?;
        run.observe(self.location, &product, self.reading());
        Ok(product)
    }
}

/// The largest `m_i b_i` of any row of weights that read a normalised residual: see the head of this file. Unknown weights magnify nothing.
fn magnified_bound(matrix: &QuantisedMatrix, weights: &Tensor, bound: f64, reach: f64) -> f64 {
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
pub(super) fn common_unit<'p>(shape: &CircuitShape, projections: impl IntoIterator<Item = &'p Projection>) -> f64 {
    let own = projections.into_iter().map(|projection| projection.largest_unit / projection.matrix.scale());
    own.fold(shape.full_scale, f64::min)
}

/// A linear layer that writes to the residual: its input arrives at the unit that makes its output land on the
/// residual's.
#[derive(Clone, Debug)]
pub(super) struct ResidualWriter {
    projection: Projection,
    input_unit: f64,
}

impl ResidualWriter {
    /// `input_bound` is the calibrated bound of what is multiplied.
    pub(super) fn prepare(
        preparation: &Preparation<'_>,
        location: Location,
        input_location: Location,
        weights: &Tensor,
        input: &Layout,
        input_bound: f64,
    ) -> Result<Self> {
        let Residual { layout, unit } = preparation.residual;
        // The residual has one unit, and so has what is added to it.
        let scales = WeightScales::PerTensor;
        let mut projection =
            Projection::prepare(preparation, location, weights, layout, input, scales, OutputRange::of(1.0))?;
        let input_unit = unit / projection.matrix.scale();
        projection.scale_output(input_unit, Fill::Nothing);
        check_headroom(preparation.shape, input_location, input_bound, input_unit)?;
        Ok(Self { projection, input_unit })
    }

    /// The same with its integers, from the weights that it was prepared with.
    pub(super) fn filled(&self, weights: Tensor) -> Result<Self> {
        Ok(Self { projection: self.projection.filled(weights)?, ..*self })
    }

    /// Bytes of the weights while it runs.
    pub(super) fn weight_bytes(&self) -> WeightBytes {
        self.projection.weight_bytes()
    }

    /// The unit of the SlotsToCoeffs before it.
    pub(super) fn input_unit(&self) -> f64 {
        self.input_unit
    }

    /// The residual plus the product.
    pub(super) fn run<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        input: &[E::Coefficients],
        residual: &[E::Coefficients],
        sum_location: Location,
    ) -> Result<Vec<E::Coefficients>> {
        let layout = self.projection.layout();
        let location = self.projection.location;
        let rows = run.work(Phase::Linear, location, |e| fhe_circuits::split_rows(e, layout.module(), input))?;
        let update = self.projection.run(run, &rows)?;
        let sum = run.work(Phase::Linear, sum_location, |e| {
            let pairs = residual.iter().zip(&update);
            Ok(pairs.map(|(a, b)| e.add_coefficients(a, b)).collect::<std::result::Result<Vec<_>, _>>()?)
        })?;
        run.observe(sum_location, &sum, Reading::Dense(layout));
        Ok(sum)
    }
}

/// Refuses a unit at which calibrated values come near `q_0 / 2`.
pub(super) fn check_headroom(shape: &CircuitShape, location: Location, bound: f64, unit: f64) -> Result<()> {
    let largest = 0.25 * shape.full_scale / shape.message_ratio / unit;
    if bound <= largest {
        return Ok(());
    }
    Err(Error::Headroom { location, found: bound, required: largest })
}
