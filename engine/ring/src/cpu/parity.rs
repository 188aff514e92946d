//! Between the cyclotomic and the conjugate-invariant ring.

use rayon::prelude::*;

use super::{Cpu, words::Words};
use crate::{Operand, Ring, Shape};

impl Cpu {
    pub(super) fn trace_of_parts(&self, even: Operand<'_, Words>, odd: Operand<'_, Words>, turned: bool) -> Words {
        let Shape { ring, basis, .. } = even.shape;
        let degree = ring.degree();
        let primes: Vec<_> = basis.indices().collect();
        let mut out = self.pool.take(even.shape.words());
        (out.par_chunks_exact_mut(degree).zip(even.buffer.par_chunks_exact(degree)))
            .zip(odd.buffer.par_chunks_exact(degree))
            .zip(primes)
            .for_each(|(((out, even), odd), prime)| {
                let points = self.tables.even_points(&self.chain, ring.log_degree, prime);
                self.kernels(self.chain.modulus(prime)).trace(out, even, odd, turned, &points);
            });
        out
    }

    pub(super) fn split_by_parity(&self, source: Operand<'_, Words>) -> [Words; 2] {
        let Shape { ring: Ring { log_degree, .. }, basis, .. } = source.shape;
        let degree = source.shape.ring.degree();
        let primes: Vec<_> = basis.indices().collect();
        let [mut even, mut odd] = [0, 1].map(|_| self.pool.take(source.shape.words()));
        (even.par_chunks_exact_mut(degree).zip(odd.par_chunks_exact_mut(degree)))
            .zip(source.buffer.par_chunks_exact(degree))
            .zip(primes)
            .for_each(|(((even, odd), source), prime)| {
                let points = self.tables.even_points(&self.chain, log_degree, prime);
                self.kernels(self.chain.modulus(prime)).parity_split(even, odd, source, &points);
            });
        [even, odd]
    }
}
