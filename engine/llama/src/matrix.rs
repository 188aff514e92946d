//! A dense row-major matrix of `f32`.

use crate::error::{Error, Result};

/// A dense row-major matrix.
///
/// Weights have one row per output channel and one column per input channel. Activations have one row per channel and
/// one column per token, the order in which the encrypted circuit packs them, so that both can be compared entry by
/// entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    data: Vec<f32>,
}

impl Matrix {
    /// A matrix from its entries, row after row.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `data` holds `rows * cols` entries.
    pub fn new(rows: usize, cols: usize, data: Vec<f32>) -> Result<Self> {
        if rows.checked_mul(cols) != Some(data.len()) {
            return Err(Error::Shape { operation: "Matrix::new", found: (data.len(), 1), required: (rows, cols) });
        }
        Ok(Self { rows, cols, data })
    }

    /// The zero matrix.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![0.0; rows * cols] }
    }

    /// Number of rows (channels).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns (input channels of a weight, tokens of an activation).
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// All entries, row after row.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All entries, row after row, to change.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// One entry.
    ///
    /// # Panics
    /// Outside the matrix, as indexing a slice does.
    pub fn at(&self, row: usize, col: usize) -> f32 {
        assert!(col < self.cols, "column {col} of a matrix with {} columns", self.cols);
        self.data[row * self.cols + col]
    }

    /// One row.
    ///
    /// # Panics
    /// Outside the matrix, as indexing a slice does.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }

    /// One row, to change.
    ///
    /// # Panics
    /// Outside the matrix, as indexing a slice does.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.cols..(row + 1) * self.cols]
    }

    /// A copy of one column: all channels of one token.
    ///
    /// # Panics
    /// Outside the matrix, as indexing a slice does.
    pub fn column(&self, col: usize) -> Vec<f32> {
        (0..self.rows).map(|row| self.at(row, col)).collect()
    }
}
