//! [`SlotArithmetic`], [`Evaluator`] and [`Client`] of [`Clear`].

use std::f64::consts::TAU;

use fhe_ring::IntegerMatrix;
use num_complex::Complex64;
use rayon::prelude::*;

use super::{
    Clear, ClearCoefficients, ClearRows, ClearSlots, ClearVector, check_filled, noise::REAL_TO_COMPLEX, refuse,
};
use crate::polynomials::{evaluation::evaluate_plan, plan::ChebyshevPlan};
use crate::{
    CircuitShape, CkksError, Client, Copies, Evaluator, Level, OperationCounts, Packing, PeriodicMatrix, Rotation,
    SlotArithmetic, transforms::slot_transform::SlotTransform,
};

/// Units agree if their ratio differs from 1 by no more than this.
pub(super) const UNIT_TOLERANCE: f64 = 1.0 / (1_u64 << 30) as f64;

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
    fn rescaled(&self, mut x: ClearSlots, change: impl FnOnce(&mut OperationCounts)) -> ClearSlots {
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

    fn rotated(&self, a: &ClearSlots, rotation: Rotation) -> ClearSlots {
        let steps = rotation.0.rem_euclid(a.values.len() as i64) as usize;
        let mut values = a.values.clone();
        values.rotate_left(steps);
        self.count(|counts| counts.rotations += u64::from(steps != 0));
        a.with(values, a.level)
    }

    /// Zero slots of the packing and at the lowest level of some terms.
    fn meet<'a>(
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
            return evaluate_plan(self, x, plan);
        }
        self.check_packing("apply_function", x, Packing::Real)?;
        // The polynomial of a single slot: what it executes, and where it ends.
        let planned = evaluate_plan(self, &x.with(vec![Complex64::ZERO], x.level), plan)?;
        let mut image = x.map(planned.level, |value| function(value.re).into());
        self.disturb(self.noise.rescaling, image.values.iter_mut().map(|value| &mut value.re));
        Ok(image)
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

impl Evaluator for Clear {
    type Coefficients = ClearCoefficients;
    type Rows = ClearRows;
    type VectorParts = ClearVector;

    fn packing(&self, x: &ClearSlots) -> Packing {
        x.packing
    }

    fn add_plain(&self, a: &ClearSlots, plain: &[f64]) -> Result<ClearSlots, CkksError> {
        self.check_plain("add_plain", a, plain)?;
        Ok(a.with(a.values.iter().zip(plain).map(|(value, plain)| value + plain).collect(), a.level))
    }

    fn plain_combination(&self, terms: &[(&ClearSlots, &[f64])]) -> Result<ClearSlots, CkksError> {
        let mut sum = self.meet("plain_combination", terms.iter().map(|(x, _)| *x))?;
        sum.level = self.below("plain_combination", sum.level)?;
        terms.iter().try_for_each(|(x, plain)| self.check_plain("plain_combination", x, plain))?;
        for (x, plain) in terms {
            sum.values.iter_mut().zip(&x.values).zip(*plain).for_each(|((sum, x), plain)| *sum += x * plain);
        }
        Ok(self.rescaled(sum, |counts| counts.plaintext_products += terms.len() as u64))
    }

    fn periodic_products(
        &self,
        inputs: &[&ClearSlots],
        matrix: &PeriodicMatrix<'_>,
    ) -> Result<Vec<ClearSlots>, CkksError> {
        const OPERATION: &str = "periodic_products";
        let mut zero = self.meet(OPERATION, inputs.iter().copied())?;
        zero.level = self.below(OPERATION, zero.level)?;
        matrix.check(OPERATION, zero.values.len())?;
        let product = |row: usize| {
            let (mut sum, mut numbers) = (zero.clone(), vec![0.0; matrix.numbers]);
            for (column, x) in inputs.iter().enumerate() {
                (matrix.fill)(row, column, &mut numbers);
                numbers.iter().try_for_each(|&number| self.check_constant(OPERATION, number))?;
                let runs = sum.values.chunks_exact_mut(matrix.run).zip(x.values.chunks_exact(matrix.run));
                for ((sums, values), number) in runs.zip(numbers.iter().cycle()) {
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * number);
                }
            }
            Ok(sum)
        };
        let products = (0..matrix.rows).into_par_iter().map(product).collect::<Result<Vec<_>, CkksError>>()?;
        let terms = inputs.len() as u64;
        Ok(products.into_iter().map(|sum| self.rescaled(sum, |counts| counts.plaintext_products += terms)).collect())
    }

    fn rotate(&self, a: &ClearSlots, rotation: Rotation) -> Result<ClearSlots, CkksError> {
        Ok(self.rotated(a, rotation))
    }

    fn rotate_hoisted(&self, a: &ClearSlots, rotations: &[Rotation]) -> Result<Vec<ClearSlots>, CkksError> {
        Ok(rotations.iter().map(|&rotation| self.rotated(a, rotation)).collect())
    }

    fn transform(&self, inputs: &[&ClearSlots], map: &SlotTransform) -> Result<Vec<ClearSlots>, CkksError> {
        const OPERATION: &str = "transform";
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let level = self.meet(OPERATION, inputs.iter().copied())?.level;
        let below = self.below(OPERATION, level)?;
        let image = |input: &&ClearSlots| {
            self.check_packing(OPERATION, input, Packing::Real)?;
            let input = self.lower(input, level)?;
            Ok(self.rescaled(input.with(map.matrix().apply(&input.values)?, below), |counts| {
                counts.rotations += map.plan().rotations() as u64;
                counts.plaintext_products += map.matrix().diagonal_count() as u64;
            }))
        };
        inputs.iter().map(image).collect()
    }

    fn conjugate(&self, a: &ClearSlots) -> Result<ClearSlots, CkksError> {
        self.check_packing("conjugate", a, Packing::Complex)?;
        self.count(|counts| counts.conjugations += 1);
        Ok(a.map(a.level, |value| value.conj()))
    }

    fn multiply_imaginary(&self, a: &ClearSlots) -> Result<ClearSlots, CkksError> {
        self.check_packing("multiply_imaginary", a, Packing::Complex)?;
        Ok(a.map(a.level, |value| value * Complex64::I))
    }

    fn to_complex(&self, a: &ClearSlots) -> Result<ClearSlots, CkksError> {
        self.check_packing("to_complex", a, Packing::Real)?;
        let level = self.below("to_complex", a.level)?;
        let (real, imaginary) = a.values.split_at(a.values.len() / 2);
        let values = real.iter().zip(imaginary).map(|(x, y)| Complex64::new(x.re, y.re)).collect();
        let converted = ClearSlots { values, packing: Packing::Complex, level };
        Ok(self.rescaled(converted, |counts| counts.packing_conversions += 1))
    }

    fn to_real(&self, a: &ClearSlots) -> Result<ClearSlots, CkksError> {
        self.check_packing("to_real", a, Packing::Complex)?;
        let level = self.below("to_real", a.level)?;
        let parts = a.values.iter().map(|z| z.re).chain(a.values.iter().map(|z| z.im));
        let converted = ClearSlots { values: parts.map(Complex64::from).collect(), packing: Packing::Real, level };
        Ok(self.rescaled(converted, |counts| counts.packing_conversions += 1))
    }

    fn sparse_slots_to_coefficients(
        &self,
        slots: &ClearSlots,
        copies: Copies,
        unit: f64,
    ) -> Result<ClearCoefficients, CkksError> {
        const OPERATION: &str = "slots_to_coefficients";
        self.shape.check_copies(OPERATION, copies)?;
        self.check_unit(OPERATION, unit)?;
        let required = Level(self.shape.slots_to_coefficients_levels);
        if slots.level < required {
            let (found, required) = (slots.level.0, format!("at least {}", required.0));
            return Err(refuse(OPERATION, "level", found, required, "request more levels from the half bootstrap"));
        }
        let slots = self.lower(slots, required)?;
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
        let mut integers: Vec<f64> = (0..self.shape.degree).map(integer).collect();
        self.disturb(self.noise.slots_to_coefficients, integers.iter_mut());
        integers.iter_mut().for_each(|integer| *integer = integer.round());
        let cost = self.cost.slots_to_coefficients(slots.packing, copies)?;
        self.count(|counts| *counts = *counts + cost);
        self.coefficients(OPERATION, integers, unit)
    }

    fn sparse_half_bootstrap(
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

    fn unit(&self, a: &ClearCoefficients) -> f64 {
        a.unit
    }

    fn add_coefficients(&self, a: &ClearCoefficients, b: &ClearCoefficients) -> Result<ClearCoefficients, CkksError> {
        const OPERATION: &str = "add_coefficients";
        if (a.unit / b.unit - 1.0).abs() > UNIT_TOLERANCE {
            let required = format!("{:.6e} as on the left", a.unit);
            let found = format!("{:.6e} on the right", b.unit);
            return Err(refuse(OPERATION, "unit", found, required, "choose the unit before SlotsToCoeffs"));
        }
        let integers = a.integers.iter().zip(&b.integers).map(|(a, b)| a + b).collect();
        self.coefficients(OPERATION, integers, a.unit)
    }

    fn magnify(&self, a: &ClearCoefficients, factor: u64) -> Result<ClearCoefficients, CkksError> {
        if factor == 0 {
            return Err(refuse("magnify", "factor", 0, "a positive integer", "use 1 to keep the integers"));
        }
        let factor = factor as f64;
        let integers = a.integers.iter().map(|integer| integer * factor).collect();
        self.coefficients("magnify", integers, a.unit * factor)
    }

    fn save(&self, a: &ClearCoefficients) -> Result<Vec<u8>, CkksError> {
        Ok(std::iter::once(&a.unit).chain(&a.integers).flat_map(|number| number.to_le_bytes()).collect())
    }

    fn restore(&self, bytes: &[u8]) -> Result<ClearCoefficients, CkksError> {
        let required = 8 * (1 + self.shape.degree);
        if bytes.len() != required {
            let remedy = "restore bytes that the same evaluator has saved";
            return Err(refuse("restore", "bytes", bytes.len(), required, remedy));
        }
        let (numbers, _) = bytes.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|&number| f64::from_le_bytes(number));
        let unit = numbers.next().unwrap_or(f64::NAN);
        self.check_unit("restore", unit)?;
        self.coefficients("restore", numbers.collect(), unit)
    }

    fn module_rows(&self, inputs: &[&ClearCoefficients], tokens: usize) -> Result<ClearRows, CkksError> {
        const OPERATION: &str = "module_rows";
        let degree = self.shape.degree;
        if !tokens.is_power_of_two() || tokens > degree {
            let required = format!("a power of two, at most {degree}");
            return Err(refuse(OPERATION, "tokens", tokens, required, "use another block size"));
        }
        let Some(first) = inputs.first() else {
            return Err(refuse(OPERATION, "inputs", "empty", "at least one ciphertext", "leave the operation out"));
        };
        if let Some(other) = inputs.iter().find(|input| (input.unit / first.unit - 1.0).abs() > UNIT_TOLERANCE) {
            let (found, required) = (format!("{:.6e}", other.unit), format!("{:.6e} as on the first", first.unit));
            return Err(refuse(OPERATION, "unit", found, required, "choose one unit before SlotsToCoeffs"));
        }
        let rows = degree / tokens;
        let mut entries = Vec::with_capacity(inputs.len() * degree);
        for input in inputs {
            for row in 0..rows {
                entries.extend((0..tokens).map(|token| input.integers[row + rows * token]));
            }
        }
        self.disturb(self.noise.module_rows, entries.iter_mut());
        self.count(|counts| counts.row_splits += inputs.len() as u64);
        Ok(ClearRows { entries, tokens, unit: first.unit })
    }

    fn integer_product(&self, weights: &IntegerMatrix, scale: f64, rows: &ClearRows) -> Result<ClearRows, CkksError> {
        const OPERATION: &str = "integer_product";
        self.check_unit(OPERATION, scale)?;
        let shape = weights.shape();
        if shape.columns != rows.rows() {
            let required = format!("{}, the number of rows", rows.rows());
            return Err(refuse(OPERATION, "columns of the weights", shape.columns, required, "pad with zero columns"));
        }
        check_filled(OPERATION, weights)?;
        let mut entries = vec![0.0; shape.rows * rows.tokens];
        entries.par_chunks_mut(rows.tokens).zip(weights.entries().par_chunks(shape.columns)).for_each(
            |(sums, weights)| {
                for (&weight, row) in weights.iter().zip(rows.entries.chunks_exact(rows.tokens)) {
                    if weight != 0 {
                        let weight = f64::from(weight);
                        sums.iter_mut().zip(row).for_each(|(sum, entry)| *sum += weight * entry);
                    }
                }
            },
        );
        self.count(|counts| counts.matrix_weights += shape.words() as u64);
        Ok(ClearRows { entries, tokens: rows.tokens, unit: rows.unit * scale })
    }

    fn pack_rows(&self, rows: &ClearRows) -> Result<Vec<ClearCoefficients>, CkksError> {
        let degree = self.shape.degree;
        let per_ciphertext = degree / rows.tokens;
        let pack = |entries: &[f64]| {
            let mut integers = vec![0.0; degree];
            for (row, entries) in entries.chunks_exact(rows.tokens).enumerate() {
                entries.iter().enumerate().for_each(|(token, entry)| integers[row + per_ciphertext * token] = *entry);
            }
            self.disturb(self.noise.pack_rows, integers.iter_mut());
            integers.iter_mut().for_each(|integer| *integer = integer.round());
            self.count(|counts| counts.row_packings += 1);
            self.coefficients("pack_rows", integers, rows.unit)
        };
        rows.entries.chunks(degree).map(pack).collect()
    }

    fn split_vector(
        &self,
        inputs: &[&ClearCoefficients],
        block: usize,
        parts: usize,
    ) -> Result<ClearVector, CkksError> {
        self.split_parts(inputs, block, parts)
    }

    fn vector_products(
        &self,
        weights: &[IntegerMatrix],
        scale: f64,
        vector: &ClearVector,
    ) -> Result<Vec<ClearCoefficients>, CkksError> {
        self.multiply_vector(weights, scale, vector)
    }
}

impl Client<Clear> for Clear {
    fn encrypt(&self, coefficients: &[f64], unit: f64) -> Result<ClearCoefficients, CkksError> {
        const OPERATION: &str = "encrypt";
        self.check_unit(OPERATION, unit)?;
        let required = self.shape.degree;
        if coefficients.len() != required {
            return Err(refuse(OPERATION, "coefficients", coefficients.len(), required, "pad them with zeros"));
        }
        let mut integers: Vec<f64> = coefficients.iter().map(|value| value * unit).collect();
        self.disturb(self.noise.encryption, integers.iter_mut());
        integers.iter_mut().for_each(|integer| *integer = integer.round());
        self.coefficients(OPERATION, integers, unit)
    }

    fn decrypt(&self, ciphertext: &ClearCoefficients) -> Result<Option<Vec<f64>>, CkksError> {
        Ok(Some(ciphertext.integers.iter().map(|integer| integer / ciphertext.unit).collect()))
    }
}
