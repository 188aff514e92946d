//! A small insecure instance, openly so, and the plain arithmetic that it is held against.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod plain;

use std::sync::Arc;

use fhe_ring::{Basis, Cpu, Poly, PrimeChain, Ring, Seed, Shape, primes::primes_below};
use fhe_rlwe::{Ciphertext, KeyStore, KeySwitcher, Parameters, ParametersSpec, client::ClientSecrets};

pub const LOG_DEGREE: u32 = 8;
pub const SMALL_LOG_DEGREE: u32 = 5;
pub const LANE_LOG_DEGREE: u32 = 6;
pub const LANE_DEGREE: usize = 1 << LANE_LOG_DEGREE;

/// Seven ciphertext primes in groups of three, three special primes, all of 50 bits.
pub fn specification() -> ParametersSpec {
    let mut primes = primes_below(1 << 50, 4 << LOG_DEGREE);
    let mut take = |count: usize| primes.by_ref().take(count).collect::<Vec<_>>();
    ParametersSpec {
        name: "test".into(),
        log_degree: LOG_DEGREE,
        chain: PrimeChain::new(take(7), take(3), LOG_DEGREE).expect("primes of the right form"),
        gadget_groups: Basis::prefix(7).groups_of(3),
        low_region: None,
        ephemeral_weight: 32,
        small_log_degree: SMALL_LOG_DEGREE,
        lane_log_degree: LANE_LOG_DEGREE,
        insecure: true,
    }
}

pub struct Instance {
    pub backend: Arc<Cpu>,
    pub parameters: Parameters,
    pub client: ClientSecrets,
}

impl Instance {
    pub fn new(seed: u8) -> Self {
        Self::of(specification(), seed)
    }

    pub fn of(specification: ParametersSpec, seed: u8) -> Self {
        let parameters = Parameters::new(specification).expect("valid structure");
        let backend = Arc::new(Cpu::new(parameters.chain().clone()));
        let client = ClientSecrets::generate(&parameters, &Seed::from_bytes([seed; 32])).expect("secrets");
        Self { backend, parameters, client }
    }

    pub fn server(&self, keys: KeyStore<Cpu>) -> KeySwitcher<Cpu> {
        KeySwitcher::new(Arc::clone(&self.backend), self.parameters.clone(), keys)
    }

    pub fn planner(&self) -> KeySwitcher<Cpu> {
        self.server(KeyStore::planning())
    }

    /// Plans with `run`, generates the keys, runs for real.
    pub fn with_keys<T>(&self, run: impl Fn(&KeySwitcher<Cpu>) -> T) -> T {
        run(&self.planned(&run))
    }

    /// Plans with `run` and generates the keys.
    pub fn planned<T>(&self, run: impl Fn(&KeySwitcher<Cpu>) -> T) -> KeySwitcher<Cpu> {
        let planner = self.planner();
        run(&planner);
        let keys = self.client.evaluation_keys(self.backend.as_ref(), &planner.keys().requests()).expect("keys");
        self.server(keys)
    }

    pub fn poly(&self, ring: Ring, basis: Basis, coefficients: &[i64]) -> Poly<Cpu> {
        Poly::from_signed(self.backend.as_ref(), Shape::evaluation(ring, basis), coefficients).expect("coefficients")
    }

    /// Under the dense secret.
    pub fn encrypt(&self, message: &[i64], primes: usize, nonce: u64) -> Ciphertext<Cpu> {
        self.encrypt_in(self.parameters.ring(), message, primes, nonce)
    }

    /// Under the secret of the ring.
    pub fn encrypt_in(&self, ring: Ring, message: &[i64], primes: usize, nonce: u64) -> Ciphertext<Cpu> {
        let poly = self.poly(ring, Basis::prefix(primes), message);
        self.client.encrypt(self.backend.as_ref(), poly, nonce).expect("encryption")
    }

    /// A multiple of the message, times the special modulus, over all special primes too: what a division is due on.
    pub fn encrypt_extended(
        &self,
        ring: Ring,
        message: &[i64],
        (primes, multiple): (usize, i128),
        nonce: u64,
    ) -> [Poly<Cpu>; 2] {
        let backend = self.backend.as_ref();
        let basis = Basis::prefix(primes).with_special(self.parameters.special_count());
        let mut poly = self.poly(ring, basis, message);
        poly.scale_residues(backend, &self.parameters.chain().special_product_residues(basis)).expect("factors");
        poly.scale_integer(backend, multiple);
        self.client.encrypt(backend, poly, nonce).expect("encryption").into_halves()
    }

    /// Centred residues modulo the first prime; equal to the message where that is small.
    pub fn decrypt(&self, ciphertext: &Ciphertext<Cpu>) -> Vec<i64> {
        let phase = self.client.decrypt(self.backend.as_ref(), ciphertext).expect("decryption");
        let words = phase.download(self.backend.as_ref()).expect("data");
        let prime = &self.parameters.chain().ciphertext_primes()[0];
        words[..self.parameters.ring().degree()].iter().map(|&word| prime.centred(word)).collect()
    }

    /// Both halves as residues.
    pub fn words(&self, ciphertext: &Ciphertext<Cpu>) -> [Vec<u64>; 2] {
        ciphertext.halves().map(|half| half.download(self.backend.as_ref()).expect("data"))
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

/// Largest difference.
pub fn worst<F: Copy + Into<i128>, E: Copy + Into<i128>>(found: &[F], expected: &[E]) -> i128 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(&found, &expected)| (found.into() - expected.into()).abs()).max().unwrap_or(0)
}

/// Largest absolute value: what an error bound has to be far below.
pub fn largest(values: &[i128]) -> i128 {
    values.iter().map(|value| value.abs()).max().unwrap_or(0)
}
