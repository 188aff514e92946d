//! The account that [`crate::Counting`] and [`crate::Meter`] keep: work done, bytes alive, most bytes alive at once.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{Counts, counts::WORD};

#[derive(Default)]
pub(crate) struct Ledger {
    counts: Mutex<Counts>,
    live: AtomicU64,
    peak: AtomicU64,
}

impl Ledger {
    /// Kernels are coarse, so a lock costs nothing beside them.
    pub(crate) fn record(&self, counts: Counts) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) += counts;
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        self.live.load(Relaxed)
    }

    pub(crate) fn peak_bytes(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    pub(crate) fn restart_peak(&self) {
        self.peak.store(self.live_bytes(), Relaxed);
    }

    pub(crate) fn allocate(self: &Arc<Self>, words: usize) -> Allocation {
        let bytes = (words * WORD) as u64;
        let live = self.live.fetch_add(bytes, Relaxed) + bytes;
        self.peak.fetch_max(live, Relaxed);
        Allocation { bytes, ledger: Arc::clone(self) }
    }
}

/// Bytes that a ledger holds as alive until this is dropped.
pub struct Allocation {
    bytes: u64,
    ledger: Arc<Ledger>,
}

impl Allocation {
    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.ledger.live.fetch_sub(self.bytes, Relaxed);
    }
}
