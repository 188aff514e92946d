//! The backends of the ring crate against each other, and against themselves on other numbers of threads.

use fhe_conformance::{Case, Pattern, cases, exercise, exercise_modules, run};
use fhe_ring::{Counting, Cpu, InstructionSet, Meter, PrimeChain, RingKind, primes::primes_below};
use rayon::ThreadPoolBuilder;

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

/// A backend for every instruction set of this machine but the portable one.
fn vectorised(chain: &PrimeChain) -> impl Iterator<Item = Cpu> {
    let sets = InstructionSet::available().filter(|&set| set != InstructionSet::Portable);
    sets.filter_map(|set| Cpu::on(set, chain.clone()))
}

#[test]
fn vector_instructions_agree_with_portable_ones() {
    let chain = chain(10);
    for vector in vectorised(&chain) {
        run(&Cpu::portable(chain.clone()), &vector);
    }
}

#[test]
fn vector_instructions_agree_with_portable_ones_at_large_degrees() {
    let chain = chain(13);
    let portable = Cpu::portable(chain.clone());
    for case in cases(&chain).into_iter().filter(|case| case.ring.log_degree == 13 && case.basis.len() == 7) {
        let expected = exercise(&portable, &case);
        for vector in vectorised(&chain) {
            expected.assert_equals(&exercise(&vector, &case), &format!("{case}, {}", vector.instructions()));
        }
    }
}

/// Runs the cases in pools of one, two and three threads, and compares.
fn assert_independent_of_threads(chain: &PrimeChain, cpu: fn(PrimeChain) -> Cpu, cases: &[Case]) {
    let runs = [1, 2, 3].map(|threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
        (threads, pool, cpu(chain.clone()))
    });
    let [first, others @ ..] = &runs;
    for (threads, pool, backend) in others {
        for case in cases {
            let expected = first.1.install(|| exercise(&first.2, case));
            let found = pool.install(|| exercise(backend, case));
            expected.assert_equals(&found, &format!("{case}, {threads} threads"));
        }
        for pattern in Pattern::ALL {
            let expected = first.1.install(|| exercise_modules(&first.2, pattern));
            let found = pool.install(|| exercise_modules(backend, pattern));
            expected.assert_equals(&found, &format!("module rows, {pattern:?}, {threads} threads"));
        }
    }
}

/// Memory is recycled with what an earlier user left in it.
#[test]
fn results_do_not_depend_on_what_ran_before() {
    let chain = chain(2);
    let (used, all) = (Cpu::new(chain.clone()), cases(&chain));
    for kind in [RingKind::Cyclotomic, RingKind::ConjugateInvariant] {
        let case = all.iter().find(|case| case.ring.kind == kind && case.pattern == Pattern::Random);
        let case = case.expect("both kinds of rings have cases");
        exercise(&used, &Case { pattern: Pattern::Largest, ..*case });
        exercise(&Cpu::new(chain.clone()), case).assert_equals(&exercise(&used, case), &case.to_string());
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let small = chain(4);
    assert_independent_of_threads(&small, Cpu::new, &cases(&small));
    assert_independent_of_threads(&small, Cpu::portable, &cases(&small));
    // Limbs of this length are cut into several blocks.
    let large = chain(13);
    let largest: Vec<_> = (cases(&large).into_iter())
        .filter(|case| case.ring.log_degree == 13 && case.basis.len() == 7 && case.pattern == Pattern::Random)
        .collect();
    assert_independent_of_threads(&large, Cpu::new, &largest);
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
