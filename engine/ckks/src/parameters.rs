//! The coupled tuple of a CKKS parameter set: chain, scales, bootstrapping circuit.
//!
//! The chain, from the bottom: `q_0`; the primes of SlotsToCoeffs; the compute primes; those of EvalMod; those of CoeffsToSlots; beside it the
//! special primes. A level is the number of rescalings a ciphertext can still take.
//!
//! **Canonical scales.** A ciphertext at compute level `l` always has scale `D_l` with `D_(l-1) = D_l^2 / q_l`. The primes are
//! chosen from the top so that no `D_l` strays: `q_l` is the unused prime nearest to `D_l^2 / 2^bits`. Above the compute
//! region the scales run backwards from the landing: EvalMod ends at scale `D_top / r`, which read at scale `D_top`
//! multiplies the message by `1/r`, so that the seam costs no level. They are the same wherever EvalMod lands (its argument must be exact to
//! 2^-30); landing at a lower level `l`, its amplitude makes up for `D_l / D_top`.

use std::sync::Arc;

use fhe_ring::{
    Basis, PrimeChain,
    primes::{nearest_prime, primes_below},
};
use fhe_rlwe::{Parameters as RlweParameters, ParametersSpec};

use crate::{CircuitShape, CkksError, Level};

/// Precision that a set promises, in bits of the range of a half bootstrap; held by a test on its ring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claims {
    /// `-log2` of the mean error, uniform coefficients, cubic correction applied.
    pub mean_bits: f64,
    /// `-log2` of the largest error.
    pub worst_bits: f64,
}

/// What a named parameter set is made of; validated by [`Parameters::new`].
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSet {
    /// Name under which users ask for the set.
    pub name: &'static str,
    /// `log2` of the ring degree.
    pub log_degree: u32,
    /// `log2` of the small ring's degree.
    pub small_log_degree: u32,
    /// Bits of `q_0`.
    pub base_bits: u32,
    /// Bits of each compute and SlotsToCoeffs prime.
    pub compute_bits: u32,
    /// Compute levels left by a half bootstrap.
    pub compute_levels: usize,
    /// Bits of each EvalMod, CoeffsToSlots and special prime.
    pub bootstrap_bits: u32,
    /// Primes per gadget digit.
    pub gadget_width: usize,
    /// Number of special primes. One more than the gadget width makes the noise of a key switch vanish beside that of a rescaling:
    /// with as many, digits of six 50-bit primes leave 2^9 per coefficient, and half bootstrapping loses two bits.
    pub special_primes: usize,
    /// Butterfly layers of each CoeffsToSlots factor, from the raise down.
    pub coefficients_to_slots: &'static [usize],
    /// Butterfly layers of each SlotsToCoeffs factor.
    pub slots_to_coefficients: &'static [usize],
    /// `K`: EvalMod handles `|I| <= K`.
    pub range: u32,
    /// Degree of the even cosine polynomial.
    pub cosine_degree: usize,
    /// Double-angle steps after it.
    pub double_angles: usize,
    /// `-log2` of the message ratio `r`.
    pub message_ratio_bits: u32,
    /// Weight of the ephemeral secret.
    pub ephemeral_weight: usize,
    /// Whether keys below 128 bits are accepted.
    pub insecure: bool,
    /// Precision promised.
    pub claims: Claims,
}

/// The set for real runs: 128 bits, 14 compute levels after a half bootstrap.
pub const N16_LLAMA: ParameterSet = ParameterSet {
    name: "n16-llama",
    log_degree: 16,
    small_log_degree: 12,
    base_bits: 50,
    compute_bits: 42,
    compute_levels: 14,
    bootstrap_bits: 50,
    gadget_width: 6,
    special_primes: 7,
    coefficients_to_slots: &[4, 4, 4, 3],
    slots_to_coefficients: &[5, 5, 5],
    range: 16,
    cosine_degree: 30,
    double_angles: 3,
    message_ratio_bits: 8,
    ephemeral_weight: 32,
    insecure: false,
    claims: Claims { mean_bits: 20.0, worst_bits: 17.0 },
};

/// Small insecure twins of [`N16_LLAMA`] with the same chain and circuit, for tests.
pub const N11_TOY: ParameterSet = ParameterSet {
    name: "n11-toy",
    log_degree: 11,
    small_log_degree: 8,
    coefficients_to_slots: &[3, 3, 2, 2],
    slots_to_coefficients: &[4, 3, 3],
    insecure: true,
    ..N16_LLAMA
};

/// The larger twin: room for a small decoder with 16 or 32 tokens.
pub const N13_TOY: ParameterSet = ParameterSet {
    name: "n13-toy",
    log_degree: 13,
    small_log_degree: 10,
    coefficients_to_slots: &[3, 3, 3, 3],
    slots_to_coefficients: &[4, 4, 4],
    insecure: true,
    ..N16_LLAMA
};

/// Every named set.
pub const PARAMETER_SETS: [&ParameterSet; 3] = [&N16_LLAMA, &N13_TOY, &N11_TOY];

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
        validate(&set)?;
        let (chain, scales) = choose_primes(&set)?;
        let base = chain.ciphertext_primes()[0].value() as f64;
        let rlwe = RlweParameters::new(ParametersSpec {
            name: set.name.to_owned(),
            log_degree: set.log_degree,
            chain,
            gadget_width: set.gadget_width,
            ephemeral_weight: set.ephemeral_weight,
            small_log_degree: set.small_log_degree,
            insecure: set.insecure,
        })?;
        let everything = rlwe.ciphertext_basis().with_special(set.special_primes);
        rlwe.check_modulus("the largest switching key", fhe_rlwe::SecretId::Dense, everything)?;
        let message_ratio = (-f64::from(set.message_ratio_bits)).exp2();
        let shape = CircuitShape {
            slots: 1 << (set.log_degree - 1),
            compute_levels: set.compute_levels,
            slots_to_coefficients_levels: set.slots_to_coefficients.len(),
            full_scale: message_ratio * base,
            message_ratio,
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
        eval_mod_levels(&self.set)
    }

    /// Levels above the compute region: EvalMod and CoeffsToSlots.
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

fn eval_mod_levels(set: &ParameterSet) -> usize {
    // An even polynomial of degree d is one of degree d/2 in T_2: one level for T_2, ceil(log2(d/2 + 1)) for the rest.
    1 + (set.cosine_degree / 2 + 1).next_power_of_two().trailing_zeros() as usize + set.double_angles
}

fn validate(set: &ParameterSet) -> Result<(), CkksError> {
    let refuse = |operand, found: String, required: String| {
        Err(CkksError::Precondition {
            operation: "Parameters::new",
            operand,
            found,
            required,
            remedy: "change the parameter set",
        })
    };
    let layers = set.log_degree as usize - 1;
    for (operand, factors) in
        [("coefficients_to_slots", set.coefficients_to_slots), ("slots_to_coefficients", set.slots_to_coefficients)]
    {
        if factors.iter().sum::<usize>() != layers || factors.contains(&0) {
            return refuse(operand, format!("{factors:?}"), format!("positive layers that sum to {layers}"));
        }
    }
    if set.cosine_degree % 2 == 1 || set.cosine_degree < 2 {
        return refuse("cosine_degree", set.cosine_degree.to_string(), "even and positive".into());
    }
    if set.range < 16 && !set.insecure {
        return refuse("range", set.range.to_string(), "at least 16, for a failure probability near 2^-127".into());
    }
    for (operand, bits) in
        [("base_bits", set.base_bits), ("compute_bits", set.compute_bits), ("bootstrap_bits", set.bootstrap_bits)]
    {
        if !(30..=50).contains(&bits) {
            return refuse(operand, bits.to_string(), "30 to 50 bits".into());
        }
    }
    Ok(())
}

/// The chain and the canonical scales of the compute region.
fn choose_primes(set: &ParameterSet) -> Result<(PrimeChain, Vec<f64>), CkksError> {
    let congruence = 4u64 << set.log_degree;
    let exhausted = || CkksError::Precondition {
        operation: "Parameters::new",
        operand: "primes",
        found: "too few of the wanted size".into(),
        required: format!("primes congruent to 1 modulo {congruence}"),
        remedy: "use fewer or larger primes",
    };
    let mut used: Vec<u64> = Vec::new();
    let below = |bits: u32, used: &mut Vec<u64>| {
        let prime = primes_below(1 << bits, congruence).find(|p| !used.contains(p)).ok_or_else(exhausted)?;
        used.push(prime);
        Ok::<u64, CkksError>(prime)
    };
    let base = below(set.base_bits, &mut used)?;
    let above = eval_mod_levels(set) + set.coefficients_to_slots.len();
    let bootstrap = (0..above).map(|_| below(set.bootstrap_bits, &mut used)).collect::<Result<Vec<_>, _>>()?;
    let special =
        (0..set.special_primes).map(|_| below(set.bootstrap_bits, &mut used)).collect::<Result<Vec<_>, _>>()?;

    let levels = set.compute_levels + set.slots_to_coefficients.len();
    let nominal = f64::from(set.compute_bits).exp2();
    let mut scales = vec![nominal; levels + 1];
    let mut compute = vec![0; levels];
    for level in (1..=levels).rev() {
        let square = scales[level] * scales[level];
        let prime = nearest_prime(square / nominal, congruence, &used).ok_or_else(exhausted)?;
        used.push(prime);
        compute[level - 1] = prime;
        scales[level - 1] = square / prime as f64;
    }
    let mut ciphertext = vec![base];
    ciphertext.extend(compute);
    ciphertext.extend(bootstrap);
    Ok((PrimeChain::new(ciphertext, special, set.log_degree)?, scales))
}
