//! A GPU behind NVIDIA's driver.

mod clock;
mod compiler;
mod libraries;
mod memory;
mod nccl;
mod peers;

use std::sync::Arc;

use cudarc::{
    driver::{CudaContext, CudaFunction, CudaStream, DriverError, LaunchConfig, PushKernelArg, result, sys},
    nvrtc::Ptx,
};

pub use clock::Moment;
pub use memory::DriverMemory;
pub use nccl::NcclComm;

use crate::{CudaError, Device, Kernel, Launch};

/// A GPU, all of whose work is queued on one stream in the order of calls; copies to other GPUs are made beside it.
///
/// Nothing of CUDA is needed to build this: the driver's library is loaded by [`Driver::new`], and the kernels are compiled
/// for the device's own architecture the first time and stored in the user's cache folder. Freed memory stays with the
/// process, in a pool from which it is served again without a call to the system.
pub struct Driver {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    /// Where memory is taken for words of other devices.
    arrivals: Arc<CudaStream>,
    /// Where words are copied to other devices.
    departures: Arc<CudaStream>,
    /// In the order of [`Kernel::ALL`].
    functions: Vec<CudaFunction>,
    name: String,
    architecture: String,
}

/// The name of the device with this number, counted from 0, which is not taken.
///
/// # Errors
/// If there is no driver or no such device.
pub fn device_name(ordinal: usize) -> Result<String, CudaError> {
    if !libraries::have_driver() {
        return Err(CudaError::NoDriver);
    }
    let device = |number: i32| result::init().and_then(|()| result::device::get(number));
    let number = i32::try_from(ordinal).unwrap_or(i32::MAX);
    (device(number).and_then(result::device::get_name))
        .map_err(|error| CudaError::NoDevice { required: ordinal, found: error.to_string() })
}

impl Driver {
    /// Takes the device with this number, counted from 0.
    ///
    /// # Errors
    /// If there is no driver, no such device, or no way to compile the kernels.
    pub fn new(ordinal: usize) -> Result<Self, CudaError> {
        if !libraries::have_driver() {
            return Err(CudaError::NoDriver);
        }
        let no_device = |error: DriverError| CudaError::NoDevice { required: ordinal, found: error.to_string() };
        let context = CudaContext::new(ordinal).map_err(no_device)?;
        // SAFETY: kernels have one stream; who copies between devices makes streams wait by hand.
        unsafe { context.disable_event_tracking() };
        let (major, minor) = context.compute_capability().map_err(no_device)?;
        let architecture = format!("sm_{major}{minor}");
        let kernels = compiler::kernels(&architecture)?;
        let failed = |operation| move |error: DriverError| CudaError::Device { operation, found: error.to_string() };
        let module = context.load_module(Ptx::from_binary(kernels)).map_err(failed("loading the kernels"))?;
        let functions = (Kernel::ALL.iter())
            .map(|kernel| module.load_function(kernel.name()))
            .collect::<Result<_, _>>()
            .map_err(failed("finding a kernel"))?;
        let stream = || context.new_stream().map_err(failed("making a stream"));
        let (stream, arrivals, departures) = (stream()?, stream()?, stream()?);
        memory::keep_freed(&context).map_err(failed("setting up the memory pool"))?;
        let name = context.name().map_err(no_device)?;
        Ok(Self { context, stream, arrivals, departures, functions, name, architecture })
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the kernels were compiled for: `sm_90`, say.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Bytes of the device's memory: available, not counting what the pool holds for later use, and in all.
    ///
    /// # Errors
    /// If the driver fails.
    pub fn memory(&self) -> Result<[u64; 2], CudaError> {
        let (available, total) = self.context.mem_get_info().map_err(|error| self.failure("memory", error))?;
        Ok([available as u64, total as u64])
    }

    /// The newest CUDA version that the driver supports: 13000 for 13.0.
    ///
    /// # Errors
    /// If the driver fails.
    pub fn driver_version(&self) -> Result<i32, CudaError> {
        let mut version = 0;
        // SAFETY: the driver writes one integer.
        let answer = unsafe { sys::cuDriverGetVersion(&mut version) };
        answer.result().map_err(|error| self.failure("the driver's version", error))?;
        Ok(version)
    }

    /// Waits until all work asked for is done.
    ///
    /// # Errors
    /// If a launch failed.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.stream.synchronize().map_err(|error| self.failure("waiting for the device", error))
    }

    fn failure(&self, operation: &'static str, error: DriverError) -> CudaError {
        CudaError::Device { operation, found: error.to_string() }
    }
}

impl Device for Driver {
    type Memory = DriverMemory;

    fn allocate(&self, words: usize) -> Result<DriverMemory, CudaError> {
        Ok(DriverMemory::whole(self.allocate_words(words)?, words))
    }

    fn allocate_together(&self, count: usize, words: usize) -> Result<Vec<DriverMemory>, CudaError> {
        self.allocate_neighbours(count, words)
    }

    fn zeros(&self, words: usize) -> Result<DriverMemory, CudaError> {
        let mut allocation = self.allocate_words(words)?;
        self.stream.memset_zeros(&mut allocation).map_err(|error| self.failure("zeros", error))?;
        Ok(DriverMemory::whole(allocation, words))
    }

    fn upload(&self, words: &[u64]) -> Result<DriverMemory, CudaError> {
        let mut allocation = self.allocate_words(words.len())?;
        // Words of pageable memory are copied away before this returns.
        self.stream.memcpy_htod(words, &mut allocation).map_err(|error| self.failure("upload", error))?;
        Ok(DriverMemory::whole(allocation, words.len()))
    }

    fn download(&self, memory: &DriverMemory) -> Result<Vec<u64>, CudaError> {
        let mut words = vec![0; memory.words()];
        let copied = self.stream.memcpy_dtoh(&memory.view(), &mut words);
        copied.and_then(|()| self.stream.synchronize()).map_err(|error| self.failure("download", error))?;
        Ok(words)
    }

    fn words(&self, memory: &DriverMemory) -> usize {
        memory.words()
    }

    fn address(&self, memory: &DriverMemory) -> u64 {
        memory.address(&self.stream)
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), CudaError> {
        let Launch { kernel, grid: [x, y, z], block: [threads_x, threads_y, threads_z], shared_bytes, arguments } =
            launch;
        let mut builder = self.stream.launch_builder(&self.functions[*kernel as usize]);
        for argument in arguments {
            builder.arg(argument);
        }
        let shape = LaunchConfig {
            grid_dim: (*x, *y, *z),
            block_dim: (*threads_x, *threads_y, *threads_z),
            shared_mem_bytes: *shared_bytes as u32,
        };
        // SAFETY: the caller vouches for the arguments. Memory is freed on the same stream, after this launch.
        let launched = unsafe { builder.launch(shape) };
        launched.map_err(|error| CudaError::Launch { kernel: *kernel, found: error.to_string() })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine without a driver says so; one with a driver has no device of this number.
    #[test]
    fn a_missing_driver_or_device_is_an_error_and_no_panic() {
        let error = Driver::new(1 << 20).err().expect("nobody has so many devices");
        match &error {
            CudaError::NoDriver => assert!(error.to_string().contains("libcuda.so.1"), "{error}"),
            CudaError::NoDevice { required, .. } => assert_eq!(*required, 1 << 20),
            other => panic!("{other}"),
        }
        let nameless = device_name(1 << 20).expect_err("nobody has so many devices");
        assert_eq!(std::mem::discriminant(&nameless), std::mem::discriminant(&error));
    }
}
