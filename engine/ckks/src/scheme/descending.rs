//! SlotsToCoeffs: from slots at the bottom of the compute region to coefficients at `q_0`.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use fhe_ring::Backend;
use fhe_rlwe::KeySwitcher;

use super::{
    CkksServer, CoefficientCiphertext, SlotCiphertext,
    encoder::Encoder,
    linear_transform::{EncodedTransform, Encoding, ROTATION_COST},
    packing::FromRealTransform,
};
use crate::{
    CkksError, Level, Packing, Parameters,
    transforms::baby_giant::BabyGiantPlan,
    transforms::coefficients_slots::{embedding_stages, stage_offsets, stage_ranges},
};

/// Least scale at which the last factor is encoded: its entries of size one keep 16 bits.
const LEAST_FACTOR_SCALE: f64 = (1u64 << 16) as f64;

/// The last factor encoded for one output unit.
type LastFactor<B> = Option<(f64, Arc<EncodedTransform<B>>)>;

/// Encoded factors of SlotsToCoeffs.
pub(super) struct DescendingTables<B: Backend> {
    /// The first factor, from real slots.
    first: FromRealTransform<B>,
    /// The first factor, from complex slots; made when first needed.
    first_of_complex: OnceLock<EncodedTransform<B>>,
    /// The factors between the first and the last.
    factors: Vec<EncodedTransform<B>>,
    /// The last factor, which depends on the output unit.
    last: Mutex<LastFactor<B>>,
}

/// Plaintext scale of the last factor, which lands on the output unit.
fn last_factor_scale(parameters: &Parameters, unit: f64) -> f64 {
    unit * parameters.prime(1) / parameters.scale(Level(1), None)
}

/// A factor as its stages and its level.
struct Factor {
    stages: std::ops::Range<usize>,
    level: Level,
}

fn factors(parameters: &Parameters) -> Result<Vec<Factor>, CkksError> {
    let shape = parameters.shape();
    let levels = shape.slots_to_coefficients_levels;
    let ranges = stage_ranges("SlotsToCoeffs", shape.slots(Packing::Complex), parameters.set().slots_to_coefficients)?;
    Ok(ranges.into_iter().enumerate().map(|(i, stages)| Factor { stages, level: Level(levels - i) }).collect())
}

fn encode<B: Backend>(
    switcher: &KeySwitcher<B>,
    parameters: &Parameters,
    encoder: &Encoder,
    factor: &Factor,
    scale: f64,
) -> Result<EncodedTransform<B>, CkksError> {
    let slots = parameters.shape().slots(Packing::Complex);
    let plan = BabyGiantPlan::new(slots, stage_offsets(slots, factor.stages.clone())?, ROTATION_COST)?;
    let matrix = || embedding_stages(slots, factor.stages.clone());
    let encoding = Encoding { basis: parameters.basis(factor.level, None), scale };
    EncodedTransform::new(switcher, encoder, plan, matrix, encoding)
}

impl<B: Backend> DescendingTables<B> {
    pub(super) fn new(
        switcher: &KeySwitcher<B>,
        parameters: &Parameters,
        encoder: &Encoder,
    ) -> Result<Self, CkksError> {
        let slots = parameters.shape().slots(Packing::Complex);
        let factors = factors(parameters)?;
        let scale = |factor: &Factor| parameters.scale(factor.level, None);
        let [first, between @ .., _] = factors.as_slice() else {
            unreachable!("a validated set has two factors or more");
        };
        let encoding = Encoding { basis: parameters.basis(first.level, None), scale: scale(first) };
        let offsets = stage_offsets(slots, first.stages.clone())?;
        let matrix = || embedding_stages(slots, first.stages.clone());
        let first = FromRealTransform::new(switcher, encoder, offsets, matrix, encoding)?;
        let factors = (between.iter())
            .map(|factor| encode(switcher, parameters, encoder, factor, scale(factor)))
            .collect::<Result<_, CkksError>>()?;
        Ok(Self { first, first_of_complex: OnceLock::new(), factors, last: Mutex::default() })
    }

    /// Words of all factors that are encoded now.
    pub(super) fn words(&self) -> usize {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.first.words()
            + self.first_of_complex.get().map_or(0, EncodedTransform::words)
            + self.factors.iter().map(EncodedTransform::words).sum::<usize>()
            + last.as_ref().map_or(0, |(_, factor)| factor.words())
    }

    fn first_of_complex(&self, server: &CkksServer<B>) -> Result<&EncodedTransform<B>, CkksError> {
        if let Some(map) = self.first_of_complex.get() {
            return Ok(map);
        }
        let parameters = &server.parameters;
        let first = factors(parameters)?.remove(0);
        let scale = parameters.scale(first.level, None);
        let map = encode(&server.switcher, parameters, &server.encoder, &first, scale)?;
        Ok(self.first_of_complex.get_or_init(|| map))
    }

    fn last(&self, server: &CkksServer<B>, unit: f64) -> Result<Arc<EncodedTransform<B>>, CkksError> {
        let mut cached = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, factor)) = cached.as_ref().filter(|(known, _)| *known == unit) {
            return Ok(Arc::clone(factor));
        }
        let parameters = &server.parameters;
        let last = factors(parameters)?.pop().unwrap_or_else(|| unreachable!("a validated set has factors"));
        let scale = last_factor_scale(parameters, unit);
        let factor = Arc::new(encode(&server.switcher, parameters, &server.encoder, &last, scale)?);
        *cached = Some((unit, Arc::clone(&factor)));
        Ok(factor)
    }
}

impl<B: Backend> CkksServer<B> {
    /// SlotsToCoeffs of real or complex slots.
    pub(super) fn descend(&self, slots: &SlotCiphertext<B>, unit: f64) -> Result<CoefficientCiphertext<B>, CkksError> {
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
        let packing = slots.packing();
        let slots = [self.restrict(&self.lower_slots(slots, start)?, start)?];
        let mut batch = match packing {
            Packing::Real => self.transform_from_real(&slots, &self.descending.first)?,
            Packing::Complex => self.transform(&slots, self.descending.first_of_complex(self)?)?,
        };
        for factor in &self.descending.factors {
            batch = self.transform(&batch, factor)?;
        }
        let last = self.descending.last(self, unit)?;
        self.count(|c| c.slots_to_coefficients += 1);
        Ok(CoefficientCiphertext::new(self.transform(&batch, &last)?.remove(0), unit))
    }
}
