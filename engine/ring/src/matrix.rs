//! Integer and residue matrices of the plaintext-ciphertext product.

/// Shape of a matrix of residues modulo `q_0`, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatrixShape {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

impl MatrixShape {
    /// The shapes of `B` and `A` of the module rows of ciphertexts of a ring of degree `degree`.
    pub const fn of_module_rows(ciphertexts: usize, degree: usize, tokens: usize) -> [Self; 2] {
        let rows = ciphertexts * (degree / tokens);
        [Self { rows, columns: tokens }, Self { rows, columns: degree }]
    }

    /// Number of polynomials of degree `degree` that hold the rows of such a matrix for each `block` of its columns: one for `degree /
    /// block` rows.
    pub const fn polynomials(self, degree: usize, block: usize) -> usize {
        self.rows.div_ceil(degree / block)
    }

    /// Number of entries.
    pub const fn words(self) -> usize {
        self.rows * self.columns
    }
}

/// Small signed integers, row-major: quantised weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegerMatrix {
    shape: MatrixShape,
    entries: Vec<i16>,
}

impl IntegerMatrix {
    /// Joins entries with their shape; `None` if the sizes differ.
    pub fn new(shape: MatrixShape, entries: Vec<i16>) -> Option<Self> {
        (entries.len() == shape.words()).then_some(Self { shape, entries })
    }

    /// A matrix without entries, for backends that hold no data: costs depend on the shape alone.
    pub fn unfilled(shape: MatrixShape) -> Self {
        Self { shape, entries: Vec::new() }
    }

    /// So many of its rows from one on, or as many as there are; a matrix without rows from its end on.
    ///
    /// # Panics
    /// If the first one is beyond the end.
    #[must_use]
    pub fn row_range(&self, first: usize, count: usize) -> Self {
        let MatrixShape { rows, columns } = self.shape;
        assert!(first <= rows, "row {first} of {rows}");
        let shape = MatrixShape { rows: count.min(rows - first), columns };
        if !self.is_filled() {
            return Self::unfilled(shape);
        }
        Self { shape, entries: self.entries[first * columns..][..shape.words()].to_vec() }
    }

    /// Whether the entries are there.
    pub fn is_filled(&self) -> bool {
        self.entries.len() == self.shape.words()
    }

    /// The shape.
    pub fn shape(&self) -> MatrixShape {
        self.shape
    }

    /// Entries, row-major; none if unfilled.
    pub fn entries(&self) -> &[i16] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_out_of_a_matrix_up_to_its_end() {
        let shape = MatrixShape { rows: 3, columns: 2 };
        let matrix = IntegerMatrix::new(shape, (0..6).collect()).unwrap();
        assert_eq!(matrix.row_range(1, 1).entries(), [2, 3]);
        assert_eq!(matrix.row_range(1, 5).entries(), [2, 3, 4, 5]);
        assert_eq!(matrix.row_range(3, 1).shape(), MatrixShape { rows: 0, columns: 2 });
        let unfilled = IntegerMatrix::unfilled(shape).row_range(2, 9);
        assert_eq!((unfilled.shape().rows, unfilled.is_filled()), (1, false));
    }
}
