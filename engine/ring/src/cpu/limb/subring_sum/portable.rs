//! On 64-bit words.

use super::{SubringLimb, TOGETHER};
use crate::Modulus;

pub(super) fn subring_sums(
    m: &Modulus,
    targets: &mut [[&mut [u64]; 2]],
    start: usize,
    limb: &SubringLimb<'_>,
    _: &mut [u64],
) {
    for (sum, targets) in targets.iter_mut().enumerate() {
        for (half, target) in targets.iter_mut().enumerate() {
            for (i, x) in (start..).zip(target.iter_mut()) {
                let numbers =
                    limb.numbers_of(i / limb.run, sum / TOGETHER).iter().skip(sum % TOGETHER).step_by(TOGETHER);
                // Products are below 2^100, so that a sum has room for 2^28.
                let products = limb.inputs.iter().zip(numbers).map(|(input, &x)| input[half][i] as u128 * x as u128);
                *x = m.reduce_u128(products.sum());
            }
        }
    }
}
