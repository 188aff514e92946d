//! Plans, generates keys and runs a circuit on a named parameter set.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::sync::Arc;

use fhe_ckks::{CkksClient, CkksServer, Copies, Level, Parameters, SlotArithmetic, sparse_bootstrap};
use fhe_ring::{Cpu, Meter, Seed};

pub struct Instance {
    pub parameters: Parameters,
    pub backend: Arc<Cpu>,
    pub client: CkksClient<Cpu>,
}

impl Instance {
    pub fn new(name: &str, seed: u8) -> Self {
        let parameters = Parameters::named(name).expect("a named set");
        let backend = Arc::new(Cpu::new(parameters.rlwe().chain().clone()));
        let client =
            CkksClient::new(Arc::clone(&backend), parameters.clone(), &Seed::from_bytes([seed; 32])).expect("secrets");
        Self { parameters, backend, client }
    }

    /// A planning server without data, and its client, on which to run the circuit first.
    pub fn planner(&self) -> (CkksServer<Meter>, CkksClient<Meter>) {
        let meter = Arc::new(Meter::new(self.parameters.rlwe().chain().clone()));
        let client =
            CkksClient::new(Arc::clone(&meter), self.parameters.clone(), &Seed::from_bytes([0; 32])).expect("secrets");
        (CkksServer::planning(meter, self.parameters.clone()).expect("planner"), client)
    }

    /// The server with the keys that the planner was asked for.
    pub fn server(&self, planner: &CkksServer<Meter>) -> CkksServer<Cpu> {
        let keys = self.client.evaluation_keys(&planner.key_requests(), |_| ()).expect("keys");
        CkksServer::new(Arc::clone(&self.backend), self.parameters.clone(), keys).expect("server")
    }
}

/// Deterministic values uniform in (-1, 1).
pub fn uniform(length: usize, salt: u64) -> Vec<f64> {
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

/// Mean and largest absolute difference.
pub fn errors(found: &[f64], expected: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let differences: Vec<f64> = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).collect();
    assert_eq!(differences.len(), found.len());
    (differences.iter().sum::<f64>() / found.len() as f64, differences.iter().copied().fold(0.0, f64::max))
}

/// Values in so many slots of each half.
pub fn in_copies(values: &[f64], copies: Copies) -> Vec<f64> {
    values.chunks_exact(values.len() / 2).flat_map(|half| half.repeat(copies.0)).collect()
}

/// Slots in copies through SlotsToCoeffs, a half bootstrap and the cubic correction: mean and largest error.
pub fn sparse_bootstrap_errors(name: &str, copies: Copies) -> (f64, f64) {
    let instance = Instance::new(name, 16);
    let shape = instance.parameters.shape().clone();
    let slots = in_copies(&uniform(shape.degree / copies.0, 41), copies);
    macro_rules! circuit {
        ($server:expr, $client:expr) => {{
            let x = $client.encrypt_slots(&slots, Level(shape.slots_to_coefficients_levels)).unwrap();
            sparse_bootstrap($server, &[&x], copies, shape.compute_levels).unwrap().remove(0)
        }};
    }
    let (planner, metered) = instance.planner();
    let _ = circuit!(&planner, &metered);
    let server = instance.server(&planner);
    let refreshed = circuit!(&server, &instance.client);
    assert_eq!(server.counts(), planner.counts());
    assert_eq!(server.level(&refreshed), Level(shape.top_level() - 2));
    errors(&instance.client.decrypt_slots(&refreshed).unwrap().expect("data"), slots)
}
