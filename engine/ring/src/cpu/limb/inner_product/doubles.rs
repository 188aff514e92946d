//! On doubles.

use super::{InnerProductInput, portable};
use crate::{
    Modulus,
    cpu::limb::doubles::{CAPACITY, octets},
    doubles::{Doubles, Octet, WIDTH, doubles, instances},
};

instances! {
    inner_products(
        m: &Modulus, targets: &mut [[&mut [u64]; 2]], inputs: &[InnerProductInput<'_>], rows: &[[&[u64]; 2]],
    );
}

/// Octets of the result at a time.
const BLOCK: usize = 16;

#[inline(always)]
fn inner_products<V: Octet>(
    m: &Modulus,
    targets: &mut [[&mut [u64]; 2]],
    inputs: &[InnerProductInput<'_>],
    rows: &[[&[u64]; 2]],
) {
    if !targets.iter().flatten().all(|target| target.len().is_multiple_of(WIDTH)) {
        return portable::inner_products(m, targets, inputs, rows);
    }
    let arithmetic = Doubles::<V>::new(m);
    for ([target_b, target_a], input) in targets.iter_mut().zip(inputs) {
        let count = target_b.len() / WIDTH;
        for start in (0..count).step_by(BLOCK) {
            let end = count.min(start + BLOCK);
            let [mut sums_b, mut sums_a] = [[V::splat(0.0); BLOCK]; 2];
            for (sums, addend) in [&mut sums_b, &mut sums_a].into_iter().zip(input.addends) {
                let Some((words, factor)) = addend else { continue };
                let factor = V::splat(factor as f64);
                for (sum, word) in sums.iter_mut().zip(&octets(words, end)[start..]) {
                    *sum = arithmetic.product(doubles(word), factor);
                }
            }
            for (added, (digit, [row_b, row_a])) in (1..).zip(input.digits.iter().zip(rows)) {
                if added % CAPACITY == 0 {
                    for sum in sums_b.iter_mut().chain(&mut sums_a) {
                        *sum = arithmetic.reduce(*sum);
                    }
                }
                let [digit, row_b, row_a] = [*digit, *row_b, *row_a].map(|words| &octets(words, end)[start..]);
                for (((sum_b, sum_a), digit), (b, a)) in
                    sums_b.iter_mut().zip(&mut sums_a).zip(digit).zip(row_b.iter().zip(row_a))
                {
                    let digit = doubles(digit);
                    *sum_b = sum_b.add(arithmetic.product(digit, doubles(b)));
                    *sum_a = sum_a.add(arithmetic.product(digit, doubles(a)));
                }
            }
            for (target, sums) in [&mut *target_b, &mut *target_a].into_iter().zip([sums_b, sums_a]) {
                for (x, sum) in target.as_chunks_mut().0[start..end].iter_mut().zip(sums) {
                    *x = arithmetic.residues(arithmetic.reduce(sum));
                }
            }
        }
    }
}
