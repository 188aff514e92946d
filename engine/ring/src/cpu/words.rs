//! Storage of residues: aligned words, recycled.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    sync::{Arc, Mutex, Weak},
};

use memmap2::MmapMut;

/// Cache lines, vector registers and pages all start at multiples of this.
const ALIGNMENT: usize = 1 << 12;

/// Aligned words. Dropped words go back to the pool they came from, if that still exists.
pub struct Words {
    allocation: Allocation,
    /// Words in use, at most what the allocation holds.
    len: usize,
    pool: Weak<WordPool>,
}

/// Recycles allocations: fresh pages cost more than most kernels that write to them.
#[derive(Default)]
pub(super) struct WordPool {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    by_capacity: BTreeMap<usize, Vec<Allocation>>,
    words: usize,
}

/// Words kept for later use, at most: 4 GiB, which holds what half bootstrapping of four ciphertexts of degree `2^16` uses. Pages that
/// are given back and taken again cost more time than their arithmetic.
const IDLE_LIMIT: usize = 1 << 29;

impl WordPool {
    /// Words with arbitrary initialised content: zeros, or what an earlier user left.
    pub(super) fn take(self: &Arc<Self>, len: usize) -> Words {
        let allocation = self.recycle(len).unwrap_or_else(|| Allocation::zeroed(len));
        Words { allocation, len, pool: Arc::downgrade(self) }
    }

    /// Zeros.
    pub(super) fn zeros(self: &Arc<Self>, len: usize) -> Words {
        match self.recycle(len) {
            Some(allocation) => {
                let mut words = Words { allocation, len, pool: Arc::downgrade(self) };
                words.fill(0);
                words
            }
            None => Words { allocation: Allocation::zeroed(len), len, pool: Arc::downgrade(self) },
        }
    }

    /// The smallest idle allocation that is large enough, up to twice as large: ciphertexts lose a limb at every level, and what one
    /// level leaves serves many that follow.
    fn recycle(&self, len: usize) -> Option<Allocation> {
        let mut idle = self.idle();
        let (&capacity, allocations) = idle.by_capacity.range_mut(len..=2 * len).next()?;
        let allocation = allocations.pop()?;
        if allocations.is_empty() {
            idle.by_capacity.remove(&capacity);
        }
        idle.words -= capacity;
        Some(allocation)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        // Every critical section leaves the free lists consistent, even one that a panic ended.
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn put(&self, allocation: Allocation) {
        let mut idle = self.idle();
        if idle.words + allocation.len() <= IDLE_LIMIT {
            idle.words += allocation.len();
            idle.by_capacity.entry(allocation.len()).or_default().push(allocation);
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
        // SAFETY: the allocation holds at least `len` initialised words and is borrowed with `self`.
        unsafe { std::slice::from_raw_parts(self.allocation.start(), self.len) }
    }
}

impl DerefMut for Words {
    fn deref_mut(&mut self) -> &mut [u64] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.allocation.start_mut(), self.len) }
    }
}

/// Owned memory, initialised.
enum Allocation {
    /// Below [`HUGE_WORDS`]: aligned memory of so many words.
    Heap { start: NonNull<u64>, len: usize },
    /// Pages of the operating system, huge ones where it grants them: on first touch one fault instead of 512.
    Mapped { pages: MmapMut, len: usize },
}

/// Words from which on huge pages pay: two of 2 MiB.
const HUGE_WORDS: usize = 1 << 19;

// SAFETY: an allocation owns plain words that nothing else points to.
unsafe impl Send for Allocation {}
// SAFETY: shared access only reads.
unsafe impl Sync for Allocation {}

impl Allocation {
    fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Self::Heap { start: NonNull::dangling(), len };
        }
        if len >= HUGE_WORDS
            && let Some(pages) = map_huge(len)
        {
            return Self::Mapped { pages, len };
        }
        let layout = Self::layout(len);
        // SAFETY: the layout has a positive size.
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start.cast()) {
            Some(start) => Self::Heap { start, len },
            None => handle_alloc_error(layout),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Heap { len, .. } | Self::Mapped { len, .. } => *len,
        }
    }

    fn start(&self) -> *const u64 {
        match self {
            Self::Heap { start, .. } => start.as_ptr(),
            Self::Mapped { pages, .. } => pages.as_ptr().cast(),
        }
    }

    fn start_mut(&mut self) -> *mut u64 {
        match self {
            Self::Heap { start, .. } => start.as_ptr(),
            Self::Mapped { pages, .. } => pages.as_mut_ptr().cast(),
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

/// Zero pages for so many words, or nothing if the system refuses; without huge pages it is still memory.
fn map_huge(len: usize) -> Option<MmapMut> {
    let pages = MmapMut::map_anon(len.checked_mul(size_of::<u64>())?).ok()?;
    #[cfg(target_os = "linux")]
    let _ = pages.advise(memmap2::Advice::HugePage);
    Some(pages)
}

impl Drop for Allocation {
    fn drop(&mut self) {
        if let Self::Heap { start, len } = self
            && *len > 0
        {
            // SAFETY: allocated in `zeroed` with this layout, and dropped once.
            unsafe { dealloc(start.as_ptr().cast(), Self::layout(*len)) }
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
        let shorter = pool.take(51);
        assert_eq!((shorter.as_ptr(), shorter.len()), (address, 51), "a larger one serves as well");
        drop(shorter);
        assert_ne!(pool.take(49).as_ptr(), address, "a much larger one does not");
        assert!(pool.zeros(100).iter().all(|&word| word == 0));
        assert!(pool.take(0).is_empty());
    }

    #[test]
    fn words_outlive_their_pool() {
        let words = Arc::new(WordPool::default()).take(10);
        assert_eq!(words.len(), 10);
    }
}
