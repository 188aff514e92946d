//! A small insecure instance, openly so.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::sync::Arc;

use fhe_ring::{Basis, Cpu, Poly, PrimeChain, Seed, Shape, primes::primes_below};
use fhe_rlwe::{Ciphertext, KeyStore, KeySwitcher, Parameters, ParametersSpec, client::ClientSecrets};

pub const LOG_DEGREE: u32 = 8;
pub const SMALL_LOG_DEGREE: u32 = 5;

pub fn parameters(insecure: bool) -> Parameters {
    let mut primes = primes_below(1 << 50, 4 << LOG_DEGREE);
    let mut take = |count: usize| primes.by_ref().take(count).collect::<Vec<_>>();
    let chain = PrimeChain::new(take(7), take(3), LOG_DEGREE).expect("primes of the right form");
    Parameters::new(ParametersSpec {
        name: "test".into(),
        log_degree: LOG_DEGREE,
        chain,
        gadget_width: 3,
        ephemeral_weight: 32,
        small_log_degree: SMALL_LOG_DEGREE,
        insecure,
    })
    .expect("valid structure")
}

pub struct Instance {
    pub backend: Arc<Cpu>,
    pub parameters: Parameters,
    pub client: ClientSecrets,
}

impl Instance {
    pub fn new(seed: u8) -> Self {
        let parameters = parameters(true);
        let backend = Arc::new(Cpu::new(parameters.chain().clone()));
        let client = ClientSecrets::generate(&parameters, &Seed::from_bytes([seed; 32])).expect("secrets");
        Self { backend, parameters, client }
    }

    pub fn planner(&self) -> KeySwitcher<Cpu> {
        KeySwitcher::new(Arc::clone(&self.backend), self.parameters.clone(), KeyStore::planning())
    }

    /// Plans with `run`, generates the keys, runs for real.
    pub fn with_keys<T>(&self, run: impl Fn(&KeySwitcher<Cpu>) -> T) -> T {
        let planner = self.planner();
        run(&planner);
        let keys = self.client.evaluation_keys(self.backend.as_ref(), &planner.keys().requests()).expect("keys");
        run(&KeySwitcher::new(Arc::clone(&self.backend), self.parameters.clone(), keys))
    }

    pub fn encrypt(&self, message: &[i64], primes: usize, nonce: u64) -> Ciphertext<Cpu> {
        let shape = Shape::evaluation(self.parameters.ring(), Basis::prefix(primes));
        let poly = Poly::from_signed(self.backend.as_ref(), shape, message).expect("message");
        self.client.encrypt(self.backend.as_ref(), poly, nonce).expect("encryption")
    }

    /// Centred residues modulo the first prime; equal to the message where that is small.
    pub fn decrypt(&self, ciphertext: &Ciphertext<Cpu>) -> Vec<i64> {
        let phase = self.client.decrypt(self.backend.as_ref(), ciphertext).expect("decryption");
        let words = phase.download(self.backend.as_ref()).expect("data");
        let prime = self.parameters.chain().ciphertext_primes()[0].value();
        words[..self.parameters.ring().degree()]
            .iter()
            .map(|&w| if w > prime / 2 { w as i64 - prime as i64 } else { w as i64 })
            .collect()
    }
}

/// Deterministic messages below `bound` in absolute value.
pub fn message(degree: usize, bound: i64, salt: u64) -> Vec<i64> {
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..degree)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % (2 * bound as u64 - 1)) as i64 - bound + 1
        })
        .collect()
}

pub fn worst(found: &[i64], expected: &[i64]) -> i64 {
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).max().unwrap_or(0)
}
