//! How polynomials get from one shard to another.

use fhe_ring::{Backend, Operand};

/// Copies polynomials between the shards of a [`crate::Sharded`].
///
/// It may be called from several threads at once, and must neither change nor keep the source. Whoever waits for the same copy waits for this call, so it must
/// not wait itself for tasks of a thread pool that others of these threads may be running, nor use the sharded backend.
pub trait Comm<B: Backend>: Send + Sync + 'static {
    /// A copy on `shards[to]` of a polynomial on `shards[from]`, another one. It contains what all kernels called before have made of
    /// the source, and kernels called later may use it.
    ///
    /// # Panics
    /// If a device fails or has no memory, as kernels do.
    fn copy(&self, shards: &[B], source: Operand<'_, B::Buffer>, from: usize, to: usize) -> B::Buffer;
}

impl<B: Backend, C: Comm<B> + ?Sized> Comm<B> for Box<C> {
    fn copy(&self, shards: &[B], source: Operand<'_, B::Buffer>, from: usize, to: usize) -> B::Buffer {
        (**self).copy(shards, source, from, to)
    }
}

/// By way of the host's memory: what every backend can do.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostComm;

impl<B: Backend> Comm<B> for HostComm {
    fn copy(&self, shards: &[B], source: Operand<'_, B::Buffer>, from: usize, to: usize) -> B::Buffer {
        match shards[from].download(source) {
            Some(words) => shards[to].upload(source.shape, &mut |target| target.copy_from_slice(&words)),
            None => shards[to].zeros(source.shape),
        }
    }
}
