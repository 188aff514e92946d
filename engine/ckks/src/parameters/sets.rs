//! The named parameter sets, as data, and what makes one valid.

use std::ops::Range;

use fhe_ring::Basis;
use fhe_rlwe::LowRegion;

use crate::CkksError;

/// Precision that a set promises, in bits of the range of a half bootstrap; held by a test on its ring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claims {
    /// `-log2` of the mean error, uniform coefficients, cubic correction applied.
    pub mean_bits: f64,
    /// `-log2` of the largest error.
    pub worst_bits: f64,
}

/// What a named parameter set is made of; validated by [`Parameters::new`](super::Parameters::new).
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSet {
    /// Name under which users ask for the set.
    pub name: &'static str,
    /// `log2` of the ring degree.
    pub log_degree: u32,
    /// `log2` of the small ring's degree.
    pub small_log_degree: u32,
    /// `log2` of the degree of the ring of lanes.
    pub lane_log_degree: u32,
    /// Bits of `q_0`.
    pub base_bits: u32,
    /// Bits of each compute and SlotsToCoeffs prime.
    pub compute_bits: u32,
    /// Compute levels left by a half bootstrap.
    pub compute_levels: usize,
    /// Bits of each EvalMod, CoeffsToSlots and special prime.
    pub bootstrap_bits: u32,
    /// Positions in the chain of the primes of each gadget digit. Chosen so that a raise to fewer compute levels, whose chain has
    /// gaps, still fills its digits, and that every digit stays well below the special modulus: the noise of a key switch then vanishes
    /// beside that of a rescaling.
    pub gadget_groups: &'static [&'static [Range<usize>]],
    /// Number of special primes.
    pub special_primes: usize,
    /// Special primes of key switches at the levels of SlotsToCoeffs.
    pub low_special_primes: usize,
    /// Butterfly layers of the CoeffsToSlots factor that is done on the raise and consumes no level.
    pub raise_layers: usize,
    /// Butterfly layers of each later CoeffsToSlots factor, from the raise down.
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
#[allow(clippy::single_range_in_vec_init, reason = "groups of positions are lists of ranges, most of one range")]
pub const N16_LLAMA: ParameterSet = ParameterSet {
    name: "n16-llama",
    log_degree: 16,
    small_log_degree: 12,
    lane_log_degree: 13,
    base_bits: 50,
    compute_bits: 42,
    compute_levels: 14,
    bootstrap_bits: 50,
    gadget_groups: &[&[0..8], &[8..12, 18..22], &[12..18], &[22..29]],
    special_primes: 8,
    low_special_primes: 4,
    raise_layers: 4,
    coefficients_to_slots: &[4, 4, 3],
    slots_to_coefficients: &[4, 5, 6],
    range: 16,
    cosine_degree: 30,
    double_angles: 3,
    message_ratio_bits: 8,
    ephemeral_weight: 32,
    insecure: false,
    claims: Claims { mean_bits: 21.0, worst_bits: 16.0 },
};

/// Small insecure twins of [`N16_LLAMA`] with the same chain and circuit, for tests.
pub const N11_TOY: ParameterSet = ParameterSet {
    name: "n11-toy",
    log_degree: 11,
    small_log_degree: 8,
    lane_log_degree: 8,
    raise_layers: 3,
    coefficients_to_slots: &[3, 2, 2],
    slots_to_coefficients: &[3, 3, 4],
    insecure: true,
    ..N16_LLAMA
};

/// The larger twin: room for a small decoder with 16 or 32 tokens.
pub const N13_TOY: ParameterSet = ParameterSet {
    name: "n13-toy",
    log_degree: 13,
    small_log_degree: 10,
    lane_log_degree: 10,
    raise_layers: 3,
    coefficients_to_slots: &[3, 3, 3],
    slots_to_coefficients: &[4, 4, 4],
    insecure: true,
    ..N16_LLAMA
};

/// Every named set.
pub const PARAMETER_SETS: [&ParameterSet; 3] = [&N16_LLAMA, &N13_TOY, &N11_TOY];

impl ParameterSet {
    /// Levels that EvalMod takes.
    pub fn eval_mod_levels(&self) -> usize {
        // An even polynomial of degree d is one of degree d/2 in T_2: one level for T_2, ceil(log2(d/2 + 1)) for the rest.
        1 + (self.cosine_degree / 2 + 1).next_power_of_two().trailing_zeros() as usize + self.double_angles
    }

    /// The gadget digits as sets of primes.
    pub(super) fn gadget_bases(&self) -> Vec<Basis> {
        self.gadget_groups.iter().map(|group| Basis::of(group.iter().cloned().flatten())).collect()
    }

    /// The levels of SlotsToCoeffs, where the chain is short.
    pub(super) fn low_region(&self) -> LowRegion {
        LowRegion { primes: 1 + self.slots_to_coefficients.len(), special: self.low_special_primes }
    }

    pub(super) fn validate(&self) -> Result<(), CkksError> {
        let refuse = |operand, found: String, required: String| {
            Err(CkksError::Precondition {
                operation: "Parameters::new",
                operand,
                found,
                required,
                remedy: "change the parameter set",
            })
        };
        let layers = self.log_degree as usize - 1;
        let ascent: Vec<usize> =
            std::iter::once(self.raise_layers).chain(self.coefficients_to_slots.iter().copied()).collect();
        for (operand, factors) in [
            ("raise_layers and coefficients_to_slots", ascent.as_slice()),
            ("slots_to_coefficients", self.slots_to_coefficients),
        ] {
            if factors.iter().sum::<usize>() != layers || factors.contains(&0) {
                return refuse(operand, format!("{factors:?}"), format!("positive layers that sum to {layers}"));
            }
        }
        if self.coefficients_to_slots.is_empty() || self.slots_to_coefficients.len() < 2 {
            return refuse(
                "coefficients_to_slots and slots_to_coefficients",
                format!("{:?} and {:?}", self.coefficients_to_slots, self.slots_to_coefficients),
                "at least one and at least two factors".into(),
            );
        }
        if self.cosine_degree % 2 == 1 || self.cosine_degree < 2 {
            return refuse("cosine_degree", self.cosine_degree.to_string(), "even and positive".into());
        }
        if self.range < 16 && !self.insecure {
            return refuse(
                "range",
                self.range.to_string(),
                "at least 16, for a failure probability near 2^-127".into(),
            );
        }
        for (operand, bits) in [
            ("base_bits", self.base_bits),
            ("compute_bits", self.compute_bits),
            ("bootstrap_bits", self.bootstrap_bits),
        ] {
            if !(30..=50).contains(&bits) {
                return refuse(operand, bits.to_string(), "30 to 50 bits".into());
            }
        }
        Ok(())
    }
}
