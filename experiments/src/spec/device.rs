//! Where an encrypted cell is computed.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who computes on ciphertexts: `cpu`, `cuda` for the first NVIDIA GPU, `cuda:N` for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
pub enum ComputeDevice {
    /// The processors of this machine.
    #[default]
    Cpu,
    /// The GPU of this number, counted from 0.
    Cuda(usize),
}

impl fmt::Display for ComputeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
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
        let refused =
            || format!("`{text}` is no device; `cpu`, `cuda` or one GPU by number, such as `cuda:1`, is required");
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", ordinal)) => ordinal.parse().map(Self::Cuda).map_err(|_| refused()),
            _ => Err(refused()),
        }
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

    #[test]
    fn devices_are_written_as_they_are_read() {
        for text in ["cpu", "cuda", "cuda:1", "cuda:17"] {
            assert_eq!(text.parse::<ComputeDevice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda:0".parse(), Ok(ComputeDevice::Cuda(0)));
    }

    #[test]
    fn rejects_what_is_no_single_device() {
        for text in ["gpu", "cuda:", "cuda:0,1", "cuda:-1", "cpu:0", ""] {
            let refusal = text.parse::<ComputeDevice>().unwrap_err();
            assert!(refusal.contains(&format!("`{text}`")) && refusal.contains("cuda:1"), "{refusal}");
        }
    }
}
