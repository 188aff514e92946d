//! Products of integer weights with a vector in small ciphertexts.

use fhe_ring::{GadgetInput, IntegerMatrix, Operand, Pair};

use crate::{Cuda, CudaError, Device, Kernel, launch, modules::packed, tables::Limbs, transform::Direction::Forward};

/// Weight polynomials that are in memory at a time, at most: a grid has no more blocks along y.
const MOST_POLYNOMIALS: usize = (1 << 16) - 1;

impl<D: Device> Cuda<D> {
    /// Weight polynomials of as many results as a grid has room for are written and transformed at once; then they are digits, and
    /// the inputs a key.
    pub(crate) fn multiply_by_weight_polynomials(
        &self,
        weights: &IntegerMatrix,
        inputs: &[Pair<'_, D::Memory>],
        block: usize,
    ) -> Result<Vec<[D::Memory; 2]>, CudaError> {
        let Some(&[Operand { shape, .. }, _]) = inputs.first() else { return Ok(Vec::new()) };
        assert!(weights.is_filled(), "weight_products: weights are required");
        let (ring, degree) = (shape.ring, shape.ring.degree());
        let results = weights.shape().polynomials(degree, block);
        let together = (MOST_POLYNOMIALS / inputs.len()).clamp(1, results.max(1));
        let prime = shape.basis.indices().next().and_then(|prime| self.chain.full_basis().position(prime));
        let prime = prime.expect("checked: the inputs have one prime of the chain") as u64;
        let entries = self.device.upload(&packed(weights.entries()))?;
        let count = together * inputs.len();
        let tables =
            [(0..count as u64).collect(), vec![prime; count]].map(|table: Vec<u64>| self.device.upload(&table));
        let [positions, primes] = tables;
        let (positions, primes) = (positions?, primes?);
        let mut products = Vec::with_capacity(results);
        for first in (0..results).step_by(together) {
            let count = together.min(results - first) * inputs.len();
            let polynomials = self.device.allocate_together(count, degree)?;
            let start = self.device.address(&polynomials[0]);
            let arguments = vec![
                start,
                self.device.address(&entries),
                weights.shape().rows as u64,
                weights.shape().columns as u64,
                block.trailing_zeros().into(),
                inputs.len() as u64,
                first as u64,
                results as u64,
                ring.log_degree.into(),
                self.moduli() + prime * MODULUS_BYTES,
            ];
            let limbs =
                Limbs { count, positions: self.device.address(&positions), primes: self.device.address(&primes) };
            // SAFETY: the polynomials are new and lie one after the other, a limb each, as the tables say; there are as many
            // weights as the matrix has entries, and a modulus for each prime of the chain.
            unsafe {
                self.launch(&launch::words(Kernel::WeightPolynomials, ring, count, arguments))?;
                self.transform_limbs(Forward, ring, (start, limbs), (start, limbs))?;
            }
            let digits: Vec<_> = polynomials.iter().map(|buffer| Operand { buffer, shape }).collect();
            let terms: Vec<_> = (digits.chunks(inputs.len()))
                .map(|digits| GadgetInput { digits: digits.to_vec(), addends: [None; 2] })
                .collect();
            products.extend(self.gadget_products(shape, &terms, inputs)?);
        }
        Ok(products)
    }
}

/// Bytes of the kernels' `Modulus`.
const MODULUS_BYTES: u64 = 32;
