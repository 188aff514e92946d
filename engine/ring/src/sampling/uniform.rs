//! Uniform residues: the public halves of keys and ciphertexts.

use rayon::prelude::*;

use crate::{Basis, Modulus, PrimeChain, RingError, Seed};

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
    let primes: Vec<u64> = chain.moduli(basis).map(Modulus::value).collect();
    let seeds: Vec<Seed> = limb_seeds(seed, chain, basis).collect();
    if degree > 0 {
        (out.par_chunks_mut(degree).zip(primes).zip(seeds))
            .for_each(|((limb, prime), seed)| uniform_residues(seed.stream(), prime, limb));
    }
    Ok(())
}

/// The keys of the streams of [`uniform_limbs`], for a backend that expands them itself: the words of a limb are those of BLAKE3's extendable output, under
/// the limb's key and of nothing, that are below the prime once masked to its length.
pub fn limb_seeds(seed: &Seed, chain: &PrimeChain, basis: Basis) -> impl Iterator<Item = Seed> {
    chain.moduli(basis).map(|prime| seed.derive("uniform limb", prime.value()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::{is_prime, primes_below};

    const DEGREE: usize = 1 << 14;

    fn chain() -> PrimeChain {
        let congruence = 4 << 14;
        let high: Vec<u64> = primes_below(1 << 50, congruence).take(2).collect();
        // A prime just above a power of two, where every other candidate is rejected, and a small one.
        let just_above = ((1u64 << 41) + 1..).step_by(congruence as usize).find(|p| is_prime(*p)).unwrap();
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
}
