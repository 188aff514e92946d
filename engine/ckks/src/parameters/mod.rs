//! The coupled tuple of a CKKS parameter set: chain, scales, bootstrapping circuit.
//!
//! The chain, from the bottom: `q_0`; the primes of SlotsToCoeffs; the compute primes; those of EvalMod; those of CoeffsToSlots, whose
//! first factor, done on the raise, needs none; beside it the special primes. A level is the number of rescalings a ciphertext can still take.
//!
//! **Canonical scales.** A ciphertext at compute level `l` always has scale `D_l` with `D_(l-1) = D_l^2 / q_l`. The primes are
//! chosen from the top so that no `D_l` strays: `q_l` is the unused prime nearest to `D_l^2 / 2^bits`. Above the compute
//! region the scales run backwards from the landing: EvalMod ends at scale `D_top / r`, which read at scale `D_top`
//! multiplies the message by `1/r`, so that the seam costs no level. They are the same wherever EvalMod lands (its argument must be exact to
//! 2^-30); landing at a lower level `l`, its amplitude makes up for `D_l / D_top`.

mod chain;
mod sets;

use std::sync::Arc;

use fhe_ring::Basis;
use fhe_rlwe::{Parameters as RlweParameters, ParametersSpec};

pub use sets::{Claims, N11_TOY, N13_TOY, N16_LLAMA, PARAMETER_SETS, ParameterSet};

use crate::{CircuitShape, CkksError, Level};

/// A validated parameter set; cheap to clone.
#[derive(Clone, Debug)]
pub struct Parameters {
    set: Arc<ParameterSet>,
    rlwe: RlweParameters,
    shape: CircuitShape,
    /// `D_l` by compute level.
    scales: Arc<Vec<f64>>,
}

impl Parameters {
    /// The named set.
    ///
    /// # Errors
    /// [`CkksError::Precondition`] listing the names there are.
    pub fn named(name: &str) -> Result<Self, CkksError> {
        let set = PARAMETER_SETS.iter().find(|set| set.name == name).ok_or_else(|| CkksError::Precondition {
            operation: "Parameters::named",
            operand: "name",
            found: format!("{name:?}"),
            required: format!("one of {}", PARAMETER_SETS.map(|set| set.name).join(", ")),
            remedy: "name an existing set",
        })?;
        Self::new((*set).clone())
    }

    /// Chooses the primes, derives the scales and checks the security of the largest key.
    ///
    /// # Errors
    /// [`CkksError::Precondition`] naming the field, or the insecurity.
    pub fn new(set: ParameterSet) -> Result<Self, CkksError> {
        set.validate()?;
        let (chain, scales) = chain::choose_primes(&set)?;
        let [base, divisor] = [0, 1].map(|index| chain.ciphertext_primes()[index].value() as f64);
        let rlwe = RlweParameters::new(ParametersSpec {
            name: set.name.to_owned(),
            log_degree: set.log_degree,
            chain,
            gadget_groups: set.gadget_bases(),
            low_region: Some(set.low_region()),
            ephemeral_weight: set.ephemeral_weight,
            small_log_degree: set.small_log_degree,
            lane_log_degree: set.lane_log_degree,
            insecure: set.insecure,
        })?;
        let everything = rlwe.ciphertext_basis().with_special(set.special_primes);
        for secret in [fhe_rlwe::SecretId::Dense, fhe_rlwe::SecretId::Real] {
            rlwe.check_modulus("the largest switching key", secret, everything)?;
        }
        let message_ratio = (-f64::from(set.message_ratio_bits)).exp2();
        let shape = CircuitShape {
            degree: 1 << set.log_degree,
            small_degree: 1 << set.small_log_degree,
            compute_levels: set.compute_levels,
            slots_to_coefficients_levels: set.slots_to_coefficients.len(),
            full_scale: message_ratio * base,
            message_ratio,
            lane_degree: 1 << set.lane_log_degree,
            lane_divisor: divisor,
        };
        Ok(Self { set: Arc::new(set), rlwe, shape, scales: Arc::new(scales) })
    }

    /// The definition.
    pub fn set(&self) -> &ParameterSet {
        &self.set
    }

    /// The RLWE side.
    pub fn rlwe(&self) -> &RlweParameters {
        &self.rlwe
    }

    /// What circuits see.
    pub fn shape(&self) -> &CircuitShape {
        &self.shape
    }

    /// Levels that EvalMod takes.
    pub fn eval_mod_levels(&self) -> usize {
        self.set.eval_mod_levels()
    }

    /// Levels above the compute region: EvalMod and the factors of CoeffsToSlots after the raise.
    pub fn bootstrap_levels(&self) -> usize {
        self.eval_mod_levels() + self.set.coefficients_to_slots.len()
    }

    /// `q_i` of the chain as a real number.
    pub fn prime(&self, index: usize) -> f64 {
        self.rlwe.chain().ciphertext_primes()[index].value() as f64
    }

    /// `log2` of a bound on the probability that any coefficient of so many half bootstraps has `|I| > K` and is lost.
    ///
    /// `I` is a sum of `h + 1` independent terms uniform in `[-1/2, 1/2]`, `h` the weight of the ephemeral secret; beyond `K` lie two corners
    /// of a cube, each of volume `((h + 1) / 2 - K)^(h + 1) / (h + 1)!` as long as that distance is below one.
    pub fn failure_log2(&self, half_bootstraps: u64) -> f64 {
        let terms = self.set.ephemeral_weight as f64 + 1.0;
        let distance = terms / 2.0 - f64::from(self.set.range);
        if distance <= 0.0 || half_bootstraps == 0 {
            return f64::NEG_INFINITY;
        }
        let log2_factorial: f64 = (2..=self.set.ephemeral_weight + 1).map(|k| (k as f64).log2()).sum();
        let corner = terms * distance.log2() - log2_factorial;
        (1.0 + corner + f64::from(self.set.log_degree) + (half_bootstraps as f64).log2()).min(0.0)
    }

    /// The primes of a ciphertext at `level`; `landing` is the compute level where EvalMod ends, for ciphertexts still above it.
    pub fn basis(&self, level: Level, landing: Option<Level>) -> Basis {
        match landing {
            None => Basis::prefix(level.0 + 1),
            Some(landing) => {
                let first = self.shape.top_level() + 1;
                Basis::of((0..=landing.0).chain(first..first + level.0 - landing.0))
            }
        }
    }

    /// Factor on the amplitude of EvalMod's sine when it lands at `landing`: `D_l / D_top`, within 2^-19 of one.
    pub fn landing_amplitude(&self, landing: Level) -> f64 {
        self.scales[landing.0] / self.scales[self.shape.top_level()]
    }

    /// Scale of a ciphertext at `level` (above the compute region: of EvalMod landing at `landing`).
    pub fn scale(&self, level: Level, landing: Option<Level>) -> f64 {
        match landing {
            None => self.scales[level.0],
            Some(landing) => {
                let first = self.shape.top_level() + 1;
                let steps = (level.0 - landing.0).min(self.eval_mod_levels());
                (0..steps).fold(self.scales[self.shape.top_level()] / self.shape.message_ratio, |scale, step| {
                    (scale * self.prime(first + step)).sqrt()
                })
            }
        }
    }
}
