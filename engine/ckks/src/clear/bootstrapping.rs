//! The ways between slots and coefficients of [`Clear`].

use std::f64::consts::TAU;

use super::{Clear, ClearCoefficients, ClearSlots, refuse};
use crate::{CkksError, Copies, Level, OperationCounts, Packing, SlotArithmetic, Spacing};

impl Clear {
    /// From slots to coefficients: the mean of all copies, rounded.
    pub(super) fn descend(
        &self,
        slots: &ClearSlots,
        copies: Copies,
        unit: f64,
    ) -> Result<ClearCoefficients, CkksError> {
        const OPERATION: &str = "slots_to_coefficients";
        self.shape.check_copies(OPERATION, copies)?;
        let slots = self.before_descent(OPERATION, slots, unit)?;
        let half = self.shape.degree / 2;
        let value = |slot: usize| match slots.packing {
            Packing::Real => slots.values[slot].re,
            Packing::Complex if slot < half => slots.values[slot].re,
            Packing::Complex => slots.values[slot - half].im,
        };
        let average = |slot: usize| {
            let sum: f64 = (0..copies.0).map(|copy| value(slot + copy * half / copies.0)).sum();
            sum / copies.0 as f64
        };
        let integer = |p: usize| match p.is_multiple_of(copies.0) {
            true => average(self.shape.slot_of_coefficient(p)) * unit,
            false => 0.0,
        };
        let integers = (0..self.shape.degree).map(integer).collect();
        let cost = self.cost.slots_to_coefficients(slots.packing, copies)?;
        self.descended(OPERATION, integers, unit, cost)
    }

    /// The same from slots at multiples of a spacing alone.
    pub(super) fn descend_spaced(
        &self,
        slots: &ClearSlots,
        spacing: Spacing,
        unit: f64,
    ) -> Result<ClearCoefficients, CkksError> {
        const OPERATION: &str = "spaced_slots_to_coefficients";
        self.shape.check_spacing(OPERATION, spacing)?;
        self.check_packing(OPERATION, slots, Packing::Real)?;
        let slots = self.before_descent(OPERATION, slots, unit)?;
        let integer = |p: usize| match self.shape.slot_of_coefficient(p) {
            slot if slot.is_multiple_of(spacing.0) => slots.values[slot].re * unit,
            _ => 0.0,
        };
        let integers = (0..self.shape.degree).map(integer).collect();
        self.descended(OPERATION, integers, unit, self.cost.spaced_slots_to_coefficients(spacing)?)
    }

    /// Slots at the level where a descent begins.
    fn before_descent(&self, operation: &'static str, slots: &ClearSlots, unit: f64) -> Result<ClearSlots, CkksError> {
        self.check_unit(operation, unit)?;
        let required = Level(self.shape.slots_to_coefficients_levels);
        if slots.level < required {
            let (found, required) = (slots.level.0, format!("at least {}", required.0));
            return Err(refuse(operation, "level", found, required, "request more levels from the half bootstrap"));
        }
        self.lower(slots, required)
    }

    /// Coefficients with the errors of a descent, rounded.
    fn descended(
        &self,
        operation: &'static str,
        mut integers: Vec<f64>,
        unit: f64,
        cost: OperationCounts,
    ) -> Result<ClearCoefficients, CkksError> {
        let sigma = self.noise.slots_to_coefficients.hypot(unit * self.noise.slots_to_coefficients_relative);
        self.disturb(sigma, integers.iter_mut());
        integers.iter_mut().for_each(|integer| *integer = integer.round());
        self.count(|counts| *counts = *counts + cost);
        self.coefficients(operation, integers, unit)
    }

    /// From coefficients to slots through the sine, every copy with an error of its own.
    pub(super) fn climb(
        &self,
        inputs: &[&ClearCoefficients],
        copies: Copies,
        levels: usize,
    ) -> Result<Vec<ClearSlots>, CkksError> {
        self.shape.check_copies("half_bootstrap", copies)?;
        if levels > self.shape.compute_levels {
            let required = format!("at most {}", self.shape.compute_levels);
            return Err(refuse("half_bootstrap", "levels", levels, required, "use a larger parameter set"));
        }
        let ratio = self.shape.message_ratio;
        let level = Level(levels + self.shape.slots_to_coefficients_levels);
        let bootstrap = |(number, input): (usize, &&ClearCoefficients)| {
            let mut kept = Vec::with_capacity(self.shape.degree / copies.0);
            for (index, integer) in input.integers.iter().enumerate().step_by(copies.0) {
                let x = integer / self.shape.full_scale;
                if x.abs() > 1.0 {
                    let found = format!("{x:.6} of the range in coefficient {index} of input {number}");
                    let remedy = "lower the unit, or calibrate with a wider margin";
                    return Err(refuse("half_bootstrap", "message", found, "at most 1 of the range", remedy));
                }
                kept.push((TAU * ratio * x).sin() / (TAU * ratio));
            }
            // By coefficients, so that every copy comes out of the sine with an error of its own.
            let half = self.shape.degree / 2;
            let first_copy = |slot: usize| (slot & half) + slot % (half / copies.0);
            let source = |p: usize| self.shape.slot_of_coefficient(first_copy(self.shape.slot_of_coefficient(p)));
            let mut values: Vec<f64> = (0..self.shape.degree).map(|p| kept[source(p) / copies.0]).collect();
            self.disturb(self.noise.half_bootstrap, values.iter_mut());
            let cost = self.cost.half_bootstrap(copies, levels)?;
            self.count(|counts| *counts = *counts + cost);
            let slots = (0..self.shape.degree).map(|slot| values[self.shape.slot_of_coefficient(slot)].into());
            Ok(ClearSlots { values: slots.collect(), packing: Packing::Real, level })
        };
        inputs.iter().enumerate().map(bootstrap).collect()
    }
}
