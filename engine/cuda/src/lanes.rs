//! Matrix products of ciphertexts over a subring.

use fhe_ring::{Operand, Pair, Ring, Shape};

use crate::{
    Cuda, CudaError, Device, Kernel,
    launch::{self, GROUP},
    transform::Direction::{self, Forward, Inverse},
};

impl<D: Device> Cuda<D> {
    pub(crate) fn multiply_lanes(
        &self,
        shape: Shape,
        left: &[Pair<'_, D::Memory>],
        right: &[Pair<'_, D::Memory>],
        rows: usize,
    ) -> Result<Vec<[[D::Memory; 2]; 2]>, CudaError> {
        assert_eq!(left.len(), right.len(), "lane_products: a right ciphertext is required for each left one");
        let halves = || left.iter().chain(right).flatten();
        let addresses = halves().map(|half| self.place_of(half.buffer, shape).address);
        let sources = self.device.upload(&addresses.collect::<Vec<_>>())?;
        let values = self.device.allocate_together(halves().count(), shape.words())?;
        let products = self.device.allocate_together(4 * rows, shape.words())?;
        let [values_table, products_table] = [self.table_of(&values, shape)?, self.table_of(&products, shape)?];
        let [sources, at_points, targets] =
            [&sources, &values_table, &products_table].map(|table| self.device.address(table));
        let lanes = Lanes { shape, log_points: (shape.ring.degree() / rows).trailing_zeros() };
        // At a single point there is nothing to transform.
        let at_points = if lanes.log_points == 0 { sources } else { at_points };
        let mut arguments = vec![targets, at_points, left.len() as u64];
        arguments.extend([lanes.log_points, shape.ring.log_degree].map(u64::from));
        arguments.extend([self.primes(shape.basis)?, self.moduli()]);
        let product = launch::lane_products(shape.ring, shape.basis.len(), rows, arguments);
        // SAFETY: the tables have the addresses of live polynomials of this shape: the operands, as many values, and four new
        // products for each row.
        unsafe {
            self.transform_lanes(Forward, lanes, values.len(), at_points, sources)?;
            self.launch(&product)?;
            self.transform_lanes(Inverse, lanes, products.len(), targets, targets)?;
        }
        let mut products = products.into_iter();
        let mut next = || products.next().expect("four products for each row");
        Ok((0..rows).map(|_| [(); 2].map(|()| [(); 2].map(|()| next()))).collect())
    }

    /// Transforms the rows of so many polynomials, up to [`GROUP`] layers at a time.
    ///
    /// # Safety
    /// The tables have the addresses of so many live polynomials of this shape each, perhaps the same ones; nobody else uses
    /// the targets.
    unsafe fn transform_lanes(
        &self,
        direction: Direction,
        lanes: Lanes,
        count: usize,
        targets: u64,
        sources: u64,
    ) -> Result<(), CudaError> {
        let Lanes { shape, log_points } = lanes;
        if log_points == 0 {
            return Ok(());
        }
        let tables = self.tables.transforms(&self.device, &self.chain, Ring::cyclotomic(log_points))?;
        let (kernel, heaps) = match direction {
            Forward => (Kernel::ForwardLanes, tables.forward),
            Inverse => (Kernel::InverseLanes, tables.inverse),
        };
        let mut runs: Vec<_> =
            (0..log_points).step_by(GROUP as usize).map(|depth| (depth, GROUP.min(log_points - depth))).collect();
        if direction == Inverse {
            runs.reverse();
        }
        let mut from = sources;
        for (depth, layers) in runs {
            let mut arguments = vec![targets, from];
            arguments.extend([shape.ring.log_degree, log_points, depth, layers].map(u64::from));
            arguments.extend([self.primes(shape.basis)?, tables.constants, heaps]);
            let launch = launch::lanes(kernel, shape.ring, layers, shape.basis.len(), count, arguments);
            // SAFETY: promised by the caller; the tables have the factors of every node of the subring's tree, for each prime.
            unsafe { self.launch(&launch) }?;
            from = targets;
        }
        Ok(())
    }

    /// A table of the addresses of polynomials of one shape.
    fn table_of(&self, polynomials: &[D::Memory], shape: Shape) -> Result<D::Memory, CudaError> {
        let address = |buffer| self.place(Operand { buffer, shape }).address;
        self.device.upload(&polynomials.iter().map(address).collect::<Vec<_>>())
    }
}

/// Polynomials as rows over a subring of degree `2^log_points`.
#[derive(Clone, Copy)]
struct Lanes {
    shape: Shape,
    log_points: u32,
}
