//! The GPUs that a cell asks for, as one backend.

use fhe_cuda::{Cuda, CudaError, Driver, LocalComm, NcclComm};
use fhe_ring::PrimeChain;
use fhe_shards::{Comm, Sharded, Traffic};

use super::parties::Compute;
use crate::error::HarnessError;
use crate::spec::Gpus;

/// One GPU or several.
pub(super) type GpuBackend = Sharded<Cuda<Driver>, Box<dyn Comm<Cuda<Driver>>>>;

/// Takes these GPUs.
pub(super) fn start(chain: &PrimeChain, gpus: Gpus) -> Result<GpuBackend, CudaError> {
    let take = |number| Cuda::new(chain.clone(), Driver::new(number)?);
    let shards = gpus.numbers().map(take).collect::<Result<Vec<_>, _>>()?;
    let comm: Box<dyn Comm<_>> =
        if gpus.are_joined_by_nccl() { Box::new(NcclComm::new(&shards)?) } else { Box::new(LocalComm) };
    Ok(Sharded::new(shards, comm).unwrap_or_else(|_| unreachable!("there is at least one, and all are of one chain")))
}

/// Available bytes of the GPU that has fewest, and all of it.
pub(super) fn least_memory(backend: &GpuBackend) -> Result<[u64; 2], CudaError> {
    let memories = backend.shards().iter().map(|shard| shard.device().memory()).collect::<Result<Vec<_>, _>>()?;
    Ok(memories.into_iter().min().unwrap_or_default())
}

impl Compute for GpuBackend {
    fn settle(&self) -> Result<(), HarnessError> {
        let mut settled = self.shards().iter().map(|shard| shard.device().synchronize());
        settled.try_for_each(|settled| settled.map_err(|error| HarnessError::execution("wait for the GPU", error)))
    }

    fn device_bytes(&self) -> Result<u64, HarnessError> {
        let used =
            self.shards().iter().map(|shard| shard.device().memory().map(|[available, total]| total - available));
        used.sum::<Result<_, _>>().map_err(|error| HarnessError::execution("ask the GPU for its memory", error))
    }

    fn traffic(&self) -> Option<Traffic> {
        (self.shards().len() > 1).then(|| self.traffic())
    }
}
