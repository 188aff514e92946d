//! Several devices as one backend.

use fhe_conformance::{Pattern, exercise, exercise_modules};
use fhe_cuda::{Cuda, Driver, LocalComm, NcclComm};
use fhe_ring::{Backend, Basis, Cpu, Operand, Poly, Ring, Shape};
use fhe_shards::{Comm, Sharded};

use crate::{
    conformance::{cases_of, chain},
    emulated::{DEVICES, POOLS, SEED, device, emulated},
};

type Shards = Vec<Cuda<Driver>>;

fn shards(devices: usize, max_log_degree: u32) -> Shards {
    let shard = |ordinal| {
        let driver = device(ordinal).expect("there are so many");
        Cuda::new(chain(max_log_degree), driver).expect("the degree is supported")
    };
    (0..devices).map(shard).collect()
}

fn copying(shards: Shards) -> Sharded<Cuda<Driver>, LocalComm> {
    Sharded::new(shards, LocalComm).expect("all of one chain")
}

fn messaging(shards: Shards) -> Sharded<Cuda<Driver>, NcclComm> {
    let comm = NcclComm::new(&shards).expect("the emulated library");
    Sharded::new(shards, comm).expect("all of one chain")
}

/// Operands seldom lie together, so that every kernel depends on copies; streams and threads run in several orders.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn every_kernel_agrees_on_several_devices() {
    let states: [&[(&str, &str)]; 3] =
        [&[(DEVICES, "2")], &[(DEVICES, "2"), (SEED, "1"), (POOLS, "0")], &[(DEVICES, "3"), (SEED, "2")]];
    emulated("shards::every_kernel_agrees_on_several_devices", &states, || {
        let devices = std::env::var(DEVICES).expect("set by the test").parse().expect("a number");
        agrees(copying(shards(devices, 9)));
        agrees(messaging(shards(devices, 9)));
    });
}

fn agrees<C: Comm<Cuda<Driver>>>(cuda: Sharded<Cuda<Driver>, C>) {
    let (cpu, cuda) = (Cpu::new(chain(9)), cuda.with_uploads_in_turn());
    for case in cases_of(9, 3).iter().filter(|case| case.pattern == Pattern::Random) {
        exercise(&cpu, case).assert_equals(&exercise(&cuda, case), &case.to_string());
    }
    let context = "module rows";
    exercise_modules(&cpu, Pattern::Random).assert_equals(&exercise_modules(&cuda, Pattern::Random), context);
    assert!(cuda.traffic().total().copies > 100, "{:?}", cuda.traffic());
}

/// Words that are copied while their first owner goes on to change, free and allocate: the copy has those of the moment when it was asked for.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn a_copy_is_of_the_moment_when_it_is_asked_for() {
    let seeds = ["1", "2", "3", "4", "5", "6"].map(|seed| [(DEVICES, "2"), (SEED, seed)]);
    let states = seeds.each_ref().map(|state| &state[..]);
    emulated("shards::a_copy_is_of_the_moment_when_it_is_asked_for", &states, || {
        copies_are_of_their_moment(&copying(shards(2, 6)));
        copies_are_of_their_moment(&messaging(shards(2, 6)));
    });
}

fn copies_are_of_their_moment<C: Comm<Cuda<Driver>>>(backend: &Sharded<Cuda<Driver>, C>) {
    let shape = Shape::evaluation(Ring::cyclotomic(6), Basis::prefix(3));
    for word in 1..32_u64 {
        let upload = |word| Poly::upload(backend, shape, |words| words.fill(word)).expect("reduced");
        let mut changing = upload(word);
        let still = upload(3);
        changing.add_assign(backend, &still).expect("one shape");
        // Zeros on the other device, to which the words go.
        let mut sum = Poly::zeros(backend, shape).expect("well formed");
        backend.place(sum.operand(), 1);
        sum.add_assign(backend, &changing).expect("one shape");
        changing.add_assign(backend, &still).expect("one shape");
        drop(still);
        let other = upload(5);
        // And back, after which the source on the second device is freed.
        let mut both = changing.multiply(backend, &other).expect("one shape");
        both.add_assign(backend, &sum).expect("one shape");
        drop(sum);
        assert_eq!(both.buffer().home(), Some(0));
        assert_eq!(both.download(backend).expect("data"), vec![(word + 6) * 5 + word + 3; shape.words()]);
    }
}

/// Threads that work on different shards send at the same time.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn threads_send_beside_each_other() {
    let states: [&[(&str, &str)]; 2] = [&[(DEVICES, "3"), (SEED, "1")], &[(DEVICES, "3"), (SEED, "2")]];
    emulated("shards::threads_send_beside_each_other", &states, || {
        sends_from_threads(&copying(shards(3, 6)));
        sends_from_threads(&messaging(shards(3, 6)));
    });
}

fn sends_from_threads<C: Comm<Cuda<Driver>>>(backend: &Sharded<Cuda<Driver>, C>) {
    let shape = Shape::evaluation(Ring::cyclotomic(6), Basis::prefix(3));
    std::thread::scope(|scope| {
        for shard in 0..3 {
            scope.spawn(move || {
                for word in 1..16_u64 {
                    let poly = Poly::upload(backend, shape, |words| words.fill(word)).expect("reduced");
                    let mut moving = poly.duplicate(backend);
                    for step in 0..3 {
                        backend.place(moving.operand(), (shard + step) % 3);
                        moving.add_assign(backend, &poly).expect("one shape");
                    }
                    assert_eq!(moving.download(backend).expect("data"), vec![4 * word; shape.words()]);
                }
            });
        }
    });
}

/// Devices have the numbers that they were connected with.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn rejects_messages_between_devices_that_were_not_connected() {
    const TEST: &str = "shards::rejects_messages_between_devices_that_were_not_connected";
    emulated(TEST, &[&[(DEVICES, "2")]], || {
        let comm = NcclComm::new(&shards(2, 6)).expect("the emulated library");
        let mut turned = shards(2, 6);
        turned.reverse();
        let backend = Sharded::new(turned, comm).expect("all of one chain");
        let shape = Shape::evaluation(Ring::cyclotomic(6), Basis::prefix(1));
        let poly = Poly::upload(&backend, shape, |words| words.fill(1)).expect("reduced");
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| backend.place(poly.operand(), 1)));
        let reason = *refused.expect_err("other devices").downcast::<String>().expect("a formatted reason");
        assert!(reason.contains("[0, 1] were connected") && reason.contains("[1, 0] are required"), "{reason}");
    });
}

/// NCCL connects each device once.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn rejects_devices_that_cannot_be_connected() {
    emulated("shards::rejects_devices_that_cannot_be_connected", &[&[(DEVICES, "1")]], || {
        let shards = [0, 0].map(|ordinal| Cuda::new(chain(6), device(ordinal).expect("one")).expect("supported"));
        let error = NcclComm::new(&shards).err().expect("one device twice").to_string();
        assert!(error.contains("connecting devices by NCCL") && error.contains("ncclInvalidUsage"), "{error}");
    });
}

/// Each device has its own memory: what one shard holds is not held by the other.
#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn a_polynomial_lies_where_it_is_used() {
    emulated("shards::a_polynomial_lies_where_it_is_used", &[&[(DEVICES, "2")]], || {
        let backend = copying(shards(2, 10));
        let shape = Shape::evaluation(Ring::cyclotomic(10), Basis::prefix(3));
        let available = || backend.shards().iter().map(|shard| shard.device().memory().expect("a device")[0]);
        let before: Vec<u64> = available().collect();
        let buffer = backend.upload(shape, &mut |words| words.fill(1));
        backend.place(Operand { buffer: &buffer, shape }, 1);
        let mut changed = buffer;
        backend.negate(&mut changed, shape);
        backend.shards().iter().for_each(|shard| shard.device().synchronize().expect("a device"));
        let held: Vec<u64> = before.iter().zip(available()).map(|(before, now)| before - now).collect();
        assert!(held[1] >= 8 * shape.words() as u64, "{held:?}");
        assert!(changed.copy_on(0).is_none() && changed.home() == Some(1));
    });
}
