//! In vectors of eight, on AVX-512 IFMA: a product of matrices whose right factor, the inputs, is brought into a near cache
//! once for all sums.

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
    assert!(targets.len() == limb.sums && targets.iter().flatten().all(|target| target.len() == block));
    let count = limb.inputs.len();
    let inputs = &mut scratch[..2 * block * count];
    pack(inputs, start, block, limb);
    let reduction = WideReduction::new(m);
    let capacity = WideReduction::capacity(m);
    for (group, targets) in targets.chunks_mut(TOGETHER).enumerate() {
        for vector in 0..block / WIDTH {
            let inputs = &inputs[vector * 2 * WIDTH * count..][..2 * WIDTH * count];
            let numbers = limb.numbers_of((start + vector * WIDTH) / limb.run, group);
            let mut sums = [[WideSum::zero(); 2]; TOGETHER];
            let mut begin = 0;
            while begin < count {
                if begin > 0 {
                    for half in sums.as_flattened_mut() {
                        *half = WideSum::from(reduction.reduce(*half));
                    }
                }
                let end = count.min(begin + capacity);
                assert!(inputs.len() >= 2 * WIDTH * end && numbers.len() >= TOGETHER * end);
                for i in begin..end {
                    // SAFETY: asserted for the last of these inputs.
                    unsafe {
                        let input = inputs.as_ptr().add(2 * WIDTH * i);
                        let (b, a) = (load(input), load(input.add(WIDTH)));
                        for (s, sum) in sums.iter_mut().enumerate() {
                            let number = _mm512_set1_epi64(*numbers.as_ptr().add(i * TOGETHER + s) as i64);
                            sum[0].add_product(b, number);
                            sum[1].add_product(a, number);
                        }
                    }
                }
                begin = end;
            }
            for (target, sum) in targets.iter_mut().zip(sums) {
                for (target, half) in target.iter_mut().zip(sum) {
                    // SAFETY: the vector lies within the block, which all targets have.
                    unsafe { store(target.as_mut_ptr().add(vector * WIDTH), reduction.reduce(half)) };
                }
            }
        }
    }
}

/// The block of all inputs: vector after vector, input after input, both halves.
fn pack(packed: &mut [u64], start: usize, block: usize, limb: &SubringLimb<'_>) {
    let stride = 2 * WIDTH * limb.inputs.len();
    for (input, halves) in limb.inputs.iter().enumerate() {
        for (half, words) in halves.iter().enumerate() {
            for (vector, words) in words[start..start + block].chunks_exact(WIDTH).enumerate() {
                packed[vector * stride + (2 * input + half) * WIDTH..][..WIDTH].copy_from_slice(words);
            }
        }
    }
}
