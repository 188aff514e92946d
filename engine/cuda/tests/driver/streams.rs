//! That the order of streams is what waits make of it, and nothing else.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream};

use crate::emulated::{DEVICES, SEED, driver, emulated};

const WORDS: usize = 64;
const TRIES: usize = 64;

/// A stream with words that were zero first, and others afterwards.
fn written(context: &Arc<CudaContext>, words: &[u64]) -> (Arc<CudaStream>, cudarc::driver::CudaSlice<u64>) {
    let stream = context.new_stream().expect("a stream");
    let mut memory = stream.alloc_zeros::<u64>(WORDS).expect("memory");
    stream.synchronize().expect("a working device");
    stream.memcpy_htod(words, &mut memory).expect("a copy");
    (stream, memory)
}

/// How often of many times a second stream finds what the first has written, with or without a wait.
fn found(context: &Arc<CudaContext>, waits: bool) -> usize {
    let found = |word: u64| {
        let expected = vec![word; WORDS];
        let (first, memory) = written(context, &expected);
        let second = context.new_stream().expect("a stream");
        if waits {
            second.join(&first).expect("a wait");
        }
        let mut copy = second.alloc_zeros::<u64>(WORDS).expect("memory");
        second.memcpy_dtod(&memory, &mut copy).expect("a copy");
        let words = second.clone_dtoh(&copy).expect("a copy");
        first.synchronize().expect("a working device");
        second.synchronize().expect("a working device");
        words == expected
    };
    (1..=TRIES as u64).filter(|&word| found(word)).count()
}

#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn a_missing_wait_is_noticed_and_a_wait_is_kept() {
    let states: [&[(&str, &str)]; 3] = [&[(SEED, "1")], &[(SEED, "2")], &[(SEED, "3")]];
    emulated("streams::a_missing_wait_is_noticed_and_a_wait_is_kept", &states, || {
        drop(driver());
        let context = CudaContext::new(0).expect("a device");
        // SAFETY: streams are made to wait by hand, or are meant not to wait; the memory that they share is freed later.
        unsafe { context.disable_event_tracking() };
        assert_eq!(found(&context, true), TRIES);
        let lucky = found(&context, false);
        assert!(0 < lucky && lucky < TRIES, "without a wait the second stream was right {lucky} times");
    });
}

/// A copy from one device to another, made by the stream of the latter.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn a_copy_between_devices_waits_for_the_source() {
    let states: [&[(&str, &str)]; 2] = [&[(DEVICES, "2"), (SEED, "1")], &[(DEVICES, "2"), (SEED, "2")]];
    emulated("streams::a_copy_between_devices_waits_for_the_source", &states, || {
        drop(driver());
        let [near, far] = [0, 1].map(|ordinal| CudaContext::new(ordinal).expect("a device"));
        for word in 1..=TRIES as u64 {
            let expected = vec![word; WORDS];
            let (_first, memory) = written(&near, &expected);
            let second = far.new_stream().expect("a stream");
            let mut copy = second.alloc_zeros::<u64>(WORDS).expect("memory");
            second.memcpy_dtod(&memory, &mut copy).expect("a copy");
            assert_eq!(second.clone_dtoh(&copy).expect("a copy"), expected);
        }
    });
}
