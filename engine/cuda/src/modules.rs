//! Strided maps between rings, module rows, and products with integer matrices.

use fhe_ring::{IntegerMatrix, MatrixShape, Operand, Ring, Shape};

use crate::{Cuda, CudaError, Device, Kernel, launch};

impl<D: Device> Cuda<D> {
    pub(crate) fn split_by_stride(
        &self,
        source: Operand<'_, D::Memory>,
        parts: usize,
    ) -> Result<Vec<D::Memory>, CudaError> {
        let shape = Shape { ring: source.shape.ring.subring(parts), ..source.shape };
        let source = self.place(source).address;
        (0..parts)
            .map(|j| {
                let part = self.allocate(shape)?;
                let arguments =
                    [self.device.address(&part), source, shape.words() as u64, j as u64, parts as u64].to_vec();
                // SAFETY: a limb's degree is a multiple of the stride, so that the last word gathered is the source's last at
                // most; the part is new.
                unsafe { self.launch(&launch::line(Kernel::GatherStrided, shape.words(), arguments)) }?;
                Ok(part)
            })
            .collect()
    }

    pub(crate) fn merge_by_stride(&self, parts: &[Operand<'_, D::Memory>]) -> Result<D::Memory, CudaError> {
        let words = parts.first().map_or(0, |part| part.shape.words());
        let merged = self.device.allocate(words * parts.len())?;
        for (j, part) in parts.iter().enumerate() {
            let part = self.place_of(part.buffer, parts[0].shape).address;
            let arguments = vec![self.device.address(&merged), part, words as u64, j as u64, parts.len() as u64];
            // SAFETY: every part has so many words, and the merged polynomial, which is new, as many times as there are parts.
            unsafe { self.launch(&launch::line(Kernel::ScatterStrided, words, arguments)) }?;
        }
        Ok(merged)
    }

    pub(crate) fn stack_module_rows(
        &self,
        ciphertexts: &[[Operand<'_, D::Memory>; 2]],
        group: usize,
        tokens: usize,
    ) -> Result<[D::Memory; 2], CudaError> {
        let degree = ciphertexts.first().map_or(tokens, |[b, _]| b.shape.ring.degree());
        assert!(ciphertexts.len().is_multiple_of(group), "module_rows: whole groups of ciphertexts are required");
        let [b_shape, a_shape] = MatrixShape::of_module_rows(ciphertexts.len(), degree, tokens);
        let rows = [self.device.allocate(b_shape.words())?, self.device.allocate(a_shape.words())?];
        let table = self.halves(ciphertexts, degree)?;
        let arguments = vec![
            self.device.address(&rows[0]),
            self.device.address(&rows[1]),
            self.device.address(&table),
            group as u64,
            tokens as u64,
            degree.trailing_zeros().into(),
            self.moduli(),
        ];
        // SAFETY: the table has the addresses of two polynomials of this degree for each ciphertext, whose groups are whole;
        // the matrices are new and of the shapes that the kernel fills.
        unsafe { self.launch(&launch::module_rows(a_shape.rows, a_shape.columns, arguments)) }?;
        Ok(rows)
    }

    pub(crate) fn module_products(
        &self,
        weights: &IntegerMatrix,
        ciphertexts: &[[Operand<'_, D::Memory>; 2]],
        group: usize,
        tokens: usize,
    ) -> Result<[D::Memory; 2], CudaError> {
        let degree = ciphertexts.first().map_or(tokens, |[b, _]| b.shape.ring.degree());
        let (rank, rows) = (degree / tokens, weights.shape().rows);
        assert!(ciphertexts.len().is_multiple_of(group), "module_product: whole groups of ciphertexts are required");
        let [b, _] = MatrixShape::of_module_rows(ciphertexts.len(), degree, tokens);
        assert!(
            weights.is_filled() && weights.shape().columns == b.rows,
            "module_product: weights and ciphertexts must fit"
        );
        if ciphertexts.is_empty() {
            return Ok([self.device.zeros(rows * tokens)?, self.device.zeros(rows * degree)?]);
        }
        let table = self.halves(ciphertexts, degree)?;
        let packed = self.device.upload(&packed(weights.entries()))?;
        let product = |half: u64, blocks: usize| {
            let result = MatrixShape { rows, columns: blocks * tokens };
            let product = self.device.allocate(result.words())?;
            let arguments = vec![
                self.device.address(&product),
                self.device.address(&packed),
                self.device.address(&table),
                half,
                blocks as u64,
                rows as u64,
                (ciphertexts.len() / group) as u64,
                group as u64,
                tokens as u64,
                rank as u64,
                self.moduli(),
            ];
            // SAFETY: there are as many weights as rows of the result times module rows, the table has the addresses of two
            // polynomials of this degree for each ciphertext, and the product is new.
            unsafe { self.launch(&launch::matrix_product(Kernel::ModuleProduct, result, arguments)) }?;
            Ok(product)
        };
        Ok([product(0, 1)?, product(1, rank)?])
    }

    /// The addresses of both halves of ciphertexts of one degree, on the device.
    fn halves(&self, ciphertexts: &[[Operand<'_, D::Memory>; 2]], degree: usize) -> Result<D::Memory, CudaError> {
        let addresses = ciphertexts.as_flattened().iter().map(|half| {
            assert_eq!(half.shape.ring.degree(), degree, "module rows: ciphertexts of one ring are required");
            self.place(*half).address
        });
        self.device.upload(&addresses.collect::<Vec<_>>())
    }

    pub(crate) fn gather_polynomials(
        &self,
        (b, b_shape): (&D::Memory, MatrixShape),
        (a, a_shape): (&D::Memory, MatrixShape),
        first: usize,
        ring: Ring,
    ) -> Result<(D::Memory, Vec<D::Memory>), CudaError> {
        let tokens = b_shape.columns;
        let polynomial = |matrix: &D::Memory, shape: MatrixShape, column: usize| {
            let target = self.device.allocate(ring.degree())?;
            let arguments = vec![
                self.device.address(&target),
                self.matrix(matrix, shape),
                shape.rows as u64,
                shape.columns as u64,
                first as u64,
                column as u64,
                (ring.degree() / tokens) as u64,
            ];
            let launch = launch::words(Kernel::GatherRows, ring, 1, arguments);
            // SAFETY: the matrix has the words of its shape; rows past its end are not read, and a block of columns begins
            // at `column`; the target is new.
            unsafe { self.launch(&launch) }?;
            Ok(target)
        };
        let blocks = (0..a_shape.columns / tokens).map(|j| polynomial(a, a_shape, j * tokens));
        Ok((polynomial(b, b_shape, 0)?, blocks.collect::<Result<_, CudaError>>()?))
    }

    pub(crate) fn integer_products(
        &self,
        weights: &IntegerMatrix,
        matrix: &D::Memory,
        shape: MatrixShape,
    ) -> Result<D::Memory, CudaError> {
        let MatrixShape { rows, columns: inner } = weights.shape();
        assert!(weights.is_filled() && inner == shape.rows, "integer_product: weights and residues must fit");
        let result = MatrixShape { rows, columns: shape.columns };
        if inner == 0 {
            return self.device.zeros(result.words());
        }
        let product = self.device.allocate(result.words())?;
        let packed = self.device.upload(&packed(weights.entries()))?;
        let arguments = vec![
            self.device.address(&product),
            self.device.address(&packed),
            self.matrix(matrix, shape),
            rows as u64,
            shape.columns as u64,
            inner as u64,
            self.moduli(),
        ];
        // SAFETY: there are `rows * inner` weights and `inner * columns` residues; the product is new.
        unsafe { self.launch(&launch::matrix_product(Kernel::IntegerProduct, result, arguments)) }?;
        Ok(product)
    }

    /// Where a matrix begins that has all the words of its shape.
    fn matrix(&self, matrix: &D::Memory, shape: MatrixShape) -> u64 {
        assert_eq!(self.device.words(matrix), shape.words(), "a matrix does not have its shape");
        self.device.address(matrix)
    }
}

/// Four weights a word, the first one lowest.
pub(crate) fn packed(weights: &[i16]) -> Vec<u64> {
    let word = |weights: &[i16]| weights.iter().rev().fold(0, |word, &weight| word << 16 | u64::from(weight as u16));
    weights.chunks(4).map(word).collect()
}
