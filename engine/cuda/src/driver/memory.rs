//! Memory of a GPU, taken and freed in the order of the stream's work.

use std::{ffi::c_void, sync::Arc};

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, CudaView, DevicePtr, DriverError, result, sys};

use super::Driver;
use crate::CudaError;

/// Words on a GPU.
pub struct DriverMemory {
    /// What they lie in, perhaps with others. One word where there are none: the driver has no empty allocations.
    allocation: Arc<Allocation>,
    first: usize,
    words: usize,
}

/// An allocation that any thread may free: the last owner may never have used the device.
struct Allocation(CudaSlice<u64>);

impl Drop for Allocation {
    fn drop(&mut self) {
        // A failure is reported by the context's next operation, as those of freeing are.
        let context = self.0.context();
        context.record_err(context.bind_to_thread());
    }
}

impl DriverMemory {
    /// All words of an allocation, or none.
    pub(super) fn whole(allocation: CudaSlice<u64>, words: usize) -> Self {
        Self { allocation: Arc::new(Allocation(allocation)), first: 0, words }
    }

    pub(super) fn words(&self) -> usize {
        self.words
    }

    pub(super) fn view(&self) -> CudaView<'_, u64> {
        self.allocation.0.slice(self.first..self.first + self.words)
    }

    pub(super) fn address(&self, stream: &CudaStream) -> u64 {
        self.allocation.0.device_ptr(stream).0 + (self.first * size_of::<u64>()) as u64
    }
}

impl Driver {
    pub(super) fn allocate_words(&self, words: usize) -> Result<CudaSlice<u64>, CudaError> {
        self.allocate_words_on(&self.stream, words)
    }

    /// Words that can be used once the stream has got there.
    pub(super) fn allocate_words_on(
        &self,
        stream: &Arc<CudaStream>,
        words: usize,
    ) -> Result<CudaSlice<u64>, CudaError> {
        // SAFETY: any bits are words, and kernels write them before they read them.
        let take = || unsafe { stream.alloc::<u64>(words.max(1)) };
        take().or_else(|error| {
            if error.0 != sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
                return Err(self.failure("allocation", error));
            }
            // Memory that the pool holds in pieces too small is given back first.
            self.release_freed().and_then(|()| take()).map_err(|error| match error.0 {
                sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => self.out_of_memory(words),
                _ => self.failure("allocation", error),
            })
        })
    }

    pub(super) fn allocate_neighbours(&self, count: usize, words: usize) -> Result<Vec<DriverMemory>, CudaError> {
        let allocation = Arc::new(Allocation(self.allocate_words(count * words)?));
        let part = |i| DriverMemory { allocation: Arc::clone(&allocation), first: i * words, words };
        Ok((0..count).map(part).collect())
    }

    /// Gives the system back what no buffer uses.
    fn release_freed(&self) -> Result<(), DriverError> {
        self.stream.synchronize()?;
        if !self.context.has_async_alloc() {
            return Ok(());
        }
        // SAFETY: the pool is that of a device in use.
        unsafe { result::mem_pool::trim_to(pool_of(&self.context)?, 0) }
    }

    fn out_of_memory(&self, words: usize) -> CudaError {
        let [available, total] = self.memory().unwrap_or_default();
        CudaError::OutOfMemory { required: (words * size_of::<u64>()) as u64, available, total }
    }
}

/// Lets the device's pool keep what is freed, for the next one who asks.
pub(super) fn keep_freed(context: &Arc<CudaContext>) -> Result<(), DriverError> {
    if !context.has_async_alloc() {
        return Ok(());
    }
    let pool = pool_of(context)?;
    let (mut threshold, mut no) = (u64::MAX, 0_i32);
    // SAFETY: the pool is that of a device in use; the first attribute is a 64-bit number, the second one of 32 bits.
    unsafe {
        result::mem_pool::set_attribute(
            pool,
            sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
            (&raw mut threshold).cast::<c_void>(),
        )?;
        // Memory for arrivals is not to wait for kernels that use what is freed after them.
        result::mem_pool::set_attribute(
            pool,
            sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES,
            (&raw mut no).cast::<c_void>(),
        )
    }
}

/// Lets other devices read and write what the device's pool holds, those that can.
pub(super) fn let_others_in(context: &Arc<CudaContext>, devices: &[i32]) -> Result<(), DriverError> {
    if !context.has_async_alloc() {
        return Ok(());
    }
    let pool = pool_of(context)?;
    for &other in devices.iter().filter(|&&other| other != context.ordinal() as i32) {
        let other_device = result::device::get(other)?;
        let mut can = 0;
        // SAFETY: both devices exist, and the driver writes one integer.
        unsafe { sys::cuDeviceCanAccessPeer(&mut can, other_device, context.cu_device()).result()? };
        if can == 0 {
            continue;
        }
        // SAFETY: all bits zero are a description, of which what matters is set here.
        let mut description: sys::CUmemAccessDesc = unsafe { std::mem::zeroed() };
        description.location.type_ = sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
        description.location.id = other;
        description.flags = sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
        // SAFETY: the pool is that of a device in use, and there is one description.
        unsafe { sys::cuMemPoolSetAccess(pool, &description, 1).result()? };
    }
    Ok(())
}

/// The pool from which a stream's allocations are served.
fn pool_of(context: &CudaContext) -> Result<sys::CUmemoryPool, DriverError> {
    // SAFETY: the device is in use.
    unsafe { result::device::get_default_mem_pool(context.cu_device()) }
}
