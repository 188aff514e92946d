//! [`SlotArithmetic`] of [`Clear`].

use num_complex::Complex64;

use super::{Clear, ClearSlots, noise::REAL_TO_COMPLEX, refuse};
use crate::polynomials::{evaluation::evaluate_plan, plan::ChebyshevPlan};
use crate::{CircuitShape, CkksError, Level, OperationCounts, Packing, SlotArithmetic};

impl Clear {
    /// Both operands at the lower of their levels.
    fn align(
        &self,
        operation: &'static str,
        a: &ClearSlots,
        b: &ClearSlots,
    ) -> Result<(ClearSlots, ClearSlots), CkksError> {
        self.check_packing(operation, b, a.packing)?;
        let level = a.level.min(b.level);
        Ok((self.lower(a, level)?, self.lower(b, level)?))
    }

    /// A finished multiplication: counted, rescaled, with the noise of the rescaling.
    pub(super) fn rescaled(&self, mut x: ClearSlots, change: impl FnOnce(&mut OperationCounts)) -> ClearSlots {
        self.count(|counts| {
            change(counts);
            counts.rescalings += 1;
        });
        match x.packing {
            Packing::Real => self.disturb(self.noise.rescaling, x.values.iter_mut().map(|value| &mut value.re)),
            Packing::Complex => {
                let parts = x.values.iter_mut().flat_map(|value| [&mut value.re, &mut value.im]);
                self.disturb(self.noise.rescaling * REAL_TO_COMPLEX, parts);
            }
        }
        x
    }

    /// Zero slots of the packing and at the lowest level of some terms.
    pub(super) fn meet<'a>(
        &self,
        operation: &'static str,
        mut terms: impl Iterator<Item = &'a ClearSlots>,
    ) -> Result<ClearSlots, CkksError> {
        let Some(first) = terms.next() else {
            return Err(refuse(operation, "terms", "empty", "at least one term", "leave the operation out"));
        };
        let mut level = first.level;
        for other in terms {
            self.check_packing(operation, other, first.packing)?;
            level = level.min(other.level);
        }
        Ok(first.with(vec![Complex64::ZERO; first.values.len()], level))
    }

    pub(super) fn check_packing(
        &self,
        operation: &'static str,
        x: &ClearSlots,
        required: Packing,
    ) -> Result<(), CkksError> {
        if x.packing == required {
            return Ok(());
        }
        let (found, required) = (format!("{:?}", x.packing), format!("{required:?}"));
        Err(refuse(operation, "packing", found, required, "convert with to_real or to_complex"))
    }
}

impl SlotArithmetic for Clear {
    type Slots = ClearSlots;

    fn shape(&self) -> &CircuitShape {
        &self.shape
    }

    fn level(&self, x: &ClearSlots) -> Level {
        x.level
    }

    fn counts(&self) -> OperationCounts {
        *self.counts.lock().expect("counting does not panic")
    }

    fn add(&self, a: &ClearSlots, b: &ClearSlots) -> Result<ClearSlots, CkksError> {
        let (a, b) = self.align("add", a, b)?;
        Ok(a.zip(&b, a.level, |a, b| a + b))
    }

    fn subtract(&self, a: &ClearSlots, b: &ClearSlots) -> Result<ClearSlots, CkksError> {
        let (a, b) = self.align("subtract", a, b)?;
        Ok(a.zip(&b, a.level, |a, b| a - b))
    }

    fn add_constant(&self, a: &ClearSlots, constant: f64) -> Result<ClearSlots, CkksError> {
        self.check_constant("add_constant", constant)?;
        Ok(a.map(a.level, |value| value + constant))
    }

    fn multiply_integer(&self, a: &ClearSlots, factor: i64) -> Result<ClearSlots, CkksError> {
        Ok(a.map(a.level, |value| value * factor as f64))
    }

    fn multiply(&self, a: &ClearSlots, b: &ClearSlots) -> Result<ClearSlots, CkksError> {
        let below = self.below("multiply", a.level.min(b.level))?;
        let (a, b) = self.align("multiply", a, b)?;
        Ok(self.rescaled(a.zip(&b, below, |a, b| a * b), |counts| counts.products += 1))
    }

    fn square(&self, a: &ClearSlots) -> Result<ClearSlots, CkksError> {
        let below = self.below("square", a.level)?;
        Ok(self.rescaled(a.map(below, |value| value * value), |counts| counts.products += 1))
    }

    fn linear_combination(&self, terms: &[(&ClearSlots, f64)], constant: f64) -> Result<ClearSlots, CkksError> {
        let mut sum = self.meet("linear_combination", terms.iter().map(|(x, _)| *x))?;
        sum.level = self.below("linear_combination", sum.level)?;
        terms.iter().try_for_each(|&(_, factor)| self.check_constant("linear_combination", factor))?;
        self.check_constant("linear_combination", constant)?;
        sum.values.fill(constant.into());
        for (x, factor) in terms {
            sum.values.iter_mut().zip(&x.values).for_each(|(sum, x)| *sum += x * factor);
        }
        Ok(self.rescaled(sum, |counts| counts.constant_products += terms.len() as u64))
    }

    fn lower(&self, a: &ClearSlots, level: Level) -> Result<ClearSlots, CkksError> {
        if level > a.level {
            let required = format!("at most {}", a.level.0);
            return Err(refuse("lower", "level", level.0, required, "a ciphertext climbs only by a half bootstrap"));
        }
        if level == a.level {
            return Ok(a.clone());
        }
        Ok(self.rescaled(ClearSlots { level, ..a.clone() }, |counts| counts.constant_products += 1))
    }

    fn apply_function(
        &self,
        x: &ClearSlots,
        plan: &ChebyshevPlan,
        function: &dyn Fn(f64) -> f64,
    ) -> Result<ClearSlots, CkksError> {
        if !self.exact_functions {
            self.expect_within_interval(x);
            return evaluate_plan(self, x, plan);
        }
        self.check_packing("apply_function", x, Packing::Real)?;
        // The polynomial of a single slot: what it executes, and where it ends.
        let planned = evaluate_plan(self, &x.with(vec![Complex64::ZERO], x.level), plan)?;
        let mut image = x.map(planned.level, |value| function(value.re).into());
        self.disturb(self.noise.rescaling, image.values.iter_mut().map(|value| &mut value.re));
        Ok(image)
    }

    fn expect_within_interval(&self, x: &ClearSlots) {
        let is_no_number = x.values.iter().any(|value| value.is_nan());
        let parts = x.values.iter().flat_map(|value| [value.re.abs(), value.im.abs()]);
        let largest = if is_no_number { f64::INFINITY } else { parts.fold(0.0, f64::max) };
        let mut excursion = self.excursion.lock().expect("comparing numbers does not panic");
        *excursion = excursion.max(largest);
    }

    fn functions_are_exact(&self) -> bool {
        self.exact_functions
    }

    fn map_exactly(&self, x: &ClearSlots, function: &dyn Fn(f64) -> f64) -> Result<ClearSlots, CkksError> {
        if !self.exact_functions {
            let (found, required) = ("polynomials in place of functions", "exact functions");
            return Err(refuse("map_exactly", "evaluator", found, required, "build it with exact functions"));
        }
        self.check_packing("map_exactly", x, Packing::Real)?;
        Ok(x.map(x.level, |value| function(value.re).into()))
    }
}
