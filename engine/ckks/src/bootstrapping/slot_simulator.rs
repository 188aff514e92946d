//! [`SlotArithmetic`] in f64 with modelled rescaling noise, to simulate slot-wise circuits.
//!
//! Each rescaling adds Gaussian noise of one standard deviation to every real slot. For whole circuits there is
//! [`crate::Clear`].

use std::sync::Mutex;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::{CircuitShape, CkksError, Level, OperationCounts, SlotArithmetic};

/// Real slots at a level.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedSlots {
    pub(crate) values: Vec<f64>,
    level: usize,
}

/// An executor of slot-wise circuits on numbers.
pub(crate) struct SlotSimulator {
    shape: CircuitShape,
    rescaling_noise: f64,
    state: Mutex<(ChaCha12Rng, OperationCounts)>,
}

impl SlotSimulator {
    /// `rescaling_noise` is the standard deviation that a rescaling adds to each slot.
    pub(crate) fn new(shape: CircuitShape, rescaling_noise: f64, seed: u64) -> Self {
        let state = Mutex::new((ChaCha12Rng::seed_from_u64(seed), OperationCounts::default()));
        Self { shape, rescaling_noise, state }
    }

    /// Slots at a level, as they are.
    pub(crate) fn noiseless_slots(&self, values: Vec<f64>, level: usize) -> SimulatedSlots {
        SimulatedSlots { values, level }
    }

    /// Slots at a level, with the noise of the rescaling that brought them there.
    pub(crate) fn slots(&self, values: Vec<f64>, level: usize) -> SimulatedSlots {
        self.rescaled(values, level)
    }

    fn count(&self, update: impl FnOnce(&mut OperationCounts)) {
        update(&mut self.locked().1);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, (ChaCha12Rng, OperationCounts)> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn rescaled(&self, mut values: Vec<f64>, level: usize) -> SimulatedSlots {
        let mut state = self.locked();
        state.1.rescalings += 1;
        if self.rescaling_noise > 0.0 {
            values.iter_mut().for_each(|value| *value += self.rescaling_noise * gaussian(&mut state.0));
        }
        SimulatedSlots { values, level }
    }

    fn consumed(&self, operation: &'static str, level: usize) -> Result<usize, CkksError> {
        level.checked_sub(1).ok_or_else(|| CkksError::Precondition {
            operation,
            operand: "level",
            found: "0".into(),
            required: "at least 1".into(),
            remedy: "start the simulation at a higher level",
        })
    }

    /// Both operands at the smaller level.
    fn aligned(&self, a: &SimulatedSlots, b: &SimulatedSlots) -> Result<[SimulatedSlots; 2], CkksError> {
        let level = Level(a.level.min(b.level));
        Ok([self.lower(a, level)?, self.lower(b, level)?])
    }

    fn combined(
        &self,
        operation: &'static str,
        level: Option<usize>,
        value: impl Fn(usize) -> f64,
    ) -> Result<SimulatedSlots, CkksError> {
        let level = self.consumed(operation, level.unwrap_or(0))?;
        Ok(self.rescaled((0..self.shape.degree).map(value).collect(), level))
    }
}

/// A standard normal number (Box and Muller 1958).
pub(crate) fn gaussian(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

fn zip_with(a: &SimulatedSlots, b: &[f64], f: impl Fn(f64, f64) -> f64) -> SimulatedSlots {
    SimulatedSlots { values: a.values.iter().zip(b).map(|(&x, &y)| f(x, y)).collect(), level: a.level }
}

impl SlotArithmetic for SlotSimulator {
    type Slots = SimulatedSlots;

    fn shape(&self) -> &CircuitShape {
        &self.shape
    }
    fn level(&self, x: &SimulatedSlots) -> Level {
        Level(x.level)
    }
    fn counts(&self) -> OperationCounts {
        self.locked().1
    }

    fn add(&self, a: &SimulatedSlots, b: &SimulatedSlots) -> Result<SimulatedSlots, CkksError> {
        let [a, b] = self.aligned(a, b)?;
        Ok(zip_with(&a, &b.values, |x, y| x + y))
    }
    fn subtract(&self, a: &SimulatedSlots, b: &SimulatedSlots) -> Result<SimulatedSlots, CkksError> {
        let [a, b] = self.aligned(a, b)?;
        Ok(zip_with(&a, &b.values, |x, y| x - y))
    }
    fn add_constant(&self, a: &SimulatedSlots, constant: f64) -> Result<SimulatedSlots, CkksError> {
        Ok(zip_with(a, &a.values, |x, _| x + constant))
    }
    fn multiply_integer(&self, a: &SimulatedSlots, factor: i64) -> Result<SimulatedSlots, CkksError> {
        Ok(zip_with(a, &a.values, |x, _| x * factor as f64))
    }
    fn multiply(&self, a: &SimulatedSlots, b: &SimulatedSlots) -> Result<SimulatedSlots, CkksError> {
        let [a, b] = self.aligned(a, b)?;
        self.count(|counts| counts.products += 1);
        self.combined("multiply", Some(a.level), |j| a.values[j] * b.values[j])
    }
    fn square(&self, a: &SimulatedSlots) -> Result<SimulatedSlots, CkksError> {
        self.multiply(a, a)
    }
    fn linear_combination(&self, terms: &[(&SimulatedSlots, f64)], constant: f64) -> Result<SimulatedSlots, CkksError> {
        self.count(|counts| counts.constant_products += terms.len() as u64);
        let level = terms.iter().map(|(x, _)| x.level).min();
        self.combined("linear_combination", level, |j| {
            constant + terms.iter().map(|(x, factor)| x.values[j] * factor).sum::<f64>()
        })
    }
    fn lower(&self, a: &SimulatedSlots, level: Level) -> Result<SimulatedSlots, CkksError> {
        if level.0 == a.level {
            return Ok(a.clone());
        }
        if level.0 > a.level {
            return Err(CkksError::Precondition {
                operation: "lower",
                operand: "level",
                found: level.0.to_string(),
                required: format!("at most {}", a.level),
                remedy: "levels only go down",
            });
        }
        self.count(|counts| counts.constant_products += 1);
        Ok(self.rescaled(a.values.clone(), level.0))
    }
}
