//! The whole contract on several shards: every word is that of one backend alone, wherever operands lie.

use fhe_conformance::{laws, run};
use fhe_ring::{Backend, Counting, Cpu, Meter, PrimeChain, Shape, primes::primes_below};
use fhe_shards::{HostComm, ShardError, Sharded};

/// Primes of very different sizes.
fn chain(max_log_degree: u32) -> PrimeChain {
    let congruence = 4 << max_log_degree;
    let large: Vec<u64> = primes_below(1 << 50, congruence).take(4).collect();
    let medium: Vec<u64> = primes_below(1 << 42, congruence).take(2).collect();
    let small = primes_below(1 << 30, congruence).next().expect("one exists");
    PrimeChain::new(vec![large[0], medium[0], small, medium[1], large[1]], large[2..].to_vec(), max_log_degree)
        .expect("the primes suit")
}

fn sharded(shards: usize, chain: &PrimeChain) -> Sharded<Cpu, HostComm> {
    let shards = (0..shards).map(|_| Cpu::new(chain.clone())).collect();
    Sharded::new(shards, HostComm).expect("all of one chain")
}

#[test]
fn every_kernel_agrees_with_one_backend() {
    let chain = chain(5);
    for shards in [1, 2, 3] {
        let scattered = sharded(shards, &chain).with_uploads_in_turn();
        run(&Cpu::new(chain.clone()), &scattered);
        let copies = scattered.traffic().total().copies;
        assert_eq!(copies > 0, shards > 1, "{shards} shards: {copies} copies");
    }
}

#[test]
fn every_kernel_follows_its_definition() {
    laws::hold(&sharded(2, &chain(4)).with_uploads_in_turn());
}

#[test]
fn whoever_holds_no_data_agrees_as_well() {
    let chain = chain(5);
    let meters = (0..2).map(|_| Meter::new(chain.clone())).collect();
    let metered = Counting::new(Sharded::new(meters, HostComm).unwrap().with_uploads_in_turn());
    let counting = Counting::new(Cpu::new(chain));
    run(&counting, &metered);
    assert_eq!(counting.counts(), metered.counts());
}

#[test]
fn rejects_shards_that_do_not_belong_together() {
    assert_eq!(Sharded::<Cpu, _>::new(vec![], HostComm).err(), Some(ShardError::NoShards));
    let shards = [4, 4, 5].map(|degree| Cpu::new(chain(degree))).into();
    let refused = Sharded::new(shards, HostComm).err().unwrap();
    assert_eq!(refused, ShardError::ChainsDiffer { shard: 2 });
    assert!(refused.to_string().contains("shard 2 has another chain of primes"), "{refused}");
}

#[test]
#[should_panic(expected = "place: shard 2 was asked for, but there are 2")]
fn rejects_a_shard_that_is_not_there() {
    let backend = sharded(2, &chain(4));
    let shape = Shape::evaluation(fhe_ring::Ring::cyclotomic(4), fhe_ring::Basis::prefix(1));
    backend.place(fhe_ring::Operand { buffer: &backend.zeros(shape), shape }, 2);
}

/// What is read elsewhere is copied once, until it changes.
#[test]
fn copies_stay_until_the_polynomial_changes() {
    let chain = chain(4);
    let backend = sharded(2, &chain);
    let shape = Shape::evaluation(fhe_ring::Ring::cyclotomic(4), fhe_ring::Basis::prefix(2));
    let upload = |word: u64| backend.upload(shape, &mut |words| words.fill(word));
    let (key, one, mut sum) = (upload(7), upload(1), upload(2));
    fn operand<T>(buffer: &T, shape: Shape) -> fhe_ring::Operand<'_, T> {
        fhe_ring::Operand { buffer, shape }
    }
    backend.place(operand(&sum, shape), 1);
    let copies = || backend.traffic().by_limbs().map(|(limbs, traffic)| (limbs, traffic.copies)).collect::<Vec<_>>();
    assert_eq!((sum.home(), copies()), (Some(1), vec![(2, 1)]));
    // The key comes to where the sum is, and is there for the second product.
    for _ in 0..2 {
        backend.multiply_accumulate(&mut sum, operand(&key, shape), operand(&key, shape));
    }
    assert_eq!((sum.home(), key.home(), copies()), (Some(1), Some(0), vec![(2, 2)]));
    assert!(sum.copy_on(0).is_none(), "the copy that was left behind is out of date");
    assert_eq!(backend.download(operand(&sum, shape)).unwrap(), vec![2 + 2 * 49; shape.words()]);
    // Zeros come to be where they are needed.
    let mut zeros = backend.zeros(shape);
    assert_eq!(zeros.home(), None);
    backend.add_assign(&mut zeros, operand(&sum, shape));
    backend.subtract_assign(&mut zeros, operand(&one, shape));
    assert_eq!((zeros.home(), copies()), (Some(1), vec![(2, 3)]));
    assert_eq!(backend.download(operand(&zeros, shape)).unwrap(), vec![99; shape.words()]);
}
