//! Storage of residues: aligned words, recycled.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    collections::HashMap,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    sync::{Arc, Mutex, Weak},
};

/// Cache lines, vector registers and pages all start at multiples of this.
const ALIGNMENT: usize = 1 << 12;

/// Aligned words. Dropped words go back to the pool they came from, if that still exists.
pub struct Words {
    allocation: Allocation,
    pool: Weak<WordPool>,
}

/// Recycles allocations by length: fresh pages cost more than most kernels that write to them.
#[derive(Default)]
pub(super) struct WordPool {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    by_length: HashMap<usize, Vec<Allocation>>,
    words: usize,
}

/// Words kept for later use, at most: 512 MiB.
const IDLE_LIMIT: usize = 1 << 26;

impl WordPool {
    /// Words with arbitrary initialised content: zeros, or what an earlier user left.
    pub(super) fn take(self: &Arc<Self>, len: usize) -> Words {
        let allocation = self.recycle(len).unwrap_or_else(|| Allocation::zeroed(len));
        Words { allocation, pool: Arc::downgrade(self) }
    }

    /// Zeros.
    pub(super) fn zeros(self: &Arc<Self>, len: usize) -> Words {
        match self.recycle(len) {
            Some(allocation) => {
                let mut words = Words { allocation, pool: Arc::downgrade(self) };
                words.fill(0);
                words
            }
            None => Words { allocation: Allocation::zeroed(len), pool: Arc::downgrade(self) },
        }
    }

    fn recycle(&self, len: usize) -> Option<Allocation> {
        let mut idle = self.idle();
        let allocation = idle.by_length.get_mut(&len)?.pop()?;
        idle.words -= len;
        Some(allocation)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        // Every critical section leaves the free lists consistent, even one that a panic ended.
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn put(&self, allocation: Allocation) {
        let mut idle = self.idle();
        if idle.words + allocation.len <= IDLE_LIMIT {
            idle.words += allocation.len;
            idle.by_length.entry(allocation.len).or_default().push(allocation);
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.put(std::mem::replace(&mut self.allocation, Allocation::zeroed(0)));
        }
    }
}

impl Deref for Words {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        // SAFETY: the allocation holds `len` initialised words and is borrowed with `self`.
        unsafe { std::slice::from_raw_parts(self.allocation.start.as_ptr(), self.allocation.len) }
    }
}

impl DerefMut for Words {
    fn deref_mut(&mut self) -> &mut [u64] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.allocation.start.as_ptr(), self.allocation.len) }
    }
}

/// Owned memory of `len` words, initialised.
struct Allocation {
    start: NonNull<u64>,
    len: usize,
}

// SAFETY: an allocation owns plain words that nothing else points to.
unsafe impl Send for Allocation {}
// SAFETY: shared access only reads.
unsafe impl Sync for Allocation {}

impl Allocation {
    fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Self { start: NonNull::dangling(), len };
        }
        let layout = Self::layout(len);
        // SAFETY: the layout has a positive size.
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start.cast()) {
            Some(start) => Self { start, len },
            None => handle_alloc_error(layout),
        }
    }

    fn layout(len: usize) -> Layout {
        // A length that overflows an address space cannot be allocated either way.
        match Layout::array::<u64>(len).and_then(|layout| layout.align_to(ALIGNMENT)) {
            Ok(layout) => layout,
            Err(_) => handle_alloc_error(Layout::new::<u64>()),
        }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated in `zeroed` with this layout, and dropped once.
            unsafe { dealloc(self.start.as_ptr().cast(), Self::layout(self.len)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_recycled_and_zeros_are_zero() {
        let pool = Arc::new(WordPool::default());
        let mut words = pool.take(100);
        assert!(words.iter().all(|&word| word == 0) && (words.as_ptr() as usize).is_multiple_of(ALIGNMENT));
        words.fill(7);
        let address = words.as_ptr();
        drop(words);
        let recycled = pool.take(100);
        assert_eq!(recycled.as_ptr(), address);
        drop(recycled);
        assert!(pool.zeros(100).iter().all(|&word| word == 0));
        assert!(pool.take(0).is_empty());
    }

    #[test]
    fn words_outlive_their_pool() {
        let words = Arc::new(WordPool::default()).take(10);
        assert_eq!(words.len(), 10);
    }
}
