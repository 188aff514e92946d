//! What a program downloaded, step by step.

use fhe_ring::{Backend, Poly};

/// Downloads in order, each with the name of the kernel that produced it. Empty for a backend without data.
#[derive(Default)]
pub struct Transcript {
    entries: Vec<(String, Vec<u64>)>,
}

impl Transcript {
    /// Notes a result and passes it on.
    pub(crate) fn note<B: Backend>(&mut self, backend: &B, kernel: &str, poly: Poly<B>) -> Poly<B> {
        if let Some(words) = poly.download(backend) {
            assert_eq!(words.len(), poly.shape().words(), "{kernel}: the download has another size than the shape");
            self.entries.push((format!("{kernel} ({})", poly.shape().domain), words));
        }
        poly
    }

    /// Requires equality, or that one of the two is without data.
    pub fn assert_equals(&self, other: &Self, context: &str) {
        if self.entries.is_empty() || other.entries.is_empty() {
            return;
        }
        assert_eq!(self.entries.len(), other.entries.len(), "{context}: another number of results");
        for ((kernel, expected), (_, found)) in self.entries.iter().zip(&other.entries) {
            if let Some(i) = (0..expected.len()).find(|&i| expected[i] != found[i]) {
                panic!("{context}: {kernel} differs first in word {i}: {} expected, {} found", expected[i], found[i]);
            }
        }
    }

    /// Number of results noted.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was downloaded.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
