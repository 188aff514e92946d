//! Number-theoretic transforms of both ring kinds.
//!
//! A [`NumberTheoreticTransform`] maps the coefficients of a polynomial modulo one prime to its values at the roots of
//! the ring's polynomial, in place, and back. The order of the values is that of [`root_exponent`], the same for every
//! implementation; values and coefficients are fully reduced, so that the portable and the vector path agree bit for bit.

#[cfg(target_arch = "x86_64")]
mod doubles;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod lanes;
mod scalar;
mod tables;

pub use tables::{Twiddles, root_exponent, root_index};

pub(crate) use lanes::LaneTransform;
pub(crate) use scalar::ScalarTransform;
pub(crate) use tables::bit_reverse;

#[cfg(target_arch = "x86_64")]
use doubles::DoublesTransform;
#[cfg(target_arch = "x86_64")]
use ifma::IfmaTransform;

use crate::{InstructionSet, Modulus, Ring, RingKind};

/// The transform of one ring modulo one prime.
pub struct NumberTheoreticTransform {
    ring: Ring,
    path: Path,
}

enum Path {
    Portable(ScalarTransform),
    /// These are made only where the features were detected.
    #[cfg(target_arch = "x86_64")]
    Avx2(DoublesTransform),
    #[cfg(target_arch = "x86_64")]
    Avx512(DoublesTransform),
    #[cfg(target_arch = "x86_64")]
    Ifma(IfmaTransform),
}

impl NumberTheoreticTransform {
    /// Prepares the tables; `None` if the prime is not 1 modulo `4N`. Small degrees, and machines without the
    /// requested instructions, use portable ones.
    pub fn new(ring: Ring, modulus: &Modulus, instructions: InstructionSet) -> Option<Self> {
        let twiddles = Twiddles::new(ring, modulus)?;
        let path = match instructions {
            _ if !instructions.is_available() => Path::Portable(ScalarTransform::new(modulus, &twiddles)),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 if ring.log_degree >= doubles::LOG_LEAST => {
                Path::Avx2(DoublesTransform::new(modulus, &twiddles))
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 if ring.log_degree >= doubles::LOG_LEAST => {
                Path::Avx512(DoublesTransform::new(modulus, &twiddles))
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512Ifma if ring.log_degree >= ifma::LOG_LEAF => {
                Path::Ifma(IfmaTransform::new(modulus, &twiddles))
            }
            _ => Path::Portable(ScalarTransform::new(modulus, &twiddles)),
        };
        Some(Self { ring, path })
    }

    /// Coefficients to values, `ring.degree()` reduced words.
    pub fn forward(&self, words: &mut [u64]) {
        let fold = self.ring.kind == RingKind::ConjugateInvariant;
        match &self.path {
            Path::Portable(transform) => {
                if fold {
                    transform.fold(words);
                }
                transform.forward(words);
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this path is made only where the features were detected.
            Path::Avx2(transform) => unsafe { doubles::avx2::forward(transform, words, fold) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Path::Avx512(transform) => unsafe { doubles::avx512::forward(transform, words, fold) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this path is made only where the features were detected.
            Path::Ifma(transform) => unsafe {
                if fold {
                    transform.fold(words);
                }
                transform.forward(words);
            },
        }
    }

    /// Values to coefficients, `ring.degree()` reduced words.
    pub fn inverse(&self, words: &mut [u64]) {
        let unfold = self.ring.kind == RingKind::ConjugateInvariant;
        match &self.path {
            Path::Portable(transform) => {
                transform.inverse(words);
                if unfold {
                    transform.unfold(words);
                }
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this path is made only where the features were detected.
            Path::Avx2(transform) => unsafe { doubles::avx2::inverse(transform, words, unfold) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Path::Avx512(transform) => unsafe { doubles::avx512::inverse(transform, words, unfold) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this path is made only where the features were detected.
            Path::Ifma(transform) => unsafe {
                transform.inverse(words);
                if unfold {
                    transform.unfold(words);
                }
            },
        }
    }
}
