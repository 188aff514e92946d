//! The backend's state, and how operands become arguments.

use std::sync::Mutex;

use fhe_ring::{Basis, Operand, PrimeChain, Ring, Shape};

use crate::{
    CudaError, Device, Kernel, Launch,
    launch::{self, MAX_LOG_DEGREE},
    tables::Tables,
};

/// Ring arithmetic on a device: an [`fhe_ring::Backend`].
///
/// # Panics
///
/// The contract has no errors, and a device can run out of memory or stop. Methods panic then, with the text of the
/// [`CudaError`]. They also panic where a buffer has not the words of its shape, which would let a kernel leave it.
pub struct Cuda<D: Device> {
    pub(crate) chain: PrimeChain,
    pub(crate) device: D,
    pub(crate) tables: Tables<D>,
    /// Where residues are written on their way to the device.
    pub(crate) staging: Mutex<Vec<u64>>,
}

/// A polynomial on the device: where its words begin, and its primes. Good while the buffer that it was taken from lives.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) address: u64,
    pub(crate) basis: Basis,
}

impl<D: Device> Cuda<D> {
    /// Takes over a device.
    ///
    /// # Errors
    /// If the chain serves larger degrees than the kernels do, or the device has no memory for tables.
    pub fn new(chain: PrimeChain, device: D) -> Result<Self, CudaError> {
        if chain.max_log_degree() > MAX_LOG_DEGREE {
            return Err(CudaError::DegreeUnsupported { found: chain.max_log_degree(), required: MAX_LOG_DEGREE });
        }
        let tables = Tables::new(&device, &chain)?;
        Ok(Self { chain, device, tables, staging: Mutex::default() })
    }

    /// The device.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Memory for a polynomial, content arbitrary.
    pub(crate) fn allocate(&self, shape: Shape) -> Result<D::Memory, CudaError> {
        self.device.allocate(shape.words())
    }

    /// Where a polynomial lies that has all the words of its shape.
    pub(crate) fn place(&self, operand: Operand<'_, D::Memory>) -> Place {
        assert_eq!(self.device.words(operand.buffer), operand.shape.words(), "a buffer does not have its shape");
        Place { address: self.device.address(operand.buffer), basis: operand.shape.basis }
    }

    /// Where a buffer of this shape lies.
    pub(crate) fn place_of(&self, buffer: &D::Memory, shape: Shape) -> Place {
        self.place(Operand { buffer, shape })
    }

    /// A table: for each prime of `basis`, which must be in the chain, the position of its limb in a polynomial over
    /// `within`.
    pub(crate) fn positions(&self, basis: Basis, within: Basis) -> Result<u64, CudaError> {
        self.tables.positions(&self.device, basis, within)
    }

    /// As [`Cuda::positions`], where every prime must be present.
    pub(crate) fn all_positions(&self, basis: Basis, within: Basis) -> Result<u64, CudaError> {
        assert!(within.contains(basis), "checked operations ask for present primes only: {basis} of {within}");
        self.positions(basis, within)
    }

    /// A table: for each prime of `basis` its position in the chain.
    pub(crate) fn primes(&self, basis: Basis) -> Result<u64, CudaError> {
        self.all_positions(basis, self.chain.full_basis())
    }

    /// A table: the modulus of each prime of the chain.
    pub(crate) fn moduli(&self) -> u64 {
        self.tables.moduli(&self.device)
    }

    /// The two words of a kernel's `Operand`: a polynomial for a result over `basis`.
    pub(crate) fn operand(&self, operand: Operand<'_, D::Memory>, basis: Basis) -> Result<[u64; 2], CudaError> {
        let place = self.place(operand);
        Ok([place.address, self.positions(basis, place.basis)?])
    }

    /// Runs a kernel that has a thread for each word of limbs over `basis`. The arguments that all of these kernels end
    /// with are appended: the degree, the primes, the moduli.
    ///
    /// # Safety
    /// As for [`Device::launch`].
    pub(crate) unsafe fn on_words(
        &self,
        kernel: Kernel,
        ring: Ring,
        basis: Basis,
        arguments: &[u64],
    ) -> Result<(), CudaError> {
        let common = [u64::from(ring.log_degree), self.primes(basis)?, self.moduli()];
        let launch = launch::words(kernel, ring, basis.len(), [arguments, &common].concat());
        // SAFETY: promised by the caller; the appended tables have an entry for each limb and for each prime.
        unsafe { self.launch(&launch) }
    }

    /// Runs a kernel, unless it has no blocks.
    ///
    /// # Safety
    /// As for [`Device::launch`].
    pub(crate) unsafe fn launch(&self, launch: &Launch) -> Result<(), CudaError> {
        if launch.grid.contains(&0) {
            return Ok(());
        }
        // SAFETY: promised by the caller.
        unsafe { self.device.launch(launch) }
    }
}

/// The result of what the contract does not allow to fail.
pub(crate) fn finished<T>(result: Result<T, CudaError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
