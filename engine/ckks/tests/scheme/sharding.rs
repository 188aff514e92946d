//! A circuit on several shards: the words of one backend alone, and ciphertexts that move at the lowest modulus only.

use std::{mem, sync::Arc};

use crate::common::{Instance, uniform};
use fhe_ckks::{CkksClient, CkksServer, Client, CoefficientCiphertext, Evaluator, Parameters, SlotArithmetic};
use fhe_ring::{Backend, Counting, Cpu, IntegerMatrix, MatrixShape, Seed};
use fhe_shards::{HostComm, Sharded, Traffic};

const CIPHERTEXTS: usize = 5;
const TOKENS: usize = 16;
const UNIT: f64 = (1_u64 << 30) as f64;

/// A layer in small: all of a tensor climb, each is worked on by itself, pairs of two tensors meet, and back; all of them are summed, and all meet
/// weights, with which three more ciphertexts are made.
fn layer<E: Evaluator>(e: &E, residual: &mut [E::Coefficients]) -> Vec<E::Coefficients> {
    let climb = |tensor: &[E::Coefficients]| e.half_bootstrap(&tensor.iter().collect::<Vec<_>>(), 3).unwrap();
    let (gates, ups) = (climb(residual), climb(residual));
    for ((gate, up), residual) in gates.iter().zip(&ups).zip(&mut *residual) {
        let product = e.multiply(&e.square(gate).unwrap(), up).unwrap();
        let written = e.slots_to_coefficients(&product, e.unit(residual)).unwrap();
        *residual = e.add_coefficients(residual, &written).unwrap();
    }
    let sum = residual[1..].iter().try_fold(residual[0].clone(), |sum, x| e.add_coefficients(&sum, x)).unwrap();
    residual[0] = sum;
    let rows = e.module_rows(&residual.iter().collect::<Vec<_>>(), TOKENS).unwrap();
    let per_ciphertext = e.shape().degree / TOKENS;
    let shape = MatrixShape { rows: 2 * per_ciphertext + 7, columns: CIPHERTEXTS * per_ciphertext };
    let entries = (0..shape.words()).map(|i| (i * i % 127) as i16 - 63).collect();
    e.packed_product(&IntegerMatrix::new(shape, entries).unwrap(), 1.0, &rows).unwrap()
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
        let products = layer(&server, &mut residual);
        assert_eq!(products.len(), 3);
        let saved = residual.iter().chain(&products).map(|x| server.save(x).unwrap()).collect();
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
    let _ = layer(&planner, &mut inputs(&metered, instance.parameters.shape().degree));
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
        // those whose turn is on another shard, and of the terms of the sum; and what meets weights, in small ciphertexts.
        let [(_, first), (_, second)] = &sharded;
        let moved: Vec<_> = second.by_limbs().map(|(limbs, traffic)| (limbs, traffic.bytes)).collect();
        let ciphertext = (2 * size_of::<u64>() * instance.parameters.shape().degree) as u64;
        let most = (2 + shards as u64) * CIPHERTEXTS as u64 * ciphertext;
        assert!(first.by_limbs().any(|(limbs, _)| limbs > 10), "{first:?}");
        assert!(matches!(moved[..], [(1, bytes)] if bytes <= most), "{moved:?}, at most {most}");
    }
}
