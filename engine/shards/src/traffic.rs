//! What moved between shards.

use std::collections::BTreeMap;

use fhe_ring::Shape;

/// Copies of polynomials with one number of limbs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficByLimbs {
    /// How many.
    pub copies: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Copies between shards, by the number of limbs of what was copied. Ciphertexts at the lowest modulus have one; keys, plaintexts and
/// ciphertexts above it have more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic(BTreeMap<usize, TrafficByLimbs>);

impl Traffic {
    pub(crate) fn record(&mut self, shape: Shape) {
        let entry = self.0.entry(shape.basis.len()).or_default();
        entry.copies += 1;
        entry.bytes += (shape.words() * size_of::<u64>()) as u64;
    }

    /// By the number of limbs, ascending.
    pub fn by_limbs(&self) -> impl Iterator<Item = (usize, TrafficByLimbs)> {
        self.0.iter().map(|(&limbs, &traffic)| (limbs, traffic))
    }

    /// All of them.
    pub fn total(&self) -> TrafficByLimbs {
        self.0.values().fold(TrafficByLimbs::default(), |sum, traffic| TrafficByLimbs {
            copies: sum.copies + traffic.copies,
            bytes: sum.bytes + traffic.bytes,
        })
    }

    /// What was copied since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let difference = |(&limbs, now): (&usize, &TrafficByLimbs)| {
            let before = earlier.0.get(&limbs).copied().unwrap_or_default();
            let copies = now.copies - before.copies;
            (copies > 0).then_some((limbs, TrafficByLimbs { copies, bytes: now.bytes - before.bytes }))
        };
        Self(self.0.iter().filter_map(difference).collect())
    }
}
