//! Chains, random polynomials and big-integer references for the backend's tests.
#![allow(dead_code, reason = "every test binary uses a part")]

use fhe_ring::{Backend, Basis, Cpu, Modulus, Operand, PrimeChain, PrimeIndex, Shape, primes::primes_below};
use num_bigint::BigInt;
use num_traits::{Euclid, Zero};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Ciphertext primes of mixed sizes (50, 42, 42, 45, 50, .. bits), special primes of 50 bits.
pub(crate) fn chain(max_log_degree: u32, ciphertext: usize, special: usize) -> PrimeChain {
    let congruence = 4u64 << max_log_degree;
    let mut large = primes_below(1 << 50, congruence);
    let mut middle = primes_below(1 << 45, congruence);
    let mut small = primes_below(1 << 42, congruence);
    let q = (0..ciphertext)
        .map(|i| match i % 4 {
            0 => large.next().unwrap(),
            3 => middle.next().unwrap(),
            _ => small.next().unwrap(),
        })
        .collect();
    PrimeChain::new(q, large.take(special).collect(), max_log_degree).unwrap()
}

/// The backend on the machine's best instructions, and on portable ones.
pub(crate) fn backends(chain: &PrimeChain) -> [Cpu; 2] {
    [Cpu::new(chain.clone()), Cpu::portable(chain.clone())]
}

pub(crate) fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// Uniform residues with many extremes: a third of the words are 0, 1, p-1 or next to p/2.
pub(crate) fn random_residues(chain: &PrimeChain, shape: Shape, rng: &mut StdRng) -> Vec<u64> {
    let degree = shape.ring.degree();
    chain
        .moduli(shape.basis)
        .flat_map(|modulus| {
            let p = modulus.value();
            (0..degree)
                .map(|_| match rng.random_range(0..12) {
                    0 => 0,
                    1 => p - 1,
                    2 => p / 2,
                    3 => p / 2 + 1,
                    _ => rng.random_range(0..p),
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// All `p - 1`: the most that sums of products can reach.
pub(crate) fn largest_residues(chain: &PrimeChain, shape: Shape) -> Vec<u64> {
    residues(chain, shape, |modulus, _, _| modulus.value() - 1)
}

/// The words that `word` returns for every prime and every position within its limb.
pub(crate) fn residues(
    chain: &PrimeChain,
    shape: Shape,
    word: impl Fn(&Modulus, PrimeIndex, usize) -> u64,
) -> Vec<u64> {
    let positions = 0..shape.ring.degree();
    (shape.basis.indices())
        .flat_map(|prime| positions.clone().map(move |k| (prime, k)))
        .map(|(prime, k)| word(chain.modulus(prime), prime, k))
        .collect()
}

pub(crate) fn upload(backend: &Cpu, shape: Shape, words: &[u64]) -> <Cpu as Backend>::Buffer {
    backend.upload(shape, &mut |out| out.copy_from_slice(words))
}

pub(crate) fn operand<T>(buffer: &T, shape: Shape) -> Operand<'_, T> {
    Operand { buffer, shape }
}

pub(crate) fn limb(words: &[u64], shape: Shape, prime: PrimeIndex) -> &[u64] {
    let degree = shape.ring.degree();
    &words[shape.basis.position(prime).unwrap() * degree..][..degree]
}

pub(crate) fn product(chain: &PrimeChain, basis: Basis) -> BigInt {
    chain.moduli(basis).map(|modulus| BigInt::from(modulus.value())).product()
}

/// The centred integer with the given residues (Chinese remaindering over a basis).
pub(crate) fn centred(chain: &PrimeChain, basis: Basis, residues: impl Fn(PrimeIndex) -> u64) -> BigInt {
    let total = product(chain, basis);
    let mut sum = BigInt::zero();
    for prime in basis.indices() {
        let modulus = chain.modulus(prime);
        let cofactor = &total / modulus.value();
        let inverse = modulus.inverse(residue(modulus, &cofactor)).unwrap();
        sum += &cofactor * modulus.mul(inverse, residues(prime));
    }
    let reduced = sum.rem_euclid(&total);
    if &reduced * 2 > total { reduced - total } else { reduced }
}

pub(crate) fn residue(modulus: &Modulus, value: &BigInt) -> u64 {
    value.rem_euclid(&BigInt::from(modulus.value())).try_into().unwrap()
}
