//! SlotsToCoeffs and half bootstrapping: between slots at the bottom of the compute region and slots at its top.
//!
//! ```text
//! slots, level 3 --SlotsToCoeffs--> coefficients at q_0 --ModRaise--> --CoeffsToSlots--> --EvalMod--> slots, top level
//! ```
//!
//! The form with two EvalMods on `Z[X]/(X^N+1)`: after CoeffsToSlots the real and the imaginary part are separated by one conjugation
//! and reduced modulo `q_0` one after the other by a scaled sine (Cheon et al., Eurocrypt 2018; cosine with double
//! angles: Han and Ki, CT-RSA 2020; sparse-secret encapsulation: Bossuat et al., ACNS 2022).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use fhe_ring::Backend;
use fhe_rlwe::KeySwitcher;

use super::{
    CkksServer, CoefficientCiphertext, SlotCiphertext,
    encoder::Encoder,
    linear_transform::{EncodedTransform, ROTATION_COST},
};
use crate::{
    CkksError, Level, Parameters,
    bootstrapping::sine::{SineParameters, SinePolynomial, evaluate_sine},
    transforms::baby_giant::BabyGiantPlan,
    transforms::coefficients_slots::{embedding_stages, inverse_embedding_stages, stage_offsets, stage_ranges},
};

/// Least scale at which the last SlotsToCoeffs factor is encoded: its entries of size one keep 16 bits.
const LEAST_FACTOR_SCALE: f64 = (1u64 << 16) as f64;

/// The last SlotsToCoeffs factor encoded for one output unit.
type LastFactor<B> = Option<(f64, Arc<EncodedTransform<B>>)>;

/// Encoded factors of both transforms.
pub(super) struct BootstrapTables<B: Backend> {
    coefficients_to_slots: Vec<EncodedTransform<B>>,
    /// All factors of SlotsToCoeffs but the last, which depends on the output unit.
    slots_to_coefficients: Vec<EncodedTransform<B>>,
    last_factor: Mutex<LastFactor<B>>,
    /// The sine by landing level, which decides its amplitude.
    sines: Mutex<BTreeMap<Level, Arc<SinePolynomial>>>,
}

/// Plaintext scale of the last SlotsToCoeffs factor, which lands on the output unit.
fn last_factor_scale(parameters: &Parameters, unit: f64) -> f64 {
    unit * parameters.prime(1) / parameters.scale(Level(1), None)
}

impl<B: Backend> BootstrapTables<B> {
    pub(super) fn new(
        switcher: &KeySwitcher<B>,
        parameters: &Parameters,
        encoder: &Encoder,
    ) -> Result<Self, CkksError> {
        let (set, shape) = (parameters.set(), parameters.shape());
        let landing = Level(shape.top_level());
        let top = landing.0 + parameters.bootstrap_levels();
        let factors = set.coefficients_to_slots.len();
        // The integers q_0 I + m fill q_0 (K + 1/4); EvalMod wants them in [-1, 1] at its own top scale, and the split into real
        // and imaginary part doubles.
        let input = parameters.prime(0) * (f64::from(set.range) + 0.25);
        let output = parameters.scale(Level(landing.0 + parameters.eval_mod_levels()), Some(landing));
        let divided: f64 = (0..factors).map(|i| parameters.prime(top - i)).product();
        let scale = (divided * output / (2.0 * input)).powf(1.0 / factors as f64);

        let reversed: Vec<usize> = set.coefficients_to_slots.iter().rev().copied().collect();
        let mut ranges = stage_ranges("CoeffsToSlots", shape.slots, &reversed)?;
        ranges.reverse();
        let coefficients_to_slots = ranges
            .into_iter()
            .enumerate()
            .map(|(i, stages)| {
                let plan = BabyGiantPlan::new(shape.slots, stage_offsets(shape.slots, stages.clone())?, ROTATION_COST)?;
                let basis = parameters.basis(Level(top - i), Some(landing));
                let matrix = || inverse_embedding_stages(shape.slots, stages);
                EncodedTransform::new(switcher, encoder, plan, matrix, basis, scale)
            })
            .collect::<Result<_, CkksError>>()?;

        let levels = shape.slots_to_coefficients_levels;
        let slots_to_coefficients = (0..levels - 1)
            .map(|i| {
                let level = Level(levels - i);
                Self::descending_factor(switcher, parameters, encoder, i, parameters.scale(level, None))
            })
            .collect::<Result<_, CkksError>>()?;
        Ok(Self {
            coefficients_to_slots,
            slots_to_coefficients,
            last_factor: Mutex::new(None),
            sines: Mutex::default(),
        })
    }

    /// Factor `index` of SlotsToCoeffs at a plaintext scale.
    fn descending_factor(
        switcher: &KeySwitcher<B>,
        parameters: &Parameters,
        encoder: &Encoder,
        index: usize,
        scale: f64,
    ) -> Result<EncodedTransform<B>, CkksError> {
        let shape = parameters.shape();
        let stages = stage_ranges("SlotsToCoeffs", shape.slots, parameters.set().slots_to_coefficients)?.remove(index);
        let plan = BabyGiantPlan::new(shape.slots, stage_offsets(shape.slots, stages.clone())?, ROTATION_COST)?;
        let basis = parameters.basis(Level(shape.slots_to_coefficients_levels - index), None);
        let matrix = || embedding_stages(shape.slots, stages);
        EncodedTransform::new(switcher, encoder, plan, matrix, basis, scale)
    }

    fn last_factor(&self, server: &CkksServer<B>, unit: f64) -> Result<Arc<EncodedTransform<B>>, CkksError> {
        let mut cached = self.last_factor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, factor)) = cached.as_ref().filter(|(known, _)| *known == unit) {
            return Ok(Arc::clone(factor));
        }
        let parameters = &server.parameters;
        let index = parameters.shape().slots_to_coefficients_levels - 1;
        let scale = last_factor_scale(parameters, unit);
        let factor = Arc::new(Self::descending_factor(&server.switcher, parameters, &server.encoder, index, scale)?);
        *cached = Some((unit, Arc::clone(&factor)));
        Ok(factor)
    }
}

impl<B: Backend> BootstrapTables<B> {
    fn sine(&self, parameters: &Parameters, landing: Level) -> Result<Arc<SinePolynomial>, CkksError> {
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
    /// SlotsToCoeffs of `real + i imaginary`.
    pub(super) fn descend(
        &self,
        real: &SlotCiphertext<B>,
        imaginary: Option<&SlotCiphertext<B>>,
        unit: f64,
    ) -> Result<CoefficientCiphertext<B>, CkksError> {
        if !(unit.is_finite() && unit > 0.0) {
            return Err(CkksError::Precondition {
                operation: "slots_to_coefficients",
                operand: "unit",
                found: unit.to_string(),
                required: "positive and finite".into(),
                remedy: "derive the unit from calibrated ranges",
            });
        }
        let precision = last_factor_scale(&self.parameters, unit);
        if precision < LEAST_FACTOR_SCALE {
            return Err(CkksError::Precondition {
                operation: "slots_to_coefficients",
                operand: "unit",
                found: format!("2^{:.1}, which encodes the last factor at 2^{:.1}", unit.log2(), precision.log2()),
                required: format!("an encoding at 2^{:.0} or more", LEAST_FACTOR_SCALE.log2()),
                remedy: "use a larger unit; the product that follows would see mostly rounding errors",
            });
        }
        let start = Level(self.parameters.shape().slots_to_coefficients_levels);
        let mut slots = self.lower_slots(real, start)?;
        if let Some(imaginary) = imaginary {
            let turned = self.imaginary_slots(&self.lower_slots(imaginary, start)?, 1)?;
            slots = self.add_slots(&slots, &turned, false)?;
        }
        let mut ciphertext = self.restrict(&slots, start)?;
        for factor in &self.tables.slots_to_coefficients {
            ciphertext = self.transform(&ciphertext, factor)?;
        }
        let last = self.tables.last_factor(self, unit)?;
        self.count(|c| c.slots_to_coefficients += 1);
        Ok(CoefficientCiphertext::new(self.transform(&ciphertext, &last)?, unit))
    }

    /// ModRaise, CoeffsToSlots, EvalMod of both parts.
    pub(super) fn half_bootstrap_one(
        &self,
        input: &CoefficientCiphertext<B>,
        levels: usize,
    ) -> Result<[SlotCiphertext<B>; 2], CkksError> {
        let shape = self.parameters.shape();
        if levels > shape.compute_levels {
            return Err(CkksError::Precondition {
                operation: "half_bootstrap",
                operand: "levels",
                found: levels.to_string(),
                required: format!("at most {}", shape.compute_levels),
                remedy: "split the circuit with one more bootstrap",
            });
        }
        let landing = Level(levels + shape.slots_to_coefficients_levels);
        let mut level = Level(landing.0 + self.parameters.bootstrap_levels());
        let mut raised = self.switcher.raise(&input.ciphertext, self.parameters.basis(level, Some(landing)))?;
        for factor in &self.tables.coefficients_to_slots {
            raised = self.transform(&raised, factor)?;
            level.0 -= 1;
        }
        let slots = SlotCiphertext::new(raised, level, Some(landing));
        let conjugate = self.conjugate_slots(&slots)?;
        let real = self.add_slots(&slots, &conjugate, false)?;
        // z - conj z = 2 i Im z; times i^3 = -i it is 2 Im z.
        let imaginary = self.imaginary_slots(&self.add_slots(&slots, &conjugate, true)?, 3)?;
        drop((slots, conjugate));
        self.count(|c| {
            c.half_bootstraps += 1;
            c.levels_restored += levels as u64;
        });
        Ok([self.eval_mod(&real, landing)?, self.eval_mod(&imaginary, landing)?])
    }

    /// The scaled sine, ending at the landing level with the message ratio divided away by reading the scale anew.
    fn eval_mod(&self, x: &SlotCiphertext<B>, landing: Level) -> Result<SlotCiphertext<B>, CkksError> {
        let polynomial = self.tables.sine(&self.parameters, landing)?;
        let sine = evaluate_sine(self, x, &polynomial)?;
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
    }
}
