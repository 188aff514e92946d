//! Linear maps on slots by double-hoisted baby and giant steps.
//!
//! The baby rotations share one decomposition and stay over the special primes; only the `a` half is divided before each
//! giant rotation, and everything once at the end together with the rescaling (Bossuat et al., Eurocrypt 2021,
//! algorithm 6). One level.

use fhe_ring::{Backend, Basis, GaloisElement, Poly};
use fhe_rlwe::{Ciphertext, Extended, KeyId, KeySwitcher};
use num_complex::Complex64;
use rayon::prelude::*;

use super::{CkksServer, encoder::Encoder};
use crate::{
    CkksError,
    transforms::baby_giant::{BabyGiantPlan, RotationCost},
    transforms::diagonals::DiagonalMatrix,
};

/// Cost of a giant rotation, which decomposes and divides once more, in hoisted rotations at the top of the chain.
pub(super) const ROTATION_COST: RotationCost = RotationCost { hoisted: 1.0, giant: 2.5 };

/// A linear map whose diagonals are encoded over ciphertext and special primes.
pub(super) struct EncodedTransform<B: Backend> {
    plan: BabyGiantPlan,
    /// Per giant step: baby index and plaintext, in the plan's order.
    giants: Vec<Vec<(usize, Poly<B>)>>,
}

impl<B: Backend> EncodedTransform<B> {
    /// Encodes the diagonals that `matrix` computes (not called without data) at `scale` over the primes of `basis`.
    pub(super) fn new(
        switcher: &KeySwitcher<B>,
        encoder: &Encoder,
        plan: BabyGiantPlan,
        matrix: impl FnOnce() -> Result<DiagonalMatrix, CkksError>,
        basis: Basis,
        scale: f64,
    ) -> Result<Self, CkksError> {
        let matrix = if B::HOLDS_DATA { Some(matrix()?) } else { None };
        let basis = basis.with_special(switcher.parameters().special_count());
        let encode = |slots: &[Complex64]| encoder.complex(switcher.backend(), basis, slots, scale);
        let giants = plan
            .giants
            .iter()
            .map(|giant| match &matrix {
                Some(matrix) => plan
                    .rotated_diagonals(giant, matrix)?
                    .into_par_iter()
                    .map(|(baby, diagonal)| Ok((baby, encode(&diagonal)?)))
                    .collect(),
                None => giant.terms.iter().map(|term| Ok((term.baby, encode(&[])?))).collect(),
            })
            .collect::<Result<_, CkksError>>()?;
        Ok(Self { plan, giants })
    }
}

impl<B: Backend> CkksServer<B> {
    /// Applies the map and divides by the last prime of the ciphertext.
    pub(super) fn transform(
        &self,
        ciphertext: &Ciphertext<B>,
        map: &EncodedTransform<B>,
    ) -> Result<Ciphertext<B>, CkksError> {
        let (backend, switcher) = (self.backend(), &self.switcher);
        let digits = switcher.decompose(ciphertext.a())?;
        let babies = map
            .plan
            .babies
            .iter()
            .map(|&baby| Ok(switcher.automorphism_extended(ciphertext, &digits, self.galois(baby))?))
            .collect::<Result<Vec<Extended<B>>, CkksError>>()?;
        let mut total = switcher.extended_zeros(digits.shape())?;
        drop(digits);
        for (giant, terms) in map.plan.giants.iter().zip(&map.giants) {
            let mut sum = switcher.extended_zeros(total[0].shape())?;
            for (baby, plain) in terms {
                for (target, half) in sum.iter_mut().zip(&babies[*baby]) {
                    target.multiply_accumulate(backend, half, plain)?;
                }
            }
            let rotated = self.giant_step(sum, self.galois(giant.rotation))?;
            for (target, half) in total.iter_mut().zip(&rotated) {
                target.add_assign(backend, half)?;
            }
        }
        self.count(|c| {
            c.rotations += map.plan.rotations() as u64;
            c.plaintext_products += map.giants.iter().map(|terms| terms.len() as u64).sum::<u64>();
            c.rescalings += 1;
        });
        Ok(switcher.mod_down(&total, true)?)
    }

    fn giant_step(&self, sum: Extended<B>, element: GaloisElement) -> Result<Extended<B>, CkksError> {
        if element == GaloisElement::IDENTITY {
            return Ok(sum);
        }
        let (backend, switcher) = (self.backend(), &self.switcher);
        let [b, a] = sum;
        let digits = switcher.decompose(&a.mod_down(backend, false)?)?;
        let mut switched = switcher.product(&digits, KeyId::Galois(element))?;
        switched[0].add_assign(backend, &b)?;
        Ok([switched[0].automorphism(backend, element)?, switched[1].automorphism(backend, element)?])
    }
}
