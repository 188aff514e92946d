//! What kernels look up, resident on the device: built when first needed and kept as long as the backend.
//!
//! A table is known by its address.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use fhe_ring::{Basis, Modulus, PrimeChain, Ring, ntt::Twiddles};

use crate::{CudaError, Device, conversion::ConversionConstants};

/// `ABSENT` of the kernels: the position of a limb that an operand does not have.
const ABSENT: u64 = u64::MAX;

/// The tables of one device.
pub(crate) struct Tables<D: Device> {
    moduli: D::Memory,
    positions: Cache<D, (Basis, Basis), u64>,
    transforms: Cache<D, Ring, TransformTables>,
    special_products: Cache<D, Basis, SpecialProducts>,
    conversions: Cache<D, (Basis, Basis), ConversionTables>,
    digits: Cache<D, (Basis, Vec<Basis>, usize), DigitTables>,
}

/// The tables of one ring's transforms.
#[derive(Clone, Copy)]
pub(crate) struct TransformTables {
    /// `TransformConstants` of each prime of the chain.
    pub(crate) constants: u64,
    /// The forward heap of each prime of the chain.
    pub(crate) forward: u64,
    /// The inverse heap of each prime of the chain.
    pub(crate) inverse: u64,
}

/// The product of the special primes of a basis modulo each of its primes.
#[derive(Clone, Copy)]
pub(crate) struct SpecialProducts {
    /// A word each.
    pub(crate) words: u64,
    /// A `Multiplier` each.
    pub(crate) multipliers: u64,
}

/// The constants of the conversion from one basis to another.
#[derive(Clone, Copy)]
pub(crate) struct ConversionTables {
    /// `ConversionSource` of each source prime.
    pub(crate) sources: u64,
    /// The bits behind the point of overflow counts: the number itself.
    pub(crate) fraction_bits: u64,
    /// A row of target primes for each source prime, and one more.
    pub(crate) factors: u64,
    /// `Modulus` of each target prime.
    pub(crate) moduli: u64,
    /// A `Multiplier` for each target prime: the inverse of the product of the source primes.
    pub(crate) inverse_products: u64,
}

/// The limbs of all digits of a polynomial, which lie one digit after the other.
#[derive(Clone, Copy)]
pub(crate) struct DigitTables {
    /// Where the limbs lie by which digits are defined, and where in the polynomial they come from.
    pub(crate) own: Limbs,
    pub(crate) sources: u64,
    /// Where the others lie.
    pub(crate) missing: Limbs,
}

/// Limbs of a launch.
#[derive(Clone, Copy)]
pub(crate) struct Limbs {
    /// How many.
    pub(crate) count: usize,
    /// The position of each.
    pub(crate) positions: u64,
    /// The position in the chain of the prime of each.
    pub(crate) primes: u64,
}

impl<D: Device> Tables<D> {
    pub(crate) fn new(device: &D, chain: &PrimeChain) -> Result<Self, CudaError> {
        let moduli: Vec<u64> = chain.moduli(chain.full_basis()).flat_map(modulus).collect();
        Ok(Self {
            moduli: device.upload(&moduli)?,
            positions: Cache::default(),
            transforms: Cache::default(),
            special_products: Cache::default(),
            conversions: Cache::default(),
            digits: Cache::default(),
        })
    }

    /// `Modulus` of each prime of the chain.
    pub(crate) fn moduli(&self, device: &D) -> u64 {
        device.address(&self.moduli)
    }

    /// For each prime of a basis its position in another one, or `ABSENT`.
    pub(crate) fn positions(&self, device: &D, basis: Basis, within: Basis) -> Result<u64, CudaError> {
        self.positions.get((basis, within), || {
            let position = |prime| within.position(prime).map_or(ABSENT, |position| position as u64);
            let memory = device.upload(&basis.indices().map(position).collect::<Vec<_>>())?;
            Ok((device.address(&memory), vec![memory]))
        })
    }

    /// The limbs of the digits of a polynomial over `basis`, each extended by so many special primes.
    pub(crate) fn digits(
        &self,
        device: &D,
        chain: &PrimeChain,
        basis: Basis,
        groups: &[Basis],
        special: usize,
    ) -> Result<DigitTables, CudaError> {
        self.digits.get((basis, groups.to_vec(), special), || {
            let (target, full) = (basis.with_special(special), chain.full_basis());
            let [mut own, mut own_primes, mut sources, mut missing, mut missing_primes] = [const { Vec::new() }; 5];
            for (number, (_, digit)) in basis.digits(groups).enumerate() {
                for (position, prime) in target.indices().enumerate() {
                    let position = (number * target.len() + position) as u64;
                    let in_chain = full.position(prime).expect("operands have primes of the chain only") as u64;
                    if digit.position(prime).is_some() {
                        own.push(position);
                        own_primes.push(in_chain);
                        sources.push(basis.position(prime).expect("a digit's primes are the polynomial's") as u64);
                    } else {
                        missing.push(position);
                        missing_primes.push(in_chain);
                    }
                }
            }
            let tables = [&own, &own_primes, &sources, &missing, &missing_primes];
            let memory = tables.into_iter().map(|table| device.upload(table)).collect::<Result<Vec<_>, _>>()?;
            let address = |i: usize| device.address(&memory[i]);
            let digits = DigitTables {
                own: Limbs { count: own.len(), positions: address(0), primes: address(1) },
                sources: address(2),
                missing: Limbs { count: missing.len(), positions: address(3), primes: address(4) },
            };
            Ok((digits, memory))
        })
    }

    /// The tables of a ring whose degree the chain supports.
    pub(crate) fn transforms(&self, device: &D, chain: &PrimeChain, ring: Ring) -> Result<TransformTables, CudaError> {
        self.transforms.get(ring, || {
            let (mut constants, mut forward, mut inverse) = (Vec::new(), Vec::new(), Vec::new());
            for prime in chain.moduli(chain.full_basis()) {
                let twiddles =
                    Twiddles::new(ring, prime).expect("a chain's primes serve every degree up to its largest");
                constants.extend(modulus(prime));
                constants.extend(multiplier(prime, twiddles.imaginary_unit));
                constants.extend(multiplier(prime, twiddles.normalisation));
                forward.extend(stored(&twiddles.forward).flat_map(|w| multiplier(prime, w)));
                inverse.extend(stored(&twiddles.inverse).flat_map(|w| multiplier(prime, w)));
            }
            let memory = [constants, forward, inverse].map(|words| device.upload(&words));
            let [constants, forward, inverse] = memory;
            let memory = [constants?, forward?, inverse?];
            let [constants, forward, inverse] = memory.each_ref().map(|memory| device.address(memory));
            Ok((TransformTables { constants, forward, inverse }, memory.into()))
        })
    }

    /// The products of the special primes of a basis.
    pub(crate) fn special_products(
        &self,
        device: &D,
        chain: &PrimeChain,
        basis: Basis,
    ) -> Result<SpecialProducts, CudaError> {
        self.special_products.get(basis, || {
            let residues = chain.special_product_residues(basis);
            let multipliers = multipliers(chain, basis, &residues);
            let memory = [device.upload(&residues)?, device.upload(&multipliers)?];
            let [words, multipliers] = memory.each_ref().map(|memory| device.address(memory));
            Ok((SpecialProducts { words, multipliers }, memory.into()))
        })
    }

    /// The constants of a conversion.
    pub(crate) fn conversion(
        &self,
        device: &D,
        chain: &PrimeChain,
        source: Basis,
        target: Basis,
    ) -> Result<ConversionTables, CudaError> {
        self.conversions.get((source, target), || {
            let constants = ConversionConstants::new(chain, source, target);
            let memory = [
                device.upload(&constants.sources)?,
                device.upload(&constants.factors)?,
                device.upload(&constants.moduli)?,
                device.upload(&constants.inverse_products)?,
            ];
            let [sources, factors, moduli, inverse_products] = memory.each_ref().map(|memory| device.address(memory));
            let fraction_bits = constants.fraction_bits.into();
            Ok((ConversionTables { sources, fraction_bits, factors, moduli, inverse_products }, memory.into()))
        })
    }
}

/// The factors of a heap in the order in which kernels find them: `heap_entry` of `kernels/transform_layers.cuh`. The nodes
/// of the four lowest layers, fifteen to a group of sixteen leaves, come by their place in the group, then by group.
fn stored(heap: &[u64]) -> impl Iterator<Item = u64> + '_ {
    let groups = heap.len() / 16;
    let (inner, places) = if groups == 0 { (heap.len(), 0..0) } else { (groups, 1..16) };
    let below = places.flat_map(move |place: usize| {
        let layer = place.ilog2();
        (0..groups).map(move |group| heap[((groups + group) << layer) + place - (1 << layer)])
    });
    heap[..inner].iter().copied().chain(below)
}

/// The words of the kernels' `Modulus`.
pub(crate) fn modulus(prime: &Modulus) -> [u64; 4] {
    let p = prime.value() as u128;
    let residue = ((1u128 << 64) % p) as u64;
    let [residue, residue_quotient] = multiplier(prime, residue);
    [prime.value(), ((1u128 << 64) / p) as u64, residue, residue_quotient]
}

/// The words of the kernels' `Multiplier`.
pub(crate) fn multiplier(prime: &Modulus, factor: u64) -> [u64; 2] {
    [factor, prime.shoup_quotient(factor)]
}

/// A `Multiplier` for each prime of a basis.
pub(crate) fn multipliers(chain: &PrimeChain, basis: Basis, factors: &[u64]) -> Vec<u64> {
    chain.moduli(basis).zip(factors).flat_map(|(prime, &factor)| multiplier(prime, factor)).collect()
}

/// What tells where tables are, with the memory that they lie in.
type Entry<D, V> = (V, Vec<<D as Device>::Memory>);

/// Tables by what they are for.
struct Cache<D: Device, K, V>(Mutex<HashMap<K, Entry<D, V>>>);

impl<D: Device, K, V> Default for Cache<D, K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<D: Device, K: Eq + Hash, V: Copy> Cache<D, K, V> {
    fn get(&self, key: K, make: impl FnOnce() -> Result<Entry<D, V>, CudaError>) -> Result<V, CudaError> {
        // A table is whole before it is inserted, so a panic elsewhere leaves no half of one.
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((value, _)) = tables.get(&key) {
            return Ok(*value);
        }
        let entry = make()?;
        let value = entry.0;
        tables.insert(key, entry);
        Ok(value)
    }
}
