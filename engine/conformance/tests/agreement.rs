//! The backends of the ring crate against each other.

use fhe_conformance::{Case, Pattern, cases, exercise, exercise_modules, run};
use fhe_ring::{Counting, Cpu, Meter, PrimeChain, primes::primes_below};

/// Primes of very different sizes: 50, 42, 30 and 20 bits, and one just above a power of two.
fn chain(max_log_degree: u32) -> PrimeChain {
    let congruence = 4 << max_log_degree;
    let large: Vec<u64> = primes_below(1 << 50, congruence).take(4).collect();
    let medium: Vec<u64> = primes_below(1 << 42, congruence).take(2).collect();
    let just_above = ((1u64 << 41) + 1..)
        .step_by(congruence as usize)
        .find(|&candidate| fhe_ring::primes::is_prime(candidate))
        .expect("primes are dense");
    let small = primes_below(1 << 30, congruence).next().expect("one exists");
    let tiny = primes_below(1 << 22, congruence).next().expect("one exists");
    let ciphertext = vec![large[0], medium[0], just_above, small, tiny, medium[1], large[1]];
    PrimeChain::new(ciphertext, vec![large[2], large[3]], max_log_degree).expect("the primes suit")
}

#[test]
fn vector_instructions_agree_with_portable_ones() {
    let chain = chain(10);
    run(&Cpu::portable(chain.clone()), &Cpu::new(chain));
}

#[test]
fn vector_instructions_agree_with_portable_ones_at_large_degrees() {
    let chain = chain(13);
    let (portable, vector) = (Cpu::portable(chain.clone()), Cpu::new(chain.clone()));
    let largest = cases(&chain).into_iter().filter(|case| case.ring.log_degree == 13 && case.basis.len() == 7);
    for case in largest {
        exercise(&portable, &case).assert_equals(&exercise(&vector, &case), &case.to_string());
    }
}

#[test]
fn counting_changes_nothing_and_meter_counts_the_same() {
    let chain = chain(7);
    let (cpu, meter) = (Counting::new(Cpu::new(chain.clone())), Meter::new(chain.clone()));
    run(&Cpu::new(chain.clone()), &cpu);
    run(&Cpu::new(chain.clone()), &meter);
    assert_eq!(cpu.counts(), meter.counts());
    let counts = meter.counts();
    assert!(counts.entries().all(|(_, count)| count > 0), "some kernel was never called: {counts:?}");
    assert_eq!(cpu.peak_bytes(), meter.peak_bytes());
    assert_eq!((cpu.live_bytes(), meter.live_bytes()), (0, 0));
    assert!(exercise(&meter, &cases(&chain)[0]).is_empty() && exercise_modules(&meter, Pattern::Random).is_empty());
    assert!(exercise(&cpu, &cases(&chain)[0]).len() > 200);
}

#[test]
#[should_panic(expected = "first in word")]
fn different_words_are_noticed() {
    let cpu = Cpu::new(chain(4));
    let case = cases(&chain(4))[0];
    let other = Case { pattern: Pattern::Last, ..case };
    exercise(&cpu, &case).assert_equals(&exercise(&cpu, &other), "two patterns");
}
