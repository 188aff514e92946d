//! The loops on 64-bit words.

use crate::{
    Modulus,
    cpu::base_conversion::OverflowRule,
    galois_table::{BLOCK, GaloisTable},
};

pub(super) fn add_assign(m: &Modulus, target: &mut [u64], other: &[u64]) {
    for (x, &y) in target.iter_mut().zip(other) {
        *x = m.add(*x, y);
    }
}

pub(super) fn subtract_assign(m: &Modulus, target: &mut [u64], other: &[u64]) {
    for (x, &y) in target.iter_mut().zip(other) {
        *x = m.sub(*x, y);
    }
}

pub(super) fn negate(m: &Modulus, target: &mut [u64]) {
    for x in target {
        *x = m.neg(*x);
    }
}

pub(super) fn multiply(m: &Modulus, out: &mut [u64], left: &[u64], right: &[u64]) {
    for ((x, &y), &z) in out.iter_mut().zip(left).zip(right) {
        *x = m.mul(y, z);
    }
}

pub(super) fn multiply_accumulate(m: &Modulus, target: &mut [u64], left: &[u64], right: &[u64]) {
    for ((x, &y), &z) in target.iter_mut().zip(left).zip(right) {
        *x = m.add(*x, m.mul(y, z));
    }
}

pub(super) fn scale(m: &Modulus, target: &mut [u64], constant: u64) {
    let quotient = m.shoup_quotient(constant);
    for x in target {
        *x = m.mul_shoup(*x, constant, quotient);
    }
}

pub(super) fn scale_into(m: &Modulus, out: &mut [u64], source: &[u64], constant: u64) {
    let quotient = m.shoup_quotient(constant);
    for (x, &y) in out.iter_mut().zip(source) {
        *x = m.mul_shoup(y, constant, quotient);
    }
}

pub(super) fn add_constant(m: &Modulus, target: &mut [u64], constant: u64) {
    for x in target {
        *x = m.add(*x, constant);
    }
}

pub(super) fn subtract_from_and_scale(m: &Modulus, target: &mut [u64], minuend: &[u64], constant: u64) {
    let quotient = m.shoup_quotient(constant);
    for (x, &y) in target.iter_mut().zip(minuend) {
        *x = m.mul_shoup(m.sub(y, *x), constant, quotient);
    }
}

pub(super) fn tensor(m: &Modulus, out: [&mut [u64]; 3], [xb, xa]: [&[u64]; 2], [yb, ya]: [&[u64]; 2]) {
    let [constant, linear, quadratic] = out;
    for i in 0..constant.len() {
        constant[i] = m.mul(xb[i], yb[i]);
        linear[i] = m.reduce_u128(xb[i] as u128 * ya[i] as u128 + xa[i] as u128 * yb[i] as u128);
        quadratic[i] = m.mul(xa[i], ya[i]);
    }
}

pub(super) fn linear_combination(m: &Modulus, out: &mut [u64], terms: &[&[u64]], constants: &[u64]) {
    for (i, x) in out.iter_mut().enumerate() {
        let products = terms.iter().zip(constants).map(|(term, &constant)| term[i] as u128 * constant as u128);
        *x = m.reduce_u128(products.sum());
    }
}

pub(super) fn reversed_integers(m: &Modulus, out: &mut [u64], integers: &[i16], negated: bool) {
    for (x, &integer) in out.iter_mut().zip(integers.iter().rev()) {
        let integer = i64::from(integer);
        *x = m.reduce_i64(if negated { -integer } else { integer });
    }
}

pub(super) fn count_overflow(_: &Modulus, out: &mut [u64], scaled: &[&[u64]], rule: &OverflowRule) {
    match *rule {
        OverflowRule::Exact { half } => {
            for (count, &x) in out.iter_mut().zip(scaled[0]) {
                *count = (x > half) as u64;
            }
        }
        OverflowRule::FixedPoint { ref multipliers, fraction_bits } => {
            for (i, count) in out.iter_mut().enumerate() {
                let fraction = |(y, &m): (&&[u64], &u64)| ((y[i] as u128 * m as u128) >> 52) as u64;
                let sum: u64 = scaled.iter().zip(multipliers).map(fraction).sum();
                *count = (sum + (1 << (fraction_bits - 1))) >> fraction_bits;
            }
        }
    }
}

pub(super) fn lift_centred(m: &Modulus, out: &mut [u64], source: &[u64], half: u64, negated: u64) {
    for (out, &x) in out.iter_mut().zip(source) {
        *out = m.add(m.reduce(x), if x > half { negated } else { 0 });
    }
}

pub(super) fn permute(_: &Modulus, out: &mut [u64], source: &[u64], table: &GaloisTable) {
    let block = out.len().min(BLOCK);
    for (out, (from, permutation)) in out.chunks_exact_mut(block).zip(table.moves()) {
        let source = &source[from * block..][..block];
        for (x, &j) in out.iter_mut().zip(&table.permutations()[permutation]) {
            *x = source[j as usize];
        }
    }
}

pub(super) fn permute_accumulate(m: &Modulus, target: &mut [u64], source: &[u64], start: usize, table: &GaloisTable) {
    let block = source.len().min(BLOCK);
    for (i, target) in target.chunks_exact_mut(block).enumerate() {
        let (from, permutation) = table.source(start / block + i);
        let source = &source[from * block..][..block];
        for (x, &j) in target.iter_mut().zip(&table.permutations()[permutation]) {
            *x = m.add(*x, source[j as usize]);
        }
    }
}
