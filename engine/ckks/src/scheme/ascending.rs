//! Half bootstrapping: from coefficients at `q_0` to real slots at the top of the compute region.
//!
//! ```text
//! coefficients at q_0 --ModRaise with the first CoeffsToSlots factor--> --CoeffsToSlots--> real slots --EvalMod--> top level
//! ```
//!
//! The last factor of CoeffsToSlots leads into the conjugate-invariant ring, where one EvalMod reduces all `N` coefficients modulo `q_0`
//! by a scaled sine (Cheon et al., Eurocrypt 2018; cosine with double angles: Han and Ki, CT-RSA 2020).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use fhe_ring::Backend;
use fhe_rlwe::{Ciphertext, KeySwitcher, RaiseFactor};

use super::{
    CkksServer, CoefficientCiphertext, SlotCiphertext,
    encoder::Encoder,
    linear_transform::{EncodedTransform, Encoding, ROTATION_COST},
    packing::{PAIRED_ROTATION_COST, ToRealTransform},
    together::Together,
};
use crate::{
    CkksError, Level, Packing, Parameters,
    bootstrapping::sine::{SineParameters, SinePolynomial, evaluate_sine},
    transforms::baby_giant::BabyGiantPlan,
    transforms::coefficients_slots::{inverse_embedding_stages, stage_offsets, stage_ranges},
    transforms::real_slots::CONVERSION_FACTOR,
};

/// Ciphertexts that are worked on together: enough to hide the reading of keys behind arithmetic.
const BATCH: usize = 4;

/// Encoded factors of CoeffsToSlots, and the sine.
pub(super) struct AscendingTables<B: Backend> {
    /// The first factor, done on the raise.
    pub(super) raise: Vec<RaiseFactor<B>>,
    /// The factors between the first and the last.
    pub(super) factors: Vec<EncodedTransform<B>>,
    /// The last factor, to real slots.
    last: ToRealTransform<B>,
    /// The sine by landing level, which decides its amplitude.
    sines: Mutex<BTreeMap<Level, Arc<SinePolynomial>>>,
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

impl<B: Backend> AscendingTables<B> {
    pub(super) fn new(
        switcher: &KeySwitcher<B>,
        parameters: &Parameters,
        encoder: &Encoder,
    ) -> Result<Self, CkksError> {
        let (set, shape) = (parameters.set(), parameters.shape());
        let slots = shape.slots(Packing::Complex);
        let landing = Level(shape.top_level());
        let top = landing.0 + parameters.bootstrap_levels();
        let gain = factor_gain(parameters, CONVERSION_FACTOR);

        // Stages from the smallest distance up; CoeffsToSlots takes them from the largest down.
        let mut layers: Vec<usize> = set.coefficients_to_slots.iter().rev().copied().collect();
        layers.push(set.raise_layers);
        let mut ranges = stage_ranges("CoeffsToSlots", slots, &layers)?;
        let raise = ranges.pop().unwrap_or_default();
        let raise = Self::raise_map(switcher, encoder, slots, raise, gain * parameters.prime(top))?;

        ranges.reverse();
        let last_range = ranges.pop().unwrap_or_default();
        let encoding = |index: usize| Encoding {
            basis: parameters.basis(Level(top - index), Some(landing)),
            scale: gain * parameters.prime(top - index),
        };
        let last_index = ranges.len();
        let factors = (ranges.into_iter().enumerate())
            .map(|(index, stages)| {
                let plan = BabyGiantPlan::new(slots, stage_offsets(slots, stages.clone())?, ROTATION_COST)?;
                let matrix = || inverse_embedding_stages(slots, stages);
                EncodedTransform::new(switcher, encoder, plan, matrix, encoding(index))
            })
            .collect::<Result<_, CkksError>>()?;
        let plan = BabyGiantPlan::new(slots, stage_offsets(slots, last_range.clone())?, PAIRED_ROTATION_COST)?;
        let matrix = || inverse_embedding_stages(slots, last_range);
        let last = ToRealTransform::new(switcher, encoder, plan, matrix, encoding(last_index))?;
        Ok(Self { raise, factors, last, sines: Mutex::default() })
    }

    /// The map of some stages on the raise, encoded over the work primes.
    fn raise_map(
        switcher: &KeySwitcher<B>,
        encoder: &Encoder,
        slots: usize,
        stages: std::ops::Range<usize>,
        scale: f64,
    ) -> Result<Vec<RaiseFactor<B>>, CkksError> {
        let backend = switcher.backend();
        let offsets = stage_offsets(slots, stages.clone())?;
        let matrix = if B::HOLDS_DATA { Some(inverse_embedding_stages(slots, stages)?) } else { None };
        (offsets.into_iter())
            .map(|offset| {
                let diagonal = matrix.as_ref().and_then(|matrix| matrix.diagonal(offset)).unwrap_or_default();
                let element = fhe_ring::GaloisElement::rotation(switcher.parameters().ring(), offset as i64);
                let factor = encoder.complex(backend, switcher.raise_basis(), diagonal, scale)?;
                Ok(RaiseFactor { element, factor })
            })
            .collect()
    }

    /// Words of all factors.
    pub(super) fn words(&self) -> usize {
        let raise: usize = self.raise.iter().map(|term| term.factor.shape().words()).sum();
        raise + self.factors.iter().map(EncodedTransform::words).sum::<usize>() + self.last.words()
    }

    pub(super) fn sine(&self, parameters: &Parameters, landing: Level) -> Result<Arc<SinePolynomial>, CkksError> {
        let mut sines = self.sines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sine) = sines.get(&landing) {
            return Ok(Arc::clone(sine));
        }
        let set = parameters.set();
        let standard = SineParameters::sparse_secret_32(parameters.shape().message_ratio, set.cosine_degree);
        let sine = Arc::new(SinePolynomial::new(&SineParameters {
            range: set.range as usize,
            double_angles: set.double_angles,
            amplitude: standard.amplitude * parameters.landing_amplitude(landing),
            ..standard
        })?);
        sines.insert(landing, Arc::clone(&sine));
        Ok(sine)
    }
}

impl<B: Backend> CkksServer<B> {
    /// Half bootstrapping of all inputs, a few at a time.
    pub(super) fn ascend(
        &self,
        inputs: &[&CoefficientCiphertext<B>],
        levels: usize,
    ) -> Result<Vec<SlotCiphertext<B>>, CkksError> {
        let landing = self.landing(levels)?;
        let mut results = Vec::with_capacity(inputs.len());
        for batch in inputs.chunks(BATCH) {
            let mut level = Level(landing.0 + self.parameters.bootstrap_levels());
            let (raised, steps) = self.raise_and_transform(batch, level, landing)?;
            level.0 -= steps + 1;
            let real = self.transform_to_real(&raised, &self.ascending.last)?;
            drop(raised);
            let slots = real.into_iter().map(|x| SlotCiphertext::new(x, level, Some(landing))).collect();
            results.extend(self.eval_mod(slots, landing)?);
            self.count(|c| {
                c.half_bootstraps += batch.len() as u64;
                c.levels_restored += (levels * batch.len()) as u64;
            });
        }
        Ok(results)
    }

    /// The level where EvalMod lands.
    pub(super) fn landing(&self, levels: usize) -> Result<Level, CkksError> {
        let shape = self.parameters.shape();
        if levels <= shape.compute_levels {
            return Ok(Level(levels + shape.slots_to_coefficients_levels));
        }
        Err(CkksError::Precondition {
            operation: "half_bootstrap",
            operand: "levels",
            found: levels.to_string(),
            required: format!("at most {}", shape.compute_levels),
            remedy: "split the circuit with one more bootstrap",
        })
    }

    /// ModRaise and all factors of CoeffsToSlots but the last, and how many levels they took.
    pub(super) fn raise_and_transform(
        &self,
        batch: &[&CoefficientCiphertext<B>],
        level: Level,
        landing: Level,
    ) -> Result<(Vec<Ciphertext<B>>, usize), CkksError> {
        let ciphertexts: Vec<_> = batch.iter().map(|input| input.ciphertext.as_ref()).collect();
        let basis = self.parameters.basis(level, Some(landing));
        let mut raised = self.switcher.raise(&ciphertexts, basis, &self.ascending.raise)?;
        for factor in &self.ascending.factors {
            raised = self.transform(&raised, factor)?;
        }
        Ok((raised, self.ascending.factors.len()))
    }

    /// The scaled sine, ending at the landing level with the message ratio divided away by reading the scale anew.
    pub(super) fn eval_mod(
        &self,
        slots: Vec<SlotCiphertext<B>>,
        landing: Level,
    ) -> Result<Vec<SlotCiphertext<B>>, CkksError> {
        let polynomial = self.ascending.sine(&self.parameters, landing)?;
        let sines = evaluate_sine(&Together(self), &slots, &polynomial)?;
        (sines.into_iter())
            .map(|sine| {
                if sine.level != landing {
                    return Err(CkksError::Precondition {
                        operation: "EvalMod",
                        operand: "level after the double angles",
                        found: sine.level.0.to_string(),
                        required: landing.0.to_string(),
                        remedy: "report this: the level budget of the parameter set and the polynomial disagree",
                    });
                }
                Ok(SlotCiphertext { ciphertext: sine.ciphertext, level: landing, landing: None })
            })
            .collect()
    }
}
