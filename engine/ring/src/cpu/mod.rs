//! The backend that computes: exact, multi-threaded, on the best vector instructions that the machine has ([`InstructionSet`]).
//!
//! One file per group of kernels; the loops over single limbs are in `limb`, the transforms in [`crate::ntt`]. Work is
//! split over limbs, and within limbs where that is too coarse, on the current rayon pool.

mod base_conversion;
mod element_wise;
mod gadget;
mod hoisted;
mod integer_product;
mod lane_products;
mod limb;
mod mod_down;
mod mod_up;
mod module_product;
mod modules;
mod parity;
mod permutation;
mod storage;
mod subring_sums;
mod tables;
mod transform;
mod weight_products;
mod words;

use std::sync::Arc;

pub use words::Words;

use crate::{
    Backend, Basis, GadgetInput, GaloisElement, HoistedInput, HoistedSum, InstructionSet, IntegerMatrix,
    KeyedAutomorphism, MatrixShape, Modulus, Operand, Pair, PrimeChain, Ring, Shape,
};
use limb::LimbKernels;
use tables::{Tables, Transforms};
use words::WordPool;

/// The reference backend, and the default one.
pub struct Cpu {
    chain: PrimeChain,
    instructions: InstructionSet,
    tables: Tables,
    pool: Arc<WordPool>,
}

impl Cpu {
    /// On the fastest instructions that this machine has.
    pub fn new(chain: PrimeChain) -> Self {
        Self::with_instructions(chain, InstructionSet::detect())
    }

    /// On portable instructions, whatever the machine has. Results are the same, bit for bit.
    pub fn portable(chain: PrimeChain) -> Self {
        Self::with_instructions(chain, InstructionSet::Portable)
    }

    /// On some instructions; `None` if this machine does not have them.
    pub fn on(instructions: InstructionSet, chain: PrimeChain) -> Option<Self> {
        instructions.is_available().then(|| Self::with_instructions(chain, instructions))
    }

    fn with_instructions(chain: PrimeChain, instructions: InstructionSet) -> Self {
        Self { tables: Tables::default(), pool: Arc::default(), chain, instructions }
    }

    /// The instructions in use.
    pub fn instructions(&self) -> InstructionSet {
        self.instructions
    }

    fn transforms(&self, ring: Ring) -> Arc<Transforms> {
        self.tables.transforms(&self.chain, self.instructions, ring)
    }

    fn kernels<'a>(&self, modulus: &'a Modulus) -> LimbKernels<'a> {
        LimbKernels { modulus, instructions: self.instructions }
    }
}

impl Backend for Cpu {
    type Buffer = Words;

    const HOLDS_DATA: bool = true;

    fn primes(&self) -> &PrimeChain {
        &self.chain
    }

    fn zeros(&self, shape: Shape) -> Words {
        self.pool.zeros(shape.words())
    }

    fn upload(&self, shape: Shape, fill: &mut dyn FnMut(&mut [u64])) -> Words {
        let mut words = self.pool.take(shape.words());
        fill(&mut words);
        words
    }

    fn upload_signed(&self, shape: Shape, coefficients: &[i64]) -> Words {
        self.residues_of(shape, coefficients)
    }

    fn download(&self, source: Operand<'_, Words>) -> Option<Vec<u64>> {
        Some(source.buffer.to_vec())
    }

    fn restrict(&self, source: Operand<'_, Words>, target: Shape) -> Words {
        self.restrict_limbs(source, target)
    }

    fn forward(&self, buffer: &mut Words, shape: Shape) {
        self.forward_limbs(buffer, shape);
    }

    fn inverse(&self, buffer: &mut Words, shape: Shape) {
        self.inverse_limbs(buffer, shape);
    }

    fn add_assign(&self, target: &mut Words, other: Operand<'_, Words>) {
        self.for_each_block(target, other.shape, |kernels, block, range| {
            kernels.add_assign(block, &other.buffer[range]);
        });
    }

    fn subtract_assign(&self, target: &mut Words, other: Operand<'_, Words>) {
        self.for_each_block(target, other.shape, |kernels, block, range| {
            kernels.subtract_assign(block, &other.buffer[range]);
        });
    }

    fn negate(&self, target: &mut Words, shape: Shape) {
        self.for_each_block(target, shape, |kernels, block, _| kernels.negate(block));
    }

    fn multiply(&self, left: Operand<'_, Words>, right: Operand<'_, Words>) -> Words {
        let mut out = self.pool.take(left.shape.words());
        self.for_each_block(&mut out, left.shape, |kernels, block, range| {
            kernels.multiply(block, &left.buffer[range.clone()], &right.buffer[range]);
        });
        out
    }

    fn multiply_accumulate(&self, target: &mut Words, left: Operand<'_, Words>, right: Operand<'_, Words>) {
        self.multiply_accumulate_limbs(target, left, right);
    }

    fn linear_combination(&self, terms: &[(Operand<'_, Words>, Vec<u64>)], target: Shape) -> Words {
        self.combine(terms, target)
    }

    fn subring_sums(&self, inputs: &[Pair<'_, Words>], factors: &[Vec<Operand<'_, Words>>]) -> Vec<[Words; 2]> {
        self.sum_over_subring(inputs, factors)
    }

    fn tensor(&self, left: Pair<'_, Words>, right: Pair<'_, Words>) -> [Words; 3] {
        self.tensor_product(left, right)
    }

    fn scale(&self, target: &mut Words, shape: Shape, constants: &[u64]) {
        let degree = shape.ring.degree();
        self.for_each_block(target, shape, |kernels, block, range| {
            kernels.scale(block, constants[range.start / degree]);
        });
    }

    fn add_constant(&self, target: &mut Words, shape: Shape, constants: &[u64]) {
        let degree = shape.ring.degree();
        self.for_each_block(target, shape, |kernels, block, range| {
            kernels.add_constant(block, constants[range.start / degree]);
        });
    }

    fn automorphism(&self, source: Operand<'_, Words>, element: GaloisElement) -> Words {
        self.apply_automorphism(source, element)
    }

    fn automorphism_accumulate(&self, target: &mut Words, source: Operand<'_, Words>, element: GaloisElement) {
        self.accumulate_automorphism(target, source, element);
    }

    fn multiply_monomial(&self, source: Operand<'_, Words>, exponent: usize) -> Words {
        self.shift_by_monomial(source, exponent)
    }

    fn trace(&self, even: Operand<'_, Words>, odd: Operand<'_, Words>, turned: bool) -> Words {
        self.trace_of_parts(even, odd, turned)
    }

    fn parity_split(&self, source: Operand<'_, Words>) -> [Words; 2] {
        self.split_by_parity(source)
    }

    fn mod_up(&self, source: Operand<'_, Words>, groups: &[Basis], special: usize) -> Vec<(usize, Words)> {
        self.lift_digits(source, groups, special)
    }

    fn gadget_product(&self, inputs: &[GadgetInput<'_, Words>], rows: &[Pair<'_, Words>]) -> Vec<[Words; 2]> {
        self.gadget_products(inputs, rows)
    }

    fn hoisted_sums(
        &self,
        inputs: &[HoistedInput<'_, Words>],
        automorphisms: &[KeyedAutomorphism<'_, Words>],
        sums: &[HoistedSum<'_, Words>],
    ) -> Vec<Vec<[Words; 2]>> {
        self.sum_hoisted(inputs, automorphisms, sums)
    }

    fn extend(&self, source: Operand<'_, Words>, special: usize) -> Words {
        self.extend_limbs(source, special)
    }

    fn mod_down(&self, source: Operand<'_, Words>, rescale: bool) -> Words {
        let kept = source.shape.basis.without_special();
        self.divide(source, if rescale { kept.without_last() } else { kept })
    }

    fn rescale(&self, source: Operand<'_, Words>) -> Words {
        self.divide(source, source.shape.basis.without_last())
    }

    fn raise(&self, source: Operand<'_, Words>, target: Shape) -> Words {
        self.lift(source, target)
    }

    fn weight_products(&self, weights: &IntegerMatrix, inputs: &[Pair<'_, Words>], block: usize) -> Vec<[Words; 2]> {
        self.multiply_by_weight_polynomials(weights, inputs, block)
    }

    fn stride_split(&self, source: Operand<'_, Words>, parts: usize) -> Vec<Words> {
        self.split_by_stride(source, parts)
    }

    fn stride_merge(&self, parts: &[Operand<'_, Words>]) -> Words {
        self.merge_by_stride(parts)
    }

    fn lane_products(&self, left: &[Pair<'_, Words>], right: &[Pair<'_, Words>], rows: usize) -> Vec<[[Words; 2]; 2]> {
        self.multiply_lanes(left, right, rows)
    }

    fn module_rows(&self, ciphertexts: &[[Operand<'_, Words>; 2]], group: usize, tokens: usize) -> [Words; 2] {
        self.stack_module_rows(ciphertexts, group, tokens)
    }

    fn module_product(
        &self,
        weights: &IntegerMatrix,
        ciphertexts: &[[Operand<'_, Words>; 2]],
        group: usize,
        tokens: usize,
    ) -> [Words; 2] {
        self.multiply_module_rows(weights, ciphertexts, group, tokens)
    }

    fn integer_product(&self, weights: &IntegerMatrix, matrix: &Words, shape: MatrixShape) -> Words {
        self.multiply_by_integers(weights, matrix, shape)
    }

    fn gather_rows(
        &self,
        b: (&Words, MatrixShape),
        a: (&Words, MatrixShape),
        first: usize,
        ring: Ring,
    ) -> (Words, Vec<Words>) {
        self.gather_polynomials(b, a, first, ring)
    }
}
