//! On 64-bit words.

use super::EvenPoints;
use crate::Modulus;

pub(super) fn trace(m: &Modulus, out: &mut [u64], even: &[u64], odd: &[u64], turned: bool, table: &EvenPoints) {
    let last = out.len() - 1;
    let joined = |here: u64, there: u64| match turned {
        false => m.add(here, there),
        true => m.mul(table.imaginary_unit, m.sub(here, there)),
    };
    for (j, pair) in out.chunks_exact_mut(2).enumerate() {
        let fixed = joined(even[j], even[last - j]);
        let signed = joined(m.mul(table.points[j], odd[j]), m.mul(table.inverses[j], odd[last - j]));
        (pair[0], pair[1]) = (m.add(fixed, signed), m.sub(fixed, signed));
    }
}

pub(super) fn parity_split(m: &Modulus, even: &mut [u64], odd: &mut [u64], source: &[u64], table: &EvenPoints) {
    let last = source.len() - 1;
    for (j, pair) in source.chunks_exact(2).enumerate() {
        let sum = m.mul(m.add(pair[0], pair[1]), table.half);
        let difference = m.mul(m.sub(pair[0], pair[1]), table.half);
        (even[j], even[last - j]) = (sum, sum);
        (odd[j], odd[last - j]) = (m.mul(difference, table.inverses[j]), m.mul(difference, table.points[j]));
    }
}
