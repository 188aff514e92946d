//! The contract, kernel by kernel.

use std::sync::PoisonError;

use fhe_ring::{
    Backend, Basis, GadgetInput, GaloisElement, HoistedInput, HoistedSum, IntegerMatrix, KeyedAutomorphism,
    MatrixShape, Operand, Pair, PrimeChain, Ring, Seed, Shape,
};

use crate::{
    Cuda, CudaError, Device, Kernel,
    cuda::finished,
    transform::Direction::{self, Forward, Inverse},
};

impl<D: Device> Cuda<D> {
    fn transform_in_place(&self, direction: Direction, buffer: &mut D::Memory, shape: Shape) -> Result<(), CudaError> {
        let place = self.place_of(buffer, shape);
        // SAFETY: the buffer has the words of its shape and is borrowed mutably.
        unsafe { self.transform(direction, shape.ring, shape.basis, place, place) }
    }
}

impl<D: Device> Backend for Cuda<D> {
    type Buffer = D::Memory;

    const HOLDS_DATA: bool = true;

    fn primes(&self) -> &PrimeChain {
        &self.chain
    }

    fn zeros(&self, shape: Shape) -> D::Memory {
        finished(self.device.zeros(shape.words()))
    }

    fn upload(&self, shape: Shape, fill: &mut dyn FnMut(&mut [u64])) -> D::Memory {
        // Pages of the host that the system does not have to clear again each time; not held while `fill` runs, which may wait for others.
        let staging = || self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        let mut words = std::mem::take(&mut *staging());
        if words.len() < shape.words() {
            words.resize(shape.words(), 0);
        }
        fill(&mut words[..shape.words()]);
        let uploaded = self.device.upload(&words[..shape.words()]);
        *staging() = words;
        finished(uploaded)
    }

    fn uniform(&self, shape: Shape, seed: &Seed) -> D::Memory {
        finished(self.uniform_residues(shape, seed))
    }

    fn upload_signed(&self, shape: Shape, coefficients: &[i64]) -> D::Memory {
        finished(self.residues_of(shape, coefficients))
    }

    fn download(&self, source: Operand<'_, D::Memory>) -> Option<Vec<u64>> {
        Some(finished(self.device.download(source.buffer)))
    }

    fn restrict(&self, source: Operand<'_, D::Memory>, target: Shape) -> D::Memory {
        finished(self.restricted(source, target))
    }

    fn forward(&self, buffer: &mut D::Memory, shape: Shape) {
        finished(self.transform_in_place(Forward, buffer, shape));
    }

    fn inverse(&self, buffer: &mut D::Memory, shape: Shape) {
        finished(self.transform_in_place(Inverse, buffer, shape));
    }

    fn add_assign(&self, target: &mut D::Memory, other: Operand<'_, D::Memory>) {
        finished(self.assign(Kernel::AddAssign, target, other));
    }

    fn subtract_assign(&self, target: &mut D::Memory, other: Operand<'_, D::Memory>) {
        finished(self.assign(Kernel::SubtractAssign, target, other));
    }

    fn negate(&self, target: &mut D::Memory, shape: Shape) {
        finished(self.negate_words(target, shape));
    }

    fn multiply(&self, left: Operand<'_, D::Memory>, right: Operand<'_, D::Memory>) -> D::Memory {
        let mut product = finished(self.allocate(left.shape));
        finished(self.product(Kernel::Multiply, &mut product, left, right));
        product
    }

    fn multiply_accumulate(&self, target: &mut D::Memory, left: Operand<'_, D::Memory>, right: Operand<'_, D::Memory>) {
        finished(self.product(Kernel::MultiplyAccumulate, target, left, right));
    }

    fn linear_combination(&self, terms: &[(Operand<'_, D::Memory>, Vec<u64>)], target: Shape) -> D::Memory {
        finished(self.combine(terms, target))
    }

    fn subring_sums(
        &self,
        inputs: &[Pair<'_, D::Memory>],
        factors: &[Vec<Operand<'_, D::Memory>>],
    ) -> Vec<[D::Memory; 2]> {
        finished(self.sum_over_subring(inputs, factors))
    }

    fn tensor(&self, left: Pair<'_, D::Memory>, right: Pair<'_, D::Memory>) -> [D::Memory; 3] {
        finished(self.tensor_product(left, right))
    }

    fn scale(&self, target: &mut D::Memory, shape: Shape, constants: &[u64]) {
        finished(self.scale_limbs(target, shape, constants));
    }

    fn add_constant(&self, target: &mut D::Memory, shape: Shape, constants: &[u64]) {
        finished(self.add_to_limbs(target, shape, constants));
    }

    fn automorphism(&self, source: Operand<'_, D::Memory>, element: GaloisElement) -> D::Memory {
        finished(self.permuted(source, element))
    }

    fn automorphism_accumulate(&self, target: &mut D::Memory, source: Operand<'_, D::Memory>, element: GaloisElement) {
        finished(self.permute_accumulate(target, source, element));
    }

    fn multiply_monomial(&self, source: Operand<'_, D::Memory>, exponent: usize) -> D::Memory {
        finished(self.monomial_product(source, exponent))
    }

    fn trace(&self, even: Operand<'_, D::Memory>, odd: Operand<'_, D::Memory>, turned: bool) -> D::Memory {
        finished(self.trace_of_parts(even, odd, turned))
    }

    fn parity_split(&self, source: Operand<'_, D::Memory>) -> [D::Memory; 2] {
        finished(self.split_by_parity(source))
    }

    fn mod_up(&self, source: Operand<'_, D::Memory>, groups: &[Basis], special: usize) -> Vec<(usize, D::Memory)> {
        finished(self.lift_digits(source, groups, special))
    }

    fn gadget_product(
        &self,
        inputs: &[GadgetInput<'_, D::Memory>],
        rows: &[Pair<'_, D::Memory>],
    ) -> Vec<[D::Memory; 2]> {
        let Some(digit) = inputs.iter().find_map(|input| input.digits.first()) else { return Vec::new() };
        finished(self.gadget_products(digit.shape, inputs, rows))
    }

    fn hoisted_sums(
        &self,
        inputs: &[HoistedInput<'_, D::Memory>],
        automorphisms: &[KeyedAutomorphism<'_, D::Memory>],
        sums: &[HoistedSum<'_, D::Memory>],
    ) -> Vec<Vec<[D::Memory; 2]>> {
        let Some(digit) = inputs.iter().find_map(|input| input.digits.first()) else { return Vec::new() };
        finished(self.hoisted(digit.shape, inputs, automorphisms, sums))
    }

    fn extend(&self, source: Operand<'_, D::Memory>, special: usize) -> D::Memory {
        finished(self.extended(source, special))
    }

    fn mod_down(&self, source: Operand<'_, D::Memory>, rescale: bool) -> D::Memory {
        let kept = source.shape.basis.without_special();
        finished(self.divide(source, if rescale { kept.without_last() } else { kept }))
    }

    fn rescale(&self, source: Operand<'_, D::Memory>) -> D::Memory {
        finished(self.divide(source, source.shape.basis.without_last()))
    }

    fn raise(&self, source: Operand<'_, D::Memory>, target: Shape) -> D::Memory {
        finished(self.lift(source, target))
    }

    fn weight_products(
        &self,
        weights: &IntegerMatrix,
        inputs: &[Pair<'_, D::Memory>],
        block: usize,
    ) -> Vec<[D::Memory; 2]> {
        finished(self.multiply_by_weight_polynomials(weights, inputs, block))
    }

    fn stride_split(&self, source: Operand<'_, D::Memory>, parts: usize) -> Vec<D::Memory> {
        finished(self.split_by_stride(source, parts))
    }

    fn stride_merge(&self, parts: &[Operand<'_, D::Memory>]) -> D::Memory {
        finished(self.merge_by_stride(parts))
    }

    fn lane_products(
        &self,
        left: &[Pair<'_, D::Memory>],
        right: &[Pair<'_, D::Memory>],
        rows: usize,
    ) -> Vec<[[D::Memory; 2]; 2]> {
        let Some([half, _]) = left.first() else { return Vec::new() };
        finished(self.multiply_lanes(half.shape, left, right, rows))
    }

    fn module_rows(&self, ciphertexts: &[[Operand<'_, D::Memory>; 2]], group: usize, tokens: usize) -> [D::Memory; 2] {
        finished(self.stack_module_rows(ciphertexts, group, tokens))
    }

    fn module_product(
        &self,
        weights: &IntegerMatrix,
        ciphertexts: &[[Operand<'_, D::Memory>; 2]],
        group: usize,
        tokens: usize,
    ) -> [D::Memory; 2] {
        finished(self.module_products(weights, ciphertexts, group, tokens))
    }

    fn integer_product(&self, weights: &IntegerMatrix, matrix: &D::Memory, shape: MatrixShape) -> D::Memory {
        finished(self.integer_products(weights, matrix, shape))
    }

    fn gather_rows(
        &self,
        b: (&D::Memory, MatrixShape),
        a: (&D::Memory, MatrixShape),
        first: usize,
        ring: Ring,
    ) -> (D::Memory, Vec<D::Memory>) {
        finished(self.gather_polynomials(b, a, first, ring))
    }
}
