//! Lifting to more primes: gadget decomposition and ModRaise.

use rayon::prelude::*;

use super::{
    Cpu,
    base_conversion::{OverflowRule, target_limbs},
    storage::limb_of,
    words::Words,
};
use crate::{Basis, Operand, PrimeIndex, Shape};

impl Cpu {
    pub(super) fn lift_digits(
        &self,
        source: Operand<'_, Words>,
        groups: &[Basis],
        special: usize,
    ) -> Vec<(usize, Words)> {
        let Shape { ring, basis, .. } = source.shape;
        let degree = ring.degree();
        let target = basis.with_special(special);
        let (numbers, digits): (Vec<usize>, Vec<Basis>) = basis.digits(groups).unzip();
        let conversions: Vec<_> =
            digits.iter().map(|&digit| self.tables.conversion(&self.chain, digit, target)).collect();
        let transforms = self.transforms(ring);

        // Per digit: its limbs as coefficients, scaled to y_i, and one limb for the overflow counts.
        let mut prepared: Vec<Words> = digits.iter().map(|digit| self.pool.take((digit.len() + 1) * degree)).collect();
        let scaling: Vec<(&mut [u64], PrimeIndex, u64)> = (prepared.iter_mut().zip(&digits).zip(&conversions))
            .flat_map(|((words, digit), conversion)| {
                (words.chunks_exact_mut(degree).zip(digit.indices()).zip(&conversion.inverse_cofactors))
                    .map(|((limb, prime), &factor)| (limb, prime, factor))
            })
            .collect();
        scaling.into_par_iter().for_each(|(limb, prime, factor)| {
            limb.copy_from_slice(limb_of(source, prime));
            transforms.modulo(prime).inverse(limb);
            self.kernels(self.chain.modulus(prime)).scale(limb, factor);
        });
        let prepared: Vec<_> = (prepared.iter_mut().zip(&conversions))
            .map(|(words, conversion)| self.count_overflows(conversion, words, degree))
            .collect();

        let mut lifted: Vec<Words> = digits.iter().map(|_| self.pool.take(target.len() * degree)).collect();
        (lifted.par_iter_mut().zip(&digits).zip(&prepared).zip(&conversions)).for_each(
            |(((words, digit), prepared), conversion)| {
                let limbs = target_limbs(words, target, &conversion.targets);
                let (own, missing): (Vec<_>, Vec<_>) = limbs.partition(|target| digit.position(target.prime).is_some());
                own.into_par_iter().for_each(|own| own.limb.copy_from_slice(limb_of(source, own.prime)));
                self.convert(prepared, missing, |target| transforms.modulo(target.prime).forward(target.limb));
            },
        );
        numbers.into_iter().zip(lifted).collect()
    }

    pub(super) fn extend_limbs(&self, source: Operand<'_, Words>, special: usize) -> Words {
        let shape = source.shape;
        let target = shape.with_basis(shape.basis.with_special(special));
        let factors = self.chain.special_product_residues(target.basis);
        let mut out = self.pool.take(target.words());
        self.for_each_block(&mut out, target, |kernels, block, range| match source.buffer.get(range.clone()) {
            Some(words) => kernels.scale_into(block, words, factors[range.start / shape.ring.degree()]),
            None => block.fill(0),
        });
        out
    }

    pub(super) fn lift(&self, source: Operand<'_, Words>, target: Shape) -> Words {
        let degree = target.ring.degree();
        let basis = source.shape.basis;
        let conversion = self.tables.conversion(&self.chain, basis, target.basis);
        let transforms = self.transforms(target.ring);
        if let OverflowRule::Exact { half } = conversion.overflow {
            let mut out = self.pool.take(target.words());
            let limbs: Vec<_> = target_limbs(&mut out, target.basis, &conversion.targets).collect();
            limbs.into_par_iter().for_each(|target| {
                // The factors of the residue, which is 1, and of the count.
                let negated = target.constants.factors[1];
                self.kernels(&target.constants.modulus).lift_centred(target.limb, source.buffer, half, negated);
                transforms.modulo(target.prime).forward(target.limb);
            });
            return out;
        }
        let mut words = self.pool.take((basis.len() + 1) * degree);
        (words.par_chunks_exact_mut(degree).zip(basis.indices().collect::<Vec<_>>()))
            .zip(&conversion.inverse_cofactors)
            .for_each(|((limb, prime), &factor)| {
                self.kernels(self.chain.modulus(prime)).scale_into(limb, limb_of(source, prime), factor);
            });
        let prepared = self.count_overflows(&conversion, &mut words, degree);
        let mut out = self.pool.take(target.words());
        let limbs = target_limbs(&mut out, target.basis, &conversion.targets).collect();
        self.convert(&prepared, limbs, |target| transforms.modulo(target.prime).forward(target.limb));
        out
    }
}
