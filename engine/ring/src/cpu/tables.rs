//! Precomputed tables, built when first needed and kept.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use super::{base_conversion::BaseConversion, limb::parity::EvenPoints};
use crate::{
    Basis, GaloisElement, InstructionSet, PrimeChain, PrimeIndex, Ring,
    galois_table::GaloisTable,
    ntt::{LaneTransform, NumberTheoreticTransform},
};

/// Everything that a backend's kernels look up.
#[derive(Default)]
pub(super) struct Tables {
    transforms: Cache<Ring, Transforms>,
    lane_transforms: Cache<(u32, PrimeIndex), LaneTransform>,
    conversions: Cache<(Basis, Basis), BaseConversion>,
    automorphisms: Cache<(Ring, GaloisElement), GaloisTable>,
    even_points: Cache<(u32, PrimeIndex), EvenPoints>,
}

impl Tables {
    /// The transforms of a ring.
    pub(super) fn transforms(&self, chain: &PrimeChain, instructions: InstructionSet, ring: Ring) -> Arc<Transforms> {
        self.transforms.get(ring, || Transforms {
            ring,
            instructions,
            chain: chain.clone(),
            ciphertext: chain.ciphertext_primes().iter().map(|_| OnceLock::new()).collect(),
            special: chain.special_primes().iter().map(|_| OnceLock::new()).collect(),
        })
    }

    /// The transform over the subring of degree `2^log_points` modulo one prime.
    pub(super) fn lane_transform(
        &self,
        chain: &PrimeChain,
        instructions: InstructionSet,
        log_points: u32,
        prime: PrimeIndex,
    ) -> Arc<LaneTransform> {
        self.lane_transforms.get((log_points, prime), || {
            LaneTransform::new(log_points, chain.modulus(prime), instructions)
                .expect("checked operations refuse rings beyond the chain's largest degree")
        })
    }

    /// The conversion from one basis to another.
    pub(super) fn conversion(&self, chain: &PrimeChain, source: Basis, target: Basis) -> Arc<BaseConversion> {
        self.conversions.get((source, target), || BaseConversion::new(chain, source, target))
    }

    /// The points of the conjugate-invariant ring of a degree modulo one prime.
    pub(super) fn even_points(&self, chain: &PrimeChain, log_degree: u32, prime: PrimeIndex) -> Arc<EvenPoints> {
        let ring = Ring::conjugate_invariant(log_degree);
        self.even_points.get((log_degree, prime), || EvenPoints::new(ring, chain.modulus(prime)))
    }

    /// The permutation of values by an automorphism.
    pub(super) fn automorphism(&self, ring: Ring, element: GaloisElement) -> Arc<GaloisTable> {
        self.automorphisms.get((ring, element), || GaloisTable::new(ring, element))
    }
}

/// The transforms of one ring, each prime's built when first needed.
pub(super) struct Transforms {
    ring: Ring,
    instructions: InstructionSet,
    chain: PrimeChain,
    ciphertext: Vec<OnceLock<NumberTheoreticTransform>>,
    special: Vec<OnceLock<NumberTheoreticTransform>>,
}

impl Transforms {
    /// The transform modulo one prime of the chain.
    pub(super) fn modulo(&self, prime: PrimeIndex) -> &NumberTheoreticTransform {
        let cell = match prime {
            PrimeIndex::Ciphertext(i) => &self.ciphertext[i],
            PrimeIndex::Special(i) => &self.special[i],
        };
        cell.get_or_init(|| {
            NumberTheoreticTransform::new(self.ring, self.chain.modulus(prime), self.instructions)
                .expect("checked operations refuse rings beyond the chain's largest degree")
        })
    }
}

struct Cache<K, V>(RwLock<HashMap<K, Arc<V>>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, V> Cache<K, V> {
    /// The value, made outside the lock if it is missing: two threads may both make it, and one is kept.
    fn get(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        if let Some(value) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return value.clone();
        }
        let value = Arc::new(make());
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(value).clone()
    }
}
