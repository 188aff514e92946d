//! Automorphisms, products with monomials, and the maps between the two rings.

use fhe_ring::{Domain, GaloisElement, Operand, Ring, RingKind, Shape};

use crate::{Cuda, CudaError, Device, Kernel, launch};

/// How `X -> X^g` permutes values: with `b` the bit-reversed index of a value, `b` goes to `multiplier b + offset` modulo
/// the degree.
#[derive(Clone, Copy)]
pub(crate) struct ValuePermutation {
    pub(crate) multiplier: u64,
    pub(crate) offset: u64,
}

impl ValuePermutation {
    /// Exponents are affine in `b` with this step ([`fhe_ring::ntt::root_exponent`]).
    pub(crate) fn new(ring: Ring, element: GaloisElement) -> Self {
        let (step, multiplier) = match ring.kind {
            RingKind::Cyclotomic => (2, element.exponent()),
            // This ring knows an automorphism only up to the sign of its exponent: take the one that is 1 modulo 4.
            RingKind::ConjugateInvariant if element.exponent() % 4 == 3 => {
                (4, 4 * ring.degree() as u64 - element.exponent())
            }
            RingKind::ConjugateInvariant => (4, element.exponent()),
        };
        Self { multiplier, offset: (multiplier - 1) / step }
    }
}

impl<D: Device> Cuda<D> {
    pub(crate) fn permuted(
        &self,
        source: Operand<'_, D::Memory>,
        element: GaloisElement,
    ) -> Result<D::Memory, CudaError> {
        let shape @ Shape { ring, basis, domain } = source.shape;
        let image = self.allocate(shape)?;
        let polynomials = [self.place_of(&image, shape).address, self.place(source).address];
        match domain {
            Domain::Evaluation => {
                let ValuePermutation { multiplier, offset } = ValuePermutation::new(ring, element);
                let arguments = [&polynomials[..], &[multiplier, offset, ring.log_degree.into()]].concat();
                let launch = launch::words(Kernel::AutomorphismOfValues, ring, basis.len(), arguments);
                // SAFETY: both polynomials have the words of this shape, and the image is new.
                unsafe { self.launch(&launch) }?;
            }
            Domain::Coefficient => {
                let is_conjugate_invariant = ring.kind == RingKind::ConjugateInvariant;
                let arguments = [&polynomials[..], &[element.exponent(), is_conjugate_invariant.into()]].concat();
                // SAFETY: both polynomials have the words of this shape, and the image is new.
                unsafe { self.on_words(Kernel::AutomorphismOfCoefficients, ring, basis, &arguments) }?;
            }
        }
        Ok(image)
    }

    pub(crate) fn permute_accumulate(
        &self,
        target: &mut D::Memory,
        source: Operand<'_, D::Memory>,
        element: GaloisElement,
    ) -> Result<(), CudaError> {
        let shape @ Shape { ring, basis, .. } = source.shape;
        let ValuePermutation { multiplier, offset } = ValuePermutation::new(ring, element);
        let arguments = [self.place_of(target, shape).address, self.place(source).address, multiplier, offset];
        // SAFETY: both polynomials have the words of this shape, and the target is borrowed mutably.
        unsafe { self.on_words(Kernel::AccumulateAutomorphism, ring, basis, &arguments) }
    }

    pub(crate) fn monomial_product(
        &self,
        source: Operand<'_, D::Memory>,
        exponent: usize,
    ) -> Result<D::Memory, CudaError> {
        let shape @ Shape { ring, basis, domain } = source.shape;
        let exponent = (exponent % (2 * ring.degree())) as u64;
        let product = self.allocate(shape)?;
        let mut arguments = vec![self.place_of(&product, shape).address, self.place(source).address, exponent];
        match domain {
            Domain::Coefficient => {
                // SAFETY: both polynomials have the words of this shape, and the product is new.
                unsafe { self.on_words(Kernel::MonomialProductOfCoefficients, ring, basis, &arguments) }?;
            }
            Domain::Evaluation => {
                let tables = self.tables.transforms(&self.device, &self.chain, ring)?;
                arguments.extend([ring.log_degree.into(), self.primes(basis)?, self.moduli(), tables.forward]);
                let launch = launch::words(Kernel::MonomialProductOfValues, ring, basis.len(), arguments);
                // SAFETY: as above; the tables have an entry for each limb and for each prime of the chain at this degree.
                unsafe { self.launch(&launch) }?;
            }
        }
        Ok(product)
    }

    pub(crate) fn trace_of_parts(
        &self,
        even: Operand<'_, D::Memory>,
        odd: Operand<'_, D::Memory>,
        turned: bool,
    ) -> Result<D::Memory, CudaError> {
        let shape = even.shape;
        let trace = self.allocate(shape)?;
        let parts = [even, odd].map(|part| self.place_of(part.buffer, shape).address);
        let arguments = [&[self.place_of(&trace, shape).address], &parts[..], &[turned.into()]].concat();
        // SAFETY: all polynomials have the words of this shape, and the trace is new.
        unsafe { self.on_real_parts(Kernel::Trace, shape, arguments) }?;
        Ok(trace)
    }

    pub(crate) fn split_by_parity(&self, source: Operand<'_, D::Memory>) -> Result<[D::Memory; 2], CudaError> {
        let shape = source.shape;
        let parts = [self.allocate(shape)?, self.allocate(shape)?];
        let [even, odd] = parts.each_ref().map(|part| self.place_of(part, shape).address);
        let arguments = vec![even, odd, self.place(source).address];
        // SAFETY: all polynomials have the words of this shape, and the parts are new.
        unsafe { self.on_real_parts(Kernel::ParitySplit, shape, arguments) }?;
        Ok(parts)
    }

    /// # Safety
    /// As for [`Device::launch`].
    unsafe fn on_real_parts(&self, kernel: Kernel, shape: Shape, mut arguments: Vec<u64>) -> Result<(), CudaError> {
        let ring = Ring::conjugate_invariant(shape.ring.log_degree);
        let tables = self.tables.transforms(&self.device, &self.chain, ring)?;
        let primes = self.primes(shape.basis)?;
        arguments.extend([ring.log_degree.into(), primes, tables.constants, tables.forward, tables.inverse]);
        // SAFETY: promised by the caller; the tables have an entry for each limb and for each prime of the chain at this
        // degree.
        unsafe { self.launch(&launch::pairs(kernel, ring, shape.basis.len(), arguments)) }
    }
}
