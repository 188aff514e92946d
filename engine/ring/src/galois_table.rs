//! How an automorphism permutes the values of a polynomial.
//!
//! The value with index `i` is taken at `w^e` with `e` affine in `b = brv(i)` ([`crate::ntt::root_exponent`]), so
//! `X -> X^g` maps `b` to `g b + c` modulo `N`. The high bits of `i` are the low bits of `b`: aligned blocks of eight
//! values stay together, and within a block only one of eight permutations per automorphism occurs.

use crate::{GaloisElement, Ring, RingKind, ntt::bit_reverse};

/// Number of values that move together.
pub const BLOCK: usize = 8;

/// The permutation of values by one automorphism: block `i` of the result is a rearranged block of the source.
///
/// Aligned groups of any power of two blocks move together, rearranged among themselves.
pub struct GaloisTable {
    /// Source block `* 8 +` permutation, one entry per block of the result.
    moves: Vec<u32>,
    /// Block of the result `* 8 +` permutation, one entry per block of the source.
    inverse_moves: Vec<u32>,
    /// Word `j` of the result's block is word `permutations[k][j]`, below eight, of the source's block.
    permutations: [[u64; BLOCK]; BLOCK],
}

impl GaloisTable {
    /// The table of `X -> X^g`. Degrees below eight have one block, of `N` words.
    pub fn new(ring: Ring, element: GaloisElement) -> Self {
        let degree = ring.degree() as u64;
        // Exponents are 1 + s b. The conjugate-invariant ring knows g only up to sign: take the one that is 1 modulo 4.
        let (step, multiplier) = match ring.kind {
            RingKind::Cyclotomic => (2, element.exponent()),
            RingKind::ConjugateInvariant if element.exponent() % 4 == 3 => (4, 4 * degree - element.exponent()),
            RingKind::ConjugateInvariant => (4, element.exponent()),
        };
        let offset = (multiplier - 1) / step;
        let log_block = ring.log_degree.min(BLOCK.trailing_zeros());
        let log_blocks = ring.log_degree - log_block;
        let moves: Vec<u32> = (0..1usize << log_blocks)
            .map(|block| {
                let image = (multiplier * bit_reverse(block, log_blocks) as u64 + offset) & (degree - 1);
                let source = bit_reverse(image as usize & ((1 << log_blocks) - 1), log_blocks);
                source as u32 * BLOCK as u32 + (image >> log_blocks) as u32
            })
            .collect();
        let mut inverse_moves = vec![0; moves.len()];
        for (block, &entry) in moves.iter().enumerate() {
            inverse_moves[entry as usize / BLOCK] = (block * BLOCK) as u32 + entry % BLOCK as u32;
        }
        let mut permutations = [[0; BLOCK]; BLOCK];
        for (carry, permutation) in permutations.iter_mut().enumerate().take(1 << log_block) {
            for (j, source) in permutation.iter_mut().enumerate().take(1 << log_block) {
                let image = multiplier * bit_reverse(j, log_block) as u64 + carry as u64;
                *source = bit_reverse(image as usize & ((1 << log_block) - 1), log_block) as u64;
            }
        }
        Self { moves, inverse_moves, permutations }
    }

    /// Number of blocks that are permuted.
    pub fn blocks(&self) -> usize {
        self.moves.len()
    }

    /// For one block of the source: the result's block, below [`GaloisTable::blocks`], and the number of the rearrangement, below
    /// [`BLOCK`].
    #[inline(always)]
    pub fn target(&self, block: usize) -> (usize, usize) {
        let entry = self.inverse_moves[block] as usize;
        (entry / BLOCK, entry % BLOCK)
    }

    /// For one block of the result: the source's block, below [`GaloisTable::blocks`], and the number of the rearrangement, below
    /// [`BLOCK`].
    #[inline(always)]
    pub fn source(&self, block: usize) -> (usize, usize) {
        let entry = self.moves[block] as usize;
        (entry / BLOCK, entry % BLOCK)
    }

    /// For each block of the result: the source's block and the number of the rearrangement.
    pub fn moves(&self) -> impl ExactSizeIterator<Item = (usize, usize)> + '_ {
        self.moves.iter().map(|&entry| (entry as usize / BLOCK, entry as usize % BLOCK))
    }

    /// The rearrangements.
    pub fn permutations(&self) -> &[[u64; BLOCK]; BLOCK] {
        &self.permutations
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntt::{root_exponent, root_index};

    #[test]
    fn agrees_with_the_exponents() {
        for ring in (1..=9).flat_map(|log_degree| [Ring::cyclotomic(log_degree), Ring::conjugate_invariant(log_degree)])
        {
            let degree = ring.degree();
            for exponent in (1..4 * degree as u64).step_by(2) {
                let element = GaloisElement::from_exponent(ring, exponent).unwrap();
                let table = GaloisTable::new(ring, element);
                let block = degree.min(BLOCK);
                for (i, (source, permutation)) in table.moves().enumerate() {
                    assert_eq!(table.target(source), (i, permutation));
                    for j in 0..block {
                        let found = source * block + table.permutations()[permutation][j] as usize;
                        let image = root_exponent(ring, i * block + j) * element.exponent();
                        assert_eq!(found, root_index(ring, image % (4 * degree as u64)), "{ring} X^{exponent}");
                    }
                }
            }
        }
    }
}
