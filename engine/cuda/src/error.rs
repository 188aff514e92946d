//! What can go wrong on a device.

use crate::Kernel;

/// Errors of this crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// The kernels do not reach the largest degree of a chain.
    #[error(
        "backend: the prime chain serves degrees up to 2^{found}, but the kernels transform at most 2^{required}; \
         make a chain with a smaller `max_log_degree`"
    )]
    DegreeUnsupported {
        /// Binary logarithm of the chain's largest degree.
        found: u32,
        /// Binary logarithm of the kernels' largest degree.
        required: u32,
    },
    /// There is no library of the NVIDIA driver.
    #[error(
        "driver: no library `libcuda.so.1` was found, but one is required to use a GPU; install NVIDIA's driver (580 or \
         later), or use the CPU backend"
    )]
    NoDriver,
    /// The driver found no device of this number.
    #[error(
        "driver: device {required} was required, but the driver answered `{found}`; `nvidia-smi` lists the devices, and \
         CUDA_VISIBLE_DEVICES may hide some"
    )]
    NoDevice {
        /// The number asked for.
        required: usize,
        /// The driver's answer.
        found: String,
    },
    /// There is no library of NCCL.
    #[error(
        "NCCL: no library `libnccl.so` was found, but one is required to send messages between GPUs by it; install \
         NVIDIA's NCCL 2 with its development files (Debian: `libnccl-dev`), or a link of this name to its `libnccl.so.2`, or let GPUs \
         copy from each other directly"
    )]
    NoNccl,
    /// A connection between other devices.
    #[error(
        "NCCL: devices {found:?} were connected, but messages between devices {required:?} are required; connect those that the sharded \
         backend has, in its order"
    )]
    OtherDevices {
        /// Those that it connects.
        found: Vec<i32>,
        /// Those between which it is asked to copy.
        required: Vec<i32>,
    },
    /// The kernels are not compiled for this device yet, and there is no compiler.
    #[error(
        "kernels: none are stored for {architecture} in `{cache}`, and no library `libnvrtc.so` was found to compile them; \
         install NVIDIA's NVRTC 12.8 or later and name its CUDA folder in CUDA_PATH"
    )]
    NoCompiler {
        /// The device's architecture.
        architecture: String,
        /// Where compiled kernels are stored.
        cache: String,
    },
    /// The compiler refused the kernels.
    #[error(
        "kernels: NVRTC answered `{found}` when code for {architecture} was required; NVRTC 12.8 or later knows every \
         supported device"
    )]
    Compilation {
        /// The device's architecture.
        architecture: String,
        /// The compiler's answer and log.
        found: String,
    },
    /// The device has too little memory.
    #[error(
        "memory: {required} bytes were required, and {available} of the device's {total} are available; drop buffers, use \
         smaller batches or a device with more memory"
    )]
    OutOfMemory {
        /// Bytes asked for.
        required: u64,
        /// Bytes that the device has left.
        available: u64,
        /// Bytes that it has in all.
        total: u64,
    },
    /// The device failed an operation other than a launch.
    #[error("{operation}: the device answered `{found}`, but success was required; an earlier launch may have failed")]
    Device {
        /// The operation.
        operation: &'static str,
        /// The device's answer.
        found: String,
    },
    /// The device refused a launch or stopped it.
    #[error(
        "{kernel}: the device answered `{found}`, but a finished launch was required; compare it with kernels/ABI.md"
    )]
    Launch {
        /// The kernel.
        kernel: Kernel,
        /// The device's answer.
        found: String,
    },
}
