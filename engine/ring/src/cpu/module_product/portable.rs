//! On 128-bit sums: one row of the product after the other.

use rayon::prelude::*;

use super::Operands;
use crate::ntt::ScalarTransform;

/// A row's transformed weights, frequency by frequency, and what is being transformed.
struct Space {
    weights: Vec<u64>,
    line: Vec<u64>,
}

/// `out = weights * A`, every word of it.
pub(super) fn multiply(operands: &Operands<'_>, out: &mut [u64]) {
    let Operands { tokens, rank, .. } = *operands;
    let (length, count) = (operands.length(), operands.ciphertexts.len());
    let transform = ScalarTransform::new(operands.modulus, &operands.twiddles);
    // By token, frequency and ciphertext.
    let mut blocks = vec![0; tokens * length * count];
    blocks.par_chunks_exact_mut(length * count).enumerate().for_each_init(
        || vec![0; length],
        |line, (token, blocks)| {
            for ciphertext in 0..count {
                line.iter_mut().enumerate().for_each(|(e, x)| *x = operands.block_entry(ciphertext, e, token));
                transform.forward(line);
                blocks[ciphertext..].iter_mut().step_by(count).zip(&*line).for_each(|(out, &x)| *out = x);
            }
        },
    );
    let space = || Space { weights: vec![0; length * count], line: vec![0; length] };
    let rows = operands.weights.entries().par_chunks_exact(operands.weights.shape().columns);
    out.par_chunks_exact_mut(rank * tokens).zip(rows).for_each_init(space, |space, (out, weights)| {
        space.load(operands, &transform, weights);
        for (token, blocks) in blocks.chunks_exact(length * count).enumerate() {
            let frequencies = blocks.chunks_exact(count).zip(space.weights.chunks_exact(count));
            for (sum, (blocks, weights)) in space.line.iter_mut().zip(frequencies) {
                // Products are below 2^100.
                let total: u128 = blocks.iter().zip(weights).map(|(&x, &w)| x as u128 * w as u128).sum();
                *sum = operands.modulus.reduce_u128(total);
            }
            transform.inverse(&mut space.line);
            for (j, out) in out[token..].iter_mut().step_by(tokens).enumerate() {
                *out = space.line[(length - j) % length];
            }
        }
    });
}

impl Space {
    /// Transforms a row of weights, ciphertext by ciphertext.
    fn load(&mut self, operands: &Operands<'_>, transform: &ScalarTransform, weights: &[i16]) {
        let (length, count) = (operands.length(), operands.ciphertexts.len());
        for ciphertext in 0..count {
            self.line.fill(0);
            let weights = weights[operands.first_weight(ciphertext)..].iter().step_by(operands.group);
            for (i, &weight) in weights.take(operands.rank).enumerate() {
                self.line[(length - i) % length] = operands.modulus.reduce_i64(weight.into());
            }
            transform.forward(&mut self.line);
            self.weights[ciphertext..].iter_mut().step_by(count).zip(&self.line).for_each(|(out, &x)| *out = x);
        }
    }
}
