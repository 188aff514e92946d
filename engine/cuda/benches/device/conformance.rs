//! The conformance suite on the device.

use std::time::Instant;

use fhe_conformance::{Case, Pattern, cases, exercise, exercise_modules, laws, run};
use fhe_cuda::{Cuda, CudaError, Driver};
use fhe_ring::{Cpu, PrimeChain, primes::primes_below};

use crate::record::Record;

/// Six ciphertext and two special primes of very different sizes.
fn chain(max_log_degree: u32) -> PrimeChain {
    let congruence = 4 << max_log_degree;
    let mut large = primes_below(1 << 50, congruence);
    let mut medium = primes_below(1 << 42, congruence);
    let small = primes_below(1 << 30, congruence).next().expect("one exists");
    let mut next = |bits| if bits == 50 { large.next() } else { medium.next() }.expect("primes are dense");
    let ciphertext = vec![next(50), next(42), small, next(50), next(42), next(50)];
    PrimeChain::new(ciphertext, vec![next(50), next(50)], max_log_degree).expect("the primes suit")
}

fn backends(max_log_degree: u32) -> Result<(Cpu, Cuda<Driver>), CudaError> {
    let chain = chain(max_log_degree);
    Ok((Cpu::new(chain.clone()), Cuda::new(chain, Driver::new(0)?)?))
}

/// The cases of the largest degree, those of bases of so many primes only.
fn largest_cases(cpu: &Cpu, log_degree: u32, primes: usize) -> Vec<Case> {
    let chain = fhe_ring::Backend::primes(cpu);
    cases(chain).into_iter().filter(|case| case.ring.log_degree == log_degree && case.basis.len() == primes).collect()
}

/// One random case of each ring kind, at a degree with small blocks, with full ones, and with transforms in two launches.
pub(crate) fn smoke(record: &mut Record) -> Result<(), CudaError> {
    for log_degree in [4, 9, 13] {
        let (cpu, cuda) = backends(log_degree)?;
        let cases = largest_cases(&cpu, log_degree, 3);
        for case in cases.into_iter().filter(|case| case.pattern == Pattern::Random) {
            exercise(&cpu, &case).assert_equals(&exercise(&cuda, &case), &case.to_string());
        }
    }
    let (cpu, cuda) = backends(8)?;
    let pattern = Pattern::Random;
    exercise_modules(&cpu, pattern).assert_equals(&exercise_modules(&cuda, pattern), "module rows");
    record.note("conformance, smoke", 1.0, "passed");
    Ok(())
}

/// Every case up to degree 2^4, every basis at 2^9, 2^13 and 2^16, and the definitions.
pub(crate) fn all(record: &mut Record) -> Result<(), CudaError> {
    let start = Instant::now();
    let (cpu, cuda) = backends(4)?;
    run(&cpu, &cuda);
    for log_degree in [9, 13, 16] {
        let (cpu, cuda) = backends(log_degree)?;
        for case in [3, 4, 6].into_iter().flat_map(|primes| largest_cases(&cpu, log_degree, primes)) {
            exercise(&cpu, &case).assert_equals(&exercise(&cuda, &case), &case.to_string());
        }
        println!("equal to the CPU up to degree 2^{log_degree} after {:.0} s", start.elapsed().as_secs_f64());
    }
    laws::hold(&backends(3)?.1);
    record.note("conformance, every kernel equal to the CPU's, and the laws", 1.0, "passed");
    record.note("conformance, duration", start.elapsed().as_secs_f64(), "s");
    Ok(())
}
