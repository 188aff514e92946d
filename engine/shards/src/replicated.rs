//! A polynomial with copies on several shards.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// The words of a polynomial or of a residue matrix, on at least one shard, or on none as long as they are zero.
///
/// What is computed from it lies where its *home* is.
pub struct Replicated<T> {
    /// [`NOWHERE`] for a zero polynomial that nobody has needed yet.
    home: AtomicUsize,
    copies: Box<[OnceLock<T>]>,
}

/// No shard.
const NOWHERE: usize = usize::MAX;

impl<T> Replicated<T> {
    /// Of a buffer on one of so many shards.
    pub(crate) fn on(shards: usize, shard: usize, buffer: T) -> Self {
        let copies: Box<[_]> = (0..shards).map(|_| OnceLock::new()).collect();
        let replicated = Self { home: AtomicUsize::new(shard), copies };
        replicated.copies[shard].get_or_init(|| buffer);
        replicated
    }

    /// Zero, so far on none of so many shards.
    pub(crate) fn zero(shards: usize) -> Self {
        Self { home: AtomicUsize::new(NOWHERE), copies: (0..shards).map(|_| OnceLock::new()).collect() }
    }

    /// The shard where what is computed from it lies, if it lies anywhere itself.
    pub fn home(&self) -> Option<usize> {
        // What a kernel returns does not depend on where it runs, so nothing is ordered by this.
        Some(self.home.load(Relaxed)).filter(|&home| home != NOWHERE)
    }

    /// The words on a shard, if they are there.
    ///
    /// # Panics
    /// If there are not so many shards.
    pub fn copy_on(&self, shard: usize) -> Option<&T> {
        self.copies[shard].get()
    }

    /// The words on a shard, which `make` brings there if they are not: from where they are, or as zeros.
    pub(crate) fn copy_or_make(&self, shard: usize, make: impl FnOnce(Option<(usize, &T)>) -> T) -> &T {
        self.copies[shard].get_or_init(|| {
            let words = self.copies.iter().enumerate().find_map(|(from, copy)| Some((from, copy.get()?)));
            make(words)
        })
    }

    /// Makes a shard that has a copy its home.
    pub(crate) fn settle(&self, shard: usize) {
        debug_assert!(self.copy_on(shard).is_some());
        self.home.store(shard, Relaxed);
    }

    /// The words on a shard that has a copy, to be changed: all other copies are dropped, and the shard is its home.
    pub(crate) fn only_copy(&mut self, shard: usize) -> &mut T {
        *self.home.get_mut() = shard;
        let others = self.copies.iter_mut().enumerate().filter(|(other, _)| *other != shard);
        others.for_each(|(_, copy)| drop(copy.take()));
        self.copies[shard].get_mut().expect("there was a copy on this shard")
    }
}
