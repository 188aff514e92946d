//! [`LaneProducts`] of [`Clear`]: matrices of complex numbers, one for each lane.

use std::f64::consts::PI;

use num_complex::Complex64;
use rayon::prelude::*;

use super::{Clear, ClearCoefficients, ClearLanes, ClearSlots, UNIT_TOLERANCE, refuse};
use crate::{CkksError, LaneProducts, Level, Packing, SlotArithmetic};

/// The lanes of an element of `Z[Y]/(Y^k + 1)`, `k = 2 lanes`: its values at `exp(i pi 5^l / k)`.
struct LaneTransform {
    /// By lane, the powers of its root.
    powers: Vec<Vec<Complex64>>,
}

impl LaneTransform {
    fn new(lanes: usize) -> Self {
        let degree = 2 * lanes;
        let exponents = std::iter::successors(Some(1), |exponent| Some(exponent * 5 % (2 * degree)));
        let power =
            |exponent: usize, y: usize| Complex64::cis(PI * (exponent * y % (2 * degree)) as f64 / degree as f64);
        let powers = exponents.take(lanes).map(|exponent| (0..degree).map(|y| power(exponent, y)).collect()).collect();
        Self { powers }
    }

    fn lanes(&self, coefficients: &[f64]) -> Vec<Complex64> {
        let lane = |powers: &Vec<Complex64>| powers.iter().zip(coefficients).map(|(power, c)| power * c).sum();
        self.powers.iter().map(lane).collect()
    }

    fn coefficients(&self, lanes: &[Complex64]) -> Vec<f64> {
        let coefficient = |y: usize| -> f64 {
            self.powers.iter().zip(lanes).map(|(powers, lane)| (lane * powers[y].conj()).re).sum()
        };
        (0..2 * lanes.len()).map(|y| coefficient(y) / lanes.len() as f64).collect()
    }
}

impl Clear {
    /// The polynomial whose rows have these lanes, times the factor.
    fn of_rows(&self, rows: &[Vec<Complex64>], transform: &LaneTransform, factor: f64) -> Vec<f64> {
        let mut integers = vec![0.0; self.shape.lane_degree];
        for (row, lanes) in rows.iter().enumerate() {
            let coefficients = transform.coefficients(lanes);
            let places = integers[row..].iter_mut().step_by(rows.len());
            places.zip(coefficients).for_each(|(integer, coefficient)| *integer = coefficient * factor);
        }
        integers
    }

    /// The lanes of every row, integers as they are.
    fn rows_of(&self, a: &ClearLanes, transform: &LaneTransform, rows: usize) -> Vec<Vec<Complex64>> {
        let row = |row: usize| a.integers.iter().skip(row).step_by(rows).copied().collect::<Vec<_>>();
        (0..rows).map(|index| transform.lanes(&row(index))).collect()
    }

    fn check_factors(&self, operation: &'static str, list: &[&ClearLanes], divided: bool) -> Result<f64, CkksError> {
        let Some(first) = list.first() else {
            return Err(refuse(operation, "ciphertexts of lanes", "none", "at least one", "pass those of a matrix"));
        };
        for other in list {
            if other.divided != divided {
                let names = |divided| if divided { "a product, at q_0" } else { "a factor, at q_0 q_1" };
                let remedy = "bootstrap a product before it becomes a factor";
                return Err(refuse(operation, "ciphertext", names(other.divided), names(divided), remedy));
            }
            if (other.unit / first.unit - 1.0).abs() > UNIT_TOLERANCE {
                let (found, required) = (format!("{:.6e}", other.unit), format!("{:.6e}", first.unit));
                return Err(refuse(operation, "unit", found, required, "let both writers aim at one unit"));
            }
        }
        Ok(first.unit)
    }

    fn check_number(&self, operation: &'static str, found: usize, most: usize) -> Result<(), CkksError> {
        if found <= most {
            return Ok(());
        }
        let required = format!("at most {most}");
        Err(refuse(operation, "number of ciphertexts", found, required, "use matrices that fit the rows"))
    }
}

impl LaneProducts for Clear {
    type Lanes = ClearLanes;

    fn slots_to_lanes(
        &self,
        inputs: &[&ClearSlots],
        lanes: usize,
        unit: f64,
    ) -> Result<Vec<Vec<ClearLanes>>, CkksError> {
        const OPERATION: &str = "slots_to_lanes";
        self.shape.check_lanes(OPERATION, lanes)?;
        self.check_unit(OPERATION, unit)?;
        let required = Level(self.shape.slots_to_lanes_level());
        let (half, rows) = (self.shape.degree / 2, self.shape.lane_rows(lanes));
        let transform = LaneTransform::new(lanes);
        let split = |input: &&ClearSlots| {
            self.check_packing(OPERATION, input, Packing::Real)?;
            if input.level < required {
                let (found, required) = (input.level.0, format!("at least {}", required.0));
                return Err(refuse(OPERATION, "level", found, required, "request more levels from the half bootstrap"));
            }
            let input = self.lower(input, required)?;
            let part = |ciphertext: usize| {
                let lane = |row: usize, lane: usize| {
                    let slot = self.shape.slot_of_lane(lanes, ciphertext, row, lane);
                    Complex64::new(input.values[slot].re, input.values[slot + half].re)
                };
                let rows: Vec<Vec<_>> = (0..rows).map(|row| (0..lanes).map(|l| lane(row, l)).collect()).collect();
                let mut integers = self.of_rows(&rows, &transform, unit);
                let relative = self.noise.slots_to_lanes_relative / (2.0 * lanes as f64).sqrt();
                self.disturb(self.noise.slots_to_lanes.hypot(unit * relative), integers.iter_mut());
                integers.iter_mut().for_each(|integer| *integer = integer.round());
                ClearLanes { integers, unit, divided: false }
            };
            let cost = self.cost.slots_to_lanes(lanes)?;
            self.count(|counts| *counts = *counts + cost);
            Ok((0..self.shape.lane_group()).map(part).collect())
        };
        inputs.iter().map(split).collect()
    }

    fn split_row_parity(&self, a: &ClearLanes) -> Result<[ClearLanes; 2], CkksError> {
        self.check_factors("split_row_parity", &[a], false)?;
        self.count(|counts| counts.lane_parity_splits += 1);
        // Rows alternate with the coefficients, whatever the number of lanes.
        Ok([0, 1].map(|parity| {
            let kept = |index: usize| if index.is_multiple_of(2) { a.integers[index + parity] } else { 0.0 };
            ClearLanes { integers: (0..a.integers.len()).map(kept).collect(), ..a.clone() }
        }))
    }

    fn join_row_parity(&self, even: &ClearLanes, odd: &ClearLanes) -> Result<ClearLanes, CkksError> {
        self.check_factors("join_row_parity", &[even, odd], even.divided)?;
        let joined = |index: usize| match index {
            0 => even.integers[0] - odd.integers[odd.integers.len() - 1],
            _ => even.integers[index] + odd.integers[index - 1],
        };
        Ok(ClearLanes { integers: (0..even.integers.len()).map(joined).collect(), ..even.clone() })
    }

    fn transpose_lanes(
        &self,
        inputs: &[&ClearLanes],
        lanes: usize,
        count: usize,
    ) -> Result<Vec<ClearLanes>, CkksError> {
        const OPERATION: &str = "transpose_lanes";
        self.shape.check_lanes(OPERATION, lanes)?;
        let unit = self.check_factors(OPERATION, inputs, false)?;
        let rows = self.shape.lane_rows(lanes);
        self.check_number(OPERATION, inputs.len().max(count), rows)?;
        self.count(|counts| counts.lane_transposes += 1);
        // Entry `row` of ciphertext `column` and back, all coefficients of a row at once.
        let transposed = |column: usize| {
            let entry =
                |index: usize| inputs.get(index % rows).map(|input| input.integers[index - index % rows + column]);
            let integers = (0..self.shape.lane_degree).map(|index| entry(index).unwrap_or(0.0)).collect();
            ClearLanes { integers, unit, divided: false }
        };
        Ok((0..count).map(transposed).collect())
    }

    fn multiply_lanes(
        &self,
        left: &[&ClearLanes],
        right: &[&ClearLanes],
        lanes: usize,
        count: usize,
    ) -> Result<Vec<ClearLanes>, CkksError> {
        const OPERATION: &str = "multiply_lanes";
        self.shape.check_lanes(OPERATION, lanes)?;
        let units = self.check_factors(OPERATION, left, false)? * self.check_factors(OPERATION, right, false)?;
        if left.len() != right.len() {
            let (found, required) = (right.len(), format!("{} as on the left", left.len()));
            let remedy = "number both factors by what the product contracts";
            return Err(refuse(OPERATION, "number of ciphertexts", found, required, remedy));
        }
        let rows = self.shape.lane_rows(lanes);
        self.check_number(OPERATION, count, rows)?;
        let transform = LaneTransform::new(lanes);
        let in_lanes = |list: &[&ClearLanes]| -> Vec<_> {
            list.par_iter().map(|factor| self.rows_of(factor, &transform, rows)).collect()
        };
        let (left, right) = (in_lanes(left), in_lanes(right));
        let product = |column: usize| {
            let entry = |row: usize, lane: usize| -> Complex64 {
                left.iter().zip(&right).map(|(left, right)| left[row][lane] * right[column][lane]).sum()
            };
            let entries: Vec<Vec<_>> = (0..rows).map(|row| (0..lanes).map(|lane| entry(row, lane)).collect()).collect();
            self.of_rows(&entries, &transform, 1.0 / self.shape.lane_divisor)
        };
        let columns: Vec<Vec<f64>> = (0..count).into_par_iter().map(product).collect();
        self.count(|counts| counts.lane_products += 1);
        let unit = units / self.shape.lane_divisor;
        let finish = |mut integers: Vec<f64>| {
            self.disturb(self.noise.lane_product, integers.iter_mut());
            integers.iter_mut().for_each(|integer| *integer = integer.round());
            ClearLanes { integers, unit, divided: true }
        };
        Ok(columns.into_iter().map(finish).collect())
    }

    fn join_lanes(&self, parts: &[&ClearLanes]) -> Result<ClearCoefficients, CkksError> {
        const OPERATION: &str = "join_lanes";
        let unit = self.check_factors(OPERATION, parts, true)?;
        let group = self.shape.lane_group();
        self.check_number(OPERATION, parts.len(), group)?;
        self.count(|counts| counts.lane_joins += 1);
        let integer = |index: usize| parts.get(index % group).map_or(0.0, |part| part.integers[index / group]);
        self.coefficients(OPERATION, (0..self.shape.degree).map(integer).collect(), unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_multiply_as_polynomials_do() {
        let transform = LaneTransform::new(4);
        let [a, b] = [3.0, 5.0].map(|salt| (0..8).map(|y| (salt * y as f64).sin()).collect::<Vec<f64>>());
        let mut product = vec![0.0; 8];
        for (y, a) in a.iter().enumerate() {
            for (z, b) in b.iter().enumerate() {
                product[(y + z) % 8] += if y + z < 8 { a * b } else { -a * b };
            }
        }
        let lanes: Vec<_> = transform.lanes(&a).iter().zip(transform.lanes(&b)).map(|(a, b)| a * b).collect();
        let found = transform.coefficients(&lanes);
        assert!(found.iter().zip(&product).all(|(found, expected)| (found - expected).abs() < 1e-12));
    }
}
