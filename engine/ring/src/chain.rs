//! The primes that every polynomial of an engine is reduced by.

use std::{fmt, sync::Arc};

use crate::{Basis, Modulus, PrimeIndex, RingError};

/// The ciphertext primes `q_0, q_1, ..` and the special primes `p_0, p_1, ..` of one engine.
///
/// Every prime is below `2^50` and congruent to 1 modulo `4 * 2^max_log_degree`, so that one set of primes serves both
/// ring kinds at every degree up to `2^max_log_degree`. Clones share the data.
#[derive(Clone)]
pub struct PrimeChain(Arc<Primes>);

struct Primes {
    ciphertext: Vec<Modulus>,
    special: Vec<Modulus>,
    max_log_degree: u32,
}

impl PrimeChain {
    /// Largest number of ciphertext primes: what a [`Basis`] can name.
    pub const MAX_CIPHERTEXT_PRIMES: usize = 63;
    /// Largest number of special primes.
    pub const MAX_SPECIAL_PRIMES: usize = 63;
    /// Range of the binary logarithm of the largest degree.
    pub const LOG_DEGREES: std::ops::RangeInclusive<u32> = 1..=20;

    /// Checks and joins the primes, in the order in which [`Basis`] names them.
    pub fn new(ciphertext: Vec<u64>, special: Vec<u64>, max_log_degree: u32) -> Result<Self, RingError> {
        check_count("max_log_degree", max_log_degree as usize, 1, *Self::LOG_DEGREES.end() as usize)?;
        check_count("the number of ciphertext primes", ciphertext.len(), 1, Self::MAX_CIPHERTEXT_PRIMES)?;
        check_count("the number of special primes", special.len(), 0, Self::MAX_SPECIAL_PRIMES)?;
        let mut seen = std::collections::HashSet::new();
        let mut check = |index: PrimeIndex, value: u64| {
            let rejected =
                |required: String| RingError::PrimeRejected { operand: index.to_string(), found: value, required };
            if value >> Modulus::MAX_BITS != 0 {
                return Err(rejected(format!("a number below 2^{}", Modulus::MAX_BITS)));
            }
            if value % (4 << max_log_degree) != 1 {
                return Err(rejected(format!("1 modulo 4N = {}", 4u64 << max_log_degree)));
            }
            if !seen.insert(value) {
                return Err(rejected("a prime that the chain does not contain yet".into()));
            }
            Modulus::new(value).ok_or_else(|| rejected("a prime number".into()))
        };
        let ciphertext = (ciphertext.into_iter().enumerate())
            .map(|(i, value)| check(PrimeIndex::Ciphertext(i), value))
            .collect::<Result<_, _>>()?;
        let special = (special.into_iter().enumerate())
            .map(|(i, value)| check(PrimeIndex::Special(i), value))
            .collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Primes { ciphertext, special, max_log_degree })))
    }

    /// The ciphertext primes `q_0, q_1, ..`.
    pub fn ciphertext_primes(&self) -> &[Modulus] {
        &self.0.ciphertext
    }

    /// The special primes `p_0, p_1, ..`.
    pub fn special_primes(&self) -> &[Modulus] {
        &self.0.special
    }

    /// One prime, which the chain must have.
    pub fn modulus(&self, index: PrimeIndex) -> &Modulus {
        match index {
            PrimeIndex::Ciphertext(i) => &self.0.ciphertext[i],
            PrimeIndex::Special(i) => &self.0.special[i],
        }
    }

    /// Binary logarithm of the largest degree whose transforms these primes support.
    pub fn max_log_degree(&self) -> u32 {
        self.0.max_log_degree
    }

    /// All primes.
    pub fn full_basis(&self) -> Basis {
        Basis::prefix(self.0.ciphertext.len()).with_special(self.0.special.len())
    }

    /// The primes of `basis` (which must be part of the chain) in the order in which limbs are stored.
    pub fn moduli(&self, basis: Basis) -> impl Iterator<Item = &Modulus> {
        basis.indices().map(|index| self.modulus(index))
    }

    /// Binary logarithm of the product of the primes of `basis`.
    pub fn log2(&self, basis: Basis) -> f64 {
        self.moduli(basis).map(|modulus| (modulus.value() as f64).log2()).sum()
    }

    /// `P`, the product of the special primes of `basis`, modulo each ciphertext prime of `basis`; zero for its special
    /// limbs. This is the factor by which a switching key carries its message.
    pub fn special_product_residues(&self, basis: Basis) -> Vec<u64> {
        (basis.indices())
            .map(|index| match index {
                PrimeIndex::Special(_) => 0,
                PrimeIndex::Ciphertext(i) => {
                    let q = &self.0.ciphertext[i];
                    let special = self.0.special.iter().take(basis.special_count());
                    special.fold(1, |product, p| q.mul(product, q.reduce(p.value())))
                }
            })
            .collect()
    }

    /// A signed integer modulo each prime of `basis`.
    pub fn integer_residues(&self, basis: Basis, value: i128) -> Vec<u64> {
        self.moduli(basis).map(|modulus| modulus.reduce_i128(value)).collect()
    }
}

impl PartialEq for PrimeChain {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || self.0.max_log_degree == other.0.max_log_degree
                && values_of(&self.0.ciphertext) == values_of(&other.0.ciphertext)
                && values_of(&self.0.special) == values_of(&other.0.special)
    }
}

impl Eq for PrimeChain {}

impl fmt::Debug for PrimeChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrimeChain")
            .field("ciphertext", &values_of(&self.0.ciphertext))
            .field("special", &values_of(&self.0.special))
            .field("max_log_degree", &self.0.max_log_degree)
            .finish()
    }
}

fn values_of(moduli: &[Modulus]) -> Vec<u64> {
    moduli.iter().map(Modulus::value).collect()
}

fn check_count(operand: &'static str, found: usize, least: usize, most: usize) -> Result<(), RingError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(RingError::OutOfRange {
        operation: "prime chain",
        operand,
        found: found.to_string(),
        required: format!("{least}..={most}"),
        remedy: "choose another chain",
    })
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;

    use super::*;
    use crate::primes::primes_below;

    fn chain() -> PrimeChain {
        let primes: Vec<u64> = primes_below(1 << 50, 4 << 8).take(5).collect();
        PrimeChain::new(primes[..3].to_vec(), primes[3..].to_vec(), 8).unwrap()
    }

    #[test]
    fn names_its_primes_in_the_order_of_limbs() {
        let chain = chain();
        let basis = Basis::of([0, 2]).with_special(1);
        let values: Vec<u64> = chain.moduli(basis).map(Modulus::value).collect();
        let expected = [&chain.ciphertext_primes()[0], &chain.ciphertext_primes()[2], &chain.special_primes()[0]];
        assert_eq!(values, expected.map(Modulus::value));
        assert!((chain.log2(chain.full_basis()) - 250.0).abs() < 1e-6);
        assert_eq!(
            chain,
            PrimeChain::new(values_of(chain.ciphertext_primes()), values_of(chain.special_primes()), 8).unwrap()
        );
        assert_ne!(chain, PrimeChain::new(values_of(chain.ciphertext_primes()), vec![], 8).unwrap());
    }

    #[test]
    fn special_product_is_the_gadget_factor() {
        let chain = chain();
        for special in 0..=2 {
            let basis = Basis::prefix(3).with_special(special);
            let product: BigInt = chain.special_primes()[..special].iter().map(|p| BigInt::from(p.value())).product();
            let expected = (chain.moduli(Basis::prefix(3))).map(|q| u64::try_from(&product % q.value()).unwrap());
            let expected: Vec<u64> = expected.chain(std::iter::repeat_n(0, special)).collect();
            assert_eq!(chain.special_product_residues(basis), expected);
        }
    }

    #[test]
    fn integers_of_either_sign_are_reduced() {
        let chain = chain();
        for value in [0, 1, -1, i128::MAX, i128::MIN, 1 << 64] {
            let expected: Vec<u64> =
                (chain.moduli(chain.full_basis())).map(|p| value.rem_euclid(p.value() as i128) as u64).collect();
            assert_eq!(chain.integer_residues(chain.full_basis(), value), expected);
        }
    }
}
