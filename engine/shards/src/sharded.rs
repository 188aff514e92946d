//! The backend's state, and how operands come together on one shard.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use fhe_ring::{Backend, Operand, Pair, Shape};

use crate::{Comm, Replicated, ShardError, Traffic};

/// Ring arithmetic on several backends: an [`fhe_ring::Backend`].
pub struct Sharded<B: Backend, C: Comm<B>> {
    shards: Vec<B>,
    comm: C,
    traffic: Mutex<Traffic>,
    uploads: Uploads,
}

/// Where uploaded polynomials go.
enum Uploads {
    First,
    InTurn(AtomicUsize),
}

/// An operand that may lie on several shards.
pub(crate) type ReplicatedOperand<'a, B> = Operand<'a, Replicated<<B as Backend>::Buffer>>;

impl<B: Backend, C: Comm<B>> Sharded<B, C> {
    /// Of backends that were made for the same primes. What is uploaded goes to the first one, until it is needed elsewhere.
    ///
    /// # Errors
    /// If there are none, or their primes differ.
    pub fn new(shards: Vec<B>, comm: C) -> Result<Self, ShardError> {
        let first = shards.first().ok_or(ShardError::NoShards)?;
        if let Some(shard) = shards.iter().position(|shard| shard.primes() != first.primes()) {
            return Err(ShardError::ChainsDiffer { shard });
        }
        Ok(Self { shards, comm, traffic: Mutex::default(), uploads: Uploads::First })
    }

    /// The same, with uploads dealt out in turn: operands of one kernel then seldom lie together, which tests make use of.
    #[must_use]
    pub fn with_uploads_in_turn(self) -> Self {
        Self { uploads: Uploads::InTurn(AtomicUsize::new(0)), ..self }
    }

    /// The backends that do the work.
    pub fn shards(&self) -> &[B] {
        &self.shards
    }

    /// What has been copied between shards so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The shard where the next upload goes.
    pub(crate) fn upload_shard(&self) -> usize {
        match &self.uploads {
            Uploads::First => 0,
            Uploads::InTurn(next) => next.fetch_add(1, Relaxed) % self.shards.len(),
        }
    }

    /// A buffer that a kernel of a shard returned.
    pub(crate) fn on(&self, shard: usize, buffer: B::Buffer) -> Replicated<B::Buffer> {
        Replicated::on(self.shards.len(), shard, buffer)
    }

    /// The shard for a kernel with these operands, in the order of their say: where the first of them lies that lies anywhere.
    pub(crate) fn shard_of<'a>(&self, operands: impl IntoIterator<Item = &'a Replicated<B::Buffer>>) -> usize {
        operands.into_iter().find_map(Replicated::home).unwrap_or(0)
    }

    /// An operand on a shard, copied there if it is not.
    pub(crate) fn bring<'a>(&self, shard: usize, operand: ReplicatedOperand<'a, B>) -> Operand<'a, B::Buffer> {
        let shape = operand.shape;
        let buffer = operand.buffer.copy_or_make(shard, |words| match words {
            None => self.shards[shard].zeros(shape),
            Some((from, buffer)) => {
                self.traffic.lock().unwrap_or_else(PoisonError::into_inner).record(shape);
                self.comm.copy(&self.shards, Operand { buffer, shape }, from, shard)
            }
        });
        if operand.buffer.home().is_none() {
            operand.buffer.settle(shard);
        }
        Operand { buffer, shape }
    }

    /// The words of a polynomial on a shard, to be changed.
    pub(crate) fn bring_mut<'a>(
        &self,
        shard: usize,
        buffer: &'a mut Replicated<B::Buffer>,
        shape: Shape,
    ) -> &'a mut B::Buffer {
        self.bring(shard, Operand { buffer, shape });
        buffer.only_copy(shard)
    }

    pub(crate) fn bring_pair<'a>(&self, shard: usize, pair: Pair<'a, Replicated<B::Buffer>>) -> Pair<'a, B::Buffer> {
        pair.map(|half| self.bring(shard, half))
    }

    pub(crate) fn bring_pairs<'a>(
        &self,
        shard: usize,
        pairs: &[Pair<'a, Replicated<B::Buffer>>],
    ) -> Vec<Pair<'a, B::Buffer>> {
        pairs.iter().map(|&pair| self.bring_pair(shard, pair)).collect()
    }

    pub(crate) fn bring_all<'a>(
        &self,
        shard: usize,
        operands: &[ReplicatedOperand<'a, B>],
    ) -> Vec<Operand<'a, B::Buffer>> {
        operands.iter().map(|&operand| self.bring(shard, operand)).collect()
    }

    /// The words of a residue matrix, which must lie on this shard.
    pub(crate) fn matrix<'a>(&self, shard: usize, matrix: &'a Replicated<B::Buffer>) -> &'a B::Buffer {
        matrix.copy_on(shard).expect("residue matrices of one product are made, and stay, on one shard")
    }
}
