//! Integer weights times residues modulo `q_0`, exactly.
//!
//! Three implementations: through floating-point matrix products of a general library; on 52-bit multiply-add, which
//! needs as many instructions per product but reads residues as they are and works on full vectors; and for weights of up to 13 bits
//! on dot products of 16-bit pairs, which need half as many.

mod floating_point;
#[cfg(target_arch = "x86_64")]
mod ifma;
#[cfg(target_arch = "x86_64")]
mod vnni;

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
        let share = rows.div_ceil(TASKS * rayon::current_num_threads());
        match self.instructions {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512Ifma if is_x86_feature_detected!("avx512vnni") && small(weights.entries()) => {
                let blocks = tasks(&mut out, columns, weights, share.next_multiple_of(vnni::GROUP).min(vnni::ROWS));
                blocks.for_each_init(vnni::Packed::default, |packed, (out, weights)| {
                    // SAFETY: the instructions were detected.
                    unsafe { packed.multiply(weights, residues, out) }
                });
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512Ifma => {
                let blocks = tasks(&mut out, columns, weights, share.next_multiple_of(ALIGNMENT).min(ROWS));
                blocks.for_each_init(ifma::Packed::default, |packed, (out, weights)| {
                    // SAFETY: a backend takes this instruction set only after detecting its features.
                    unsafe { packed.multiply(weights, residues, out) }
                });
            }
            _ => tasks(&mut out, columns, weights, share.min(ROWS)).for_each_init(
                floating_point::Blocks::new,
                |space, (out, weights)| {
                    space.multiply(weights, residues, out);
                },
            ),
        }
        out
    }
}

/// Blocks of so many rows of the result and of the weights.
fn tasks<'a>(
    out: &'a mut [u64],
    columns: usize,
    weights: &'a IntegerMatrix,
    rows: usize,
) -> impl IndexedParallelIterator<Item = (&'a mut [u64], WeightRows<'a>)> {
    let inner = weights.shape().columns;
    let blocks = out.par_chunks_mut(rows * columns).zip(weights.entries().par_chunks(rows * inner));
    blocks.map(move |(out, entries)| (out, WeightRows { entries, inner }))
}

/// Whether the weights are small enough for 16-bit digits.
#[cfg(target_arch = "x86_64")]
fn small(weights: &[i16]) -> bool {
    weights.par_chunks(1 << 16).all(|weights| {
        let (least, largest) = weights.iter().fold((0, 0), |(least, largest), &w| (w.min(least), w.max(largest)));
        least >= -vnni::LARGEST && largest <= vnni::LARGEST
    })
}
