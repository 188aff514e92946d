//! Number-theoretic transforms of both ring kinds.
//!
//! A [`NumberTheoreticTransform`] maps the coefficients of a polynomial modulo one prime to its values at the roots of
//! the ring's polynomial, in place, and back. The order of the values is that of [`root_exponent`], the same for every
//! implementation; values and coefficients are fully reduced, so that the portable and the vector path agree bit for bit.

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
use ifma::IfmaTransform;

use crate::{InstructionSet, Modulus, Ring, RingKind};

/// The transform of one ring modulo one prime.
pub struct NumberTheoreticTransform {
    ring: Ring,
    path: Path,
}

enum Path {
    Portable(ScalarTransform),
    /// Made only where the features were detected.
    #[cfg(target_arch = "x86_64")]
    Ifma(IfmaTransform),
}

impl NumberTheoreticTransform {
    /// Prepares the tables; `None` if the prime is not 1 modulo `4N`. Small degrees, and machines without the
    /// requested instructions, use portable ones.
    pub fn new(ring: Ring, modulus: &Modulus, instructions: InstructionSet) -> Option<Self> {
        let twiddles = Twiddles::new(ring, modulus)?;
        let path = match instructions {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512Ifma
                if ring.log_degree >= ifma::LOG_LEAF && InstructionSet::detect() == InstructionSet::Avx512Ifma =>
            {
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
            Path::Ifma(transform) => unsafe {
                transform.inverse(words);
                if unfold {
                    transform.unfold(words);
                }
            },
        }
    }
}
