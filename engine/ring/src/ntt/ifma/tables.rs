//! The tables of the vector transform: small, and in the order in which it reads them.

use std::arch::x86_64::__m512i;

use super::{LEAF, ROOT};
use crate::{
    Modulus,
    lanes::{Factor, LaneFactor, Lanes, Montgomery, read},
};

/// The tables of one direction.
pub(super) struct Direction {
    /// Nodes above the leaves: node `k` of depth `d` at position `2^d + k`.
    pub(super) nodes: Vec<Factor>,
    /// In the order in which the transform reads them.
    pub(super) leaves: Vec<Leaf>,
    /// Factors of the second nodes of four and two words relative to the first: `I`.
    imaginary_unit: Factor,
    /// The same for the third and fourth nodes of two words: `w^(N/2)` and its product with `I`.
    eighth_roots: [Factor; 2],
}

/// The factors of a leaf, in six cache lines.
#[repr(C, align(64))]
pub(super) struct Leaf {
    /// A heap of the nodes of more than eight words.
    pub(super) nodes: [Factor; 16],
    /// For each half and each of its eight groups of eight words, in Montgomery form, the root `g` that the factors of the
    /// group's nodes derive from: it is the factor of the first node of two words.
    pub(super) roots: [[u64; 8]; 2],
}

impl Direction {
    pub(super) fn new(modulus: &Modulus, heap: &[u64], eighth_root: u64) -> Self {
        let leaves = heap.len() / LEAF;
        let factor = |value| Factor::new(modulus, value);
        let leaf = |number: usize| Leaf {
            nodes: std::array::from_fn(|node| {
                // Depth l of the leaf's own heap: position 2^l + k is position (leaves + number) 2^l + k of the whole.
                let depth = node.max(1).ilog2();
                let node = node.max(1) - (1 << depth);
                factor(heap[((leaves + number) << depth) + node])
            }),
            roots: std::array::from_fn(|half| {
                let first = heap.len() / 2 + 64 * number + 32 * half;
                std::array::from_fn(|group| Montgomery::represent(modulus, heap[first + 4 * group]))
            }),
        };
        let imaginary_unit = modulus.mul(eighth_root, eighth_root);
        Self {
            nodes: heap[..leaves].iter().map(|&value| factor(value)).collect(),
            leaves: (0..leaves).map(leaf).collect(),
            imaginary_unit: factor(imaginary_unit),
            eighth_roots: [factor(eighth_root), factor(modulus.mul(eighth_root, imaginary_unit))],
        }
    }

    /// Replaces the root's factor.
    pub(super) fn set_root(&mut self, factor: Factor) {
        match self.nodes.get_mut(ROOT) {
            Some(root) => *root = factor,
            None => self.leaves[0].nodes[ROOT] = factor,
        }
    }
}

/// What derives the factors of a leaf's last three layers.
pub(super) struct Derivation {
    lanes: Lanes,
    pub(super) montgomery: Montgomery,
    imaginary_unit: LaneFactor,
    eighth_roots: [LaneFactor; 2],
}

impl Derivation {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn new(modulus: &Modulus, direction: &Direction) -> Self {
        let [third, fourth] = &direction.eighth_roots;
        Self {
            lanes: Lanes::new(modulus),
            montgomery: Montgomery::new(modulus),
            imaginary_unit: LaneFactor::broadcast(&direction.imaginary_unit),
            eighth_roots: [LaneFactor::broadcast(third), LaneFactor::broadcast(fourth)],
        }
    }

    /// The factors of a half leaf's nodes of eight, four and two words, a heap without its unused first position.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn factors(&self, roots: &[u64; 8]) -> [__m512i; 7] {
        let g = read(roots);
        let square = self.montgomery.multiply(g, g);
        let constant = |x, factor| self.lanes.multiply_constant(x, factor);
        [
            self.montgomery.multiply(square, square),
            square,
            constant(square, self.imaginary_unit),
            g,
            constant(g, self.imaginary_unit),
            constant(g, self.eighth_roots[0]),
            constant(g, self.eighth_roots[1]),
        ]
    }
}
