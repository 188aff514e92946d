//! Encoded factors of CoeffsToSlots, for dense slots and for slots in copies.

use std::sync::Arc;

use fhe_ring::{Backend, GaloisElement};
use fhe_rlwe::{KeySwitcher, RaiseFactor};

use super::{
    encoder::Encoder,
    linear_transform::{EncodedTransform, Encoding, ROTATION_COST},
    packing::{PAIRED_ROTATION_COST, ToRealTransform},
};
use crate::{
    CkksError, Copies, Level, Packing, Parameters, transforms::baby_giant::BabyGiantPlan,
    transforms::bootstrap_factor::BootstrapFactor, transforms::real_slots::CONVERSION_FACTOR,
};

/// All factors of CoeffsToSlots. Sparse ones share with dense ones what copies do not change.
pub(super) struct Ascent<B: Backend> {
    /// The first factor, done on the raise.
    pub(super) raise: Arc<Vec<RaiseFactor<B>>>,
    /// The factors between the first and the last.
    pub(super) factors: Vec<Arc<EncodedTransform<B>>>,
    /// The last factor, to real slots.
    pub(super) last: Arc<ToRealTransform<B>>,
}

/// The plaintext gain of every factor of CoeffsToSlots: together they bring the integers `q_0 I + m`, which fill `q_0 (K + 1/4)`, to
/// [-1, 1] at the top scale of EvalMod, apart from a factor `gain` of the last one.
pub(super) fn factor_gain(parameters: &Parameters, gain: f64) -> f64 {
    let (set, shape) = (parameters.set(), parameters.shape());
    let landing = Level(shape.top_level());
    let input = parameters.prime(0) * (f64::from(set.range) + 0.25);
    let output = parameters.scale(Level(landing.0 + parameters.eval_mod_levels()), Some(landing));
    (output / (gain * input)).powf(1.0 / (set.coefficients_to_slots.len() + 1) as f64)
}

/// What factors are encoded with.
pub(super) struct AscentEncoder<'a, B: Backend> {
    pub(super) switcher: &'a KeySwitcher<B>,
    pub(super) parameters: &'a Parameters,
    pub(super) encoder: &'a Encoder,
}

impl<B: Backend> AscentEncoder<'_, B> {
    /// The factors for slots in copies; those that `known`, of other copies, has alike are taken from there.
    pub(super) fn ascent(&self, copies: Copies, known: Option<&Ascent<B>>) -> Result<Ascent<B>, CkksError> {
        let (set, shape) = (self.parameters.set(), self.parameters.shape());
        let top = shape.top_level() + self.parameters.bootstrap_levels();
        let gain = factor_gain(self.parameters, CONVERSION_FACTOR);
        let slots = shape.slots(Packing::Complex);
        let mut layers: Vec<usize> = set.coefficients_to_slots.iter().rev().copied().collect();
        layers.push(set.raise_layers);
        let factors = BootstrapFactor::ascending(slots, copies, &layers)?;
        let [raise, between @ .., last] = factors.as_slice() else {
            unreachable!("a validated set has a factor after the one on the raise");
        };
        let reused = |factor: &BootstrapFactor| known.filter(|_| factor.is_dense());
        let encoding = |index: usize| Encoding {
            basis: self.parameters.basis(Level(top - index), Some(Level(shape.top_level()))),
            scale: gain * self.parameters.prime(top - index),
            packing: Packing::Complex,
        };
        Ok(Ascent {
            raise: match reused(raise) {
                Some(known) => Arc::clone(&known.raise),
                None => Arc::new(self.raise(raise, gain * self.parameters.prime(top))?),
            },
            factors: (between.iter().enumerate())
                .map(|(index, factor)| match reused(factor) {
                    Some(known) => Ok(Arc::clone(&known.factors[index])),
                    None => self.factor(factor, encoding(index)).map(Arc::new),
                })
                .collect::<Result<_, CkksError>>()?,
            last: match reused(last) {
                Some(known) => Arc::clone(&known.last),
                None => {
                    let plan = BabyGiantPlan::new(slots, last.offsets()?, PAIRED_ROTATION_COST)?;
                    let matrix = || last.ascent();
                    let encoding = encoding(between.len());
                    Arc::new(ToRealTransform::new(self.switcher, self.encoder, plan, matrix, encoding)?)
                }
            },
        })
    }

    fn factor(&self, factor: &BootstrapFactor, encoding: Encoding) -> Result<EncodedTransform<B>, CkksError> {
        let slots = self.parameters.shape().slots(Packing::Complex);
        let plan = BabyGiantPlan::new(slots, factor.offsets()?, ROTATION_COST)?;
        EncodedTransform::new(self.switcher, self.encoder, plan, || factor.ascent(), encoding)
    }

    /// The map on the raise, encoded over the work primes.
    fn raise(&self, factor: &BootstrapFactor, scale: f64) -> Result<Vec<RaiseFactor<B>>, CkksError> {
        let (backend, basis) = (self.switcher.backend(), self.switcher.raise_basis());
        let matrix = if B::HOLDS_DATA { Some(factor.ascent()?) } else { None };
        let encoded = |offset: usize| {
            let diagonal = matrix.as_ref().and_then(|matrix| matrix.diagonal(offset)).unwrap_or_default();
            let element = GaloisElement::rotation(self.switcher.parameters().ring(), offset as i64);
            Ok(RaiseFactor { element, factor: self.encoder.complex(backend, basis, diagonal, scale)? })
        };
        factor.offsets()?.into_iter().map(encoded).collect()
    }
}

impl<B: Backend> Ascent<B> {
    /// Words of the factors, without those that are `known`'s.
    pub(super) fn words(&self, known: Option<&Self>) -> usize {
        let raise: usize = self.raise.iter().map(|term| term.factor.shape().words()).sum();
        let own = |shared: bool, words: usize| if shared { 0 } else { words };
        let factors = self.factors.iter().enumerate().map(|(index, factor)| {
            own(known.is_some_and(|known| Arc::ptr_eq(factor, &known.factors[index])), factor.words())
        });
        own(known.is_some_and(|known| Arc::ptr_eq(&self.raise, &known.raise)), raise)
            + factors.sum::<usize>()
            + own(known.is_some_and(|known| Arc::ptr_eq(&self.last, &known.last)), self.last.words())
    }
}
