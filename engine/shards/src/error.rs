//! What is refused.

/// Backends that cannot work together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// There is none.
    #[error("make a sharded backend: there are no shards, but at least one is required; name a device")]
    NoShards,
    /// Polynomials of one would mean nothing on another.
    #[error(
        "make a sharded backend: shard {shard} has another chain of primes than shard 0, but all need the same; make every shard of one chain"
    )]
    ChainsDiffer {
        /// The first shard that differs.
        shard: usize,
    },
}
