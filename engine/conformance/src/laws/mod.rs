//! What the kernels are defined to compute, checked with schoolbook arithmetic and big integers at small degrees.

mod arithmetic;
mod base_conversion;
mod key_switching;
mod lanes;
mod modules;
mod rings;
mod weights;

use fhe_ring::{Backend, Basis, Modulus, Poly, Shape};
use num_bigint::BigInt;
use num_traits::{One, Zero};

use crate::{Pattern, cases};

/// Largest binary logarithm of the degree of these checks.
const LARGEST: u32 = 5;

/// Requires that a backend with data follows the definitions of all kernels.
///
/// # Panics
/// If it does not, naming the case and the law.
pub fn hold<B: Backend>(backend: &B) {
    assert!(B::HOLDS_DATA, "laws are about data");
    for case in cases(backend.primes()).iter().filter(|case| case.ring.log_degree <= LARGEST) {
        arithmetic::check(backend, case);
        rings::check(backend, case);
        base_conversion::check(backend, case);
        key_switching::check(backend, case);
        lanes::check(backend, case);
    }
    for pattern in Pattern::ALL {
        modules::check(backend, pattern);
        weights::check(backend, pattern);
    }
}

/// Residues of the coefficients, limb by limb.
fn coefficients<B: Backend>(backend: &B, poly: &Poly<B>) -> Vec<Vec<u64>> {
    let words = poly.duplicate(backend).into_coefficient(backend).download(backend).expect("the backend holds data");
    words.chunks(poly.shape().ring.degree()).map(<[u64]>::to_vec).collect()
}

/// Applies `law` to each limb's residues and compares.
fn compare<B: Backend>(
    backend: &B,
    context: &str,
    found: &Poly<B>,
    sources: &[&Poly<B>],
    law: impl Fn(&Modulus, &[Vec<u64>]) -> Vec<u64>,
) {
    let sources: Vec<_> = sources.iter().map(|source| coefficients(backend, source)).collect();
    for (limb, modulus) in backend.primes().moduli(found.shape().basis).enumerate() {
        let residues: Vec<_> = sources.iter().map(|source| source[limb].clone()).collect();
        assert_eq!(coefficients(backend, found)[limb], law(modulus, &residues), "{context}, modulo {modulus}");
    }
}

/// The coefficients as integers of least absolute value modulo the product of the primes.
fn integers<B: Backend>(backend: &B, poly: &Poly<B>) -> Vec<BigInt> {
    let limbs = coefficients(backend, poly);
    let basis = poly.shape().basis;
    let product = product(backend, basis);
    // Chinese remainders: the sum of residue * (Q/q) * ((Q/q)^-1 mod q).
    let terms: Vec<BigInt> = (backend.primes().moduli(basis))
        .map(|modulus| {
            let cofactor = &product / modulus.value();
            let inverse = cofactor.modpow(&BigInt::from(modulus.value() - 2), &BigInt::from(modulus.value()));
            cofactor * inverse
        })
        .collect();
    (0..poly.shape().ring.degree())
        .map(|i| centred(limbs.iter().zip(&terms).map(|(limb, term)| term * limb[i]).sum(), &product))
        .collect()
}

/// Product of the primes.
fn product<B: Backend>(backend: &B, basis: Basis) -> BigInt {
    backend.primes().moduli(basis).fold(BigInt::one(), |product, modulus| product * modulus.value())
}

/// The representative of least absolute value.
fn centred(value: BigInt, modulus: &BigInt) -> BigInt {
    let mut remainder = value % modulus;
    if remainder < BigInt::zero() {
        remainder += modulus;
    }
    if &remainder * 2 > *modulus { remainder - modulus } else { remainder }
}

/// Requires `|value| <= modulus / 2`, give or take a hundredth: a rounding quotient may be found in fixed point, so
/// that values next to the boundary can land on its other side.
fn assert_centred(value: &BigInt, modulus: &BigInt, context: &dyn std::fmt::Display) {
    assert!(
        value.magnitude() * 100u32 <= modulus.magnitude() * 51u32,
        "{context}: {value} is no centred residue of {modulus}"
    );
}

/// The polynomial that a pattern means, in the evaluation domain.
fn values<B: Backend>(backend: &B, pattern: Pattern, shape: Shape, salt: u64) -> Poly<B> {
    pattern.poly(backend, shape.with_domain(fhe_ring::Domain::Coefficient), salt).into_evaluation(backend)
}
