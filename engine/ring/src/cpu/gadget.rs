//! The gadget product: digits times a switching key, for a batch of ciphertexts.

use rayon::prelude::*;

use super::{
    Cpu,
    limb::inner_product::{Addend, InnerProductInput},
    storage::limb_of,
    words::Words,
};
use crate::{Basis, GadgetInput, Operand, Pair, PrimeIndex};

/// Words per parallel task: a key's words for them stay in the second-level cache for the whole batch.
const BLOCK: usize = 1 << 11;

impl Cpu {
    pub(super) fn gadget_products(
        &self,
        inputs: &[GadgetInput<'_, Words>],
        rows: &[Pair<'_, Words>],
    ) -> Vec<[Words; 2]> {
        let Some(shape) = inputs.iter().find_map(|input| input.digits.first()).map(|digit| digit.shape) else {
            return Vec::new();
        };
        let degree = shape.ring.degree();
        let block = degree.min(BLOCK);
        let limbs = self.gadget_limbs(shape.basis, inputs, rows);
        let mut products: Vec<[Words; 2]> =
            inputs.iter().map(|_| [0, 1].map(|_| self.pool.take(shape.words()))).collect();
        let blocks = blocks_of(products.iter_mut().map(|halves| halves.each_mut()), block);
        blocks.into_par_iter().enumerate().for_each(|(i, mut targets)| {
            let GadgetLimb { prime, inputs, rows } = &limbs[i * block / degree];
            let range = i * block % degree..i * block % degree + block;
            let inputs: Vec<_> = (inputs.iter())
                .map(|input| InnerProductInput {
                    digits: input.digits.iter().map(|words| &words[range.clone()]).collect(),
                    addends: input.addends.map(|addend| addend.map(|(words, factor)| (&words[range.clone()], factor))),
                })
                .collect();
            let rows: Vec<_> = rows.iter().map(|row| row.map(|words| &words[range.clone()])).collect();
            // One input after the other: the block of the key stays in a near cache, and there are fewer streams at a time.
            let kernels = self.kernels(self.chain.modulus(*prime));
            for (target, input) in targets.chunks_mut(1).zip(inputs.chunks(1)) {
                kernels.inner_products(target, input, &rows);
            }
        });
        products
    }

    /// The operands' limbs, prime by prime.
    fn gadget_limbs<'a>(
        &self,
        basis: Basis,
        inputs: &[GadgetInput<'a, Words>],
        rows: &[Pair<'a, Words>],
    ) -> Vec<GadgetLimb<'a>> {
        let factors = self.chain.special_product_residues(basis);
        (basis.indices().zip(factors))
            .map(|(prime, factor)| GadgetLimb {
                prime,
                inputs: (inputs.iter())
                    .map(|input| InnerProductInput {
                        digits: input.digits.iter().map(|&digit| limb_of(digit, prime)).collect(),
                        addends: input.addends.map(|addend| addend.and_then(|sum| scaled_limb(sum, prime, factor))),
                    })
                    .collect(),
                rows: rows.iter().map(|row| row.map(|half| limb_of(half, prime))).collect(),
            })
            .collect()
    }
}

/// All operands of one limb.
struct GadgetLimb<'a> {
    prime: PrimeIndex,
    inputs: Vec<InnerProductInput<'a>>,
    rows: Vec<[&'a [u64]; 2]>,
}

/// What an addend adds to the limb of a prime: itself if it has special primes, else its product with `factor`, that of the
/// special primes, which is zero modulo each of them.
pub(super) fn scaled_limb<'a>(addend: Operand<'a, Words>, prime: PrimeIndex, factor: u64) -> Addend<'a> {
    if addend.shape.basis.special_count() > 0 {
        return Some((limb_of(addend, prime), 1));
    }
    match prime {
        PrimeIndex::Special(_) => None,
        PrimeIndex::Ciphertext(_) => Some((limb_of(addend, prime), factor)),
    }
}

/// The blocks of several polynomials of one size, block by block.
pub(super) fn blocks_of<'a, const N: usize>(
    words: impl Iterator<Item = [&'a mut Words; N]>,
    block: usize,
) -> Vec<Vec<[&'a mut [u64]; N]>> {
    let mut blocks: Vec<Vec<[&'a mut [u64]; N]>> = Vec::new();
    for polynomials in words {
        let mut chunks = polynomials.map(|words| words.chunks_exact_mut(block));
        let count = chunks.first().map_or(0, |chunks| chunks.len());
        blocks.resize_with(count.max(blocks.len()), Vec::new);
        for targets in &mut blocks {
            targets.push(chunks.each_mut().map(|chunks| chunks.next().expect("polynomials of one size")));
        }
    }
    blocks
}
