//! The definitions, for both instruction sets of the CPU.

use fhe_conformance::laws;
use fhe_ring::{Cpu, PrimeChain, primes::primes_below};

fn chain() -> PrimeChain {
    let large: Vec<u64> = primes_below(1 << 50, 4 << 6).take(6).collect();
    let small: Vec<u64> = primes_below(1 << 21, 4 << 6).take(2).collect();
    PrimeChain::new(vec![large[0], small[0], large[1], large[2], small[1], large[3]], large[4..].to_vec(), 6)
        .expect("the primes suit")
}

#[test]
fn the_fastest_instructions_follow_the_definitions() {
    laws::hold(&Cpu::new(chain()));
}

#[test]
fn portable_instructions_follow_the_definitions() {
    laws::hold(&Cpu::portable(chain()));
}
