//! Every kernel of the contract, against the CPU backend and against its definition.

use std::process::Command;

use fhe_conformance::{Case, Pattern, cases, exercise, exercise_modules, laws, run};
use fhe_cuda::{Cuda, Driver};
use fhe_ring::{Cpu, PrimeChain, primes::primes_below};

use crate::emulated::{FLAGS, OMITTED_BARRIER, POOLS, SEED, STORE, driver, emulated, processes, said};

/// Primes of very different sizes.
pub(crate) fn chain(max_log_degree: u32) -> PrimeChain {
    let congruence = 4 << max_log_degree;
    let large: Vec<u64> = primes_below(1 << 50, congruence).take(5).collect();
    let medium: Vec<u64> = primes_below(1 << 42, congruence).take(2).collect();
    let small = primes_below(1 << 30, congruence).next().expect("one exists");
    let ciphertext = vec![large[0], medium[0], small, large[1], medium[1], large[2]];
    PrimeChain::new(ciphertext, large[3..].to_vec(), max_log_degree).expect("the primes suit")
}

pub(crate) fn backends(max_log_degree: u32, driver: Driver) -> (Cpu, Cuda<Driver>) {
    let chain = chain(max_log_degree);
    (Cpu::new(chain.clone()), Cuda::new(chain, driver).expect("the degree is supported"))
}

/// The cases of one degree and so many primes.
pub(crate) fn cases_of(log_degree: u32, primes: usize) -> Vec<Case> {
    let cases = cases(&chain(log_degree)).into_iter();
    cases.filter(|case| case.ring.log_degree == log_degree && case.basis.len() == primes).collect()
}

pub(crate) fn compare(cpu: &Cpu, cuda: &Cuda<Driver>, case: &Case) {
    exercise(cpu, case).assert_equals(&exercise(cuda, case), &case.to_string());
}

#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn every_kernel_agrees_at_degree_2_11() {
    emulated("conformance::every_kernel_agrees_at_degree_2_11", &[&[]], || {
        let (cpu, cuda) = backends(11, driver());
        for case in [3, 4, 6].into_iter().flat_map(|primes| cases_of(11, primes)) {
            compare(&cpu, &cuda, &case);
        }
        for pattern in Pattern::ALL {
            let context = format!("module rows, {pattern:?}");
            exercise_modules(&cpu, pattern).assert_equals(&exercise_modules(&cuda, pattern), &context);
        }
    });
}

/// Blocks and threads in several orders; and a device without pools, whose memory is not in the order of streams.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn every_kernel_agrees_in_every_order() {
    let states: [&[(&str, &str)]; 4] = [&[(SEED, "1")], &[(SEED, "2")], &[(SEED, "3")], &[(POOLS, "0")]];
    emulated("conformance::every_kernel_agrees_in_every_order", &states, || {
        let (cpu, cuda) = backends(11, driver());
        for case in cases_of(11, 3).into_iter().filter(|case| case.pattern == Pattern::Random) {
            compare(&cpu, &cuda, &case);
        }
    });
}

/// Two launches to a transform.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn every_kernel_agrees_at_a_degree_of_large_transforms() {
    emulated("conformance::every_kernel_agrees_at_a_degree_of_large_transforms", &[&[(SEED, "4")]], || {
        let (cpu, cuda) = backends(13, driver());
        let mut cases = cases_of(13, 3);
        cases.dedup_by_key(|case| case.ring);
        cases.iter().for_each(|case| compare(&cpu, &cuda, case));
    });
}

/// One case at the degree of real runs.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn every_kernel_agrees_at_the_largest_degree() {
    emulated("conformance::every_kernel_agrees_at_the_largest_degree", &[&[]], || {
        let (cpu, cuda) = backends(16, driver());
        compare(&cpu, &cuda, cases_of(16, 3).first().expect("one exists"));
    });
}

/// The smallest degrees, at which blocks are not full, with every pattern.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn every_kernel_agrees_at_small_degrees_and_follows_its_definition() {
    emulated("conformance::every_kernel_agrees_at_small_degrees_and_follows_its_definition", &[&[(SEED, "5")]], || {
        let (cpu, cuda) = backends(4, driver());
        run(&cpu, &cuda);
        laws::hold(&backends(3, driver()).1);
    });
}

/// Kernels that stop at undefined behaviour (overflow, shifts too far, addresses that are not aligned), and where they leave an
/// array that is no memory of the device.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn sanitizers_find_nothing() {
    let stores = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
    let [first, second] = stores.each_ref().map(|store| store.path().to_str().expect("a name"));
    let library = sanitizer("libasan.so");
    let behaviour = [(STORE, first), (FLAGS, "-fsanitize=undefined -fno-sanitize-recover=all")];
    let addresses = [
        (STORE, second),
        (FLAGS, "-fsanitize=address"),
        ("LD_PRELOAD", library.as_str()),
        // Faults are the driver's; what the compiler and the tests keep to their end is no matter here.
        ("ASAN_OPTIONS", "handle_segv=0:use_sigaltstack=0:detect_leaks=0:detect_stack_use_after_return=0"),
    ];
    emulated("conformance::sanitizers_find_nothing", &[&behaviour, &addresses], || {
        for log_degree in [4, 9, 13] {
            let (cpu, cuda) = backends(log_degree, driver());
            let mut cases = cases_of(log_degree, 3);
            cases.retain(|case| case.pattern == if log_degree == 4 { Pattern::Largest } else { Pattern::Random });
            cases.iter().for_each(|case| compare(&cpu, &cuda, case));
        }
    });
}

/// The threads of a block touch the same words only with a barrier in between, whatever the order in which they happened to run; without one of the
/// barriers they do not, and that is found.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn threads_of_a_block_do_not_race() {
    const TEST: &str = "conformance::threads_of_a_block_do_not_race";
    let store = tempfile::tempdir().expect("a folder");
    let library = sanitizer("libtsan.so");
    let races = [
        (STORE, store.path().to_str().expect("a name")),
        (FLAGS, "-fsanitize=thread"),
        ("LD_PRELOAD", library.as_str()),
        // Who calls the driver is not compiled for the sanitizer, and known to it in part.
        (
            "TSAN_OPTIONS",
            "handle_segv=0:use_sigaltstack=0:ignore_noninstrumented_modules=1:halt_on_error=1:exitcode=66",
        ),
    ];
    let omitting = [&races[..], &[(OMITTED_BARRIER, "1")]].concat();
    let Some([whole, broken]) = processes(TEST, &[&races, &omitting], || {
        for log_degree in [4, 9, 13] {
            let (cpu, cuda) = backends(log_degree, driver());
            let mut cases = cases_of(log_degree, 3);
            cases.retain(|case| case.pattern == Pattern::Random);
            cases.dedup_by_key(|case| case.ring);
            // Every kernel runs for the first ring; the second one takes its time at a large degree.
            cases.truncate(if log_degree == 13 { 1 } else { 2 });
            cases.iter().for_each(|case| compare(&cpu, &cuda, case));
        }
    })
    .map(|outputs| <[_; 2]>::try_from(outputs).expect("two processes")) else {
        return;
    };
    assert!(whole.status.success(), "{}:\n{}", whole.status, said(&whole));
    assert_eq!(broken.status.code(), Some(66), "{}", said(&broken));
    assert!(said(&broken).contains("data race"), "{}", said(&broken));
}

/// The library of a sanitizer, which a program must load first whose kernels are compiled for it.
fn sanitizer(library: &str) -> String {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| String::from("g++"));
    let output = Command::new(compiler).arg(format!("-print-file-name={library}")).output().expect("a compiler");
    String::from_utf8(output.stdout).expect("a name").trim().to_owned()
}
