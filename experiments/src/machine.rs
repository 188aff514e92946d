//! The machine a number was measured on, and what this process takes of it.

use crate::error::HarnessError;
use crate::spec::ComputeDevice;
use fhe_ring::InstructionSet;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// A machine as a record describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's marketing name.
    pub cpu: String,
    /// Instruction set, such as `x86_64`.
    pub arch: String,
    /// The widest vector extension the engine would use.
    pub vector_extension: String,
    /// Logical cores this process may use.
    pub cores: usize,
    /// Physical memory.
    pub memory_bytes: u64,
    /// The GPU that computes, where one does; of several, `2 x NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
}

impl Machine {
    /// Describes this machine. What cannot be found out is left empty or zero, never guessed.
    pub fn detect() -> Self {
        Self {
            cpu: cpu_name(),
            arch: std::env::consts::ARCH.into(),
            vector_extension: vector_extension().into(),
            cores: cores(),
            memory_bytes: kibibytes("/proc/meminfo", "MemTotal:"),
            gpu: None,
        }
    }

    /// The same with the GPUs that compute, if the device is some.
    ///
    /// # Errors
    /// [`HarnessError::Gpu`] where there are none of these numbers.
    pub fn computing_on(self, device: ComputeDevice) -> Result<Self, HarnessError> {
        let ComputeDevice::Cuda(gpus) = device else { return Ok(self) };
        let names = gpus.numbers().map(fhe_cuda::device_name).collect::<Result<Vec<_>, _>>();
        let names = names.map_err(|source| HarnessError::Gpu { device, source })?;
        Ok(Self { gpu: Some(joint_name(&names)), ..self })
    }

    /// What makes two machines interchangeable for a measurement: processor, instruction set, vector extension, GPU.
    pub fn class(&self) -> String {
        let gpu = self.gpu.as_ref().map(|name| format!(" | {name}")).unwrap_or_default();
        format!("{} | {} | {}{gpu}", self.cpu, self.arch, self.vector_extension)
    }

    /// The machine in a few words, all that a measured time depends on: `AMD EPYC, avx512ifma, 2 cores`. A GPU comes first.
    pub fn name(&self) -> String {
        let cores = if self.cores == 1 { "1 core".into() } else { format!("{} cores", self.cores) };
        let gpu = self.gpu.as_ref().map(|name| format!("{name} beside ")).unwrap_or_default();
        format!("{gpu}{}, {}, {cores}", self.cpu, self.vector_extension)
    }
}

/// Several devices in one name: `2 x NVIDIA H100`.
fn joint_name(names: &[String]) -> String {
    let counted = names.chunk_by(|a, b| a == b).map(|alike| match alike {
        [one] => one.clone(),
        alike => format!("{} x {}", alike.len(), alike[0]),
    });
    counted.collect::<Vec<_>>().join(" + ")
}

/// Logical cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Memory that new processes can have without others being swapped out; zero where the system does not tell.
pub(crate) fn available_memory_bytes() -> u64 {
    kibibytes("/proc/meminfo", "MemAvailable:")
}

/// The most memory this process has held at once, in bytes; zero where the system does not tell.
pub fn peak_memory_bytes() -> u64 {
    kibibytes("/proc/self/status", "VmHWM:")
}

/// The same of another process.
pub(crate) fn peak_memory_bytes_of(process: u32) -> u64 {
    kibibytes(&format!("/proc/{process}/status"), "VmHWM:")
}

/// Now, as an RFC 3339 time stamp in UTC.
pub fn utc_now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// How often the kernel has killed a process for memory since boot.
pub(crate) fn out_of_memory_kills() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

fn cpu_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name") || line.starts_with("Model"));
    line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_string()).unwrap_or_default()
}

/// What the kernels use.
fn vector_extension() -> &'static str {
    match InstructionSet::detect() {
        InstructionSet::Portable => "baseline",
        InstructionSet::Avx2 => "avx2",
        InstructionSet::Avx512 => "avx512",
        InstructionSet::Avx512Ifma => "avx512ifma",
    }
}

/// A `KEY   123 kB` line of a proc file, in bytes.
fn kibibytes(file: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_gpu_is_another_machine() {
        let machine = Machine { cpu: "CPU".into(), cores: 2, ..Machine::default() };
        let with = |gpu: &str| Machine { gpu: Some(gpu.into()), ..machine.clone() };
        let classes = [machine.class(), with("one").class(), with("other").class()];
        assert!(classes[0] != classes[1] && classes[1] != classes[2]);
        assert!(with("one").name().starts_with("one beside CPU"));
        assert_eq!(machine.clone().computing_on(ComputeDevice::Cpu).unwrap(), machine);
    }

    #[test]
    fn several_gpus_have_one_name() {
        let name = |names: &[&str]| joint_name(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(name(&["H100"]), "H100");
        assert_eq!(name(&["H100", "H100", "A30"]), "2 x H100 + A30");
    }

    #[test]
    fn this_process_takes_memory() {
        assert!(peak_memory_bytes() > 100_000);
        assert!(Machine::detect().memory_bytes > peak_memory_bytes());
    }
}
