//! Loops over the residues of one limb: the innermost level of every kernel but the transforms.
//!
//! Each exists in a module `portable` and in a module `ifma`, those that multiply and that much time is spent in also in a module
//! `doubles`; all return fully reduced residues, so all return the same. What vectors do not suit, small degrees above all, is left to
//! the portable twin.

#[cfg(target_arch = "x86_64")]
mod doubles;
pub(super) mod hoisted_sum;
#[cfg(target_arch = "x86_64")]
mod ifma;
pub(super) mod inner_product;
pub(super) mod parity;
mod portable;
pub(super) mod subring_sum;

use super::base_conversion::OverflowRule;
use crate::{InstructionSet, Modulus, galois_table::GaloisTable};

/// The loops for one prime on one instruction set. Slices of one call have equal lengths.
#[derive(Clone, Copy)]
pub(super) struct LimbKernels<'a> {
    pub(super) modulus: &'a Modulus,
    pub(super) instructions: InstructionSet,
}

/// Calls one of the two loops of that name in the modules `ifma` and `portable`; with the word `doubles` one of three.
macro_rules! dispatch {
    ($self:ident, $kernel:ident($($argument:expr),*)) => {
        match $self.instructions {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a backend takes this instruction set only after detecting its features.
            $crate::InstructionSet::Avx512Ifma => unsafe { ifma::$kernel($self.modulus, $($argument),*) },
            _ => portable::$kernel($self.modulus, $($argument),*),
        }
    };
    ($self:ident, doubles $kernel:ident($($argument:expr),*)) => {
        match $self.instructions {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            $crate::InstructionSet::Avx2 => unsafe { doubles::avx2::$kernel($self.modulus, $($argument),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            $crate::InstructionSet::Avx512 => unsafe { doubles::avx512::$kernel($self.modulus, $($argument),*) },
            _ => dispatch!($self, $kernel($($argument),*)),
        }
    };
}
use dispatch;

impl LimbKernels<'_> {
    /// `target += other`.
    pub(super) fn add_assign(self, target: &mut [u64], other: &[u64]) {
        dispatch!(self, add_assign(target, other))
    }

    /// `target -= other`.
    pub(super) fn subtract_assign(self, target: &mut [u64], other: &[u64]) {
        dispatch!(self, subtract_assign(target, other))
    }

    /// `target = -target`.
    pub(super) fn negate(self, target: &mut [u64]) {
        dispatch!(self, negate(target))
    }

    /// `out = left * right`.
    pub(super) fn multiply(self, out: &mut [u64], left: &[u64], right: &[u64]) {
        dispatch!(self, doubles multiply(out, left, right))
    }

    /// `target += left * right`.
    pub(super) fn multiply_accumulate(self, target: &mut [u64], left: &[u64], right: &[u64]) {
        dispatch!(self, doubles multiply_accumulate(target, left, right))
    }

    /// `target *= constant`.
    pub(super) fn scale(self, target: &mut [u64], constant: u64) {
        dispatch!(self, doubles scale(target, constant))
    }

    /// `out = source * constant`.
    pub(super) fn scale_into(self, out: &mut [u64], source: &[u64], constant: u64) {
        dispatch!(self, doubles scale_into(out, source, constant))
    }

    /// `target += constant`.
    pub(super) fn add_constant(self, target: &mut [u64], constant: u64) {
        dispatch!(self, add_constant(target, constant))
    }

    /// `target = (minuend - target) * constant`.
    pub(super) fn subtract_from_and_scale(self, target: &mut [u64], minuend: &[u64], constant: u64) {
        dispatch!(self, doubles subtract_from_and_scale(target, minuend, constant))
    }

    /// The three parts of a product of two ciphertexts.
    pub(super) fn tensor(self, out: [&mut [u64]; 3], left: [&[u64]; 2], right: [&[u64]; 2]) {
        dispatch!(self, doubles tensor(out, left, right))
    }

    /// `target += permuted source`: values of `source` from word `start` of the result on.
    pub(super) fn permute_accumulate(self, target: &mut [u64], source: &[u64], start: usize, table: &GaloisTable) {
        dispatch!(self, permute_accumulate(target, source, start, table))
    }

    /// `out = sum_i terms[i] * constants[i]`; the terms are any words below `2^50`, residues of other primes too.
    pub(super) fn linear_combination(self, out: &mut [u64], terms: &[&[u64]], constants: &[u64]) {
        dispatch!(self, doubles linear_combination(out, terms, constants))
    }

    /// `out[i] = integers[len - 1 - i]`, or its negative.
    pub(super) fn reversed_integers(self, out: &mut [u64], integers: &[i16], negated: bool) {
        dispatch!(self, reversed_integers(out, integers, negated))
    }

    /// The overflow counts of a base conversion.
    pub(super) fn count_overflow(self, out: &mut [u64], scaled: &[&[u64]], rule: &OverflowRule) {
        dispatch!(self, count_overflow(out, scaled, rule))
    }

    /// Residues of a single prime `p`, lifted centred to this one: those above `half = (p - 1) / 2` stand for a number `p` smaller, and
    /// `negated` is `-p`.
    pub(super) fn lift_centred(self, out: &mut [u64], source: &[u64], half: u64, negated: u64) {
        dispatch!(self, lift_centred(out, source, half, negated))
    }

    /// Values of `source` in the order that an automorphism gives them.
    pub(super) fn permute(self, out: &mut [u64], source: &[u64], table: &GaloisTable) {
        dispatch!(self, permute(out, source, table))
    }
}

/// Asks for words to be brought into the second-level cache; they are needed soon.
pub(super) fn prefetch(words: &[u64]) {
    #[cfg(target_arch = "x86_64")]
    for line in words.chunks(8) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: SSE is part of x86-64, and prefetching has no effect but on time.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = words;
}
