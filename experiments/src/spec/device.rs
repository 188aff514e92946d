//! Where an encrypted cell is computed.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who computes on ciphertexts: `cpu`, `cuda` for the first NVIDIA GPU, `cuda:N` for another, `cuda:N,M` for several at once, which copy from each other,
/// `nccl:N,M` for several that send each other messages by NVIDIA's library NCCL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
pub enum ComputeDevice {
    /// The processors of this machine.
    #[default]
    Cpu,
    /// NVIDIA GPUs of this machine.
    Cuda(Gpus),
}

/// GPUs by their numbers, counted from 0: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpus {
    /// Bit `i` stands for number `i`.
    numbers: u64,
    by_nccl: bool,
}

impl Gpus {
    /// The GPUs of these numbers, which copy from each other or send messages by NCCL; `None` if there are none, one occurs twice or is above 63, or
    /// a single one has nobody to send messages to.
    pub fn new(numbers: impl IntoIterator<Item = usize>, by_nccl: bool) -> Option<Self> {
        let joined = numbers.into_iter().try_fold(0_u64, |joined, number| {
            let bit = u32::try_from(number).ok().and_then(|number| 1_u64.checked_shl(number))?;
            (joined & bit == 0).then_some(joined | bit)
        })?;
        (joined.count_ones() > u32::from(by_nccl)).then_some(Self { numbers: joined, by_nccl })
    }

    /// Their numbers, ascending.
    pub fn numbers(self) -> impl Iterator<Item = usize> {
        (0..u64::BITS as usize).filter(move |number| self.numbers >> number & 1 == 1)
    }

    /// Whether they send each other messages by NCCL.
    pub fn are_joined_by_nccl(self) -> bool {
        self.by_nccl
    }

    /// How many.
    pub fn count(self) -> usize {
        self.numbers.count_ones() as usize
    }
}

impl ComputeDevice {
    /// Whether a GPU belongs to both.
    pub fn shares_a_gpu_with(self, other: Self) -> bool {
        matches!((self, other), (Self::Cuda(these), Self::Cuda(those)) if these.numbers & those.numbers != 0)
    }
}

impl fmt::Display for Gpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.numbers().map(|number| number.to_string()).collect();
        f.write_str(&numbers.join(","))
    }
}

impl fmt::Display for ComputeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(gpus) if gpus.by_nccl => write!(f, "nccl:{gpus}"),
            Self::Cuda(Gpus { numbers: 1, .. }) => f.write_str("cuda"),
            Self::Cuda(gpus) => write!(f, "cuda:{gpus}"),
        }
    }
}

impl From<ComputeDevice> for String {
    fn from(device: ComputeDevice) -> Self {
        device.to_string()
    }
}

impl FromStr for ComputeDevice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (numbers, by_nccl) = match text.split_once(':') {
            None if text == "cpu" => return Ok(Self::Cpu),
            None if text == "cuda" => ("0", false),
            Some(("cuda", numbers)) => (numbers, false),
            Some(("nccl", numbers)) => (numbers, true),
            _ => ("", false),
        };
        let numbers: Option<Vec<usize>> = numbers.split(',').map(|number| number.parse().ok()).collect();
        numbers.and_then(|numbers| Gpus::new(numbers, by_nccl)).map(Self::Cuda).ok_or_else(|| {
            format!(
                "`{text}` is no device; `cpu`, `cuda`, one GPU by number, such as `cuda:1`, or several different ones up to 63, such as `cuda:0,1` or `nccl:0,1`, is required"
            )
        })
    }
}

impl TryFrom<String> for ComputeDevice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(text: &str) -> ComputeDevice {
        text.parse().unwrap()
    }

    #[test]
    fn devices_are_written_as_they_are_read() {
        for text in ["cpu", "cuda", "cuda:1", "cuda:17", "cuda:0,1", "cuda:2,3,63", "nccl:0,1"] {
            assert_eq!(device(text).to_string(), text);
        }
        assert_eq!(device("cuda:0"), device("cuda"));
        assert_eq!(device("cuda:3,1").to_string(), "cuda:1,3");
    }

    #[test]
    fn several_gpus_have_numbers_and_may_overlap_with_others() {
        let ComputeDevice::Cuda(gpus) = device("cuda:4,1") else { panic!("GPUs") };
        assert_eq!((gpus.count(), gpus.numbers().collect::<Vec<_>>()), (2, vec![1, 4]));
        assert!(device("cuda:0,1").shares_a_gpu_with(device("nccl:1,2")));
        assert!(!device("cuda:0,1").shares_a_gpu_with(device("cuda:2")));
        assert!(!device("cpu").shares_a_gpu_with(device("cpu")));
    }

    #[test]
    fn rejects_what_names_no_device() {
        for text in ["gpu", "cuda:", "cuda:0,0", "cuda:0,", "cuda:64", "nccl:1", "nccl", "cuda:-1", "cpu:0", ""] {
            let refusal = text.parse::<ComputeDevice>().unwrap_err();
            assert!(refusal.contains(&format!("`{text}`")) && refusal.contains("cuda:0,1"), "{refusal}");
        }
    }
}
