//! Randomness: seeds, uniform residues, ternary secrets and Gaussian errors.
//!
//! Everything random comes from a [`Seed`] through a cryptographic generator. Secret vectors are returned by value: the
//! caller owns them and wipes them (with `zeroize`) when done.

use std::fmt;

use rand::{CryptoRng, Rng, SeedableRng, TryRngCore, rngs::OsRng};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{Basis, PrimeChain, RingError};

/// 256 bits that determine everything sampled from them. Wiped on drop, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed with the given bytes: of a reproducible run, or the public seed of a key's uniform half.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh seed from the operating system.
    pub fn from_os() -> Result<Self, RingError> {
        let mut bytes = [0; 32];
        match OsRng.try_fill_bytes(&mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(error) => Err(RingError::NoEntropy { found: error.to_string() }),
        }
    }

    /// The bytes. Those of a public seed may be stored; those of a secret one never leave the client.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// An independent seed for the purpose `label`, number `index`: keyed BLAKE3, so that nothing can be learnt about
    /// this seed or its other descendants.
    pub fn derive(&self, label: &str, index: u64) -> Self {
        Self(*self.hash(label, index).finalize().as_bytes())
    }

    fn hash(&self, label: &str, index: u64) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(label.len() as u64).to_le_bytes()).update(label.as_bytes()).update(&index.to_le_bytes());
        hasher
    }

    /// The generator that this seed starts.
    pub fn rng(&self) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.0)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// Fills `out` (limb-major, `degree` words per prime of `basis`) with uniform residues.
///
/// Each prime has a stream of its own, named by its value: what is expanded for fewer primes equals the restriction of
/// what is expanded for more.
pub fn uniform_limbs(
    seed: &Seed,
    chain: &PrimeChain,
    basis: Basis,
    degree: usize,
    out: &mut [u64],
) -> Result<(), RingError> {
    let operation = "uniform_limbs";
    if !chain.full_basis().contains(basis) {
        return Err(RingError::BasisMismatch {
            operation,
            operand: "the basis",
            found: basis,
            required: chain.full_basis(),
            remedy: "name only primes of the chain",
        });
    }
    if out.len() != basis.len() * degree {
        return Err(RingError::LengthMismatch {
            operation,
            operand: "the output",
            found: out.len(),
            required: basis.len() * degree,
            remedy: "provide one limb of `degree` words for each prime",
        });
    }
    let primes: Vec<u64> = chain.moduli(basis).map(|modulus| modulus.value()).collect();
    if degree > 0 {
        (out.par_chunks_mut(degree).zip(primes))
            .for_each(|(limb, prime)| uniform_residues(seed.hash("uniform limb", prime).finalize_xof(), prime, limb));
    }
    Ok(())
}

/// Rejection sampling of 64-bit words masked to the prime's length. The words are BLAKE3's extendable output, a counter
/// mode like ChaCha's but with sixteen blocks side by side in 512-bit vectors: several gigabytes per second and core.
fn uniform_residues(mut stream: blake3::OutputReader, prime: u64, limb: &mut [u64]) {
    let mask = u64::MAX >> prime.leading_zeros();
    let mut block = [0u8; 4096];
    let mut filled = 0;
    while filled < limb.len() {
        stream.fill(&mut block);
        for bytes in block.as_chunks::<8>().0 {
            let candidate = u64::from_le_bytes(*bytes) & mask;
            // Written always, kept only if below the prime: no branch that the words could mispredict.
            let Some(slot) = limb.get_mut(filled) else { return };
            *slot = candidate;
            filled += usize::from(candidate < prime);
        }
    }
}

/// `n` independent uniform values of {-1, 0, 1}.
pub fn ternary(rng: &mut impl CryptoRng, n: usize) -> Vec<i8> {
    let mut values = Vec::with_capacity(n);
    while values.len() < n {
        let mut word = rng.next_u64();
        for _ in 0..32.min(n - values.len()) {
            let pair = (word & 3) as i8;
            word >>= 2;
            if pair < 3 {
                values.push(pair - 1);
            }
        }
        word.zeroize();
    }
    values
}

/// `n` values of which exactly `weight` are nonzero, uniform among those: random positions, random signs.
pub fn sparse_ternary(rng: &mut impl CryptoRng, n: usize, weight: usize) -> Result<Vec<i8>, RingError> {
    if weight > n {
        return Err(RingError::OutOfRange {
            operation: "sparse_ternary",
            operand: "the Hamming weight",
            found: weight.to_string(),
            required: format!("at most the length {n}"),
            remedy: "choose a smaller weight",
        });
    }
    let mut values = vec![0; n];
    let mut placed = 0;
    while placed < weight {
        let position = rng.random_range(0..n);
        if values[position] == 0 {
            values[position] = if rng.random() { 1 } else { -1 };
            placed += 1;
        }
    }
    Ok(values)
}

/// Largest standard deviation that [`gaussian`] tabulates.
pub const MAX_STANDARD_DEVIATION: f64 = 64.0;

/// `n` independent values of the discrete Gaussian: `k` with probability proportional to `exp(-k^2 / 2 sigma^2)`.
///
/// A cumulative table of 63-bit probabilities, read whole for every sample, so that the time is independent of the
/// values. The table ends where it cannot resolve the tail, at about nine standard deviations.
pub fn gaussian(rng: &mut impl CryptoRng, n: usize, sigma: f64) -> Result<Vec<i32>, RingError> {
    if !(sigma > 0.0 && sigma <= MAX_STANDARD_DEVIATION) {
        return Err(RingError::OutOfRange {
            operation: "gaussian",
            operand: "the standard deviation",
            found: sigma.to_string(),
            required: format!("a number above 0 and at most {MAX_STANDARD_DEVIATION}"),
            remedy: "errors of encryptions have a standard deviation near 3.2",
        });
    }
    let table = tail_probabilities(sigma);
    let mut values = vec![0; n];
    for value in &mut values {
        let word = rng.next_u64();
        let (uniform, negative) = (word >> 1, (word & 1) as i32);
        let magnitude: i32 = table.iter().map(|&tail| i32::from(uniform < tail)).sum();
        *value = (magnitude ^ -negative) + negative;
    }
    Ok(values)
}

/// Entry `k` is the probability that the magnitude exceeds `k`, in units of `2^-63`. Zero has one sign, other magnitudes
/// two.
fn tail_probabilities(sigma: f64) -> Vec<u64> {
    let weight = |k: i32| (-f64::from(k).powi(2) / (2.0 * sigma * sigma)).exp() * if k == 0 { 1.0 } else { 2.0 };
    let most = (9.5 * sigma).ceil() as i32;
    // Summed from the tail, where the small terms are.
    let mut tails: Vec<f64> = Vec::new();
    let mut sum = 0.0;
    for k in (0..=most).rev() {
        tails.push(sum);
        sum += weight(k);
    }
    let unit = 2f64.powi(63) / sum;
    tails.iter().rev().map(|tail| (tail * unit) as u64).take_while(|&tail| tail > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::primes_below;

    const DEGREE: usize = 1 << 14;

    fn chain() -> PrimeChain {
        let congruence = 4 << 14;
        let high: Vec<u64> = primes_below(1 << 50, congruence).take(2).collect();
        // A prime just above a power of two, where every other candidate is rejected, and a small one.
        let just_above = ((1u64 << 41) + 1..).step_by(congruence as usize).find(|p| crate::primes::is_prime(*p)).unwrap();
        let small = primes_below(1 << 20, congruence).next().unwrap();
        PrimeChain::new(vec![high[0], just_above, small], vec![high[1]], 14).unwrap()
    }

    fn expand(seed: &Seed, basis: Basis) -> Vec<u64> {
        let mut out = vec![0; basis.len() * DEGREE];
        uniform_limbs(seed, &chain(), basis, DEGREE, &mut out).unwrap();
        out
    }

    #[test]
    fn uniform_limbs_are_uniform() {
        let chain = chain();
        let out = expand(&Seed::from_bytes([7; 32]), chain.full_basis());
        for (limb, modulus) in out.chunks(DEGREE).zip(chain.moduli(chain.full_basis())) {
            assert!(limb.iter().all(|&word| word < modulus.value()));
            // Chi-squared over 64 equal cells: 63 degrees of freedom, standard deviation sqrt(126); six of them allowed.
            let mut cells = [0f64; 64];
            for &word in limb {
                cells[(word as u128 * 64 / modulus.value() as u128) as usize] += 1.0;
            }
            let expected = DEGREE as f64 / 64.0;
            let chi_squared: f64 = cells.iter().map(|cell| (cell - expected).powi(2) / expected).sum();
            assert!((chi_squared - 63.0).abs() < 6.0 * 126f64.sqrt(), "{chi_squared}");
        }
    }

    #[test]
    fn fewer_primes_expand_to_the_restriction() {
        let seed = Seed::from_bytes([1; 32]);
        let full = expand(&seed, Basis::prefix(3).with_special(1));
        let gap = expand(&seed, Basis::of([0, 2]).with_special(1));
        assert_eq!(gap[..DEGREE], full[..DEGREE]);
        assert_eq!(gap[DEGREE..], full[2 * DEGREE..]);
        assert_ne!(expand(&seed.derive("other", 0), Basis::prefix(1)), full[..DEGREE]);
        // A shorter expansion is the beginning of a longer one.
        let mut short = vec![0; 100];
        uniform_limbs(&seed, &chain(), Basis::prefix(1), 100, &mut short).unwrap();
        assert_eq!(short, full[..100]);
    }

    #[test]
    fn rejects_foreign_primes_and_wrong_lengths() {
        let (seed, chain) = (Seed::from_bytes([0; 32]), chain());
        let foreign = uniform_limbs(&seed, &chain, Basis::prefix(4), 1, &mut [0; 4]);
        assert!(matches!(foreign, Err(RingError::BasisMismatch { .. })));
        let short = uniform_limbs(&seed, &chain, Basis::prefix(2), 8, &mut [0; 15]);
        assert!(matches!(short, Err(RingError::LengthMismatch { found: 15, required: 16, .. })));
    }

    #[test]
    fn ternary_values_are_balanced() {
        let n = 90_000;
        let values = ternary(&mut Seed::from_bytes([2; 32]).rng(), n);
        assert_eq!(values.len(), n);
        for value in -1..=1 {
            // Binomial with probability 1/3: standard deviation 141.
            let count = values.iter().filter(|&&v| v == value).count() as f64;
            assert!((count - 30_000.0).abs() < 6.0 * 141.5, "{value}: {count}");
        }
        // Neighbours are independent: nine pairs, 10000 each of 90000, standard deviation 94.
        let repeated = values.chunks(2).filter(|pair| pair[0] == pair[1]).count() as f64;
        assert!((repeated - 15_000.0).abs() < 6.0 * 100.0, "{repeated}");
    }

    #[test]
    fn sparse_ternary_has_its_weight() {
        let mut rng = Seed::from_bytes([3; 32]).rng();
        let (mut plus, mut first_half) = (0, 0);
        for _ in 0..500 {
            let values = sparse_ternary(&mut rng, 4096, 32).unwrap();
            assert_eq!(values.iter().filter(|&&v| v != 0).count(), 32);
            plus += values.iter().filter(|&&v| v == 1).count();
            first_half += values[..2048].iter().filter(|&&v| v != 0).count();
        }
        // 16000 signs and positions: standard deviation 63.
        assert!(plus.abs_diff(8000) < 380 && first_half.abs_diff(8000) < 380, "{plus} {first_half}");
        assert_eq!(sparse_ternary(&mut rng, 4, 4).unwrap().iter().filter(|&&v| v != 0).count(), 4);
        assert!(matches!(sparse_ternary(&mut rng, 4, 5), Err(RingError::OutOfRange { .. })));
    }

    #[test]
    fn gaussian_follows_its_density() {
        for sigma in [0.5, 3.19, 20.0] {
            let n = 200_000;
            let values = gaussian(&mut Seed::from_bytes([4; 32]).rng(), n, sigma).unwrap();
            let total: f64 = (-400..=400).map(|k| (-f64::from(k * k) / (2.0 * sigma * sigma)).exp()).sum();
            for k in -3..=3 {
                let probability = (-f64::from(k * k) / (2.0 * sigma * sigma)).exp() / total;
                let deviation = (n as f64 * probability * (1.0 - probability)).sqrt();
                let count = values.iter().filter(|&&v| v == k).count() as f64;
                assert!((count - n as f64 * probability).abs() < 6.0 * deviation + 1.0, "{sigma} {k}: {count}");
            }
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
            assert!(mean.abs() < 6.0 * sigma / (n as f64).sqrt(), "{mean}");
            let variance = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n as f64;
            if sigma > 1.0 {
                // The variance of a sample of n has the relative standard deviation sqrt(2 / n).
                assert!((variance / (sigma * sigma) - 1.0).abs() < 6.0 * (2.0 / n as f64).sqrt(), "{variance}");
            }
            assert!(values.iter().all(|&v| f64::from(v.abs()) <= 9.5 * sigma + 1.0));
        }
    }

    #[test]
    fn rejects_deviations_that_are_no_table() {
        let mut rng = Seed::from_bytes([5; 32]).rng();
        for sigma in [0.0, -1.0, f64::NAN, f64::INFINITY, 65.0] {
            assert!(matches!(gaussian(&mut rng, 1, sigma), Err(RingError::OutOfRange { .. })), "{sigma}");
        }
    }

    #[test]
    fn seeds_are_silent_and_independent() {
        let seed = Seed::from_bytes([0x5a; 32]);
        assert_eq!(format!("{seed:?}"), "Seed(..)");
        let labels = [("a", 0), ("a", 1), ("b", 0), ("ab", 0)];
        let mut derived: Vec<_> = labels.map(|(label, index)| *seed.derive(label, index).as_bytes()).to_vec();
        derived.push(*seed.as_bytes());
        derived.sort();
        derived.dedup();
        assert_eq!(derived.len(), 5);
        assert_eq!(seed.derive("a", 1), Seed::from_bytes([0x5a; 32]).derive("a", 1));
        assert_ne!(Seed::from_os().unwrap(), Seed::from_os().unwrap());
    }
}
