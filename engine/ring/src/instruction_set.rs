//! Which instructions the CPU kernels may use.

use std::fmt;

/// The two implementations of every CPU kernel. Their results are bit-identical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InstructionSet {
    /// 64-bit words and 128-bit products; runs anywhere.
    Portable,
    /// AVX-512 with 52-bit multiply-add (IFMA).
    Avx512Ifma,
}

impl InstructionSet {
    /// The fastest that this machine has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512ifma")
        {
            return Self::Avx512Ifma;
        }
        Self::Portable
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx512Ifma => "AVX-512 IFMA",
        })
    }
}
