//! Polynomials as packed residues.

use std::io::{Read, Write};

use fhe_ring::{Backend, Basis, Modulus, Poly, Shape};

use super::{
    SENDER_AT_FAULT, TRANSFER_AGAIN,
    message::{Incoming, Outgoing},
    refused,
};
use crate::{Parameters, RlweError};

/// Bytes of one limb.
fn limb_bytes(degree: usize, prime: &Modulus) -> usize {
    (degree * prime.bits() as usize).div_ceil(8)
}

/// Bytes of a polynomial whose basis was checked.
pub(super) fn poly_bytes(parameters: &Parameters, shape: Shape) -> u64 {
    parameters.chain().moduli(shape.basis).map(|prime| limb_bytes(shape.ring.degree(), prime) as u64).sum()
}

/// Refuses a basis without primes or with foreign ones.
pub(super) fn check_basis(parameters: &Parameters, basis: Basis) -> Result<(), RlweError> {
    let chain = parameters.chain().full_basis();
    if !basis.is_empty() && chain.contains(basis) {
        return Ok(());
    }
    refused("basis", basis.to_string(), format!("one or more of {chain}"), SENDER_AT_FAULT)
}

impl<B: Backend, W: Write> Outgoing<'_, B, W> {
    /// The present ciphertext primes as bits and the number of special primes.
    pub(super) fn basis(&mut self, basis: Basis) -> Result<(), RlweError> {
        let mask = basis.ciphertext_indices().fold(0u64, |mask, i| mask | 1 << i);
        self.bytes(&mask.to_le_bytes())?;
        self.bytes(&[basis.special_count() as u8])
    }

    pub(super) fn poly(&mut self, poly: &Poly<B>) -> Result<(), RlweError> {
        let shape = poly.shape();
        let words = poly.download(self.backend).unwrap_or_default();
        let mut packed = Vec::new();
        let mut limbs = words.chunks_exact(shape.ring.degree());
        for prime in self.parameters.chain().moduli(shape.basis) {
            let limb = limbs.next().unwrap_or_default();
            if limb.len() != shape.ring.degree() || limb.iter().any(|&residue| residue >= prime.value()) {
                let required = format!("{} residues below {}", shape.ring.degree(), prime.value());
                return refused("polynomial", "not of this chain", required, "use the backend that it was made with");
            }
            packed.clear();
            pack(limb, prime.bits(), &mut packed);
            self.bytes(&packed)?;
        }
        Ok(())
    }
}

impl<B: Backend, R: Read> Incoming<'_, B, R> {
    pub(super) fn basis(&mut self) -> Result<Basis, RlweError> {
        let mask = u64::from_le_bytes(self.array("ciphertext primes")?);
        let [special] = self.array("special primes")?;
        let basis = Basis::of((0..u64::BITS as usize).filter(|i| mask >> i & 1 == 1)).with_special(special.into());
        check_basis(self.parameters, basis)?;
        Ok(basis)
    }

    /// A polynomial of a checked shape, straight into the backend's memory, one limb of packed bytes at a time.
    pub(super) fn poly(&mut self, shape: Shape) -> Result<Poly<B>, RlweError> {
        let mut outcome = Ok(());
        let poly = Poly::upload(self.backend, shape, |words| {
            outcome = self.limbs(shape, words);
            if outcome.is_err() {
                words.fill(0); // nobody will see them, but the backend checks what it is given
            }
        })?;
        outcome?;
        Ok(poly)
    }

    fn limbs(&mut self, shape: Shape, words: &mut [u64]) -> Result<(), RlweError> {
        let (degree, chain) = (shape.ring.degree(), self.parameters.chain());
        let mut packed = Vec::new();
        for ((limb, prime), index) in
            words.chunks_exact_mut(degree).zip(chain.moduli(shape.basis)).zip(shape.basis.indices())
        {
            packed.resize(limb_bytes(degree, prime), 0);
            self.fill("residues", &mut packed)?;
            if !unpack(&packed, prime.bits(), limb) {
                return refused("padding", "not zero", "zero bits after the last residue", TRANSFER_AGAIN);
            }
            if limb.iter().fold(0, |most, &residue| most.max(residue)) >= prime.value() {
                // Residues of a client's message may be sensitive; the limb is all that is named.
                let (found, required) = (format!("unreduced modulo {index}"), format!("below {}", prime.value()));
                return refused("residue", found, required, TRANSFER_AGAIN);
            }
        }
        Ok(())
    }
}

/// Appends residues of `bits <= 50` bits each, least significant first, filled up to whole bytes.
fn pack(limb: &[u64], bits: u32, packed: &mut Vec<u8>) {
    let (mut buffer, mut filled) = (0u128, 0);
    for &residue in limb {
        buffer |= u128::from(residue) << filled;
        filled += bits;
        if filled >= u64::BITS {
            packed.extend_from_slice(&(buffer as u64).to_le_bytes());
            buffer >>= u64::BITS;
            filled -= u64::BITS;
        }
    }
    packed.extend_from_slice(&(buffer as u64).to_le_bytes()[..filled.div_ceil(8) as usize]);
}

/// The inverse of [`pack`] for as many residues as `limb` has room for; whether the bits after the last one are zero.
fn unpack(packed: &[u8], bits: u32, limb: &mut [u64]) -> bool {
    let (words, tail) = packed.as_chunks::<8>();
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    let mut words = words.iter().copied().chain([last]).map(u64::from_le_bytes);
    let (mut buffer, mut filled, mask) = (0u128, 0, (1u64 << bits) - 1);
    for residue in limb {
        if filled < bits {
            buffer |= u128::from(words.next().unwrap_or_default()) << filled;
            filled += u64::BITS;
        }
        *residue = buffer as u64 & mask;
        buffer >>= bits;
        filled -= bits;
    }
    buffer == 0
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packed_residues_are_the_digits_of_one_number(
            bits in 2u32..=50,
            residues in prop::collection::vec(any::<u64>(), 1..70),
        ) {
            let limb: Vec<u64> = residues.iter().map(|residue| residue & ((1 << bits) - 1)).collect();
            let mut packed = Vec::new();
            pack(&limb, bits, &mut packed);
            prop_assert_eq!(packed.len(), (limb.len() * bits as usize).div_ceil(8));
            let number = limb.iter().rev().fold(BigUint::ZERO, |number, &residue| (number << bits) + residue);
            prop_assert_eq!(BigUint::from_bytes_le(&packed), number);
            let mut found = vec![u64::MAX; limb.len()];
            prop_assert!(unpack(&packed, bits, &mut found));
            prop_assert_eq!(found, limb);
        }

        #[test]
        fn padding_is_seen(bits in 2u32..=50, count in 1usize..70, padded in any::<prop::sample::Index>()) {
            let used = count * bits as usize;
            let mut packed = vec![0; used.div_ceil(8)];
            let padding: Vec<usize> = (used..8 * packed.len()).collect();
            prop_assume!(!padding.is_empty());
            let bit = *padded.get(&padding);
            packed[bit / 8] |= 1 << (bit % 8);
            prop_assert!(!unpack(&packed, bits, &mut vec![0; count]));
        }
    }
}
