//! Copies between GPUs by NVIDIA's library for collective communication.
//!
//! NCCL knows how the GPUs of a node are connected and sends a message over several links at once. Both sides take part in a message with a kernel of
//! their own, one on its stream for departures, the other on that for arrivals. Either side's kernels for ciphertexts wait for it, and for messages that were asked for
//! before on the same streams.
//!
//! NCCL reads and writes the memory of the other side where GPUs can, which memory from a pool has to allow. So far it has been run on emulated devices alone.

use std::sync::{Mutex, PoisonError};

use cudarc::{
    driver::{DevicePtr, DriverError},
    nccl::{
        result::{self, NcclError, NcclStatus},
        sys,
    },
};
use fhe_ring::Operand;
use fhe_shards::Comm;

use super::{Driver, DriverMemory, libraries, memory};
use crate::{Cuda, CudaError, cuda::finished};

/// From device to device by NCCL's messages.
pub struct NcclComm {
    /// A message is a group of calls, which those of another thread must not come into.
    ranks: Mutex<Ranks>,
    devices: Vec<i32>,
}

/// The communicator of each shard.
struct Ranks(Vec<sys::ncclComm_t>);

// SAFETY: NCCL's communicators may be used by any thread, one at a time; the lock sees to that.
unsafe impl Send for Ranks {}

impl NcclComm {
    /// Between these devices, in this order.
    ///
    /// # Errors
    /// If there is no NCCL, or it cannot connect the devices.
    pub fn new(shards: &[Cuda<Driver>]) -> Result<Self, CudaError> {
        if !libraries::have_nccl() {
            return Err(CudaError::NoNccl);
        }
        let devices = ordinals(shards);
        for shard in shards {
            let driver = shard.device();
            let let_in = memory::let_others_in(&driver.context, &devices);
            let_in.map_err(|error| driver.failure("letting other devices use the memory pool", error))?;
        }
        let mut ranks = Ranks(vec![std::ptr::null_mut(); devices.len()]);
        // SAFETY: there is room for a communicator of each device.
        let made = unsafe { result::comm_init_all(ranks.0.as_mut_ptr(), devices.len() as i32, devices.as_ptr()) };
        made.map_err(|error| failed("connecting devices by NCCL", &error))?;
        Ok(Self { ranks: Mutex::new(ranks), devices })
    }

    /// One message.
    fn send(
        &self,
        [sender, receiver]: [&Driver; 2],
        [from, to]: [usize; 2],
        memory: &DriverMemory,
    ) -> Result<DriverMemory, CudaError> {
        const OPERATION: &str = "a message by NCCL";
        let words = memory.words();
        let allocation = receiver.take_arrival(words)?;
        let waits = |wait: Result<(), DriverError>| wait.map_err(|error| sender.failure(OPERATION, error));
        waits(sender.departures.join(&sender.stream))?;
        let (source, target) = (memory.address(&sender.stream), allocation.device_ptr(&receiver.stream).0);
        let message = |ranks: &Ranks| {
            let [sending, receiving] = [&sender.departures, &receiver.arrivals].map(|stream| stream.cu_stream().cast());
            result::group_start()?;
            // SAFETY: both sides have so many words, which are freed, or changed, after the message: their streams wait for it.
            let called = unsafe {
                let word = sys::ncclDataType_t::ncclUint64;
                let sent = result::send(source as _, words, word, to as i32, ranks.0[from], sending);
                sent.and_then(|_| result::recv(target as _, words, word, from as i32, ranks.0[to], receiving))
            };
            // A group that was begun is ended, whatever happened in it.
            let ended = result::group_end();
            called.and(ended)
        };
        let sent: Result<NcclStatus, NcclError> = message(&self.ranks.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = sent.map_err(|error| failed(OPERATION, &error)).and_then(|_| {
            waits(sender.stream.join(&sender.departures))?;
            waits(receiver.stream.join(&receiver.arrivals))
        });
        joined.inspect_err(|_| {
            // Nobody waits for what was asked for before the failure, and memory is about to be freed.
            let _ = sender.departures.synchronize().and(receiver.arrivals.synchronize());
        })?;
        Ok(DriverMemory::whole(allocation, words))
    }
}

impl Comm<Cuda<Driver>> for NcclComm {
    fn copy(&self, shards: &[Cuda<Driver>], source: Operand<'_, DriverMemory>, from: usize, to: usize) -> DriverMemory {
        if ordinals(shards) != self.devices {
            finished(Err(CudaError::OtherDevices { found: self.devices.clone(), required: ordinals(shards) }))
        }
        shards[from].place(source);
        let drivers = [from, to].map(|shard| shards[shard].device());
        finished(self.send(drivers, [from, to], source.buffer))
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        for &rank in self.0.iter().filter(|rank| !rank.is_null()) {
            // SAFETY: made by NCCL and used by nobody else. A failure here has nobody to be told.
            let _ = unsafe { result::comm_destroy(rank) };
        }
    }
}

fn ordinals(shards: &[Cuda<Driver>]) -> Vec<i32> {
    shards.iter().map(|shard| shard.device().context.ordinal() as i32).collect()
}

fn failed(operation: &'static str, error: &NcclError) -> CudaError {
    CudaError::Device { operation, found: format!("{:?}", error.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine without NCCL says so; one that has it does not connect nothing.
    #[test]
    fn rejects_devices_without_a_library_that_connects_them() {
        match NcclComm::new(&[]).err().expect("there are no devices") {
            CudaError::NoNccl => assert!(CudaError::NoNccl.to_string().contains("libnccl.so")),
            CudaError::Device { operation, .. } => assert!(operation.contains("NCCL")),
            other => panic!("{other}"),
        }
    }
}
