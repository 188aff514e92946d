//! The part of the backend contract that has kernels.

use fhe_ring::{Operand, PrimeChain, PrimeIndex, RingKind, Shape};

use crate::{
    CudaError, Device,
    launch::{self, MAX_LOG_DEGREE},
    tables::Tables,
};

/// Ring arithmetic on a device: storage, transforms and the gadget product of [`fhe_ring::Backend`], whose signatures
/// and contract these methods have. Its other kernels are to come.
///
/// # Panics
///
/// The contract has no errors, and a device can run out of memory or stop. Methods panic then, with the text of the
/// [`CudaError`]. They also panic where a buffer has not the words of its shape, which would let a kernel leave it.
pub struct Cuda<D: Device> {
    chain: PrimeChain,
    device: D,
    tables: Tables<D>,
}

impl<D: Device> Cuda<D> {
    /// Takes over a device.
    pub fn new(chain: PrimeChain, device: D) -> Result<Self, CudaError> {
        if chain.max_log_degree() > MAX_LOG_DEGREE {
            return Err(CudaError::DegreeUnsupported { found: chain.max_log_degree(), required: MAX_LOG_DEGREE });
        }
        let tables = Tables::new(&device, &chain)?;
        Ok(Self { chain, device, tables })
    }

    /// The primes, shared by every ring degree.
    pub fn primes(&self) -> &PrimeChain {
        &self.chain
    }

    /// A zero polynomial.
    pub fn zeros(&self, shape: Shape) -> D::Memory {
        finished(self.device.zeros(shape.words()))
    }

    /// A polynomial whose residues `fill` writes (limb-major, reduced).
    pub fn upload(&self, shape: Shape, fill: &mut dyn FnMut(&mut [u64])) -> D::Memory {
        let mut words = vec![0; shape.words()];
        fill(&mut words);
        finished(self.device.upload(&words))
    }

    /// The residues, limb-major.
    pub fn download(&self, source: Operand<'_, D::Memory>) -> Option<Vec<u64>> {
        Some(finished(self.device.download(source.buffer)))
    }

    /// Coefficient to evaluation domain, in place. `shape` is the shape before.
    pub fn forward(&self, buffer: &mut D::Memory, shape: Shape) {
        finished(self.transform(Direction::Forward, buffer, shape));
    }

    /// Evaluation to coefficient domain, in place, normalised. `shape` is the shape before.
    pub fn inverse(&self, buffer: &mut D::Memory, shape: Shape) {
        finished(self.transform(Direction::Inverse, buffer, shape));
    }

    /// `target[h] += sum_i digits[i] * rows[i][h]`, evaluation domain. Keys may have more primes than the digits.
    pub fn gadget_product(
        &self,
        target: [&mut D::Memory; 2],
        digits: &[Operand<'_, D::Memory>],
        rows: &[[Operand<'_, D::Memory>; 2]],
    ) {
        let Some(first) = digits.first() else { return };
        finished(self.accumulate_digits(target, first.shape, digits, rows));
    }

    fn transform(&self, direction: Direction, buffer: &mut D::Memory, shape: Shape) -> Result<(), CudaError> {
        let Shape { ring, basis, .. } = shape;
        let tables = self.tables.transforms(&self.device, &self.chain, ring)?;
        let positions = self.tables.positions(&self.device, &self.chain, basis)?;
        let heaps = match direction {
            Direction::Forward => &tables.forward,
            Direction::Inverse => &tables.inverse,
        };
        let arguments = [
            self.address(Operand { buffer, shape }),
            ring.log_degree.into(),
            (ring.kind == RingKind::ConjugateInvariant).into(),
            self.device.address(&positions),
            self.device.address(&tables.constants),
            self.device.address(heaps),
        ];
        let launches = match direction {
            Direction::Forward => launch::forward_transform(ring, basis.len(), &arguments),
            Direction::Inverse => launch::inverse_transform(ring, basis.len(), &arguments),
        };
        // SAFETY: the buffer has the words of its shape and is borrowed mutably; positions has an entry for each limb,
        // and the tables have one for each prime of the chain at this degree.
        launches.iter().try_for_each(|launch| unsafe { self.device.launch(launch) })
    }

    fn accumulate_digits(
        &self,
        [first, second]: [&mut D::Memory; 2],
        shape: Shape,
        digits: &[Operand<'_, D::Memory>],
        rows: &[[Operand<'_, D::Memory>; 2]],
    ) -> Result<(), CudaError> {
        assert_eq!(digits.len(), rows.len(), "gadget_product: a row is required for each digit");
        let terms: Vec<[Operand<'_, D::Memory>; 3]> =
            digits.iter().zip(rows).map(|(&digit, &[left, right])| [digit, left, right]).collect();
        let same_ring = terms.as_flattened().iter().all(|operand| operand.shape.ring == shape.ring);
        assert!(same_ring, "gadget_product: all operands must live in one ring");
        let limbs: Vec<u64> = (shape.basis.indices())
            .flat_map(|prime| terms.as_flattened().iter().map(move |&operand| self.limb_address(operand, prime)))
            .collect();
        let limbs = self.device.upload(&limbs)?;
        let positions = self.tables.positions(&self.device, &self.chain, shape.basis)?;
        let arguments = vec![
            self.address(Operand { buffer: first, shape }),
            self.address(Operand { buffer: second, shape }),
            shape.ring.log_degree.into(),
            terms.len() as u64,
            self.device.address(&limbs),
            self.device.address(&positions),
            self.device.address(self.tables.moduli()),
        ];
        let launch = launch::gadget_product(shape.ring, shape.basis.len(), arguments);
        // SAFETY: both targets have the words of the shape and are borrowed mutably; `limbs` has for each limb and term
        // the addresses of three limbs of this degree, positions an entry for each limb, moduli one for each prime of
        // the chain.
        unsafe { self.device.launch(&launch) }
    }

    /// Where a polynomial begins that has all the words of its shape.
    fn address(&self, operand: Operand<'_, D::Memory>) -> u64 {
        assert_eq!(self.device.words(operand.buffer), operand.shape.words(), "a buffer does not have its shape");
        self.device.address(operand.buffer)
    }

    /// Where the limb of a prime, which the operand must have, begins.
    fn limb_address(&self, operand: Operand<'_, D::Memory>, prime: PrimeIndex) -> u64 {
        let limb = operand.shape.basis.position(prime).expect("checked operations ask for present primes only");
        let words = limb * operand.shape.ring.degree();
        self.address(operand) + (words * size_of::<u64>()) as u64
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Forward,
    Inverse,
}

/// The result of what the contract does not allow to fail.
fn finished<T>(result: Result<T, CudaError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
