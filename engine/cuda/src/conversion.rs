//! The constants of centred conversion between bases, in the layout of the kernels. The formulas, and their names, are
//! those at the top of `engine/ring/src/cpu/base_conversion.rs`.

use fhe_ring::{Basis, Modulus, PrimeChain};

use crate::tables::{modulus, multiplier, multipliers};

/// The constants of the conversion from one basis to another.
pub(crate) struct ConversionConstants {
    /// `ConversionSource` of each source prime: the `Multiplier` of `(D/p_i)^-1`, then `m_i`, then `p_i`.
    pub(crate) sources: Vec<u64>,
    /// `F`.
    pub(crate) fraction_bits: u32,
    /// A row for each source prime, and one more: `[D/p_i]_q`, and `[-D]_q`, for each target prime `q`, in halves. Rows are padded
    /// with zeros to a multiple of [`TARGETS_TOGETHER`].
    pub(crate) factors: Vec<u64>,
    /// The `Modulus` of each target prime.
    pub(crate) moduli: Vec<u64>,
    /// For each target prime `q` the `Multiplier` of `[D^-1]_q`; of zero for a `q` that divides `D`.
    pub(crate) inverse_products: Vec<u64>,
}

/// Target primes whose sums a thread forms together.
const TARGETS_TOGETHER: usize = 4;

impl ConversionConstants {
    pub(crate) fn new(chain: &PrimeChain, source: Basis, target: Basis) -> Self {
        let primes: Vec<Modulus> = chain.moduli(source).copied().collect();
        let fraction_bits = primes.iter().map(|p| p.bits() - 1).min().unwrap_or(1);
        let overflow = |p: &Modulus| ((1u128 << (52 + fraction_bits)) / u128::from(p.value())) as u64;
        let sources = (primes.iter().enumerate()).flat_map(|(i, p)| {
            let inverse = p.inverse(product(&primes, i, p)).expect("the primes of a chain are distinct");
            let [value, quotient] = multiplier(p, inverse);
            [value, quotient, overflow(p), p.value()]
        });
        let none = primes.len();
        let rows = (0..=none).map(|i| {
            let factor =
                |q: &Modulus| if i == none { q.neg(product(&primes, none, q)) } else { product(&primes, i, q) };
            let mut row: Vec<u64> = chain.moduli(target).map(factor).map(halves).collect();
            row.resize(row.len().next_multiple_of(TARGETS_TOGETHER), 0);
            row
        });
        let factors: Vec<u64> = rows.flatten().collect();
        let inverses: Vec<u64> =
            chain.moduli(target).map(|q| q.inverse(product(&primes, none, q)).unwrap_or(0)).collect();
        Self {
            sources: sources.collect(),
            fraction_bits,
            factors,
            moduli: chain.moduli(target).flat_map(modulus).collect(),
            inverse_products: multipliers(chain, target, &inverses),
        }
    }
}

/// The word of the kernels' `Halves`: 25 bits and 25 bits, for sums of products without carries.
fn halves(residue: u64) -> u64 {
    const BITS: u32 = 25;
    (residue >> BITS) << 32 | (residue & ((1 << BITS) - 1))
}

/// The product of all primes but one modulo `q`.
fn product(primes: &[Modulus], skipped: usize, q: &Modulus) -> u64 {
    (primes.iter().enumerate())
        .filter(|&(i, _)| i != skipped)
        .fold(1, |product, (_, p)| q.mul(product, q.reduce(p.value())))
}
