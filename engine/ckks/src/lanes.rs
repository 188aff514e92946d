//! The contract of products of two encrypted matrices.

use crate::{CkksError, Evaluator};

/// Matrix products with both factors encrypted, over slots-in-coefficients.
///
/// A ciphertext of lanes has `rows = shape().lane_rows(lanes)` **rows** of `lanes` complex numbers. A list of them is one matrix for every
/// lane, by columns or by rows: ciphertext `j` holds column `j` in its rows, or row `j` (its entries then stand in the rows of the
/// ciphertext). Lanes never mix. Complex slot `shape().slot_of_lane(lanes, c, row, lane)` of a slot ciphertext becomes that lane of ciphertext
/// `c` of the `shape().lane_group()` it falls into, and back.
///
/// On the way back no transform is needed before the half bootstrap; after it [`crate::transforms::lanes::lanes_from_coefficients`] makes
/// lanes of what were their coefficients.
pub trait LaneProducts: Evaluator {
    /// A ciphertext of lanes: a factor (at `q_0 q_1`) or a product (at `q_0`), integers `value * unit`.
    type Lanes: Clone + Send + Sync;

    /// SlotsToCoeffs of real slots without the stages inside lanes, and ring switching: for each input the ciphertexts of lanes it falls
    /// into, factors whose numbers are `value * unit`. Real slot `s` below half the degree is the real part of complex slot `s`, the slot half the degree
    /// further its imaginary part. Takes its levels from `shape().slots_to_lanes_level()`; inputs given together are worked on together.
    ///
    /// # Errors
    /// A level below that, complex slots, lanes or a unit out of range.
    fn slots_to_lanes(
        &self,
        inputs: &[&Self::Slots],
        lanes: usize,
        unit: f64,
    ) -> Result<Vec<Vec<Self::Lanes>>, CkksError>;

    /// Even and odd rows of a factor, both in the even rows, odd rows zero: one key switch.
    ///
    /// # Errors
    /// For a product.
    fn split_row_parity(&self, a: &Self::Lanes) -> Result<[Self::Lanes; 2], CkksError>;

    /// The inverse: the even rows of the first in even rows, those of the second in odd ones; both must have zeros in their odd rows. Free.
    ///
    /// # Errors
    /// If one is a factor and the other a product, or the units differ.
    fn join_row_parity(&self, even: &Self::Lanes, odd: &Self::Lanes) -> Result<Self::Lanes, CkksError>;

    /// The first `count` rows, by rows, of a matrix of factors given by columns (or columns of one given by rows); missing inputs are zero.
    /// As many key switches as rows, less one.
    ///
    /// # Errors
    /// For products; more inputs or outputs than rows; units that differ.
    fn transpose_lanes(
        &self,
        inputs: &[&Self::Lanes],
        lanes: usize,
        count: usize,
    ) -> Result<Vec<Self::Lanes>, CkksError>;

    /// The first `count` columns, by columns, of the product of a matrix by columns (`left`) with one by rows (`right`): ciphertext `c` of both
    /// belongs to index `c` of the sum. The unit is the product of theirs, divided by `shape().lane_divisor`.
    ///
    /// # Errors
    /// For products; lists of different lengths; units that differ within a list; more outputs than rows.
    fn multiply_lanes(
        &self,
        left: &[&Self::Lanes],
        right: &[&Self::Lanes],
        lanes: usize,
        count: usize,
    ) -> Result<Vec<Self::Lanes>, CkksError>;

    /// Puts up to `shape().lane_group()` products into one coefficient ciphertext; missing ones are zero. One key switch.
    ///
    /// # Errors
    /// For factors, or too many; units that differ.
    fn join_lanes(&self, parts: &[&Self::Lanes]) -> Result<Self::Coefficients, CkksError>;
}
