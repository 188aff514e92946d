//! Copies between the shards of several devices of one node.

use fhe_ring::Operand;
use fhe_shards::Comm;

use crate::{Cuda, cuda::finished, device::Peer};

/// From device to device: the driver copies directly where it can, and else by way of memory of the host that it takes itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalComm;

impl<D: Peer> Comm<Cuda<D>> for LocalComm {
    fn copy(&self, shards: &[Cuda<D>], source: Operand<'_, D::Memory>, from: usize, to: usize) -> D::Memory {
        // The words of the shape, and no others.
        shards[from].place(source);
        finished(shards[to].device().copy_from(shards[from].device(), source.buffer))
    }
}
