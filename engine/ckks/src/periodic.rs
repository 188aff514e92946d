//! Matrices of plaintext vectors that repeat along the slots.

use crate::CkksError;

/// A matrix of real plaintext vectors that all repeat with one period and are constant on runs of slots: slot `j` of a vector holds
/// its number `(j / run) mod numbers`. Vectors are made while they are used, since all of them together rarely fit into memory.
///
/// A vector of period `n` is an element of the subring of degree `n` (real slots; `2n` for complex ones): it is encoded there, by
/// small transforms, and takes as little memory.
#[derive(Clone, Copy)]
pub struct PeriodicMatrix<'a> {
    /// Rows of the matrix: one result each.
    pub rows: usize,
    /// Neighbouring slots that share a number.
    pub run: usize,
    /// Numbers of a vector.
    pub numbers: usize,
    /// Writes all numbers of the vector of a row and a column.
    pub fill: &'a (dyn Fn(usize, usize, &mut [f64]) + Sync),
}

impl PeriodicMatrix<'_> {
    /// Slots after which a vector repeats.
    pub fn period(&self) -> usize {
        self.run * self.numbers
    }

    /// Refuses runs and periods that are no powers of two, or longer than the slots.
    pub(crate) fn check(&self, operation: &'static str, slots: usize) -> Result<(), CkksError> {
        if self.run.is_power_of_two() && self.numbers.is_power_of_two() && self.period() <= slots {
            return Ok(());
        }
        Err(CkksError::Precondition {
            operation,
            operand: "the period",
            found: format!("{} numbers in runs of {}", self.numbers, self.run),
            required: format!("powers of two with a product of at most {slots}"),
            remedy: "repeat or pad the numbers",
        })
    }
}
