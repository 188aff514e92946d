//! On 64-bit words.

use super::SubringLimb;
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
                let terms = limb.inputs.iter().zip(limb.factors_of(sum));
                // Products are below 2^100, so that a sum has room for 2^28.
                let products = terms.map(|(input, factor)| input[half][i] as u128 * factor[i / limb.run] as u128);
                *x = m.reduce_u128(products.sum());
            }
        }
    }
}
