//! On dot products of 16-bit pairs (VNNI), for weights of up to 13 bits.
//!
//! A residue below `2^50` is written in four signed digits, `x = d_0 + d_1 2^13 + d_2 2^26 + d_3 2^39` with `|d_i| <= 2^12`. With
//! weights `|w| <= 2^12` a product of a weight and a digit is at most `2^24`, and [`DEPTH`]` = 126` of them stay below `2^31`. An
//! instruction multiplies a pair of weights with the digits of two residues in sixteen columns: half as many instructions as 52-bit
//! multiply-add needs. The sums of a contraction, two digits together, are kept in 64 bits and reduced at its end.

use std::arch::x86_64::*;

use super::{Residues, WeightRows};
use crate::{Modulus, lanes::read};

/// The largest absolute weight.
pub(super) const LARGEST: i16 = 1 << 12;

const DIGITS: usize = 4;
const DIGIT_BITS: u32 = 13;
/// Columns of a panel: 32-bit lanes.
const PANEL: usize = 16;
/// Rows of weights in a group: sixteen sums, four vectors of digits and pairs of weights. Six rows would fit into 32 registers too, but the
/// compiler then moves sums to the stack and back.
pub(super) const GROUP: usize = 4;
/// Most rows of a task: enough to pay for the digits of the residues.
pub(super) const ROWS: usize = 96 * GROUP;
/// Longest contraction in 32 bits.
const DEPTH: usize = 126;

const _: () = assert!((DEPTH * LARGEST as usize) << (DIGIT_BITS - 1) < 1 << 31 && DEPTH.is_multiple_of(2));
const _: () = assert!(DIGITS as u32 * DIGIT_BITS > Modulus::MAX_BITS);

/// Two digits or weights: the second one above.
type Pair = i32;

fn pair(first: i32, second: i32) -> Pair {
    first & 0xffff | second << 16
}

/// A thread's packed copies.
#[derive(Default)]
pub(super) struct Packed {
    /// Group after group, pair after pair of the whole contraction, the group's rows.
    weights: Vec<[Pair; GROUP]>,
    /// Pair after pair, digit after digit.
    panel: Vec<[[Pair; PANEL]; DIGITS]>,
    /// The sums of `d_0 + d_1 2^13` and of `d_2 + d_3 2^13` of each row.
    sums: Vec<[[i64; PANEL]; 2]>,
}

impl Packed {
    /// `out = weights * residues`.
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn multiply(&mut self, weights: WeightRows<'_>, residues: Residues<'_>, out: &mut [u64]) {
        let Residues { columns, modulus, .. } = residues;
        let pairs = weights.inner.div_ceil(2);
        self.pack_weights(weights);
        for column in (0..columns).step_by(PANEL) {
            let width = PANEL.min(columns - column);
            self.sums.clear();
            self.sums.resize(weights.count().next_multiple_of(GROUP), [[0; PANEL]; 2]);
            for start in (0..pairs).step_by(DEPTH / 2) {
                let depth = (DEPTH / 2).min(pairs - start);
                self.pack_panel(residues, 2 * start, depth, column, width);
                for (group, sums) in self.weights.chunks_exact(pairs).zip(self.sums.as_chunks_mut::<GROUP>().0) {
                    add_tile(&group[start..start + depth], &self.panel, sums);
                }
            }
            for (row, sums) in out.chunks_exact_mut(columns).zip(&self.sums) {
                let [low, high] = sums;
                for ((out, &low), &high) in row[column..column + width].iter_mut().zip(low).zip(high) {
                    *out = modulus.reduce_i128(low as i128 + ((high as i128) << (2 * DIGIT_BITS)));
                }
            }
        }
    }

    /// Missing rows of the last group are zero, and so is the second weight of an unpaired one.
    fn pack_weights(&mut self, weights: WeightRows<'_>) {
        self.weights.clear();
        for group in weights.entries.chunks(GROUP * weights.inner) {
            self.weights.extend((0..weights.inner).step_by(2).map(|k| {
                std::array::from_fn(|row| {
                    let row = group.get(row * weights.inner..).unwrap_or(&[]);
                    let weight = |k: usize| if k < weights.inner { row.get(k).map_or(0, |&w| w.into()) } else { 0 };
                    pair(weight(k), weight(k + 1))
                })
            }));
        }
    }

    /// `depth` pairs of rows from `start` of the columns from `column`; missing columns and rows are zero.
    #[target_feature(enable = "avx512f")]
    fn pack_panel(&mut self, residues: Residues<'_>, start: usize, depth: usize, column: usize, width: usize) {
        let Residues { words, columns, .. } = residues;
        self.panel.clear();
        for rows in words[start * columns..].chunks(2 * columns).take(depth) {
            let padded = |row: usize| {
                let mut padded = [0; PANEL];
                if let Some(entries) = rows.get(row * columns + column..).and_then(|rest| rest.get(..width)) {
                    padded[..width].copy_from_slice(entries);
                }
                padded
            };
            let (first, second) = (padded(0), padded(1));
            let mut panel = [[0; PANEL]; DIGITS];
            for (half, (first, second)) in first.as_chunks().0.iter().zip(second.as_chunks().0).enumerate() {
                let (first, second) = (digits(read(first)), digits(read(second)));
                for ((first, second), panel) in first.into_iter().zip(second).zip(&mut panel) {
                    let low = _mm512_and_si512(first, _mm512_set1_epi64(0xffff));
                    let pairs = _mm512_cvtepi64_epi32(_mm512_or_si512(low, _mm512_slli_epi64::<16>(second)));
                    // SAFETY: eight pairs are a vector of 32 bytes.
                    unsafe { _mm256_storeu_si256(panel[8 * half..][..8].as_mut_ptr().cast(), pairs) };
                }
            }
            self.panel.push(panel);
        }
    }
}

/// The signed digits of eight residues, in 64 bits each.
#[inline]
#[target_feature(enable = "avx512f")]
fn digits(x: __m512i) -> [__m512i; DIGITS] {
    // Half of the base in every digit but the last makes the carries those of unsigned digits.
    const HALF: i64 = 1 << (DIGIT_BITS - 1);
    const HALVES: i64 = HALF * (1 + (1 << DIGIT_BITS) + (1 << (2 * DIGIT_BITS)));
    let shifted = _mm512_add_epi64(x, _mm512_set1_epi64(HALVES));
    let (mask, half) = (_mm512_set1_epi64((1 << DIGIT_BITS) - 1), _mm512_set1_epi64(HALF));
    let digit = |unsigned| _mm512_sub_epi64(_mm512_and_si512(unsigned, mask), half);
    [
        digit(shifted),
        digit(_mm512_srli_epi64::<DIGIT_BITS>(shifted)),
        digit(_mm512_srli_epi64::<{ 2 * DIGIT_BITS }>(shifted)),
        _mm512_srli_epi64::<{ 3 * DIGIT_BITS }>(shifted),
    ]
}

/// Adds the products of a group of rows with the panel.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add_tile(group: &[[Pair; GROUP]], panel: &[[[Pair; PANEL]; DIGITS]], sums: &mut [[[i64; PANEL]; 2]; GROUP]) {
    let mut tile = [[_mm512_setzero_si512(); DIGITS]; GROUP];
    for (weights, digits) in group.iter().zip(panel) {
        // SAFETY: a digit of the panel is a vector.
        let digits = digits.each_ref().map(|digit| unsafe { _mm512_loadu_si512(digit.as_ptr().cast()) });
        for row in 0..GROUP {
            let weight = _mm512_set1_epi32(weights[row]);
            for digit in 0..DIGITS {
                tile[row][digit] = _mm512_dpwssd_epi32(tile[row][digit], weight, digits[digit]);
            }
        }
    }
    for (tile, sums) in tile.into_iter().zip(sums) {
        for (digits, sums) in tile.as_chunks::<2>().0.iter().zip(sums) {
            let [low, high] = digits.map(|x| [_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64::<1>(x)]);
            for ((low, high), sums) in low.into_iter().zip(high).zip(sums.as_chunks_mut::<8>().0) {
                let high = _mm512_slli_epi64::<DIGIT_BITS>(_mm512_cvtepi32_epi64(high));
                let sum = _mm512_add_epi64(_mm512_cvtepi32_epi64(low), high);
                // SAFETY: eight sums are a vector.
                unsafe {
                    let target = sums.as_mut_ptr().cast();
                    _mm512_storeu_si512(target, _mm512_add_epi64(_mm512_loadu_si512(target.cast_const()), sum));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InstructionSet, lanes::write};

    #[target_feature(enable = "avx512f")]
    fn digits_of(x: u64) -> [i64; DIGITS] {
        digits(_mm512_set1_epi64(x as i64)).map(|digit| {
            let mut words = [0; 8];
            write(&mut words, digit);
            words[0] as i64
        })
    }

    #[test]
    fn digits_are_small_and_add_up() {
        if InstructionSet::detect() != InstructionSet::Avx512Ifma {
            return;
        }
        let edges = (0..50).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1, 3 << bit]);
        for x in edges.chain([0, (1 << 50) - 1, 0x2_aaaa_aaaa_aaaa]).filter(|x| x >> 50 == 0) {
            // SAFETY: the instructions are there.
            let digits = unsafe { digits_of(x) };
            assert!(digits.iter().all(|digit| digit.abs() <= 1 << 12), "{x}: {digits:?}");
            let sum: i64 = digits.iter().rev().fold(0, |sum, &digit| (sum << DIGIT_BITS) + digit);
            assert_eq!(sum, x as i64);
        }
    }
}
