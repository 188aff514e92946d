//! Products with weights that are added to the residual.

use fhe_circuits::{Layout, QuantisedMatrix, VectorLayout, VectorProduct, WeightScales};
use fhe_ckks::{CircuitShape, Evaluator};

use super::execution::Execution;
use super::harness::{Harness, Phase};
use super::projection::{Fill, OutputRange, Projection, check_headroom};
use super::reading::{Legible, Reading};
use super::tensors::{Tensor, WeightBytes};
use super::{Preparation, Residual};
use crate::error::Result;
use crate::float::Location;

/// A linear layer that writes to the residual: its input arrives at the unit that makes its output land on the
/// residual's.
#[derive(Clone, Debug)]
pub(super) struct ResidualWriter<M = QuantisedMatrix> {
    projection: Projection<M>,
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
        let (shape, scales) = (preparation.shape, Self::SCALES);
        let projection =
            Projection::prepare(preparation, location, weights, layout, input, scales, OutputRange::of(1.0))?;
        Self::of(shape, projection, *unit, input_location, input_bound)
    }
}

impl ResidualWriter<VectorProduct> {
    /// The same for the vector of one token, written to a residual of this unit.
    pub(super) fn prepare_for_vectors(
        shape: &CircuitShape,
        location: Location,
        weights: &Tensor,
        layouts: [&VectorLayout; 2],
        (bits, unit): (u32, f64),
        (input_location, input_bound): (Location, f64),
    ) -> Result<Self> {
        let scales = (bits, Self::SCALES);
        let projection =
            Projection::prepare_for_vectors(shape, location, weights, layouts, scales, OutputRange::of(1.0))?;
        Self::of(shape, projection, unit, input_location, input_bound)
    }
}

impl<M: Legible> ResidualWriter<M> {
    /// The residual has one unit, and so has what is added to it.
    const SCALES: WeightScales = WeightScales::PerTensor;

    fn of(
        shape: &CircuitShape,
        mut projection: Projection<M>,
        unit: f64,
        input_location: Location,
        input_bound: f64,
    ) -> Result<Self> {
        let input_unit = unit / projection.scale();
        projection.scale_output(input_unit, Fill::Nothing);
        check_headroom(shape, input_location, input_bound, input_unit)?;
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

    /// Where the product is made.
    pub(super) fn location(&self) -> Location {
        self.projection.location()
    }

    /// The residual plus the product, shown as `reading` says.
    pub(super) fn run<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        input: &M::Input<E>,
        residual: &[E::Coefficients],
        sum: (Location, Reading<'_>),
    ) -> Result<Vec<E::Coefficients>> {
        self.run_with(run, input, None, residual, sum)
    }

    /// What is to be added to the residual, at its unit, not shown.
    pub(super) fn update<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        input: &M::Input<E>,
    ) -> Result<Vec<E::Coefficients>> {
        self.projection.product(run, input)
    }

    /// As [`ResidualWriter::run`], where another writer has computed a part of the product.
    pub(super) fn run_with<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        input: &M::Input<E>,
        part: Option<Vec<E::Coefficients>>,
        residual: &[E::Coefficients],
        (sum_location, reading): (Location, Reading<'_>),
    ) -> Result<Vec<E::Coefficients>> {
        let mut update = self.update(run, input)?;
        if let Some(part) = part {
            update = add(run, self.location(), &update, &part)?;
        }
        run.observe(self.location(), &update, self.projection.reading());
        let sum = add(run, sum_location, residual, &update)?;
        run.observe(sum_location, &sum, reading);
        Ok(sum)
    }
}

fn add<E: Evaluator, H: Harness<E> + ?Sized>(
    run: &mut Execution<'_, E, H>,
    location: Location,
    a: &[E::Coefficients],
    b: &[E::Coefficients],
) -> Result<Vec<E::Coefficients>> {
    run.work(Phase::Linear, location, |e| {
        Ok(a.iter().zip(b).map(|(a, b)| e.add_coefficients(a, b)).collect::<std::result::Result<Vec<_>, _>>()?)
    })
}
