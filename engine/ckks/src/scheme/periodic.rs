//! Ciphertexts times matrices of periodic plaintexts.
//!
//! Every plaintext is encoded in the subring of its period, where transforms are small and its values few; the product is one matrix
//! product at every point of the subring ([`Backend::subring_sums`]). Some rows are encoded at a time: the inputs are read once
//! for all of them, and their plaintexts are gone before the next.

use fhe_ring::{Backend, Basis, Poly, Ring, Shape, subring_sums};
use fhe_rlwe::Ciphertext;
use rayon::prelude::*;

use super::{
    CkksServer, SlotCiphertext,
    encoder::{Encoder, ring_of},
};
use crate::{CkksError, Packing, PeriodicMatrix, transforms::embedding::Embedding};

/// Words of plaintexts that are encoded and used at a time, 256 MiB: the more there are, the less often the inputs are read.
const WORDS: usize = 1 << 25;
/// Rows of plaintexts that are used at a time at least.
const LEAST_ROWS: usize = 8;
/// The least binary logarithm of a degree with an embedding.
const LEAST_LOG_DEGREE: u32 = 2;

/// The subring in which vectors of one period are encoded.
struct Subring<'a> {
    ring: Ring,
    /// Slots of the subring: a period, or several short ones.
    slots: usize,
    embedding: &'a Embedding,
}

impl<'a> Subring<'a> {
    fn new(encoder: &'a Encoder, packing: Packing, period: usize) -> Result<Self, CkksError> {
        let degree = match packing {
            Packing::Real => period,
            Packing::Complex => 2 * period,
        };
        let log_degree = degree.trailing_zeros().max(LEAST_LOG_DEGREE);
        let ring = ring_of(packing, log_degree);
        let embedding = encoder.embedding_of(log_degree)?;
        let slots = match packing {
            Packing::Real => ring.degree(),
            Packing::Complex => ring.degree() / 2,
        };
        Ok(Self { ring, slots, embedding })
    }

    /// One vector of the matrix as values of a polynomial of the subring; its numbers are not looked at without data.
    fn encode<B: Backend>(
        &self,
        backend: &B,
        basis: Basis,
        matrix: &PeriodicMatrix<'_>,
        (row, column): (usize, usize),
        scale: f64,
    ) -> Result<Poly<B>, CkksError> {
        let mut coefficients = Vec::new();
        if B::HOLDS_DATA {
            let mut numbers = vec![0.0; matrix.numbers];
            (matrix.fill)(row, column, &mut numbers);
            let period = numbers.iter().flat_map(|&number| std::iter::repeat_n(number, matrix.run));
            let slots: Vec<f64> = period.cycle().take(self.slots).collect();
            coefficients = match self.ring.kind {
                fhe_ring::RingKind::ConjugateInvariant => self.embedding.encode_conjugate_invariant(&slots, scale)?,
                fhe_ring::RingKind::Cyclotomic => self.embedding.encode_real(&slots, scale)?,
            };
        }
        Ok(Poly::from_signed(backend, Shape::evaluation(self.ring, basis), &coefficients)?)
    }
}

impl<B: Backend> CkksServer<B> {
    pub(super) fn multiply_periodic(
        &self,
        inputs: &[&SlotCiphertext<B>],
        matrix: &PeriodicMatrix<'_>,
    ) -> Result<Vec<SlotCiphertext<B>>, CkksError> {
        let operation = "periodic_products";
        let (level, landing) = self.meet(operation, inputs)?;
        let below = self.rescalable(operation, level, landing)?;
        let packing = inputs.first().map_or(Packing::Real, |x| x.packing());
        matrix.check(operation, self.parameters.shape().slots(packing))?;
        let subring = Subring::new(&self.encoder, packing, matrix.period())?;
        let target = self.accumulated_scale(below, landing);
        let basis = self.parameters.basis(level, landing);
        let scales: Vec<f64> = inputs.iter().map(|x| target / self.scale_of(x)).collect();
        let restricted = (inputs.iter())
            .map(|x| if x.level == level { Ok(None) } else { self.restrict(x, level).map(Some) })
            .collect::<Result<Vec<Option<Ciphertext<B>>>, _>>()?;
        let halves: Vec<[&Poly<B>; 2]> = (inputs.iter().zip(&restricted))
            .map(|(x, restricted)| restricted.as_ref().unwrap_or(&x.ciphertext).halves())
            .collect();
        let columns = inputs.len();
        let of_row = columns * Shape::evaluation(subring.ring, basis).words();
        let at_a_time = (WORDS / of_row).next_multiple_of(LEAST_ROWS).max(LEAST_ROWS);
        let mut products = Vec::with_capacity(matrix.rows);
        for first in (0..matrix.rows).step_by(at_a_time) {
            let rows = at_a_time.min(matrix.rows - first);
            let factors = (0..rows * columns)
                .into_par_iter()
                .map(|index| {
                    let (row, column) = (first + index / columns, index % columns);
                    subring.encode(self.backend(), basis, matrix, (row, column), scales[column])
                })
                .collect::<Result<Vec<_>, CkksError>>()?;
            let factors: Vec<Vec<&Poly<B>>> = factors.chunks(columns).map(|row| row.iter().collect()).collect();
            for [b, a] in subring_sums(self.backend(), &halves, &factors)? {
                products.push(self.rescaled(&Ciphertext::new(b, a)?, below, landing)?);
            }
        }
        self.count(|c| c.plaintext_products += (matrix.rows * columns) as u64);
        Ok(products)
    }
}
