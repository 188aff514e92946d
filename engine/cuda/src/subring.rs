//! Ciphertexts times matrices of factors from a subring.

use fhe_ring::{Operand, Pair};

use crate::{Cuda, CudaError, Device, launch};

impl<D: Device> Cuda<D> {
    pub(crate) fn sum_over_subring(
        &self,
        inputs: &[Pair<'_, D::Memory>],
        factors: &[Vec<Operand<'_, D::Memory>>],
    ) -> Result<Vec<[D::Memory; 2]>, CudaError> {
        let (Some([half, _]), Some(factor)) = (inputs.first(), factors.iter().flatten().next()) else {
            return Ok(Vec::new());
        };
        let (shape, subring) = (half.shape, factor.shape);
        assert!(inputs.iter().flatten().all(|half| half.shape == shape), "subring_sums: inputs of different shapes");
        assert!(
            factors.iter().flatten().all(|factor| factor.shape == subring) && subring.basis == shape.basis,
            "subring_sums: factors of different shapes"
        );
        assert!(factors.iter().all(|factors| factors.len() == inputs.len()), "subring_sums: a factor for each input");
        let sums: Vec<[D::Memory; 2]> = (factors.iter())
            .map(|_| Ok([self.allocate(shape)?, self.allocate(shape)?]))
            .collect::<Result<_, CudaError>>()?;
        let mut table: Vec<u64> = sums.iter().flatten().map(|half| self.place_of(half, shape).address).collect();
        let first_input = table.len();
        table.extend(inputs.iter().flatten().map(|&half| self.place(half).address));
        let first_factor = table.len();
        table.extend(factors.iter().flatten().map(|&factor| self.place(factor).address));
        let table = self.device.upload(&table)?;
        let [targets, input_table, factor_table] =
            [0, first_input, first_factor].map(|word| self.device.address(&table) + (word * size_of::<u64>()) as u64);
        let arguments = vec![
            targets,
            input_table,
            factor_table,
            inputs.len() as u64,
            factors.len() as u64,
            subring.ring.log_degree.into(),
            shape.ring.log_degree.into(),
            self.primes(shape.basis)?,
            self.moduli(),
        ];
        let launch = launch::subring_sums(shape.ring, shape.basis.len(), factors.len(), arguments);
        // SAFETY: the table has the addresses of all halves and of a factor for each sum and input, all of them live
        // polynomials over the primes of the result; the sums are new.
        unsafe { self.launch(&launch) }?;
        Ok(sums)
    }
}
