//! What kernels look up, resident on the device: built when first needed and kept.
//!
//! Every table has an entry for each prime of the chain, in the order of its full basis. A launch comes with the
//! positions of its limbs' primes in that order.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use fhe_ring::{Basis, Modulus, PrimeChain, Ring, ntt::Twiddles};

use crate::{CudaError, Device};

/// The tables of one device.
pub(crate) struct Tables<D: Device> {
    moduli: D::Memory,
    transforms: Mutex<HashMap<Ring, Arc<TransformTables<D>>>>,
    positions: Mutex<HashMap<Basis, Arc<D::Memory>>>,
}

/// The tables of one ring's transforms.
pub(crate) struct TransformTables<D: Device> {
    /// `TransformConstants` of each prime.
    pub(crate) constants: D::Memory,
    /// The forward heap of each prime.
    pub(crate) forward: D::Memory,
    /// The inverse heap of each prime.
    pub(crate) inverse: D::Memory,
}

impl<D: Device> Tables<D> {
    pub(crate) fn new(device: &D, chain: &PrimeChain) -> Result<Self, CudaError> {
        let moduli: Vec<u64> = chain.moduli(chain.full_basis()).flat_map(modulus).collect();
        Ok(Self { moduli: device.upload(&moduli)?, transforms: Mutex::default(), positions: Mutex::default() })
    }

    /// `Modulus` of each prime.
    pub(crate) fn moduli(&self) -> &D::Memory {
        &self.moduli
    }

    /// The tables of a ring whose degree the chain supports.
    pub(crate) fn transforms(
        &self,
        device: &D,
        chain: &PrimeChain,
        ring: Ring,
    ) -> Result<Arc<TransformTables<D>>, CudaError> {
        cached(&self.transforms, ring, || TransformTables::new(device, chain, ring))
    }

    /// The positions of the primes of a basis.
    pub(crate) fn positions(&self, device: &D, chain: &PrimeChain, basis: Basis) -> Result<Arc<D::Memory>, CudaError> {
        cached(&self.positions, basis, || {
            let full = chain.full_basis();
            let positions: Vec<u64> = (basis.indices())
                .map(|prime| full.position(prime).expect("operands have primes of the chain only") as u64)
                .collect();
            device.upload(&positions)
        })
    }
}

impl<D: Device> TransformTables<D> {
    fn new(device: &D, chain: &PrimeChain, ring: Ring) -> Result<Self, CudaError> {
        let (mut constants, mut forward, mut inverse) = (Vec::new(), Vec::new(), Vec::new());
        for prime in chain.moduli(chain.full_basis()) {
            let twiddles = Twiddles::new(ring, prime).expect("a chain's primes serve every degree up to its largest");
            constants.extend(modulus(prime));
            constants.extend(multiplier(prime, twiddles.imaginary_unit));
            constants.extend(multiplier(prime, twiddles.normalisation));
            forward.extend(twiddles.forward.iter().flat_map(|&w| multiplier(prime, w)));
            inverse.extend(twiddles.inverse.iter().flat_map(|&w| multiplier(prime, w)));
        }
        Ok(Self {
            constants: device.upload(&constants)?,
            forward: device.upload(&forward)?,
            inverse: device.upload(&inverse)?,
        })
    }
}

/// The words of the kernels' `Modulus`.
fn modulus(prime: &Modulus) -> [u64; 4] {
    let p = prime.value() as u128;
    let residue = ((1u128 << 64) % p) as u64;
    let [residue, residue_quotient] = multiplier(prime, residue);
    [prime.value(), ((1u128 << 64) / p) as u64, residue, residue_quotient]
}

/// The words of the kernels' `Multiplier`.
fn multiplier(prime: &Modulus, factor: u64) -> [u64; 2] {
    [factor, prime.shoup_quotient(factor)]
}

fn cached<K: Eq + Hash, V>(
    cache: &Mutex<HashMap<K, Arc<V>>>,
    key: K,
    make: impl FnOnce() -> Result<V, CudaError>,
) -> Result<Arc<V>, CudaError> {
    // A table is whole before it is inserted, so a panic elsewhere leaves no half of one.
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = cache.get(&key) {
        return Ok(value.clone());
    }
    let value = Arc::new(make()?);
    cache.insert(key, value.clone());
    Ok(value)
}
