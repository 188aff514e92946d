//! Half bootstrapping with two EvalMods in the cyclotomic ring: the plain form that the one in the conjugate-invariant ring
//! is tested against.
//!
//! After CoeffsToSlots the real and the imaginary part are separated by one conjugation and reduced modulo `q_0` one after the
//! other (Cheon et al., Eurocrypt 2018).

use fhe_ring::Backend;

use super::{
    CkksServer, CoefficientCiphertext, SlotCiphertext,
    ascent::factor_gain,
    linear_transform::{EncodedTransform, Encoding, ROTATION_COST},
};
use crate::{
    CkksError, Level, Packing,
    transforms::baby_giant::BabyGiantPlan,
    transforms::coefficients_slots::{inverse_embedding_stages, stage_offsets},
    transforms::real_slots::CONVERSION_FACTOR,
};

/// Factor of `z + conj z` over the real part of `z`.
const CONJUGATE_FACTOR: f64 = 2.0;

impl<B: Backend> CkksServer<B> {
    /// The coefficients of an input as two ciphertexts of complex slots with imaginary part zero, the first for coefficients below
    /// half the degree; otherwise as [`crate::Evaluator::half_bootstrap`].
    ///
    /// # Errors
    /// As [`crate::Evaluator::half_bootstrap`].
    pub fn half_bootstrap_by_parts(
        &self,
        input: &CoefficientCiphertext<B>,
        levels: usize,
    ) -> Result<[SlotCiphertext<B>; 2], CkksError> {
        let (set, shape) = (self.parameters.set(), self.parameters.shape());
        let landing = self.landing(levels)?;
        let mut level = Level(landing.0 + self.parameters.bootstrap_levels());
        let (raised, steps) = self.raise_and_transform(&[input], &self.ascending.dense, level, landing)?;
        level.0 -= steps;

        // The tables' factors share the gain of a trace evenly; the last factor makes up for a conjugation instead.
        let slots = shape.slots(Packing::Complex);
        let stages = 0..set.coefficients_to_slots.last().copied().unwrap_or_default();
        let plan = BabyGiantPlan::new(slots, stage_offsets(slots, stages.clone())?, ROTATION_COST)?;
        let gain = factor_gain(&self.parameters, CONVERSION_FACTOR) * CONVERSION_FACTOR / CONJUGATE_FACTOR;
        let divided = self.parameters.bootstrap_levels() + shape.top_level() - steps;
        let encoding = Encoding {
            basis: self.parameters.basis(level, Some(landing)),
            scale: gain * self.parameters.prime(divided),
            packing: Packing::Complex,
        };
        let matrix = || inverse_embedding_stages(slots, stages);
        let last = EncodedTransform::new(&self.switcher, &self.encoder, plan, matrix, encoding)?;
        let transformed = self.transform(&raised, &last)?.remove(0);
        level.0 -= 1;

        let slots = SlotCiphertext::new(transformed, level, Some(landing));
        let conjugate = self.conjugate_slots(&slots)?;
        let real = self.add_slots(&slots, &conjugate, false)?;
        // z - conj z = 2 i Im z; times i^3 = -i it is 2 Im z.
        let imaginary = self.imaginary_slots(&self.add_slots(&slots, &conjugate, true)?, 3)?;
        drop((slots, conjugate));
        let mut parts = self.eval_mod(vec![real, imaginary], landing)?.into_iter();
        let mut part = || parts.next().unwrap_or_else(|| unreachable!("two parts went in"));
        Ok([part(), part()])
    }
}
