//! Copies between GPUs.
//!
//! Two GPUs work on different ciphertexts, and one that has much to do must not keep the other waiting. So a copy is made by a stream of its own, of the
//! GPU that it leaves (*departures*), as soon as the words are there, into memory that a stream without other work has taken (*arrivals*). Then both
//! wait for the copy alone: the one before it changes or frees the words, the other before it reads them.

use cudarc::driver::{CudaSlice, DevicePtr, DriverError, result};

use super::{Driver, DriverMemory};
use crate::{CudaError, device::Peer};

impl Peer for Driver {
    fn copy_from(&self, other: &Self, memory: &DriverMemory) -> Result<DriverMemory, CudaError> {
        let words = memory.words();
        let allocation = self.take_arrival(words)?;
        let copied = self.copy_into(&allocation, other, memory).inspect_err(|_| {
            // Nobody waits for what was asked for before the failure, and memory is about to be freed.
            let _ = self.arrivals.synchronize().and(other.departures.synchronize());
        });
        copied.map_err(|error| self.failure("a copy from another device", error))?;
        Ok(DriverMemory::whole(allocation, words))
    }
}

impl Driver {
    /// Words that no kernel waits for, and that are freed in the order of the kernels' stream.
    pub(super) fn take_arrival(&self, words: usize) -> Result<CudaSlice<u64>, CudaError> {
        let taken = self.allocate_words_on(&self.arrivals, words)?;
        let length = taken.len();
        // SAFETY: the allocation has this length, and is owned by nobody else from here on.
        Ok(unsafe { self.stream.upgrade_device_ptr(taken.leak(), length) })
    }

    fn copy_into(&self, target: &CudaSlice<u64>, other: &Self, memory: &DriverMemory) -> Result<(), DriverError> {
        let departures = &other.departures;
        departures.join(&self.arrivals)?;
        departures.join(&other.stream)?;
        other.context.bind_to_thread()?;
        // SAFETY: the driver keeps both allocations until the work is done that was asked for before they are freed: either stream is
        // told to wait for this copy.
        unsafe {
            result::memcpy_peer_async(
                self.context.cu_ctx(),
                target.device_ptr(&self.stream).0,
                other.context.cu_ctx(),
                memory.address(&other.stream),
                memory.words() * size_of::<u64>(),
                departures.cu_stream(),
            )?;
        }
        let copied = departures.record_event(None)?;
        self.stream.wait(&copied)?;
        other.stream.wait(&copied)
    }
}
