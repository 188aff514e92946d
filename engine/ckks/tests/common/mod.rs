//! Plans, generates keys and runs a circuit on a named parameter set.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::sync::Arc;

use fhe_ckks::{CkksClient, CkksServer, Parameters};
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
