//! Which instructions the CPU kernels may use.

use std::fmt;

/// The implementations of the CPU kernels. Their results are bit-identical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InstructionSet {
    /// 64-bit words and 128-bit products; runs anywhere.
    Portable,
    /// AVX2 with fused multiply-add of doubles.
    Avx2,
    /// AVX-512 with fused multiply-add of doubles.
    Avx512,
    /// AVX-512 with 52-bit multiply-add (IFMA).
    Avx512Ifma,
}

impl InstructionSet {
    /// All of them, the slowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Ifma];

    /// The fastest that this machine has.
    pub fn detect() -> Self {
        Self::available().last().expect("portable instructions are always available")
    }

    /// Those that this machine has, the slowest first.
    pub fn available() -> impl DoubleEndedIterator<Item = Self> {
        Self::ALL.into_iter().filter(|set| set.is_available())
    }

    /// Whether this machine has them.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Ifma => Self::Avx512.is_available() && is_x86_feature_detected!("avx512ifma"),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "AVX2 FMA",
            Self::Avx512 => "AVX-512 FMA",
            Self::Avx512Ifma => "AVX-512 IFMA",
        })
    }
}
