//! Lifting to more primes and dividing by primes.

use fhe_ring::{Basis, Domain, Modulus, Operand, Ring, Shape};

use crate::{
    Cuda, CudaError, Device, Kernel,
    cuda::Place,
    launch,
    transform::Direction::{Forward, Inverse},
};

impl<D: Device> Cuda<D> {
    pub(crate) fn lift_digits(
        &self,
        source: Operand<'_, D::Memory>,
        groups: &[Basis],
        special: usize,
    ) -> Result<Vec<(usize, D::Memory)>, CudaError> {
        let shape @ Shape { ring, basis, .. } = source.shape;
        let target = shape.with_basis(basis.with_special(special));
        let (numbers, digits): (Vec<usize>, Vec<Basis>) = basis.digits(groups).unzip();
        if digits.is_empty() {
            return Ok(Vec::new());
        }
        let source = self.place(source);
        // SAFETY: the source has the words of its shape.
        let coefficients = unsafe { self.coefficients(ring, basis, source) }?;
        let residues = self.place_of(&coefficients, Shape::coefficient(ring, basis));
        let lifted = self.device.allocate_together(digits.len(), target.words())?;
        let places: Vec<Place> = lifted.iter().map(|digit| self.place_of(digit, target)).collect();
        let all = places[0].address;
        let limbs = self.tables.digits(&self.device, &self.chain, basis, groups, special)?;
        let copy = vec![all, limbs.own.positions, source.address, limbs.sources, ring.log_degree.into()];
        // SAFETY: the source and its coefficients are of this ring and live. The lifted digits are new and lie one after the
        // other, as the tables of all their limbs say.
        unsafe {
            self.launch(&launch::words(Kernel::CopyLimbs, ring, limbs.own.count, copy))?;
            for (&digit, &place) in digits.iter().zip(&places) {
                let missing = Basis::of(basis.ciphertext_indices().filter(|&i| !digit.has_ciphertext_prime(i)))
                    .with_special(special);
                self.convert(ring, (missing, place), (digit, residues))?;
            }
            self.transform_limbs(Forward, ring, (all, limbs.missing), (all, limbs.missing))?;
        }
        Ok(numbers.into_iter().zip(lifted).collect())
    }

    pub(crate) fn lift(&self, source: Operand<'_, D::Memory>, target: Shape) -> Result<D::Memory, CudaError> {
        let lifted = self.allocate(target)?;
        let place = self.place_of(&lifted, target);
        // SAFETY: the source has the words of its shape, and the lifted polynomial is new and of the same ring.
        unsafe {
            self.convert(target.ring, (target.basis, place), (source.shape.basis, self.place(source)))?;
            self.transform(Forward, target.ring, target.basis, place, place)?;
        }
        Ok(lifted)
    }

    pub(crate) fn extended(&self, source: Operand<'_, D::Memory>, special: usize) -> Result<D::Memory, CudaError> {
        let target = source.shape.with_basis(source.shape.basis.with_special(special));
        let factors = self.tables.special_products(&self.device, &self.chain, target.basis)?.multipliers;
        let extended = self.allocate(target)?;
        // SAFETY: the source has the words of its shape, the extended polynomial is new and of the same ring, and there is
        // a factor for each of its limbs.
        unsafe { self.scaled(target.ring, self.place_of(&extended, target), self.place(source), factors) }?;
        Ok(extended)
    }

    /// Divides by every prime that is not in `kept`, with centred rounding: with `r` the centred residue modulo their
    /// product `D`, the result is `(x - r) / D`. The domain stays.
    pub(crate) fn divide(&self, source: Operand<'_, D::Memory>, kept: Basis) -> Result<D::Memory, CudaError> {
        let Shape { ring, basis, domain } = source.shape;
        let dropped = Basis::of(basis.ciphertext_indices().filter(|&i| !kept.has_ciphertext_prime(i)))
            .with_special(basis.special_count());
        let shape = source.shape.with_basis(kept);
        if dropped.is_empty() {
            return self.restricted(source, shape);
        }
        let quotient = self.allocate(shape)?;
        if kept.is_empty() {
            return Ok(quotient);
        }
        let (target, source) = (self.place_of(&quotient, shape), self.place(source));
        let remainder = match domain {
            // SAFETY: the source has the words of its shape.
            Domain::Evaluation => Some(unsafe { self.coefficients(ring, dropped, source) }?),
            Domain::Coefficient => None,
        };
        let residues = match &remainder {
            Some(words) => self.place_of(words, Shape::coefficient(ring, dropped)),
            None => source,
        };
        let inverses = self.tables.conversion(&self.device, &self.chain, dropped, kept)?.inverse_products;
        // SAFETY: the source, its residues and the quotient are of this ring and live; the quotient is new. There is an
        // inverse for each of its limbs.
        unsafe {
            self.convert(ring, (kept, target), (dropped, residues))?;
            match domain {
                Domain::Evaluation => self.transform_to_quotient(ring, target, source, inverses)?,
                Domain::Coefficient => {
                    let arguments = [target.address, source.address, self.all_positions(kept, basis)?, inverses];
                    self.on_words(Kernel::SubtractFromAndScale, ring, kept, &arguments)?;
                }
            }
        }
        Ok(quotient)
    }

    /// The coefficients of a polynomial of values, modulo some of its primes.
    ///
    /// # Safety
    /// The place is that of a live polynomial of this ring which has these primes.
    unsafe fn coefficients(&self, ring: Ring, primes: Basis, source: Place) -> Result<D::Memory, CudaError> {
        let shape = Shape::coefficient(ring, primes);
        let coefficients = self.allocate(shape)?;
        // SAFETY: promised by the caller; the coefficients are new.
        unsafe { self.transform(Inverse, ring, primes, self.place_of(&coefficients, shape), source) }?;
        Ok(coefficients)
    }

    /// Converts the limbs of one polynomial's primes, coefficients, to those of another's.
    ///
    /// # Safety
    /// The places are those of live polynomials of this ring which have these primes. Nobody else uses the target.
    unsafe fn convert(
        &self,
        ring: Ring,
        (targets, target): (Basis, Place),
        (sources, source): (Basis, Place),
    ) -> Result<(), CudaError> {
        let tables = self.tables.conversion(&self.device, &self.chain, sources, targets)?;
        let target_limbs = self.all_positions(targets, target.basis)?;
        let source_limbs = self.all_positions(sources, source.basis)?;
        let log_degree = ring.log_degree.into();
        if let [prime] = self.chain.moduli(sources).map(Modulus::value).collect::<Vec<_>>()[..] {
            let arguments =
                vec![target.address, target_limbs, tables.moduli, source.address, source_limbs, prime, log_degree];
            let launch = launch::words(Kernel::ConvertLimb, ring, targets.len(), arguments);
            // SAFETY: promised by the caller; there is a modulus for each target prime, and the positions lie within the
            // polynomials.
            return unsafe { self.launch(&launch) };
        }
        let arguments = vec![
            target.address,
            target_limbs,
            tables.moduli,
            targets.len() as u64,
            source.address,
            source_limbs,
            sources.len() as u64,
            tables.sources,
            tables.fraction_bits,
            tables.factors,
            log_degree,
        ];
        // SAFETY: promised by the caller; the tables have an entry for each source and each target prime, and the positions
        // lie within the polynomials.
        unsafe { self.launch(&launch::conversion(ring, sources.len(), targets.len(), arguments)) }
    }
}
