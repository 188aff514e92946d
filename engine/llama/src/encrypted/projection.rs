//! Products with weights, and the units on both sides of them.

use fhe_circuits::{Layout, QuantisedMatrix};
use fhe_ckks::{CircuitShape, Evaluator};

use super::execution::Execution;
use super::harness::{Harness, Phase, Reading};
use super::location::At;
use super::tensors::{Tensor, WeightBytes};
use super::{Preparation, Residual};
use crate::error::{Error, Result};
use crate::float::Location;

/// How much of the range of a half bootstrap a calibrated bound may take; the rest is for noise beyond the bound.
const FILL: f64 = 1.0 - 1.0 / 1024.0;

/// The integer for 1 at which values up to `bound` fill the range of a half bootstrap.
pub(super) fn filling_unit(shape: &CircuitShape, bound: f64) -> f64 {
    FILL * shape.full_scale / bound
}

/// A linear layer of the model: integer weights, which come when they are needed, and what its output means.
#[derive(Clone, Debug)]
pub(super) struct Projection {
    location: Location,
    matrix: QuantisedMatrix,
    /// The unit at which the bound fills the range.
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
        bound: f64,
    ) -> Result<Self> {
        let matrix = weights.planned(output, input, preparation.options.weight_bits).at(location)?;
        // A tensor that calibration saw vanish gets the unit of a bound of 1.
        let bound = if bound > 0.0 { bound } else { 1.0 };
        let largest_unit = filling_unit(preparation.shape, bound);
        Ok(Self { location, matrix, largest_unit, unit: largest_unit, magnification: 1 })
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

    /// The value that a normalised slot value of 1 stands for after a half bootstrap of the output.
    pub(super) fn range(&self, shape: &CircuitShape) -> f64 {
        shape.full_scale / self.unit
    }

    pub(super) fn layout(&self) -> &Layout {
        self.matrix.output()
    }

    pub(super) fn location(&self) -> Location {
        self.location
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
        run.observe(self.location, &product, Reading::Dense(self.layout()));
        Ok(product)
    }
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
        let mut projection = Projection::prepare(preparation, location, weights, layout, input, 1.0)?;
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
