//! The whole contract: every kernel of the backend against the reference, and against its definition.

use fhe_conformance::{cases, exercise, laws, run};
use fhe_cuda::Cuda;
use fhe_ring::{Cpu, PrimeChain, primes::primes_below};

use crate::emulator::Emulator;

/// Primes of very different sizes.
fn chain(max_log_degree: u32) -> PrimeChain {
    let congruence = 4 << max_log_degree;
    let large: Vec<u64> = primes_below(1 << 50, congruence).take(5).collect();
    let medium: Vec<u64> = primes_below(1 << 42, congruence).take(2).collect();
    let small = primes_below(1 << 30, congruence).next().expect("one exists");
    PrimeChain::new(
        vec![large[0], medium[0], small, large[1], medium[1], large[2]],
        large[3..].to_vec(),
        max_log_degree,
    )
    .expect("the primes suit")
}

fn backends(max_log_degree: u32) -> (Cpu, Cuda<Emulator>) {
    let chain = chain(max_log_degree);
    (Cpu::new(chain.clone()), Cuda::new(chain, Emulator::default()).expect("the degree is supported"))
}

#[test]
fn every_kernel_agrees_with_the_cpu_backend() {
    let (cpu, cuda) = backends(5);
    run(&cpu, &cuda);
}

#[test]
fn every_kernel_follows_its_definition() {
    laws::hold(&backends(4).1);
}

/// One case of each ring kind at degrees whose blocks are full, and whose transforms have columns.
#[test]
fn every_kernel_agrees_at_large_degrees() {
    for log_degree in [9, 13] {
        let (cpu, cuda) = backends(log_degree);
        let mut largest: Vec<_> = (cases(fhe_ring::Backend::primes(&cpu)).into_iter())
            .filter(|case| case.ring.log_degree == log_degree && case.basis.len() == 3)
            .collect();
        largest.dedup_by_key(|case| case.ring);
        for case in largest {
            exercise(&cpu, &case).assert_equals(&exercise(&cuda, &case), &case.to_string());
        }
    }
}
