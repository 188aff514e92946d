//! Sums over windows of rows.
//!
//! All slots lie on one cycle, and so do the rows of both halves: no rotation moves the rows of one half and leaves the
//! other one alone. What sums over rows by rotations is therefore a **window**, the rows around each row, and it is what a
//! circuit wants only in those rows whose window holds nothing but the wanted rows and zeros. Doubling takes one rotation
//! per factor of two. Each doubling may look forwards or backwards, so a window may reach as far to either side as its
//! length allows, at the same number of rotations.

use fhe_ckks::{Evaluator, Rotation};

use crate::error::Result;
use crate::layout::RowModule;

/// A window of rows around every row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Rows from one row of the window to the next.
    pub(crate) stride: usize,
    /// Number of rows; a power of two.
    pub(crate) length: usize,
    /// How many of them come before the row itself; fewer than `length`.
    pub(crate) before: usize,
}

impl Window {
    /// Row `i` of the result is the sum of rows `i + stride * k` of the argument for `-before <= k < length - before`. No
    /// level; `log2(length)` rotations.
    pub(crate) fn sum<E: Evaluator>(self, e: &E, module: RowModule, x: E::Slots) -> Result<E::Slots> {
        self.sum_by(e, |rows| module.rotate_rows(rows), x)
    }

    /// The same with rows of another length: `rotation` says how to reach so many of them further.
    pub(crate) fn sum_by<E: Evaluator>(
        self,
        e: &E,
        rotation: impl Fn(i64) -> Rotation,
        mut x: E::Slots,
    ) -> Result<E::Slots> {
        for rows in self.doublings() {
            x = e.add(&x, &e.rotate(&x, rotation(rows))?)?;
        }
        Ok(x)
    }

    /// Rows to look forwards (or, if negative, backwards) in each doubling: backwards by those powers of two that `before`
    /// is made of.
    fn doublings(self) -> impl Iterator<Item = i64> {
        (0..self.length.trailing_zeros()).map(move |bit| {
            let rows = (self.stride << bit) as i64;
            if self.before >> bit & 1 == 1 { -rows } else { rows }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doublings_reach_exactly_the_window() {
        for length in [1, 2, 4, 16] {
            for before in 0..length {
                let window = Window { stride: 3, length, before };
                let mut reached = vec![0];
                for rows in window.doublings() {
                    reached.extend(reached.clone().iter().map(|reach| reach + rows));
                }
                reached.sort_unstable();
                let expected = (0..length).map(|k| 3 * (k as i64 - before as i64));
                assert_eq!(reached, expected.collect::<Vec<_>>());
            }
        }
    }
}
