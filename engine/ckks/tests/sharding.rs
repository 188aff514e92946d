//! A circuit on several shards: the words of one backend alone, and ciphertexts that move at the lowest modulus only.

mod common;

use std::{mem, sync::Arc};

use common::{Instance, uniform};
use fhe_ckks::{CkksClient, CkksServer, Client, CoefficientCiphertext, Evaluator, Parameters, SlotArithmetic};
use fhe_ring::{Backend, Counting, Cpu, Seed};
use fhe_shards::{HostComm, Sharded, Traffic};

const CIPHERTEXTS: usize = 5;
const UNIT: f64 = (1_u64 << 30) as f64;

/// A layer in small: all of a tensor climb, each is worked on by itself, pairs of two tensors meet, and back; then all of them are summed.
fn layer<E: Evaluator>(e: &E, residual: &mut [E::Coefficients]) {
    let climb = |tensor: &[E::Coefficients]| e.half_bootstrap(&tensor.iter().collect::<Vec<_>>(), 3).unwrap();
    let (gates, ups) = (climb(residual), climb(residual));
    for ((gate, up), residual) in gates.iter().zip(&ups).zip(&mut *residual) {
        let product = e.multiply(&e.square(gate).unwrap(), up).unwrap();
        let written = e.slots_to_coefficients(&product, e.unit(residual)).unwrap();
        *residual = e.add_coefficients(residual, &written).unwrap();
    }
    let sum = residual[1..].iter().try_fold(residual[0].clone(), |sum, x| e.add_coefficients(&sum, x)).unwrap();
    residual[0] = sum;
}

/// The ciphertexts after each of two layers, and what moved during each.
fn run<B: Backend>(
    backend: B,
    parameters: &Parameters,
    planner: &CkksServer<fhe_ring::Meter>,
    traffic: impl Fn(&B) -> Traffic,
) -> [(Vec<Vec<u8>>, Traffic); 2] {
    let backend = Arc::new(backend);
    let client = CkksClient::new(Arc::clone(&backend), parameters.clone(), &Seed::from_bytes([5; 32])).unwrap();
    let keys = client.evaluation_keys(&planner.key_requests(), |_| ()).unwrap();
    let server = CkksServer::new(Arc::clone(&backend), parameters.clone(), keys).unwrap();
    let mut residual = inputs(&client, server.shape().degree);
    let mut before = Traffic::default();
    [(); 2].map(|()| {
        layer(&server, &mut residual);
        let saved = residual.iter().map(|x| server.save(x).unwrap()).collect();
        let now = traffic(&backend);
        (saved, now.since(&mem::replace(&mut before, now.clone())))
    })
}

fn inputs<B: Backend>(client: &CkksClient<B>, degree: usize) -> Vec<CoefficientCiphertext<B>> {
    (0..CIPHERTEXTS as u64).map(|i| client.encrypt(&uniform(degree, i + 1), UNIT).unwrap()).collect()
}

#[test]
fn ciphertexts_move_at_the_lowest_modulus_alone() {
    let instance = Instance::new("n11-toy", 5);
    let (planner, metered) = instance.planner();
    layer(&planner, &mut inputs(&metered, instance.parameters.shape().degree));
    let chain = instance.parameters.rlwe().chain();
    let alone = run(Cpu::new(chain.clone()), &instance.parameters, &planner, |_| Traffic::default());
    for shards in [2, 3] {
        let cpus = (0..shards).map(|_| Cpu::new(chain.clone())).collect();
        let backend = Counting::new(Sharded::new(cpus, HostComm).unwrap());
        let sharded = run(backend, &instance.parameters, &planner, |backend| backend.inner().traffic());
        for (layer, ((saved, _), (expected, _))) in sharded.iter().zip(&alone).enumerate() {
            assert!(saved == expected, "layer {layer} on {shards} shards differs from that on one");
        }
        // The first layer brings keys and plaintexts to every shard. From then on nothing moves but ciphertexts of one limb: both halves of
        // those whose turn is on another shard, and of the terms of the sum.
        let [(_, first), (_, second)] = &sharded;
        let moved: Vec<_> = second.by_limbs().map(|(limbs, traffic)| (limbs, traffic.copies)).collect();
        assert!(first.by_limbs().any(|(limbs, _)| limbs > 10), "{first:?}");
        assert!(matches!(moved[..], [(1, copies)] if copies <= 4 * CIPHERTEXTS as u64), "{moved:?}");
    }
}
