//! The definitions, for all instruction sets of the CPU.

use fhe_conformance::laws;
use fhe_ring::{Cpu, InstructionSet, PrimeChain, primes::primes_below};

fn chain() -> PrimeChain {
    let large: Vec<u64> = primes_below(1 << 50, 4 << 6).take(6).collect();
    let small: Vec<u64> = primes_below(1 << 21, 4 << 6).take(2).collect();
    PrimeChain::new(vec![large[0], small[0], large[1], large[2], small[1], large[3]], large[4..].to_vec(), 6)
        .expect("the primes suit")
}

#[test]
fn all_instructions_follow_the_definitions() {
    for instructions in InstructionSet::available() {
        laws::hold(&Cpu::on(instructions, chain()).expect("available"));
    }
}

#[test]
fn rejects_instructions_that_the_machine_does_not_have() {
    for instructions in InstructionSet::ALL {
        assert_eq!(Cpu::on(instructions, chain()).is_some(), instructions.is_available(), "{instructions}");
    }
}
