//! Several devices, or none.

use std::thread;

use fhe_conformance::Pattern;
use fhe_cuda::{CudaError, Device};

use crate::{
    conformance::{backends, cases_of, compare},
    emulated::{DEVICES, MEMORY, SEED, device, emulated},
};

#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn two_devices_work_at_the_same_time() {
    let states: [&[(&str, &str)]; 2] = [&[(DEVICES, "2")], &[(DEVICES, "2"), (SEED, "1")]];
    emulated("devices::two_devices_work_at_the_same_time", &states, || {
        let names: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..2)
                .map(|ordinal| {
                    scope.spawn(move || {
                        let driver = device(ordinal).expect("there are two");
                        let name = driver.name().to_owned();
                        let (cpu, cuda) = backends(9, driver);
                        for case in cases_of(9, 3).iter().filter(|case| case.pattern == Pattern::Random) {
                            compare(&cpu, &cuda, case);
                        }
                        name
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().expect("the same words")).collect()
        });
        assert_ne!(names[0], names[1]);
    });
}

#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn memory_of_one_device_is_not_that_of_another() {
    let states: [&[(&str, &str)]; 1] = [&[(DEVICES, "2"), (MEMORY, "1048576")]];
    emulated("devices::memory_of_one_device_is_not_that_of_another", &states, || {
        let [first, second] = [0, 1].map(|ordinal| device(ordinal).expect("there are two"));
        let _all = first.allocate(1 << 17).expect("all memory of the first");
        assert!(matches!(first.allocate(1), Err(CudaError::OutOfMemory { required: 8, available: 0, .. })));
        let words: Vec<u64> = (0..1 << 10).collect();
        let memory = second.upload(&words).expect("the second has its own");
        assert_eq!(second.download(&memory).expect("a working device"), words);
    });
}

#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn a_device_that_is_not_there_is_an_error() {
    emulated("devices::a_device_that_is_not_there_is_an_error", &[&[(DEVICES, "0")], &[(DEVICES, "2")]], || {
        let error = device(2).err().expect("there are two at most");
        let CudaError::NoDevice { required: 2, found } = &error else { panic!("{error}") };
        assert!(found.contains("NO_DEVICE") || found.contains("INVALID_DEVICE"), "{found}");
    });
}
