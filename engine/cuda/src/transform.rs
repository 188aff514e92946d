//! Transforms of whole polynomials and of single limbs.

use fhe_ring::{Basis, Ring, RingKind};

use crate::{Cuda, CudaError, Device, Kernel, cuda::Place, launch};

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
        let tables = self.tables.transforms(&self.device, &self.chain, ring)?;
        let primes = self.primes(basis)?;
        let target_limbs = self.all_positions(basis, target.basis)?;
        let source_limbs = self.all_positions(basis, source.basis)?;
        let arguments = |[source, source_limbs]: [u64; 2]| {
            vec![
                target.address,
                target_limbs,
                source,
                source_limbs,
                ring.log_degree.into(),
                (ring.kind == RingKind::ConjugateInvariant).into(),
                primes,
                tables.constants,
                if direction == Direction::Forward { tables.forward } else { tables.inverse },
            ]
        };
        let (first, second) = ([source.address, source_limbs], [target.address, target_limbs]);
        let limbs = basis.len();
        let launches = match (direction, launch::is_large(ring)) {
            (Direction::Forward, false) => {
                vec![launch::small_transform(Kernel::ForwardLimb, ring, limbs, arguments(first))]
            }
            (Direction::Inverse, false) => {
                vec![launch::small_transform(Kernel::InverseLimb, ring, limbs, arguments(first))]
            }
            (Direction::Forward, true) => vec![
                launch::top(Kernel::ForwardTop, ring, limbs, arguments(first)),
                launch::bottom(Kernel::ForwardBottom, ring, limbs, arguments(second)),
            ],
            (Direction::Inverse, true) => vec![
                launch::bottom(Kernel::InverseBottom, ring, limbs, arguments(first)),
                launch::top(Kernel::InverseTop, ring, limbs, arguments(second)),
            ],
        };
        // SAFETY: the limbs lie within the polynomials, which are promised to live; the tables have an entry for each limb
        // and for each prime of the chain at this degree.
        launches.iter().try_for_each(|launch| unsafe { self.launch(launch) })
    }
}
