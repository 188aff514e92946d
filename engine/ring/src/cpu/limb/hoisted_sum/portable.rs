//! On 64-bit words.

use super::{HoistedAutomorphism, HoistedLimb, HoistedLimbs};
use crate::{Modulus, galois_table::BLOCK};

pub(super) fn hoisted_sums(
    m: &Modulus,
    targets: &mut [Vec<[&mut [u64]; 2]>],
    start: usize,
    limbs: &HoistedLimbs<'_>,
    _scratch: &mut [u64],
) {
    for (targets, input) in targets.iter_mut().zip(&limbs.inputs) {
        for (target, terms) in targets.iter_mut().zip(&limbs.sums) {
            for (half, words) in target.iter_mut().enumerate() {
                for (i, word) in (start..).zip(words.iter_mut()) {
                    *word = terms.iter().fold(0, |sum, &(index, factor)| {
                        m.add(sum, m.mul(rotated(m, input, &limbs.automorphisms[index], half, i), factor[i]))
                    });
                }
            }
        }
    }
}

/// Word `i` of one half of a rotated ciphertext.
fn rotated(m: &Modulus, input: &HoistedLimb<'_>, automorphism: &HoistedAutomorphism<'_>, half: usize, i: usize) -> u64 {
    let source = automorphism.table.map_or(i, |table| {
        let (block, permutation) = table.source(i / BLOCK);
        block * BLOCK + table.permutations()[permutation][i % BLOCK] as usize
    });
    // Only the identity, which has no key, passes the second half on.
    let passed = half == 0 || automorphism.table.is_none();
    let addend = input.ciphertext[half].filter(|_| passed);
    let addend = addend.map_or(0, |(words, factor)| words[source] as u128 * factor as u128);
    let terms = input.digits.iter().zip(&automorphism.rows);
    let product = terms.map(|(digit, row)| digit[source] as u128 * row[half][source] as u128);
    m.reduce_u128(addend + product.sum::<u128>())
}
