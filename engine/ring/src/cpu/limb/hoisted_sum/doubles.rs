//! On doubles: blocks of the rotated ciphertexts are kept as such, for all sums.

use super::{BLOCK, HoistedAutomorphism, HoistedLimb, HoistedLimbs, HoistedTerms, portable};
use crate::{
    Modulus,
    cpu::limb::doubles::{CAPACITY, octets},
    doubles::{Doubles, Octet, WIDTH, doubles, instances},
};

instances! {
    hoisted_sums(
        m: &Modulus, targets: &mut [Vec<[&mut [u64]; 2]>], start: usize, limbs: &HoistedLimbs<'_>, scratch: &mut [u64],
    );
}

#[inline(always)]
fn hoisted_sums<V: Octet>(
    m: &Modulus,
    targets: &mut [Vec<[&mut [u64]; 2]>],
    start: usize,
    limbs: &HoistedLimbs<'_>,
    scratch: &mut [u64],
) {
    let HoistedLimbs { inputs, automorphisms, sums } = limbs;
    let Some(len) = targets.iter().flatten().next().map(|halves| halves[0].len()) else { return };
    if !len.is_multiple_of(BLOCK) || !automorphisms.iter().all(|automorphism| automorphism.rows.len() < CAPACITY) {
        return portable::hoisted_sums(m, targets, start, limbs, scratch);
    }
    let arithmetic = Doubles::<V>::new(m);
    let words = limbs.block_words().min(len);
    for offset in (0..len).step_by(words) {
        let start = start + offset;
        for (index, automorphism) in automorphisms.iter().enumerate() {
            for (number, input) in inputs.iter().enumerate() {
                let rotated = &mut scratch[2 * words * (number * automorphisms.len() + index)..][..2 * words];
                rotate(arithmetic, rotated, start, input, automorphism);
            }
        }
        for (number, targets) in targets.iter_mut().enumerate() {
            let rotated = &scratch[2 * words * number * automorphisms.len()..][..2 * words * automorphisms.len()];
            for (target, terms) in targets.iter_mut().zip(sums) {
                for (half, target) in target.iter_mut().enumerate() {
                    let target = target[offset..offset + words].as_chunks_mut().0;
                    let rotated = |index: usize| &rotated[(2 * index + half) * words..][..words];
                    add_up(arithmetic, target, start / WIDTH, terms, rotated);
                }
            }
        }
    }
}

/// The two halves of a block of a rotated ciphertext, as bits of doubles. All words of one aligned block of the source go there.
#[inline(always)]
fn rotate<V: Octet>(
    arithmetic: Doubles<V>,
    rotated: &mut [u64],
    start: usize,
    input: &HoistedLimb<'_>,
    automorphism: &HoistedAutomorphism<'_>,
) {
    let (rotated_b, rotated_a) = rotated.split_at_mut(rotated.len() / 2);
    let halves = rotated_b.as_chunks_mut().0.iter_mut().zip(rotated_a.as_chunks_mut().0);
    for (i, (target_b, target_a)) in (start / BLOCK..).zip(halves) {
        let (source, order) = match automorphism.table {
            None => (i, None),
            Some(table) => {
                let (block, permutation) = table.source(i);
                (block, Some(&table.permutations()[permutation]))
            }
        };
        let octet = |words| -> &[u64; WIDTH] { &octets(words, source + 1)[source] };
        let [mut b, mut a] = [V::splat(0.0); 2];
        if let Some((words, factor)) = input.ciphertext[0] {
            b = arithmetic.product(doubles(octet(words)), V::splat(factor as f64));
        }
        // Only the identity, which has no key, passes the second half on.
        if automorphism.table.is_none()
            && let Some((words, factor)) = input.ciphertext[1]
        {
            a = arithmetic.product(doubles(octet(words)), V::splat(factor as f64));
        }
        for (digit, [row_b, row_a]) in input.digits.iter().zip(&automorphism.rows) {
            let digit = doubles(octet(digit));
            b = b.add(arithmetic.product(digit, doubles(octet(row_b))));
            a = a.add(arithmetic.product(digit, doubles(octet(row_a))));
        }
        let (b, a) = (arithmetic.reduce(b), arithmetic.reduce(a));
        (*target_b, *target_a) = match order {
            None => (b.to_bits(), a.to_bits()),
            Some(order) => (b.permute(order).to_bits(), a.permute(order).to_bits()),
        };
    }
}

/// A block of one half of a sum, from octet `start` of the limb on; `rotated` is that half of the block of a rotated ciphertext.
#[inline(always)]
fn add_up<'a, V: Octet>(
    arithmetic: Doubles<V>,
    target: &mut [[u64; WIDTH]],
    start: usize,
    terms: &HoistedTerms<'_>,
    rotated: impl Fn(usize) -> &'a [u64],
) {
    for (i, target) in target.iter_mut().enumerate() {
        let mut sum = V::splat(0.0);
        for (number, &(index, factor)) in terms.iter().enumerate() {
            if number > 0 && number % CAPACITY == 0 {
                sum = arithmetic.reduce(sum);
            }
            let factor = doubles(&octets(factor, start + i + 1)[start + i]);
            sum = sum.add(arithmetic.product(V::from_bits(&octets(rotated(index), i + 1)[i]), factor));
        }
        *target = arithmetic.residues(arithmetic.reduce(sum));
    }
}
