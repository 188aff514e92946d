//! Chains and polynomials to put through both backends.

use fhe_cuda::{Cuda, Device};
use fhe_ring::{
    Backend, Cpu, Modulus, Operand, PrimeChain, Ring, RingKind, Seed, Shape, primes::primes_below, uniform_limbs,
};

/// The largest degree that the kernels transform.
pub(crate) const MAX_LOG_DEGREE: u32 = 16;

pub(crate) const KINDS: [RingKind; 2] = [RingKind::Cyclotomic, RingKind::ConjugateInvariant];

/// Primes of 50, 42 and 30 bits, the largest that there are, and two special ones of 50 bits.
pub(crate) fn chain() -> PrimeChain {
    let congruence = 4 << MAX_LOG_DEGREE;
    let mut wide = primes_below(1 << 50, congruence);
    let mut narrow = primes_below(1 << 42, congruence);
    let mut small = primes_below(1 << 30, congruence);
    let mut next = |bits| match bits {
        50 => wide.next().unwrap(),
        42 => narrow.next().unwrap(),
        _ => small.next().unwrap(),
    };
    let ciphertext = [50, 42, 50, 30, 42, 50].map(&mut next).to_vec();
    let special = [50, 50].map(&mut next).to_vec();
    PrimeChain::new(ciphertext, special, MAX_LOG_DEGREE).unwrap()
}

/// The reference and the kernels, on the same chain.
pub(crate) fn backends<D: Device>(device: D) -> (Cpu, Cuda<D>) {
    (Cpu::new(chain()), Cuda::new(chain(), device).unwrap())
}

/// Words with which a polynomial is filled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pattern {
    /// Uniform residues; numbers tell polynomials apart.
    Uniform(u64),
    /// All `p - 1`: the most that sums can reach.
    Largest,
    /// Zero but for `p - 1` in one place.
    Single(usize),
}

impl Pattern {
    /// Fills the words of a shape.
    pub(crate) fn fill(self, shape: Shape, words: &mut [u64]) {
        let chain = chain();
        let degree = shape.ring.degree();
        if let Self::Uniform(number) = self {
            let seed = Seed::from_bytes(*b"inputs for kernels on the CPU...").derive("polynomial", number);
            return uniform_limbs(&seed, &chain, shape.basis, degree, words).unwrap();
        }
        for (limb, prime) in words.chunks_mut(degree).zip(chain.moduli(shape.basis).map(Modulus::value)) {
            for (i, word) in limb.iter_mut().enumerate() {
                *word = match self {
                    Self::Single(place) if i != place % degree => 0,
                    _ => prime - 1,
                };
            }
        }
    }
}

/// Requires the same words from both backends.
pub(crate) fn assert_equal<D: Device>(
    (cpu, expected): (&Cpu, &fhe_ring::Words),
    (cuda, found): (&Cuda<D>, &D::Memory),
    shape: Shape,
    context: &str,
) {
    let expected = cpu.download(Operand { buffer: expected, shape }).unwrap();
    let found = cuda.download(Operand { buffer: found, shape }).unwrap();
    assert_eq!(expected.len(), found.len());
    if let Some(i) = (0..expected.len()).find(|&i| expected[i] != found[i]) {
        panic!(
            "{context}, {} with the primes {}: word {i} is {}, expected {}",
            shape.ring, shape.basis, found[i], expected[i]
        );
    }
}

/// Every ring of degree `2^log_degree`.
pub(crate) fn rings(log_degree: u32) -> [Ring; 2] {
    KINDS.map(|kind| Ring { kind, log_degree })
}
