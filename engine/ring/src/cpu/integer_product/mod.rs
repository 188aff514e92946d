//! Integer weights times residues modulo `q_0`, exactly.
//!
//! Two implementations: through floating-point matrix products of a general library, and on 52-bit multiply-add, which
//! needs as many instructions per product but reads residues as they are and works on full vectors.

mod floating_point;
#[cfg(target_arch = "x86_64")]
mod ifma;

use rayon::prelude::*;

use super::{Cpu, words::Words};
use crate::{InstructionSet, IntegerMatrix, MatrixShape, Modulus, PrimeIndex};

/// Most rows of the result per parallel task: enough to pay for packing the residues.
const ROWS: usize = 1 << 7;
/// Tasks per thread where there are not that many rows.
const TASKS: usize = 4;

/// Rows of a task are a multiple of this, except at the end.
const ALIGNMENT: usize = 4;

/// A block of consecutive rows of weights, row-major, `inner` to a row.
#[derive(Clone, Copy)]
struct WeightRows<'a> {
    entries: &'a [i16],
    inner: usize,
}

impl WeightRows<'_> {
    fn count(&self) -> usize {
        self.entries.len() / self.inner
    }
}

/// The residues that weights are multiplied with, row-major.
#[derive(Clone, Copy)]
struct Residues<'a> {
    words: &'a [u64],
    columns: usize,
    modulus: &'a Modulus,
}

impl Cpu {
    pub(super) fn multiply_by_integers(&self, weights: &IntegerMatrix, matrix: &[u64], shape: MatrixShape) -> Words {
        let modulus = self.chain.modulus(PrimeIndex::Ciphertext(0));
        let MatrixShape { rows, columns: inner } = weights.shape();
        let columns = shape.columns;
        let mut out = self.pool.zeros(rows * columns);
        if rows * columns * inner == 0 {
            return out;
        }
        let residues = Residues { words: matrix, columns, modulus };
        let share = rows.div_ceil(TASKS * rayon::current_num_threads()).next_multiple_of(ALIGNMENT).min(ROWS);
        let blocks = out.par_chunks_mut(share * columns).zip(weights.entries().par_chunks(share * inner));
        let blocks = blocks.map(|(out, entries)| (out, WeightRows { entries, inner }));
        match self.instructions {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512Ifma => blocks.for_each_init(ifma::Packed::default, |packed, (out, weights)| {
                // SAFETY: a backend takes this instruction set only after detecting its features.
                unsafe { packed.multiply(weights, residues, out) }
            }),
            _ => blocks.for_each_init(floating_point::Blocks::new, |space, (out, weights)| {
                space.multiply(weights, residues, out);
            }),
        }
        out
    }
}
