//! The turn of a norm in a step: from the residual to the parts of its normalised copy.

use fhe_circuits::crossing::SINE_LEVELS;
use fhe_circuits::{Interval, Landing, VectorNorm, split_vector};
use fhe_ckks::{Copies, Evaluator};

use super::StepPreparation;
use super::layouts::StepLayouts;
use crate::calibration;
use crate::encrypted::Polynomial;
use crate::encrypted::execution::Execution;
use crate::encrypted::harness::{Harness, Phase};
use crate::encrypted::location::At;
use crate::encrypted::norm::ResidualCopy;
use crate::encrypted::preparation::check_levels;
use crate::encrypted::projection::check_headroom;
use crate::encrypted::reading::Reading;
use crate::error::Result;
use crate::float::Location;

/// The level of the move from where the residual lies to where its readers want it.
const MOVE_LEVELS: usize = 1;

/// A norm over the residual of one token, ready to be evaluated.
#[derive(Clone, Debug)]
pub(super) struct VectorNormTurn {
    /// Of the mean square, and of the normalised input.
    locations: [Location; 2],
    norm: VectorNorm,
    /// In which the residual returns.
    copies: Copies,
    copy: ResidualCopy,
    output_unit: f64,
}

impl VectorNormTurn {
    /// `entering` bounds the residual, `normalised` the result before gamma, which leaves at `output_unit`.
    pub(super) fn prepare(
        preparation: &StepPreparation<'_>,
        locations: [Location; 2],
        mean_square: calibration::Interval,
        normalised: f64,
        entering: f64,
        output_unit: f64,
    ) -> Result<Self> {
        let StepPreparation { shape, config, layouts, residual_unit, options, .. } = *preparation;
        let copy = ResidualCopy::new(shape, residual_unit, entering);
        let range = copy.range(shape);
        let window = Interval::new(mean_square.lo, mean_square.hi);
        let around = SINE_LEVELS + MOVE_LEVELS;
        let (epsilon, most_levels) = (config.rms_norm_eps, shape.compute_levels.saturating_sub(around));
        let norm = VectorNorm::new(config.hidden_size, range, window, epsilon, options.accuracy(), most_levels)
            .at(locations[0])?;
        check_levels(shape, locations[0], norm.levels() + around)?;
        check_headroom(shape, locations[1], normalised, output_unit)?;
        let copies = layouts.residual.copies();
        Ok(Self { locations, norm: norm.over_copies(copies), copies, copy, output_unit })
    }

    /// The unit of the normalised input.
    pub(super) fn output_unit(&self) -> f64 {
        self.output_unit
    }

    pub(super) fn polynomial(&self) -> Polynomial {
        Polynomial { location: self.locations[0], fitted: self.norm.fitted() }
    }

    /// Parts of the normalised residual, for the products that follow.
    pub(super) fn run<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        layouts: &StepLayouts,
        residual: &[E::Coefficients],
    ) -> Result<E::VectorParts> {
        let [mean_square, normalised] = self.locations;
        let landing = Landing { levels: self.norm.levels() + MOVE_LEVELS, copies: self.copies };
        let slots = self.copy.climb(run, mean_square, residual, landing)?;
        let moved = run.work(Phase::NonLinear, normalised, |e| {
            let normed = slots.iter().map(|x| self.norm.apply(e, x)).collect::<Result<Vec<_>, _>>()?;
            layouts.to_normalised.apply(e, &normed)
        })?;
        let coefficients = run.descend_vector(normalised, (&layouts.normalised, &moved), self.output_unit)?;
        run.observe(normalised, &coefficients, Reading::Vector(&layouts.normalised, None));
        run.work(Phase::Linear, normalised, |e| split_vector(e, &layouts.normalised, &coefficients))
    }
}
