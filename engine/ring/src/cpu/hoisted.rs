//! Sums of rotated ciphertexts times plaintexts, without storing a rotated ciphertext.

use std::sync::Arc;

use rayon::prelude::*;

use super::{
    Cpu,
    gadget::{blocks_of, scaled_limb},
    limb::hoisted_sum::{HoistedAutomorphism, HoistedLimb, HoistedLimbs},
    storage::limb_of,
    words::Words,
};
use crate::{Basis, GaloisElement, HoistedInput, HoistedSum, KeyedAutomorphism, PrimeIndex, galois_table::GaloisTable};

/// Words per parallel task.
const BLOCK: usize = 1 << 12;

impl Cpu {
    pub(super) fn sum_hoisted(
        &self,
        inputs: &[HoistedInput<'_, Words>],
        automorphisms: &[KeyedAutomorphism<'_, Words>],
        sums: &[HoistedSum<'_, Words>],
    ) -> Vec<Vec<[Words; 2]>> {
        let Some(shape) = inputs.iter().find_map(|input| input.digits.first()).map(|digit| digit.shape) else {
            return Vec::new();
        };
        let degree = shape.ring.degree();
        let tables: Vec<Option<Arc<GaloisTable>>> = (automorphisms.iter())
            .map(|automorphism| {
                let moves = automorphism.element != GaloisElement::IDENTITY;
                moves.then(|| self.tables.automorphism(shape.ring, automorphism.element))
            })
            .collect();
        let limbs = self.hoisted_limbs(shape.basis, inputs, automorphisms, sums, &tables);

        let block = degree.min(BLOCK);
        let mut results: Vec<Vec<[Words; 2]>> = (inputs.iter())
            .map(|_| sums.iter().map(|_| [0, 1].map(|_| self.pool.take(shape.words()))).collect())
            .collect();
        let blocks = blocks_of(results.iter_mut().flatten().map(|halves| halves.each_mut()), block);
        blocks.into_par_iter().enumerate().for_each(|(i, targets)| {
            let (prime, limbs) = &limbs[i * block / degree];
            let mut targets = targets.into_iter();
            let mut targets: Vec<Vec<_>> = inputs.iter().map(|_| targets.by_ref().take(sums.len()).collect()).collect();
            let mut scratch = self.pool.take(limbs.scratch_words());
            let kernels = self.kernels(self.chain.modulus(*prime));
            kernels.hoisted_sums(&mut targets, i * block % degree, limbs, &mut scratch);
        });
        results
    }

    /// The operands' limbs, prime by prime.
    fn hoisted_limbs<'a>(
        &self,
        basis: Basis,
        inputs: &[HoistedInput<'a, Words>],
        automorphisms: &[KeyedAutomorphism<'a, Words>],
        sums: &[HoistedSum<'a, Words>],
        tables: &'a [Option<Arc<GaloisTable>>],
    ) -> Vec<(PrimeIndex, HoistedLimbs<'a>)> {
        let factors = self.chain.special_product_residues(basis);
        let of_prime = |prime: PrimeIndex, factor: u64| HoistedLimbs {
            inputs: (inputs.iter())
                .map(|input| HoistedLimb {
                    digits: input.digits.iter().map(|&digit| limb_of(digit, prime)).collect(),
                    ciphertext: input.ciphertext.map(|half| scaled_limb(half, prime, factor)),
                })
                .collect(),
            automorphisms: (automorphisms.iter().zip(tables))
                .map(|(automorphism, table)| HoistedAutomorphism {
                    table: table.as_deref(),
                    rows: automorphism.rows.iter().map(|row| row.map(|half| limb_of(half, prime))).collect(),
                })
                .collect(),
            sums: (sums.iter())
                .map(|terms| terms.iter().map(|&(index, factor)| (index, limb_of(factor, prime))).collect())
                .collect(),
        };
        basis.indices().zip(factors).map(|(prime, factor)| (prime, of_prime(prime, factor))).collect()
    }
}
