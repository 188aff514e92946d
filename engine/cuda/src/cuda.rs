//! The part of the backend contract that has kernels.

use fhe_ring::{GadgetInput, Operand, Pair, PrimeChain, PrimeIndex, Ring, RingKind, Shape};

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

    /// For every input and both halves `h`: `sum_i digits[i] * rows[i][h] + addends[h]`, evaluation domain, over the
    /// primes of the digits. Rows may have more primes.
    pub fn gadget_product(
        &self,
        inputs: &[GadgetInput<'_, D::Memory>],
        rows: &[Pair<'_, D::Memory>],
    ) -> Vec<[D::Memory; 2]> {
        let Some(digit) = inputs.iter().find_map(|input| input.digits.first()) else { return Vec::new() };
        finished(self.gadget_products(digit.shape, inputs, rows))
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

    fn gadget_products(
        &self,
        shape: Shape,
        inputs: &[GadgetInput<'_, D::Memory>],
        rows: &[Pair<'_, D::Memory>],
    ) -> Result<Vec<[D::Memory; 2]>, CudaError> {
        let same_length = inputs.iter().all(|input| input.digits.len() == rows.len());
        assert!(same_length, "gadget_product: a row is required for each digit");
        let targets = (inputs.iter())
            .map(|_| Ok([self.device.zeros(shape.words())?, self.device.zeros(shape.words())?]))
            .collect::<Result<Vec<_>, CudaError>>()?;
        let factors = self.chain.special_product_residues(shape.basis);
        let (mut products, mut digits, mut key) = (Vec::new(), Vec::new(), Vec::new());
        for (prime, factor) in shape.basis.indices().zip(factors) {
            let limb = |operand: Operand<'_, D::Memory>| self.limb_address(operand, shape.ring, prime);
            for (halves, input) in targets.iter().zip(inputs) {
                let addends = input.addends.map(|addend| match addend {
                    Some(addend) if addend.shape.basis.special_count() > 0 => [limb(addend), 1],
                    Some(addend) if matches!(prime, PrimeIndex::Ciphertext(_)) => [limb(addend), factor],
                    // The product of the special primes is zero modulo each of them.
                    _ => [0, 0],
                });
                products.extend(halves.each_ref().map(|half| limb(Operand { buffer: half, shape })));
                products.extend(addends.map(|[address, _]| address));
                products.extend(addends.map(|[_, factor]| factor));
                digits.extend(input.digits.iter().map(|&digit| limb(digit)));
            }
            key.extend(rows.as_flattened().iter().map(|&half| limb(half)));
        }
        let [products, digits, key] = [products, digits, key].map(|words| self.device.upload(&words));
        let (products, digits, key) = (products?, digits?, key?);
        let positions = self.tables.positions(&self.device, &self.chain, shape.basis)?;
        let arguments = vec![
            self.device.address(&products),
            self.device.address(&digits),
            self.device.address(&key),
            shape.ring.log_degree.into(),
            inputs.len() as u64,
            rows.len() as u64,
            self.device.address(&positions),
            self.device.address(self.tables.moduli()),
        ];
        let launch = launch::gadget_product(shape.ring, shape.basis.len(), arguments);
        // SAFETY: the tables have for each limb the entries of all inputs and rows; every address in them is null for
        // an absent addend or that of a whole limb of this degree, and the written ones lead to the fresh targets;
        // positions has an entry for each limb, moduli one for each prime of the chain.
        unsafe { self.device.launch(&launch) }?;
        Ok(targets)
    }

    /// Where a polynomial begins that has all the words of its shape.
    fn address(&self, operand: Operand<'_, D::Memory>) -> u64 {
        assert_eq!(self.device.words(operand.buffer), operand.shape.words(), "a buffer does not have its shape");
        self.device.address(operand.buffer)
    }

    /// Where the limb of a prime begins, which an operand in this ring must have.
    fn limb_address(&self, operand: Operand<'_, D::Memory>, ring: Ring, prime: PrimeIndex) -> u64 {
        assert_eq!(operand.shape.ring, ring, "the operands of a kernel must live in one ring");
        let limb = operand.shape.basis.position(prime).expect("checked operations ask for present primes only");
        self.address(operand) + (limb * ring.degree() * size_of::<u64>()) as u64
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
