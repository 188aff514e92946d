//! On 64-bit words.

use super::{HoistedAutomorphism, HoistedLimb};
use crate::{Modulus, galois_table::BLOCK};

pub(super) fn hoisted_sums(
    m: &Modulus,
    targets: &mut [Vec<[&mut [u64]; 2]>],
    start: usize,
    inputs: &[HoistedLimb<'_>],
    automorphisms: &[HoistedAutomorphism<'_>],
    _scratch: &mut [u64],
) {
    for (targets, input) in targets.iter_mut().zip(inputs) {
        targets.iter_mut().flatten().for_each(|target| target.fill(0));
        let len = targets.first().map_or(0, |target| target[0].len());
        for automorphism in automorphisms {
            for i in 0..len {
                let (first, order) = automorphism.source((start + i) / BLOCK);
                let source = first + order.map_or(i % BLOCK, |order| order[i % BLOCK] as usize);
                for half in 0..2 {
                    // Only the identity, which has no key, passes the second half on.
                    let passed = half == 0 || automorphism.table.is_none();
                    let addend = input.ciphertext[half].filter(|_| passed);
                    let addend = addend.map_or(0, |(words, factor)| words[source] as u128 * factor as u128);
                    let terms = input.digits.iter().zip(&automorphism.rows);
                    let product = terms.map(|(digit, row)| digit[source] as u128 * row[half][source] as u128);
                    let rotated = m.reduce_u128(addend + product.sum::<u128>());
                    for &(sum, factor) in &automorphism.factors {
                        let target = &mut targets[sum][half][i];
                        *target = m.add(*target, m.mul(rotated, factor[start + i]));
                    }
                }
            }
        }
    }
}
