//! The constants of centred conversion between RNS bases.
//!
//! # The rule
//!
//! A value `x` modulo `D = p_1 .. p_k` is converted to its representative of least absolute value, modulo other primes
//! `q`. Every backend computes, in integers,
//!
//! ```text
//! y_i = x_i (D/p_i)^-1 mod p_i
//! F   = min_i floor(log2 p_i),   m_i = floor(2^(52+F) / p_i)            (below 2^52)
//! v   = (sum_i floor(y_i m_i / 2^52) + 2^(F-1)) >> F                    the rounded sum of y_i / p_i
//! out = sum_i y_i [D/p_i]_q - v [D]_q mod q
//! ```
//!
//! Each term of the sum is below `2^F y_i / p_i` by less than `1 + y_i / 2^52 < 5/4`, so `v` is the nearest integer
//! unless the sum of the `y_i / p_i` lies within `(5/4) k 2^-F` above a half-integer: only a value that close to `D/2`
//! may be represented on the other side of zero. A single prime is decided exactly: `v = 1` if `x > (p-1)/2`.
//! (Conversion with an overflow count: Halevi, Polyakov and Shoup, CT-RSA 2019, there in floating point.)

use rayon::prelude::*;

use super::{Cpu, limb::prefetch, words::Words};
use crate::{Basis, Modulus, PrimeChain, PrimeIndex};

/// The constants of the conversion from one basis to another.
pub(super) struct BaseConversion {
    /// One per source prime: `(D/p_i)^-1 mod p_i`.
    pub(super) inverse_cofactors: Vec<u64>,
    pub(super) overflow: OverflowRule,
    /// One per target prime.
    pub(super) targets: Vec<TargetConstants>,
}

/// How `v` is found.
pub(super) enum OverflowRule {
    /// A single source prime: `half = (p-1)/2`.
    Exact {
        /// The largest residue that is not lifted to a negative number.
        half: u64,
    },
    /// Several source primes.
    FixedPoint {
        /// `m_i`.
        multipliers: Vec<u64>,
        /// `F`.
        fraction_bits: u32,
    },
}

/// The constants of one target prime `q`.
pub(super) struct TargetConstants {
    pub(super) modulus: Modulus,
    /// `[D/p_i]_q` for each source prime, then `[-D]_q`: the factors of `y_1 .. y_k, v`.
    pub(super) factors: Vec<u64>,
    /// `[D^-1]_q`; zero for a `q` that divides `D`.
    pub(super) inverse_product: u64,
}

impl BaseConversion {
    pub(super) fn new(chain: &PrimeChain, source: Basis, target: Basis) -> Self {
        let sources: Vec<Modulus> = chain.moduli(source).copied().collect();
        let product_without = |skipped: usize, modulus: &Modulus| {
            (sources.iter().enumerate())
                .filter(|&(i, _)| i != skipped)
                .fold(1, |product, (_, p)| modulus.mul(product, modulus.reduce(p.value())))
        };
        let targets = (chain.moduli(target))
            .map(|q| {
                let product = product_without(sources.len(), q);
                let cofactors = (0..sources.len()).map(|i| product_without(i, q));
                TargetConstants {
                    modulus: *q,
                    factors: cofactors.chain([q.neg(product)]).collect(),
                    inverse_product: q.inverse(product).unwrap_or(0),
                }
            })
            .collect();
        let inverse_cofactors = (sources.iter().enumerate())
            .map(|(i, p)| p.inverse(product_without(i, p)).expect("the primes of a chain are distinct"))
            .collect();
        Self { inverse_cofactors, overflow: OverflowRule::new(&sources), targets }
    }
}

impl OverflowRule {
    fn new(sources: &[Modulus]) -> Self {
        if let [only] = sources {
            return Self::Exact { half: only.value() / 2 };
        }
        let fraction_bits = sources.iter().map(|p| p.bits() - 1).min().unwrap_or(1);
        let multiplier = |p: &Modulus| ((1u128 << (52 + fraction_bits)) / p.value() as u128) as u64;
        Self::FixedPoint { multipliers: sources.iter().map(multiplier).collect(), fraction_bits }
    }
}

/// Source values made ready for conversion: `y_1 .. y_k, v`, a limb each.
pub(super) struct Prepared<'a> {
    limbs: &'a [u64],
    degree: usize,
}

/// A limb to be filled by a conversion.
pub(super) struct TargetLimb<'a> {
    pub(super) prime: PrimeIndex,
    pub(super) constants: &'a TargetConstants,
    pub(super) limb: &'a mut [u64],
}

/// The limbs of a polynomial over `basis` with the constants of the conversion to that basis.
pub(super) fn target_limbs<'a>(
    words: &'a mut Words,
    basis: Basis,
    targets: &'a [TargetConstants],
) -> impl Iterator<Item = TargetLimb<'a>> {
    let degree = words.len() / targets.len();
    (basis.indices().zip(targets).zip(words.chunks_exact_mut(degree))).map(|((prime, constants), limb)| TargetLimb {
        prime,
        constants,
        limb,
    })
}

/// Target primes converted together: as many limbs as the second-level cache and its neighbour hold.
const GROUP: usize = 8;

/// Coefficients per step: `y_i` and `v` of a dozen primes stay in the first-level cache.
const CHUNK: usize = 1 << 9;

impl Cpu {
    /// Computes the overflow counts into the last limb of `limbs`, whose other limbs are `y_1 .. y_k`.
    pub(super) fn count_overflows<'a>(
        &self,
        conversion: &BaseConversion,
        limbs: &'a mut [u64],
        degree: usize,
    ) -> Prepared<'a> {
        let (scaled, overflow) = limbs.split_at_mut(limbs.len() - degree);
        let chunk = degree.min(CHUNK);
        let kernels = self.kernels(&conversion.targets[0].modulus);
        overflow.par_chunks_exact_mut(chunk).with_min_len(8).enumerate().for_each_init(
            Vec::new,
            |terms, (i, counts)| {
                terms.clear();
                terms.extend(scaled.chunks_exact(degree).map(|limb| &limb[i * chunk..][..chunk]));
                kernels.count_overflow(counts, terms, &conversion.overflow);
            },
        );
        Prepared { limbs, degree }
    }

    /// Converts to every target prime and calls `finish` on each limb while it is still in the cache.
    pub(super) fn convert<'a>(
        &self,
        prepared: &Prepared<'_>,
        mut targets: Vec<TargetLimb<'a>>,
        finish: impl Fn(&mut TargetLimb<'a>) + Sync,
    ) {
        let size = group_size(targets.len());
        targets.par_chunks_mut(size).for_each(|group| {
            self.convert_group(
                prepared,
                group.iter_mut().map(|target| (target.constants, &mut *target.limb)).collect(),
            );
            group.iter_mut().for_each(&finish);
        });
    }

    /// A few target primes: the `y_i` are read once for all of them.
    fn convert_group(&self, prepared: &Prepared<'_>, mut outputs: Vec<(&TargetConstants, &mut [u64])>) {
        let Prepared { limbs, degree } = *prepared;
        let chunk = degree.min(CHUNK);
        let mut terms: Vec<&[u64]> = Vec::with_capacity(limbs.len() / degree);
        for start in (0..degree).step_by(chunk) {
            terms.clear();
            terms.extend(limbs.chunks_exact(degree).map(|limb| &limb[start..start + chunk]));
            if start + 2 * chunk <= degree {
                limbs.chunks_exact(degree).for_each(|limb| prefetch(&limb[start + chunk..start + 2 * chunk]));
            }
            for (constants, limb) in &mut outputs {
                let out = &mut limb[start..start + chunk];
                self.kernels(&constants.modulus).linear_combination(out, &terms, &constants.factors);
            }
        }
    }
}

/// How many of `targets` primes are converted together: every thread has a share.
fn group_size(targets: usize) -> usize {
    targets.div_ceil(rayon::current_num_threads()).clamp(1, GROUP)
}
