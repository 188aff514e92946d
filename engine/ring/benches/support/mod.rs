//! A chain of real size and polynomials over it.
#![allow(dead_code, missing_docs, unreachable_pub)]

use fhe_ring::{Backend, PrimeChain, Shape, primes::primes_below};

pub const LOG_DEGREE: u32 = 16;

pub fn words(seed: u64, len: usize, bound: u64) -> Vec<u64> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 14) % bound
        })
        .collect()
}

/// 30 ciphertext primes, 16 of them of 42 and the others of 50 bits, and 8 special primes: the size of a real chain.
pub fn chain() -> PrimeChain {
    let large = primes_below(1 << 50, 4 << LOG_DEGREE);
    let small = primes_below(1 << 42, 4 << LOG_DEGREE);
    let mut large = large.take(22);
    let q: Vec<u64> = large.by_ref().take(1).chain(small.take(16)).collect();
    let q = q.into_iter().chain(large.by_ref().take(13)).collect();
    PrimeChain::new(q, large.collect(), LOG_DEGREE).expect("the primes are distinct and small enough")
}

pub fn fill<B: Backend>(backend: &B, shape: Shape, seed: u64) -> B::Buffer {
    backend.upload(shape, &mut |out| {
        let degree = shape.ring.degree();
        for ((i, limb), modulus) in out.chunks_exact_mut(degree).enumerate().zip(backend.primes().moduli(shape.basis)) {
            limb.copy_from_slice(&words(seed + i as u64, degree, modulus.value()));
        }
    })
}
