//! Integer weights times module rows that are never written down.
//!
//! With the rank `k`, block `j` of row `i` of a small ciphertext is `ext_(i-j)`, indices modulo `2k`, where `ext_e = a_e` for
//! `e < k`, `ext_k = 0` and `ext_(k+e) = Y a_e` for `0 < e < k`: the rows are a block-Toeplitz matrix of `2k - 1` different blocks. A
//! row of the product, with the weights `u_i` on the rows of that ciphertext, is the correlation
//!
//! ```text
//! out_j = sum_i u_i ext_(i-j)            j < k, for each of the tokens alone
//! ```
//!
//! that is coefficient `-j` of `U E` modulo `X^2k - 1`, with `U = sum_i u_i X^-i` and `E = sum_e ext_e X^e`. Cyclic transforms of length
//! `2k` modulo `q_0` turn it into `2k` products of a matrix of transformed weights (rows by small ciphertexts) and one of
//! transformed blocks (small ciphertexts by tokens): `2` modular MACs per weight and token where the matrix written down takes
//! as many as the small ring has coefficients per weight.

#[cfg(target_arch = "x86_64")]
mod ifma;
mod portable;
#[cfg(target_arch = "x86_64")]
mod transform;

use super::{Cpu, words::Words};
use crate::{InstructionSet, IntegerMatrix, MatrixShape, Modulus, Operand, PrimeIndex, ntt::Twiddles};

/// The operands of `weights * A`.
struct Operands<'a> {
    modulus: &'a Modulus,
    twiddles: Twiddles,
    weights: &'a IntegerMatrix,
    /// The `a` part of each small ciphertext.
    ciphertexts: Vec<&'a [u64]>,
    /// Small ciphertexts of a big one.
    group: usize,
    tokens: usize,
    /// `k`.
    rank: usize,
}

impl Operands<'_> {
    /// `2k`.
    fn length(&self) -> usize {
        2 * self.rank
    }

    /// The entry of `ext_e` at a token.
    fn block_entry(&self, ciphertext: usize, e: usize, token: usize) -> u64 {
        let a = self.ciphertexts[ciphertext];
        match (e / self.rank, e % self.rank, token) {
            (0, e, _) => a[e + self.rank * token],
            (_, 0, _) => 0,
            (_, e, 0) => self.modulus.neg(a[e + self.rank * (self.tokens - 1)]),
            (_, e, _) => a[e + self.rank * (token - 1)],
        }
    }

    /// Where the weights of a small ciphertext begin in a row of weights; the next one is `group` further.
    fn first_weight(&self, ciphertext: usize) -> usize {
        ciphertext / self.group * self.group * self.rank + ciphertext % self.group
    }
}

impl Cpu {
    pub(super) fn multiply_module_rows(
        &self,
        weights: &IntegerMatrix,
        ciphertexts: &[[Operand<'_, Words>; 2]],
        group: usize,
        tokens: usize,
    ) -> [Words; 2] {
        let b = self.stack_b_rows(ciphertexts, group, tokens);
        let degree = ciphertexts.first().map_or(tokens, |[_, a]| a.shape.ring.degree());
        let [b_shape, _] = MatrixShape::of_module_rows(ciphertexts.len(), degree, tokens);
        let b = self.multiply_by_integers(weights, &b, b_shape);
        let mut a = self.pool.take(weights.shape().rows * degree);
        if ciphertexts.is_empty() || a.is_empty() {
            a.fill(0);
            return [b, a];
        }
        let modulus = self.chain.modulus(PrimeIndex::Ciphertext(0));
        let rank = degree / tokens;
        let operands = Operands {
            modulus,
            twiddles: Twiddles::cyclic(2 * rank, modulus).expect("primes are 1 modulo four times the largest degree"),
            weights,
            ciphertexts: ciphertexts.iter().map(|[_, a]| a.buffer.as_ref()).collect(),
            group,
            tokens,
            rank,
        };
        match self.instructions {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512Ifma => {
                let mut blocks = self.pool.take(ifma::words_of_blocks(&operands));
                // SAFETY: a backend takes this instruction set only after detecting its features.
                unsafe { ifma::multiply(&operands, &mut blocks, &mut a) };
            }
            _ => portable::multiply(&operands, &mut a),
        }
        [b, a]
    }
}
