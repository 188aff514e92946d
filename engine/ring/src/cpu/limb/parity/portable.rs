//! On 64-bit words.

use super::EvenPoints;
use crate::Modulus;

pub(super) fn trace(m: &Modulus, out: &mut [u64], even: &[u64], odd: &[u64], shift: usize, table: &EvenPoints) {
    let last = out.len() - 1;
    for (j, pair) in out.chunks_exact_mut(2).enumerate() {
        let (x, y) = (table.points[j], table.inverses[j]);
        let turned = |f: &[u64]| m.add(m.mul(x, f[j]), m.mul(y, f[last - j]));
        let (fixed, signed) = match shift {
            0 => (m.add(even[j], even[last - j]), turned(odd)),
            _ => (m.add(m.mul(m.mul(x, x), odd[j]), m.mul(m.mul(y, y), odd[last - j])), turned(even)),
        };
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
