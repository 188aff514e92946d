//! Transforms of whole polynomials and of single limbs.

use fhe_ring::{Basis, Ring, RingKind};

use crate::{Cuda, CudaError, Device, Kernel, cuda::Place, launch, tables::Limbs};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Inverse,
}

impl<D: Device> Cuda<D> {
    /// Transforms the limbs of the primes `basis`, which both polynomials have: from `source` to `target`, which may be
    /// the same.
    ///
    /// # Safety
    /// The places are those of live polynomials of this ring. Nobody else uses the target.
    pub(crate) unsafe fn transform(
        &self,
        direction: Direction,
        ring: Ring,
        basis: Basis,
        target: Place,
        source: Place,
    ) -> Result<(), CudaError> {
        let (from, to) = (self.limbs(basis, source.basis)?, self.limbs(basis, target.basis)?);
        // SAFETY: promised by the caller; the limbs lie within the polynomials.
        unsafe { self.transform_limbs(direction, ring, (target.address, to), (source.address, from)) }
    }

    /// As [`Cuda::transform`] for any limbs, as many of the source as of the target, of the same primes.
    ///
    /// # Safety
    /// At the addresses are live words with those limbs. Nobody else uses the target.
    pub(crate) unsafe fn transform_limbs(
        &self,
        direction: Direction,
        ring: Ring,
        target: (u64, Limbs),
        source: (u64, Limbs),
    ) -> Result<(), CudaError> {
        let count = target.1.count;
        let first = self.transform_arguments(direction, ring, target, source)?;
        let second = || self.transform_arguments(direction, ring, target, target);
        let launches = match (direction, launch::is_large(ring)) {
            (Direction::Forward, false) => vec![launch::small_transform(Kernel::ForwardLimb, ring, count, first)],
            (Direction::Inverse, false) => vec![launch::small_transform(Kernel::InverseLimb, ring, count, first)],
            (Direction::Forward, true) => vec![
                launch::top(Kernel::ForwardTop, ring, count, first),
                launch::bottom(Kernel::ForwardBottom, ring, count, second()?),
            ],
            (Direction::Inverse, true) => vec![
                launch::bottom(Kernel::InverseBottom, ring, count, first),
                launch::top(Kernel::InverseTop, ring, count, second()?),
            ],
        };
        // SAFETY: promised by the caller.
        launches.iter().try_for_each(|launch| unsafe { self.launch(launch) })
    }

    /// Transforms a remainder, coefficients, into what is left of a dividend, values, after subtracting it and multiplying
    /// with an inverse for each limb.
    ///
    /// # Safety
    /// The places are those of live polynomials of this ring, and the dividend has the primes of the remainder, which
    /// nobody else uses. At `inverses` is a `Multiplier` for each limb of the remainder.
    pub(crate) unsafe fn transform_to_quotient(
        &self,
        ring: Ring,
        remainder: Place,
        dividend: Place,
        inverses: u64,
    ) -> Result<(), CudaError> {
        let basis = remainder.basis;
        let division = [dividend.address, self.all_positions(basis, dividend.basis)?, inverses];
        if !launch::is_large(ring) {
            let arguments = [&[remainder.address], &division[..]].concat();
            // SAFETY: promised by the caller.
            return unsafe {
                self.transform(Direction::Forward, ring, basis, remainder, remainder)?;
                self.on_words(Kernel::SubtractFromAndScale, ring, basis, &arguments)
            };
        }
        let words = (remainder.address, self.limbs(basis, basis)?);
        let arguments = self.transform_arguments(Direction::Forward, ring, words, words)?;
        let with_division = [&arguments[..], &division].concat();
        // SAFETY: promised by the caller; the limbs lie within the polynomials.
        unsafe {
            self.launch(&launch::top(Kernel::ForwardTop, ring, basis.len(), arguments))?;
            self.launch(&launch::bottom(Kernel::ForwardBottomOfDivision, ring, basis.len(), with_division))
        }
    }

    /// What all kernels of transforms are told; the tables have an entry for each limb and for each prime of the chain at
    /// this degree.
    fn transform_arguments(
        &self,
        direction: Direction,
        ring: Ring,
        (target, to): (u64, Limbs),
        (source, from): (u64, Limbs),
    ) -> Result<Vec<u64>, CudaError> {
        let tables = self.tables.transforms(&self.device, &self.chain, ring)?;
        Ok(vec![
            target,
            to.positions,
            source,
            from.positions,
            ring.log_degree.into(),
            (ring.kind == RingKind::ConjugateInvariant).into(),
            to.primes,
            tables.constants,
            if direction == Direction::Forward { tables.forward } else { tables.inverse },
        ])
    }

    /// The limbs of the primes `basis` of a polynomial over `within`.
    fn limbs(&self, basis: Basis, within: Basis) -> Result<Limbs, CudaError> {
        Ok(Limbs { count: basis.len(), positions: self.all_positions(basis, within)?, primes: self.primes(basis)? })
    }
}
