//! Where randomness starts.

use std::fmt;

use rand::{SeedableRng, TryRngCore, rngs::OsRng};
use rand_chacha::ChaCha20Rng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::RingError;

/// 256 bits that determine everything sampled from them. Wiped on drop, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed with the given bytes: of a reproducible run, or the public seed of a key's uniform half.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh seed from the operating system.
    pub fn from_os() -> Result<Self, RingError> {
        let mut bytes = [0; 32];
        match OsRng.try_fill_bytes(&mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(error) => Err(RingError::NoEntropy { found: error.to_string() }),
        }
    }

    /// The bytes. Those of a public seed may be stored; those of a secret one never leave the client.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// An independent seed for the purpose `label`, number `index`: keyed BLAKE3, so that nothing can be learnt about
    /// this seed or its other descendants.
    pub fn derive(&self, label: &str, index: u64) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(label.len() as u64).to_le_bytes()).update(label.as_bytes()).update(&index.to_le_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// BLAKE3's extendable output under this seed as the key.
    pub(super) fn stream(&self) -> blake3::OutputReader {
        blake3::Hasher::new_keyed(&self.0).finalize_xof()
    }

    /// The generator that this seed starts.
    pub fn rng(&self) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.0)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_silent_and_independent() {
        let seed = Seed::from_bytes([0x5a; 32]);
        assert_eq!(format!("{seed:?}"), "Seed(..)");
        let labels = [("a", 0), ("a", 1), ("b", 0), ("ab", 0)];
        let mut derived: Vec<_> = labels.map(|(label, index)| *seed.derive(label, index).as_bytes()).to_vec();
        derived.push(*seed.as_bytes());
        derived.sort();
        derived.dedup();
        assert_eq!(derived.len(), 5);
        assert_eq!(seed.derive("a", 1), Seed::from_bytes([0x5a; 32]).derive("a", 1));
        assert_ne!(Seed::from_os().unwrap(), Seed::from_os().unwrap());
    }
}
