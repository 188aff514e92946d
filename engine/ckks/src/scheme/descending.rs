//! SlotsToCoeffs: from slots at the bottom of the compute region to coefficients at `q_0`; and the part of it that stops at lanes, at
//! `q_0 q_1`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use fhe_ring::Backend;
use fhe_rlwe::{Ciphertext, KeySwitcher};

use super::{
    CkksServer, CoefficientCiphertext, SlotCiphertext,
    encoder::Encoder,
    linear_transform::{EncodedTransform, Encoding, ROTATION_COST},
    packing::FromRealTransform,
};
use crate::{
    CkksError, Copies, Level, Packing, Parameters, Rotation, SlotArithmetic, Spacing,
    transforms::baby_giant::BabyGiantPlan, transforms::bootstrap_factor::BootstrapFactor,
    transforms::diagonal_coefficients::DiagonalCoefficients,
};

/// Least scale at which the last factor is encoded: its entries of size one keep 16 bits.
const LEAST_FACTOR_SCALE: f64 = (1u64 << 16) as f64;

/// Where slots are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Destination {
    /// Coefficients at `q_0`, from slots in copies.
    Coefficients(Copies),
    /// Coefficients at `q_0`, from slots that repeat in runs of so many: all stages but those that act inside the runs.
    Runs(Spacing),
    /// Rows of so many lanes at `q_0 q_1`: all stages but those that act inside the lanes.
    Lanes(usize),
}

impl Destination {
    /// The level that is left.
    fn level(self) -> Level {
        match self {
            Self::Coefficients(_) | Self::Runs(_) => Level(0),
            Self::Lanes(_) => Level(1),
        }
    }
}

/// Encoded factors by destination; those for anything but dense slots to coefficients made when first needed.
pub(super) struct DescendingTables<B: Backend>(Mutex<BTreeMap<Destination, Arc<Descent<B>>>>);

/// The last factor, which depends on the output unit: what of it does not, and its encoding for one unit.
struct LastFactor<B: Backend> {
    level: Level,
    plan: BabyGiantPlan,
    /// Missing without data.
    coefficients: Option<DiagonalCoefficients>,
    encoded: Mutex<EncodedFor<B>>,
}

/// The factor encoded for one output unit.
type EncodedFor<B> = Option<(f64, Arc<EncodedTransform<B>>)>;

/// The factors of SlotsToCoeffs.
struct Descent<B: Backend> {
    destination: Destination,
    /// The first factor, from real slots.
    first: FromRealTransform<B>,
    /// The first factor, from complex slots; made when first needed.
    first_of_complex: OnceLock<EncodedTransform<B>>,
    /// The factors between the first and the last.
    factors: Vec<EncodedTransform<B>>,
    last: LastFactor<B>,
}

/// Plaintext scale of the last factor, which lands on the output unit.
fn last_factor_scale(parameters: &Parameters, destination: Destination, unit: f64) -> f64 {
    let Level(above) = Level(destination.level().0 + 1);
    unit * parameters.prime(above) / parameters.scale(Level(above), None)
}

/// A factor and the level where it is applied.
struct LevelledFactor {
    factor: BootstrapFactor,
    level: Level,
}

fn factors(parameters: &Parameters, destination: Destination) -> Result<Vec<LevelledFactor>, CkksError> {
    let shape = parameters.shape();
    let layers = parameters.set().slots_to_coefficients;
    let slots = shape.slots(Packing::Complex);
    let factors = match destination {
        Destination::Coefficients(copies) => BootstrapFactor::descending(slots, copies, layers)?,
        Destination::Runs(Spacing(runs)) => BootstrapFactor::to_lanes(slots, runs, layers.len())?,
        Destination::Lanes(lanes) => BootstrapFactor::to_lanes(slots, lanes, layers.len())?,
    };
    let level = |index| Level(destination.level().0 + shape.slots_to_coefficients_levels - index);
    Ok(factors.into_iter().enumerate().map(|(i, factor)| LevelledFactor { factor, level: level(i) }).collect())
}

fn encode<B: Backend>(
    switcher: &KeySwitcher<B>,
    parameters: &Parameters,
    encoder: &Encoder,
    LevelledFactor { factor, level }: &LevelledFactor,
    scale: f64,
) -> Result<EncodedTransform<B>, CkksError> {
    let slots = parameters.shape().slots(Packing::Complex);
    let plan = BabyGiantPlan::new(slots, factor.offsets()?, ROTATION_COST)?;
    let encoding = Encoding { basis: parameters.basis(*level, None), scale, packing: Packing::Complex };
    EncodedTransform::new(switcher, encoder, plan, || factor.descent(), encoding)
}

impl<B: Backend> DescendingTables<B> {
    pub(super) fn new(
        switcher: &KeySwitcher<B>,
        parameters: &Parameters,
        encoder: &Encoder,
    ) -> Result<Self, CkksError> {
        let destination = Destination::Coefficients(Copies::ONE);
        let dense = Descent::new(switcher, parameters, encoder, destination)?;
        Ok(Self(Mutex::new(BTreeMap::from([(destination, Arc::new(dense))]))))
    }

    /// Words of all factors that are encoded now.
    pub(super) fn words(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(|descent| descent.words()).sum()
    }

    /// Destinations whose factors are encoded, and the output unit that the last of them is encoded for.
    pub(super) fn destinations(&self) -> Vec<(Destination, Option<f64>)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(&destination, descent)| (destination, descent.last.unit())).collect()
    }

    /// Encodes the factors on the way to a destination, the last of them for an output unit, unless they are there.
    pub(super) fn encode(
        &self,
        destination: Destination,
        unit: Option<f64>,
        server: &CkksServer<B>,
    ) -> Result<(), CkksError> {
        let descent = self.of(destination, server)?;
        unit.map_or(Ok(()), |unit| descent.last(server, unit).map(drop))
    }

    fn of(&self, destination: Destination, server: &CkksServer<B>) -> Result<Arc<Descent<B>>, CkksError> {
        // Factors are whole before they are inserted.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(descent) = known.get(&destination) {
            return Ok(Arc::clone(descent));
        }
        let descent = Arc::new(Descent::new(&server.switcher, &server.parameters, &server.encoder, destination)?);
        known.insert(destination, Arc::clone(&descent));
        Ok(descent)
    }
}

impl<B: Backend> Descent<B> {
    fn new(
        switcher: &KeySwitcher<B>,
        parameters: &Parameters,
        encoder: &Encoder,
        destination: Destination,
    ) -> Result<Self, CkksError> {
        let factors = factors(parameters, destination)?;
        let scale = |factor: &LevelledFactor| parameters.scale(factor.level, None);
        let [first, between @ .., last] = factors.as_slice() else {
            unreachable!("a validated set has two factors or more");
        };
        let basis = parameters.basis(first.level, None);
        let encoding = Encoding { basis, scale: scale(first), packing: Packing::Complex };
        let (offsets, matrix) = (first.factor.offsets()?, || first.factor.descent());
        let first = FromRealTransform::new(switcher, encoder, offsets, matrix, encoding)?;
        let factors = (between.iter())
            .map(|factor| encode(switcher, parameters, encoder, factor, scale(factor)))
            .collect::<Result<_, CkksError>>()?;
        let last = LastFactor::new(parameters, encoder, last)?;
        Ok(Self { destination, first, first_of_complex: OnceLock::new(), factors, last })
    }

    /// Words of all factors that are encoded now.
    fn words(&self) -> usize {
        let last = self.last.encoded.lock().unwrap_or_else(PoisonError::into_inner);
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
        let first = factors(parameters, self.destination)?.remove(0);
        let scale = parameters.scale(first.level, None);
        let map = encode(&server.switcher, parameters, &server.encoder, &first, scale)?;
        Ok(self.first_of_complex.get_or_init(|| map))
    }

    fn last(&self, server: &CkksServer<B>, unit: f64) -> Result<Arc<EncodedTransform<B>>, CkksError> {
        let LastFactor { level, plan, coefficients, encoded } = &self.last;
        let mut encoded = encoded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, factor)) = encoded.as_ref().filter(|(known, _)| *known == unit) {
            return Ok(Arc::clone(factor));
        }
        let CkksServer { parameters, switcher, encoder, .. } = server;
        let scale = last_factor_scale(parameters, self.destination, unit);
        let encoding = Encoding { basis: parameters.basis(*level, None), scale, packing: Packing::Complex };
        let coefficients = coefficients.as_ref();
        let factor = EncodedTransform::of_coefficients(switcher, encoder, plan.clone(), coefficients, encoding)?;
        let factor = Arc::new(factor);
        *encoded = Some((unit, Arc::clone(&factor)));
        Ok(factor)
    }
}

impl<B: Backend> LastFactor<B> {
    /// The output unit that it is encoded for now.
    fn unit(&self) -> Option<f64> {
        self.encoded.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(unit, _)| *unit)
    }

    fn new(
        parameters: &Parameters,
        encoder: &Encoder,
        LevelledFactor { factor, level }: &LevelledFactor,
    ) -> Result<Self, CkksError> {
        let slots = parameters.shape().slots(Packing::Complex);
        let plan = BabyGiantPlan::new(slots, factor.offsets()?, ROTATION_COST)?;
        let embed = || DiagonalCoefficients::new(encoder.embedding(), Packing::Complex, &plan, &factor.descent()?);
        let coefficients = if B::HOLDS_DATA { Some(embed()?) } else { None };
        Ok(Self { level: *level, plan, coefficients, encoded: Mutex::default() })
    }
}

impl<B: Backend> CkksServer<B> {
    /// SlotsToCoeffs of real or complex slots, in copies or not.
    pub(super) fn descend(
        &self,
        slots: &SlotCiphertext<B>,
        copies: Copies,
        unit: f64,
    ) -> Result<CoefficientCiphertext<B>, CkksError> {
        const OPERATION: &str = "slots_to_coefficients";
        self.parameters.shape().check_copies(OPERATION, copies)?;
        let coefficients = self.descend_to(OPERATION, &[slots], Destination::Coefficients(copies), unit)?.remove(0);
        self.count(|c| c.slots_to_coefficients += 1);
        Ok(CoefficientCiphertext::new(coefficients, unit))
    }

    /// SlotsToCoeffs of real slots at multiples of a spacing.
    pub(super) fn descend_spaced(
        &self,
        slots: &SlotCiphertext<B>,
        spacing: Spacing,
        unit: f64,
    ) -> Result<CoefficientCiphertext<B>, CkksError> {
        const OPERATION: &str = "spaced_slots_to_coefficients";
        self.parameters.shape().check_spacing(OPERATION, spacing)?;
        if slots.packing() != Packing::Real {
            return Err(CkksError::Precondition {
                operation: OPERATION,
                operand: "packing",
                found: format!("{:?}", slots.packing()),
                required: format!("{:?}", Packing::Real),
                remedy: "convert with to_real",
            });
        }
        let mut runs = self.lower_slots(slots, Level(self.parameters.shape().slots_to_coefficients_levels))?;
        for bit in 0..spacing.0.trailing_zeros() {
            let moved = self.rotate_slots(&runs, &[Rotation(-(1 << bit))])?.remove(0);
            runs = self.add(&runs, &moved)?;
        }
        let destination = match spacing {
            Spacing(1) => Destination::Coefficients(Copies::ONE),
            _ => Destination::Runs(spacing),
        };
        let coefficients = self.descend_to(OPERATION, &[&runs], destination, unit)?.remove(0);
        self.count(|c| c.slots_to_coefficients += 1);
        Ok(CoefficientCiphertext::new(coefficients, unit))
    }

    /// All factors on the way to a destination, for slots of one packing.
    pub(super) fn descend_to(
        &self,
        operation: &'static str,
        inputs: &[&SlotCiphertext<B>],
        destination: Destination,
        unit: f64,
    ) -> Result<Vec<Ciphertext<B>>, CkksError> {
        if !(unit.is_finite() && unit > 0.0) {
            return Err(CkksError::Precondition {
                operation,
                operand: "unit",
                found: unit.to_string(),
                required: "positive and finite".into(),
                remedy: "derive the unit from calibrated ranges",
            });
        }
        let precision = last_factor_scale(&self.parameters, destination, unit);
        if precision < LEAST_FACTOR_SCALE {
            return Err(CkksError::Precondition {
                operation,
                operand: "unit",
                found: format!("2^{:.1}, which encodes the last factor at 2^{:.1}", unit.log2(), precision.log2()),
                required: format!("an encoding at 2^{:.0} or more", LEAST_FACTOR_SCALE.log2()),
                remedy: "use a larger unit; the product that follows would see mostly rounding errors",
            });
        }
        let descent = self.descending.of(destination, self)?;
        let Some(first) = inputs.first() else { return Ok(Vec::new()) };
        let packing = first.packing();
        let start = Level(destination.level().0 + self.parameters.shape().slots_to_coefficients_levels);
        let lowered = (inputs.iter())
            .map(|slots| self.restrict(&self.lower_slots(slots, start)?, start))
            .collect::<Result<Vec<_>, CkksError>>()?;
        let mut batch = match packing {
            Packing::Real => self.transform_from_real(&lowered, &descent.first)?,
            Packing::Complex => self.transform(&lowered, descent.first_of_complex(self)?)?,
        };
        drop(lowered);
        for factor in &descent.factors {
            batch = self.transform(&batch, factor)?;
        }
        self.transform(&batch, descent.last(self, unit)?.as_ref())
    }
}
