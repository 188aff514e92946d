//! [`Evaluator`] of [`Clear`].

use fhe_ring::IntegerMatrix;
use num_complex::Complex64;
use rayon::prelude::*;

use super::{Clear, ClearCoefficients, ClearRows, ClearSlots, ClearVector, UNIT_TOLERANCE, refuse};
use crate::transforms::slot_transform::SlotTransform;
use crate::{
    CkksError, Copies, Evaluator, Level, Packing, PeriodicMatrix, Plaintext, Rotation, SlotArithmetic, Spacing,
};

impl Clear {
    fn rotated(&self, a: &ClearSlots, rotation: Rotation) -> ClearSlots {
        let steps = rotation.0.rem_euclid(a.values.len() as i64) as usize;
        let mut values = a.values.clone();
        values.rotate_left(steps);
        self.count(|counts| counts.rotations += u64::from(steps != 0));
        a.with(values, a.level)
    }
}

impl Evaluator for Clear {
    type Coefficients = ClearCoefficients;
    type Rows = ClearRows;
    type VectorParts = ClearVector;

    fn packing(&self, x: &ClearSlots) -> Packing {
        x.packing
    }

    fn add_plain<'p>(&self, a: &ClearSlots, plain: impl Into<Plaintext<'p>>) -> Result<ClearSlots, CkksError> {
        let plain = plain.into();
        self.check_plain("add_plain", a, plain)?;
        Ok(a.with(a.values.iter().enumerate().map(|(slot, value)| value + plain.at(slot)).collect(), a.level))
    }

    fn plain_combination<'p, P: Into<Plaintext<'p>> + Copy>(
        &self,
        terms: &[(&ClearSlots, P)],
    ) -> Result<ClearSlots, CkksError> {
        let terms: Vec<(&ClearSlots, Plaintext<'_>)> = terms.iter().map(|&(x, plain)| (x, plain.into())).collect();
        let mut sum = self.meet("plain_combination", terms.iter().map(|(x, _)| *x))?;
        sum.level = self.below("plain_combination", sum.level)?;
        terms.iter().try_for_each(|(x, plain)| self.check_plain("plain_combination", x, *plain))?;
        for (x, plain) in &terms {
            let values = sum.values.iter_mut().zip(&x.values).enumerate();
            values.for_each(|(slot, (sum, x))| *sum += x * plain.at(slot));
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
            Ok(self.rescaled(input.with(map.apply_complex(&input.values)?, below), |counts| {
                counts.rotations += map.plan().rotations() as u64;
                counts.plaintext_products += map.diagonal_count() as u64;
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
        self.descend(slots, copies, unit)
    }

    fn spaced_slots_to_coefficients(
        &self,
        slots: &ClearSlots,
        spacing: Spacing,
        unit: f64,
    ) -> Result<ClearCoefficients, CkksError> {
        self.descend_spaced(slots, spacing, unit)
    }

    fn sparse_half_bootstrap(
        &self,
        inputs: &[&ClearCoefficients],
        copies: Copies,
        levels: usize,
    ) -> Result<Vec<ClearSlots>, CkksError> {
        self.climb(inputs, copies, levels)
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

    /// Level, packing, and the two numbers of every slot.
    fn save_slots(&self, a: &ClearSlots) -> Result<Vec<u8>, CkksError> {
        let packing = u64::from(a.packing == Packing::Complex);
        let head = [a.level.0 as u64, packing].into_iter().flat_map(u64::to_le_bytes);
        let numbers = a.values.iter().flat_map(|value| [value.re, value.im]).flat_map(f64::to_le_bytes);
        Ok(head.chain(numbers).collect())
    }

    fn restore_slots(&self, bytes: &[u8]) -> Result<ClearSlots, CkksError> {
        const OPERATION: &str = "restore_slots";
        let remedy = "restore bytes that the same evaluator has saved";
        let (words, rest) = bytes.as_chunks::<8>();
        let (Some([level, packing]), true) = (words.first_chunk::<2>(), rest.is_empty()) else {
            return Err(refuse(OPERATION, "bytes", bytes.len(), "a level and slots", remedy));
        };
        let level = Level(u64::from_le_bytes(*level) as usize);
        let packing = if u64::from_le_bytes(*packing) == 0 { Packing::Real } else { Packing::Complex };
        let (pairs, rest) = words[2..].as_chunks::<2>();
        if pairs.len() != self.shape.slots(packing) || !rest.is_empty() || level.0 > self.shape.top_level() {
            let found = format!("{} slots at level {}", pairs.len(), level.0);
            let required = format!("{} up to level {}", self.shape.slots(packing), self.shape.top_level());
            return Err(refuse(OPERATION, "ciphertext", found, required, remedy));
        }
        let number = |[re, im]: &[[u8; 8]; 2]| Complex64::new(f64::from_le_bytes(*re), f64::from_le_bytes(*im));
        Ok(ClearSlots { values: pairs.iter().map(number).collect(), packing, level })
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
        self.split_rows(inputs, tokens)
    }

    fn integer_product(&self, weights: &IntegerMatrix, scale: f64, rows: &ClearRows) -> Result<ClearRows, CkksError> {
        self.multiply_rows(weights, scale, rows)
    }

    fn pack_rows(&self, rows: &ClearRows) -> Result<Vec<ClearCoefficients>, CkksError> {
        self.join_rows(rows)
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
