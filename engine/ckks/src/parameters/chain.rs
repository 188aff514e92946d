//! The primes of a set, and the canonical scales that follow from them.

use fhe_ring::{
    PrimeChain,
    primes::{nearest_prime, primes_below},
};

use super::ParameterSet;
use crate::CkksError;

/// The chain and the canonical scales of the compute region.
pub(super) fn choose_primes(set: &ParameterSet) -> Result<(PrimeChain, Vec<f64>), CkksError> {
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
    let above = set.eval_mod_levels() + set.coefficients_to_slots.len();
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
