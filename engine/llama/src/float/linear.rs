//! Dense products through the `gemm` crate.

use gemm::Parallelism;

use crate::matrix::Matrix;

/// A strided window into a buffer: entry `(i, j)` lies at `i * row_stride + j * col_stride`.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Strided<'a> {
    /// Rows `first..first + rows` of a matrix.
    pub(super) fn rows_of(matrix: &'a Matrix, first: usize, rows: usize) -> Self {
        let cols = matrix.cols();
        let data = &matrix.data()[first * cols..(first + rows) * cols];
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// A whole row-major buffer of `cols` columns.
    pub(super) fn row_major(data: &'a [f32], cols: usize) -> Self {
        Self { data, rows: data.len() / cols, cols, row_stride: cols, col_stride: 1 }
    }

    pub(super) fn transposed(self) -> Self {
        let Self { data, rows, cols, row_stride, col_stride } = self;
        Self { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }
}

/// `left * right`, on all threads.
pub(super) fn product(left: &Matrix, right: &Matrix) -> Matrix {
    let mut out = Matrix::zeros(left.rows(), right.cols());
    let (left, right) = (Strided::rows_of(left, 0, left.rows()), Strided::rows_of(right, 0, right.rows()));
    multiply(out.data_mut(), Former::Overwritten, 1.0, left, right, Parallelism::Rayon(0));
    out
}

/// `factor * left * right` into the row-major `out`, on this thread.
pub(super) fn scaled_product_into(out: &mut [f32], factor: f32, left: Strided<'_>, right: Strided<'_>) {
    multiply(out, Former::Overwritten, factor, left, right, Parallelism::None);
}

/// Adds `left * right` to the row-major `out`, on this thread.
pub(super) fn add_product_into(out: &mut [f32], left: Strided<'_>, right: Strided<'_>) {
    multiply(out, Former::Kept, 1.0, left, right, Parallelism::None);
}

/// What becomes of the entries that a product is written to.
#[derive(Clone, Copy, PartialEq)]
enum Former {
    Overwritten,
    /// The product is added to them.
    Kept,
}

fn multiply(
    out: &mut [f32],
    former: Former,
    factor: f32,
    left: Strided<'_>,
    right: Strided<'_>,
    parallelism: Parallelism,
) {
    let (rows, inner, cols) = (left.rows, left.cols, right.cols);
    assert_eq!(inner, right.rows, "inner dimensions of a product");
    assert_eq!(out.len(), rows * cols, "size of a product");
    // SAFETY: `out` holds rows x cols entries in row-major order, checked above, and is borrowed mutably. `Strided` is
    // only built over whole rows of its slice, so each (i, j) within its rows and columns lies inside that slice.
    unsafe {
        gemm::gemm(
            rows,
            cols,
            inner,
            out.as_mut_ptr(),
            1,
            cols as isize,
            former == Former::Kept,
            left.data.as_ptr(),
            left.col_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.col_stride as isize,
            right.row_stride as isize,
            if former == Former::Kept { 1.0 } else { 0.0 },
            factor,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// `left += right`, entry by entry.
pub(super) fn add_in_place(left: &mut Matrix, right: &Matrix) {
    assert_eq!(left.shape(), right.shape(), "shapes of a sum");
    left.data_mut().iter_mut().zip(right.data()).for_each(|(left, right)| *left += right);
}
