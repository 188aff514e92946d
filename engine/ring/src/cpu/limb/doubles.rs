//! The loops that multiply, on doubles. Lengths that are no multiple of eight are left to portable loops.

use super::portable;
use crate::{
    Modulus,
    doubles::{Doubles, Octet, WIDTH, doubles, instances},
};

instances! {
    multiply(m: &Modulus, out: &mut [u64], left: &[u64], right: &[u64]);
    multiply_accumulate(m: &Modulus, target: &mut [u64], left: &[u64], right: &[u64]);
    scale(m: &Modulus, target: &mut [u64], constant: u64);
    scale_into(m: &Modulus, out: &mut [u64], source: &[u64], constant: u64);
    subtract_from_and_scale(m: &Modulus, target: &mut [u64], minuend: &[u64], constant: u64);
    tensor(m: &Modulus, out: [&mut [u64]; 3], left: [&[u64]; 2], right: [&[u64]; 2]);
    linear_combination(m: &Modulus, out: &mut [u64], terms: &[&[u64]], constants: &[u64]);
}

/// The octets of words, of which `count` are needed.
#[inline(always)]
pub(super) fn octets(words: &[u64], count: usize) -> &[[u64; WIDTH]] {
    &words.as_chunks().0[..count]
}

/// The octets of words if there is no remainder.
#[inline(always)]
fn whole(words: &mut [u64]) -> Option<&mut [[u64; WIDTH]]> {
    let (octets, rest) = words.as_chunks_mut();
    rest.is_empty().then_some(octets)
}

#[inline(always)]
fn multiply<V: Octet>(m: &Modulus, out: &mut [u64], left: &[u64], right: &[u64]) {
    let Some(octets_out) = whole(out) else { return portable::multiply(m, out, left, right) };
    let arithmetic = Doubles::<V>::new(m);
    let factors = octets(left, octets_out.len()).iter().zip(octets(right, octets_out.len()));
    for (x, (y, z)) in octets_out.iter_mut().zip(factors) {
        *x = arithmetic.residues(arithmetic.product(doubles(y), doubles(z)));
    }
}

#[inline(always)]
fn multiply_accumulate<V: Octet>(m: &Modulus, target: &mut [u64], left: &[u64], right: &[u64]) {
    let Some(targets) = whole(target) else { return portable::multiply_accumulate(m, target, left, right) };
    let arithmetic = Doubles::<V>::new(m);
    let factors = octets(left, targets.len()).iter().zip(octets(right, targets.len()));
    for (x, (y, z)) in targets.iter_mut().zip(factors) {
        let sum = doubles::<V>(x).add(arithmetic.product(doubles(y), doubles(z)));
        *x = arithmetic.residues(arithmetic.reduce(sum));
    }
}

#[inline(always)]
fn scale<V: Octet>(m: &Modulus, target: &mut [u64], constant: u64) {
    let Some(targets) = whole(target) else { return portable::scale(m, target, constant) };
    let (arithmetic, constant) = (Doubles::<V>::new(m), V::splat(constant as f64));
    for x in targets {
        *x = arithmetic.residues(arithmetic.product(doubles(x), constant));
    }
}

#[inline(always)]
fn scale_into<V: Octet>(m: &Modulus, out: &mut [u64], source: &[u64], constant: u64) {
    let Some(octets_out) = whole(out) else { return portable::scale_into(m, out, source, constant) };
    let (arithmetic, constant) = (Doubles::<V>::new(m), V::splat(constant as f64));
    let sources = octets(source, octets_out.len());
    for (x, y) in octets_out.iter_mut().zip(sources) {
        *x = arithmetic.residues(arithmetic.product(doubles(y), constant));
    }
}

#[inline(always)]
fn subtract_from_and_scale<V: Octet>(m: &Modulus, target: &mut [u64], minuend: &[u64], constant: u64) {
    let Some(targets) = whole(target) else { return portable::subtract_from_and_scale(m, target, minuend, constant) };
    let (arithmetic, constant) = (Doubles::<V>::new(m), V::splat(constant as f64));
    let minuends = octets(minuend, targets.len());
    for (x, y) in targets.iter_mut().zip(minuends) {
        *x = arithmetic.residues(arithmetic.product(doubles::<V>(y).sub(doubles(x)), constant));
    }
}

#[inline(always)]
fn tensor<V: Octet>(m: &Modulus, out: [&mut [u64]; 3], left: [&[u64]; 2], right: [&[u64]; 2]) {
    if !out[0].len().is_multiple_of(WIDTH) {
        return portable::tensor(m, out, left, right);
    }
    let [constant, linear, quadratic] = out.map(|words| words.as_chunks_mut::<WIDTH>().0);
    let count = constant.len();
    let [[xb, xa], [yb, ya]] = [left, right].map(|halves| halves.map(|words| octets(words, count)));
    let (linear, quadratic) = (&mut linear[..count], &mut quadratic[..count]);
    let arithmetic = Doubles::<V>::new(m);
    for i in 0..count {
        let (left_b, left_a): (V, V) = (doubles(&xb[i]), doubles(&xa[i]));
        let (right_b, right_a): (V, V) = (doubles(&yb[i]), doubles(&ya[i]));
        let sum = arithmetic.product(left_b, right_a).add(arithmetic.product(left_a, right_b));
        constant[i] = arithmetic.residues(arithmetic.product(left_b, right_b));
        linear[i] = arithmetic.residues(arithmetic.reduce(sum));
        quadratic[i] = arithmetic.residues(arithmetic.product(left_a, right_a));
    }
}

/// Octets of the result at a time.
const BLOCK: usize = 32;

#[inline(always)]
fn linear_combination<V: Octet>(m: &Modulus, out: &mut [u64], terms: &[&[u64]], constants: &[u64]) {
    let Some(octets_out) = whole(out) else { return portable::linear_combination(m, out, terms, constants) };
    let arithmetic = Doubles::<V>::new(m);
    for (block, out) in octets_out.chunks_mut(BLOCK).enumerate() {
        let mut sums = [V::splat(0.0); BLOCK];
        for (i, (term, &constant)) in terms.iter().zip(constants).enumerate() {
            if i > 0 && i % CAPACITY == 0 {
                for sum in &mut sums {
                    *sum = arithmetic.reduce(*sum);
                }
            }
            let constant = V::splat(constant as f64);
            let term = &octets(term, block * BLOCK + out.len())[block * BLOCK..];
            for (sum, term) in sums.iter_mut().zip(term) {
                *sum = sum.add(arithmetic.product(doubles(term), constant));
            }
        }
        for (x, sum) in out.iter_mut().zip(sums) {
            *x = arithmetic.residues(arithmetic.reduce(sum));
        }
    }
}

/// Products that are added before a sum is reduced: with what is left of the last reduction, less than `8 p < 2^53`.
pub(super) const CAPACITY: usize = 8;
