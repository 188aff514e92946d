//! In vectors of eight, on AVX-512 IFMA: a product of matrices whose right factor, the inputs, is brought into a near cache
//! once for all sums, and whose left factor is brought in column by column.

use std::arch::x86_64::*;

use super::{SubringLimb, TOGETHER, portable};
use crate::{
    Modulus,
    lanes::{WideReduction, WideSum, load, store},
};

/// Words per vector.
const WIDTH: usize = 8;

#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn subring_sums(
    m: &Modulus,
    targets: &mut [[&mut [u64]; 2]],
    start: usize,
    limb: &SubringLimb<'_>,
    scratch: &mut [u64],
) {
    let Some(block) = targets.first().map(|target| target[0].len()) else { return };
    if !block.is_multiple_of(WIDTH) || !limb.run.is_multiple_of(WIDTH) {
        return portable::subring_sums(m, targets, start, limb, scratch);
    }
    assert!(targets.iter().flatten().all(|target| target.len() == block));
    assert!(limb.inputs.iter().flatten().all(|half| start + block <= half.len()));
    assert_eq!(limb.factors.len(), targets.len() * limb.inputs.len());
    assert!(scratch.len() >= limb.scratch_words(block));
    let (inputs, numbers) = scratch.split_at_mut(2 * block * limb.inputs.len());
    pack_inputs(inputs, start, block, limb);
    let mut sum = 0;
    for targets in targets.chunks_mut(TOGETHER) {
        match targets {
            [_, _, _, _] => together::<TOGETHER>(m, targets, sum, start, limb, inputs, numbers),
            _ => {
                for (sum, targets) in (sum..).zip(targets.chunks_mut(1)) {
                    together::<1>(m, targets, sum, start, limb, inputs, numbers);
                }
            }
        }
        sum += TOGETHER;
    }
}

/// The block of all inputs: vector after vector, input after input, both halves.
fn pack_inputs(packed: &mut [u64], start: usize, block: usize, limb: &SubringLimb<'_>) {
    let stride = 2 * WIDTH * limb.inputs.len();
    for (input, halves) in limb.inputs.iter().enumerate() {
        for (half, words) in halves.iter().enumerate() {
            for (vector, words) in words[start..start + block].chunks_exact(WIDTH).enumerate() {
                packed[vector * stride + (2 * input + half) * WIDTH..][..WIDTH].copy_from_slice(words);
            }
        }
    }
}

/// `SUMS` sums from number `sum` on.
#[target_feature(enable = "avx512f,avx512ifma")]
fn together<const SUMS: usize>(
    m: &Modulus,
    targets: &mut [[&mut [u64]; 2]],
    sum: usize,
    start: usize,
    limb: &SubringLimb<'_>,
    inputs: &[u64],
    numbers: &mut [u64],
) {
    let (count, block) = (limb.inputs.len(), targets[0][0].len());
    let (first, points) = (start / limb.run, limb.points(block));
    // Number after number of the factors for the block, input after input, the sums side by side.
    for s in 0..SUMS {
        for (i, factor) in limb.factors_of(sum + s).iter().enumerate() {
            for (point, &number) in factor[first..first + points].iter().enumerate() {
                numbers[(point * count + i) * SUMS + s] = number;
            }
        }
    }
    let reduction = WideReduction::new(m);
    let capacity = WideReduction::capacity(m);
    assert!(targets.len() == SUMS && inputs.len() == 2 * block * count && numbers.len() >= points * count * SUMS);
    for vector in 0..block / WIDTH {
        let point = (start + vector * WIDTH) / limb.run - first;
        // SAFETY: the vectors of the inputs and the numbers of the point lie within what was asserted, for every input; the
        // vector of a target lies within its block.
        unsafe {
            let inputs = inputs.as_ptr().add(vector * 2 * WIDTH * count);
            let numbers = numbers.as_ptr().add(point * count * SUMS);
            let mut sums = [[WideSum::zero(); 2]; SUMS];
            let mut begin = 0;
            while begin < count {
                if begin > 0 {
                    for half in sums.as_flattened_mut() {
                        *half = WideSum::from(reduction.reduce(*half));
                    }
                }
                let end = count.min(begin + capacity);
                for i in begin..end {
                    let (b, a) = (load(inputs.add(2 * WIDTH * i)), load(inputs.add(2 * WIDTH * i + WIDTH)));
                    for (s, sum) in sums.iter_mut().enumerate() {
                        let number = _mm512_set1_epi64(*numbers.add(i * SUMS + s) as i64);
                        sum[0].add_product(b, number);
                        sum[1].add_product(a, number);
                    }
                }
                begin = end;
            }
            for (target, sum) in targets.iter_mut().zip(sums) {
                for (target, half) in target.iter_mut().zip(sum) {
                    store(target.as_mut_ptr().add(vector * WIDTH), reduction.reduce(half));
                }
            }
        }
    }
}
