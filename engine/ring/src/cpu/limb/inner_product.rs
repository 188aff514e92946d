//! The gadget product on a block of one limb: sums of products of digits with the rows of a key, for a batch of inputs.

use super::LimbKernels;
use crate::{InstructionSet, Modulus};

/// Words with a constant factor.
pub(in crate::cpu) type Addend<'a> = Option<(&'a [u64], u64)>;

/// One input of the batch: a block of each digit, and what is added to the two sums.
pub(in crate::cpu) struct InnerProductInput<'a> {
    pub(in crate::cpu) digits: Vec<&'a [u64]>,
    pub(in crate::cpu) addends: [Addend<'a>; 2],
}

impl LimbKernels<'_> {
    /// `targets[j][h] = sum_i inputs[j].digits[i] * rows[i][h] + inputs[j].addends[h]`.
    pub(in crate::cpu) fn inner_products(
        self,
        targets: &mut [[&mut [u64]; 2]],
        inputs: &[InnerProductInput<'_>],
        rows: &[[&[u64]; 2]],
    ) {
        #[cfg(target_arch = "x86_64")]
        if self.instructions == InstructionSet::Avx512Ifma && ifma::fits(targets) {
            // SAFETY: a backend takes this instruction set only after detecting its features.
            return unsafe { ifma::inner_products(self.modulus, targets, inputs, rows) };
        }
        let _ = InstructionSet::Portable;
        portable(self.modulus, targets, inputs, rows);
    }
}

fn portable(m: &Modulus, targets: &mut [[&mut [u64]; 2]], inputs: &[InnerProductInput<'_>], rows: &[[&[u64]; 2]]) {
    for (targets, input) in targets.iter_mut().zip(inputs) {
        for (half, target) in targets.iter_mut().enumerate() {
            for (i, x) in target.iter_mut().enumerate() {
                let addend = input.addends[half].map_or(0, |(words, factor)| words[i] as u128 * factor as u128);
                let terms = input.digits.iter().zip(rows).map(|(digit, row)| digit[i] as u128 * row[half][i] as u128);
                *x = m.reduce_u128(addend + terms.sum::<u128>());
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod ifma {
    use std::arch::x86_64::*;

    use super::{Addend, InnerProductInput};
    use crate::{
        Modulus,
        lanes::{WideReduction, WideSum, load, prefetch_line, store},
    };

    /// Words per vector.
    const WIDTH: usize = 8;
    /// Words ahead that are asked for: there are more streams here than the hardware follows.
    const AHEAD: usize = 64;

    /// Whether the vector loop handles these operands: whole vectors.
    pub(super) fn fits(targets: &[[&mut [u64]; 2]]) -> bool {
        targets.iter().flatten().all(|target| target.len().is_multiple_of(WIDTH))
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn inner_products(
        m: &Modulus,
        targets: &mut [[&mut [u64]; 2]],
        inputs: &[InnerProductInput<'_>],
        rows: &[[&[u64]; 2]],
    ) {
        let Some(len) = rows.first().map(|row| row[0].len()) else { return };
        assert_eq!(targets.len(), inputs.len());
        assert!(rows.iter().flatten().all(|row| row.len() == len));
        assert!(targets.iter().flatten().all(|target| target.len() == len));
        for input in inputs {
            assert_eq!(input.digits.len(), rows.len());
            assert!(input.digits.iter().all(|digit| digit.len() == len));
            assert!(input.addends.iter().flatten().all(|(words, _)| words.len() == len));
        }
        // With the key's words in registers for the whole batch, if there are few enough.
        match rows.len() {
            1 => fixed::<1>(m, targets, inputs, rows),
            2 => fixed::<2>(m, targets, inputs, rows),
            3 => fixed::<3>(m, targets, inputs, rows),
            4 => fixed::<4>(m, targets, inputs, rows),
            5 => fixed::<5>(m, targets, inputs, rows),
            _ => any(m, targets, inputs, rows),
        }
    }

    /// # Safety
    /// Vector `i` lies within the addend's words.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    unsafe fn start(addend: Addend<'_>, i: usize) -> WideSum {
        let mut sum = WideSum::zero();
        if let Some((words, factor)) = addend {
            // SAFETY: promised by the caller.
            sum.add_product(unsafe { load(words.as_ptr().add(i)) }, _mm512_set1_epi64(factor as i64));
        }
        sum
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn fixed<const ROWS: usize>(
        m: &Modulus,
        targets: &mut [[&mut [u64]; 2]],
        inputs: &[InnerProductInput<'_>],
        rows: &[[&[u64]; 2]],
    ) {
        let reduction = WideReduction::new(m);
        let rows: &[[&[u64]; 2]; ROWS] = rows.try_into().expect("dispatched by the number of rows");
        for i in (0..rows[0][0].len()).step_by(WIDTH) {
            // SAFETY: i + 8 is within every slice; the caller asserted that all have one length, a multiple of eight.
            unsafe {
                // Loops instead of iterator adaptors: vectors stay in registers only where everything is inlined.
                let mut key = [[_mm512_setzero_si512(); 2]; ROWS];
                for (key, row) in key.iter_mut().zip(rows) {
                    prefetch_line(row[0], i + AHEAD);
                    prefetch_line(row[1], i + AHEAD);
                    *key = [load(row[0].as_ptr().add(i)), load(row[1].as_ptr().add(i))];
                }
                for (targets, input) in targets.iter_mut().zip(inputs) {
                    let (mut b, mut a) = (start(input.addends[0], i), start(input.addends[1], i));
                    for (row, key) in key.iter().enumerate() {
                        prefetch_line(input.digits[row], i + AHEAD);
                        let x = load(input.digits[row].as_ptr().add(i));
                        b.add_product(x, key[0]);
                        a.add_product(x, key[1]);
                    }
                    store(targets[0].as_mut_ptr().add(i), reduction.reduce(b));
                    store(targets[1].as_mut_ptr().add(i), reduction.reduce(a));
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn any(m: &Modulus, targets: &mut [[&mut [u64]; 2]], inputs: &[InnerProductInput<'_>], rows: &[[&[u64]; 2]]) {
        let reduction = WideReduction::new(m);
        for (targets, input) in targets.iter_mut().zip(inputs) {
            for i in (0..targets[0].len()).step_by(WIDTH) {
                // SAFETY: as in `fixed`.
                unsafe {
                    let (mut b, mut a) = (start(input.addends[0], i), start(input.addends[1], i));
                    // One product fewer than a sum holds: the first sum has the addend's, a later one an earlier result.
                    let chunk = WideSum::MAX_PRODUCTS - 1;
                    for (digits, rows) in input.digits.chunks(chunk).zip(rows.chunks(chunk)) {
                        for (digit, row) in digits.iter().zip(rows) {
                            let x = load(digit.as_ptr().add(i));
                            b.add_product(x, load(row[0].as_ptr().add(i)));
                            a.add_product(x, load(row[1].as_ptr().add(i)));
                        }
                        (b, a) = (WideSum::from(reduction.reduce(b)), WideSum::from(reduction.reduce(a)));
                    }
                    store(targets[0].as_mut_ptr().add(i), b.low());
                    store(targets[1].as_mut_ptr().add(i), a.low());
                }
            }
        }
    }
}
