//! The turn of a norm: from the residual to rows of its normalised copy.

use fhe_circuits::crossing::SINE_LEVELS;
use fhe_circuits::{Interval, Landing, Layout, RmsNorm};
use fhe_ckks::{CircuitShape, Evaluator};

use super::execution::Execution;
use super::harness::{Harness, Phase};
use super::location::At;
use super::projection::{check_headroom, filling_unit};
use super::reading::Reading;
use super::{Polynomial, Preparation};
use crate::calibration;
use crate::error::Result;
use crate::float::Location;

/// The copy of the residual that a norm climbs from, magnified to fill the range of a half bootstrap.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResidualCopy {
    unit: f64,
    magnification: f64,
}

impl ResidualCopy {
    /// Of a residual at this unit, which `entering` bounds.
    pub(super) fn new(shape: &CircuitShape, unit: f64, entering: f64) -> Self {
        Self { unit, magnification: (filling_unit(shape, entering) / unit).floor().max(1.0) }
    }

    /// The value that a normalised slot value of 1 stands for after the climb.
    pub(super) fn range(&self, shape: &CircuitShape) -> f64 {
        shape.full_scale / (self.unit * self.magnification)
    }

    /// The copy in slots, corrected, on this landing.
    pub(super) fn climb<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        mean_square: Location,
        residual: &[E::Coefficients],
        landing: impl Into<Landing>,
    ) -> Result<Vec<E::Slots>> {
        let copy = run.work(Phase::Linear, mean_square, |e| {
            let copies = residual.iter().map(|x| e.magnify(x, self.magnification as u64));
            Ok(copies.collect::<std::result::Result<Vec<_>, _>>()?)
        })?;
        run.climb_corrected(mean_square, &copy, landing)
    }
}

/// A norm over the residual, ready to be evaluated.
#[derive(Clone, Debug)]
pub(super) struct NormTurn {
    /// Of the mean square, and of the normalised input.
    locations: [Location; 2],
    norm: RmsNorm,
    copy: ResidualCopy,
    output_unit: f64,
}

impl NormTurn {
    /// `entering` bounds the residual, `normalised` the result before gamma, which leaves at `output_unit`.
    pub(super) fn prepare(
        preparation: &Preparation<'_>,
        locations: [Location; 2],
        mean_square: calibration::Interval,
        normalised: f64,
        entering: f64,
        output_unit: f64,
    ) -> Result<Self> {
        let Preparation { shape, residual, config, .. } = *preparation;
        let copy = ResidualCopy::new(shape, residual.unit, entering);
        let range = copy.range(shape);
        let window = Interval::new(mean_square.lo, mean_square.hi);
        let (layout, epsilon, accuracy) = (&residual.layout, config.rms_norm_eps, preparation.options.accuracy());
        let most_levels = shape.compute_levels.saturating_sub(SINE_LEVELS);
        let norm = if preparation.options.slim_norms {
            RmsNorm::slim(layout, range, window, epsilon, accuracy, most_levels)
        } else {
            RmsNorm::new(layout, range, window, epsilon, accuracy, most_levels)
        }
        .at(locations[0])?;
        preparation.check_levels(locations[0], norm.levels() + SINE_LEVELS)?;
        check_headroom(shape, locations[1], normalised, output_unit)?;
        Ok(Self { locations, norm, copy, output_unit })
    }

    /// The unit of the normalised input.
    pub(super) fn output_unit(&self) -> f64 {
        self.output_unit
    }

    pub(super) fn polynomial(&self) -> Polynomial {
        Polynomial { location: self.locations[0], fitted: self.norm.fitted() }
    }

    /// Rows of the normalised residual, for the projections that follow.
    pub(super) fn run<E: Evaluator, H: Harness<E> + ?Sized>(
        &self,
        run: &mut Execution<'_, E, H>,
        layout: &Layout,
        residual: &[E::Coefficients],
    ) -> Result<E::Rows> {
        let [mean_square, normalised] = self.locations;
        let slots = self.copy.climb(run, mean_square, residual, self.norm.levels())?;
        let slots = run.work(Phase::NonLinear, normalised, |e| self.norm.apply(e, &slots))?;
        let coefficients = run.descend(normalised, &slots, self.output_unit)?;
        run.observe(normalised, &coefficients, Reading::Dense(layout));
        run.split_rows(normalised, layout.module(), &coefficients)
    }
}
