//! In vectors of eight, on AVX-512 IFMA.

use std::arch::x86_64::*;

use super::{Addend, InnerProductInput, portable};
use crate::{
    Modulus,
    lanes::{WideReduction, WideSum, load, prefetch_line, store},
};

/// Words per vector.
const WIDTH: usize = 8;
/// Words ahead that are asked for: there are more streams here than hardware follows.
const AHEAD: usize = 64;

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn inner_products(
    m: &Modulus,
    targets: &mut [[&mut [u64]; 2]],
    inputs: &[InnerProductInput<'_>],
    rows: &[[&[u64]; 2]],
) {
    let Some(len) = targets.first().map(|target| target[0].len()) else { return };
    if !len.is_multiple_of(WIDTH) {
        return portable::inner_products(m, targets, inputs, rows);
    }
    assert_eq!(targets.len(), inputs.len());
    assert!(rows.iter().flatten().all(|row| row.len() == len));
    assert!(targets.iter().flatten().all(|target| target.len() == len));
    for input in inputs {
        assert_eq!(input.digits.len(), rows.len());
        assert!(input.digits.iter().all(|digit| digit.len() == len));
        assert!(input.addends.iter().flatten().all(|(words, _)| words.len() == len));
    }
    // With the key's words in registers for the whole batch, if there are few enough: fewer than any sum has room for.
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
        // SAFETY: i + 8 is within every slice: `inner_products` asserted that all have one length, a multiple of eight.
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
                for (digit, key) in input.digits.iter().zip(&key) {
                    prefetch_line(digit, i + AHEAD);
                    let x = load(digit.as_ptr().add(i));
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
    let capacity = WideReduction::capacity(m);
    for (targets, input) in targets.iter_mut().zip(inputs) {
        for i in (0..targets[0].len()).step_by(WIDTH) {
            // SAFETY: as in `fixed`.
            unsafe {
                let (mut b, mut a) = (start(input.addends[0], i), start(input.addends[1], i));
                for (index, (digit, row)) in input.digits.iter().zip(rows).enumerate() {
                    // The addend is a product as well.
                    if (index + 1).is_multiple_of(capacity) {
                        (b, a) = (WideSum::from(reduction.reduce(b)), WideSum::from(reduction.reduce(a)));
                    }
                    let x = load(digit.as_ptr().add(i));
                    b.add_product(x, load(row[0].as_ptr().add(i)));
                    a.add_product(x, load(row[1].as_ptr().add(i)));
                }
                store(targets[0].as_mut_ptr().add(i), reduction.reduce(b));
                store(targets[1].as_mut_ptr().add(i), reduction.reduce(a));
            }
        }
    }
}
