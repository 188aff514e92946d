//! Division by primes: ModDown and rescaling.

use rayon::prelude::*;

use super::{
    Cpu,
    base_conversion::{TargetLimb, target_limbs},
    storage::limb_of,
    words::Words,
};
use crate::{Basis, Domain, Operand, PrimeIndex};

impl Cpu {
    /// Divides by every prime that is not in `kept`, with centred rounding: with `r` the centred residue modulo their
    /// product `D`, the result is `(x - r) / D`. The domain stays.
    pub(super) fn divide(&self, source: Operand<'_, Words>, kept: Basis) -> Words {
        let shape = source.shape;
        let degree = shape.ring.degree();
        let dropped = Basis::of(shape.basis.ciphertext_indices().filter(|&i| !kept.has_ciphertext_prime(i)))
            .with_special(shape.basis.special_count());
        let mut out = self.pool.take(shape.with_basis(kept).words());
        if dropped.is_empty() || kept.is_empty() {
            let words = out.len();
            out.copy_from_slice(&source.buffer[..words]);
            return out;
        }
        let conversion = self.tables.conversion(&self.chain, dropped, kept);
        let transforms = (shape.domain == Domain::Evaluation).then(|| self.transforms(shape.ring));

        let mut remainder = self.pool.take((dropped.len() + 1) * degree);
        let primes: Vec<PrimeIndex> = dropped.indices().collect();
        remainder.par_chunks_exact_mut(degree).zip(&primes).zip(&conversion.inverse_cofactors).for_each(
            |((limb, &prime), &factor)| {
                limb.copy_from_slice(limb_of(source, prime));
                if let Some(transforms) = &transforms {
                    transforms.modulo(prime).inverse(limb);
                }
                self.kernels(self.chain.modulus(prime)).scale(limb, factor);
            },
        );
        let prepared = self.count_overflows(&conversion, &mut remainder, degree);

        let limbs = target_limbs(&mut out, kept, &conversion.targets).collect();
        self.convert(&prepared, limbs, |TargetLimb { prime, constants, limb }| {
            if let Some(transforms) = &transforms {
                transforms.modulo(*prime).forward(limb);
            }
            let kernels = self.kernels(&constants.modulus);
            kernels.subtract_from_and_scale(limb, limb_of(source, *prime), constants.inverse_product);
        });
        out
    }
}
