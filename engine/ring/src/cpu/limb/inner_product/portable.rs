//! On 64-bit words.

use super::InnerProductInput;
use crate::Modulus;

pub(super) fn inner_products(
    m: &Modulus,
    targets: &mut [[&mut [u64]; 2]],
    inputs: &[InnerProductInput<'_>],
    rows: &[[&[u64]; 2]],
) {
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
