//! The contract, kernel by kernel: each on the shard where its first operand lies, batches on all shards at once.

use fhe_ring::{
    Backend, Basis, GadgetInput, GaloisElement, HoistedInput, HoistedSum, IntegerMatrix, KeyedAutomorphism,
    MatrixShape, Operand, Pair, PrimeChain, Ring, Seed, Shape,
};
use rayon::prelude::*;

use crate::{Comm, Replicated, Sharded, sharded::ReplicatedOperand};

type Buffer<B> = Replicated<<B as Backend>::Buffer>;

impl<B: Backend, C: Comm<B>> Sharded<B, C> {
    /// The result of a kernel of one operand.
    fn apply(
        &self,
        source: ReplicatedOperand<'_, B>,
        kernel: impl FnOnce(&B, Operand<'_, B::Buffer>) -> B::Buffer,
    ) -> Buffer<B> {
        let shard = self.shard_of([source.buffer]);
        self.on(shard, kernel(&self.shards()[shard], self.bring(shard, source)))
    }

    /// Changes a polynomial where it lies.
    fn change(&self, target: &mut Buffer<B>, shape: Shape, kernel: impl FnOnce(&B, &mut B::Buffer)) {
        let shard = self.shard_of([&*target]);
        kernel(&self.shards()[shard], self.bring_mut(shard, target, shape));
    }

    /// Adds something made of the other operands to a polynomial, where that lies; to zeros that lie nowhere, where the first of those lies.
    fn accumulate<const N: usize>(
        &self,
        target: &mut Buffer<B>,
        shape: Shape,
        operands: [ReplicatedOperand<'_, B>; N],
        kernel: impl FnOnce(&B, &mut B::Buffer, [Operand<'_, B::Buffer>; N]),
    ) {
        let shard = self.shard_of([&*target].into_iter().chain(operands.iter().map(|operand| operand.buffer)));
        let operands = operands.map(|operand| self.bring(shard, operand));
        kernel(&self.shards()[shard], self.bring_mut(shard, target, shape), operands);
    }

    /// The results of a batch, each computed on the shard of its input; shards work at the same time.
    fn batch<I: Sync, R: Send>(
        &self,
        inputs: &[I],
        shard_of: impl Fn(&I) -> usize,
        kernel: impl Fn(usize, &[&I]) -> Vec<R> + Sync,
    ) -> Vec<R> {
        let shards: Vec<usize> = inputs.iter().map(shard_of).collect();
        if let [first, others @ ..] = &shards[..]
            && others.iter().all(|other| other == first)
        {
            return kernel(*first, &inputs.iter().collect::<Vec<_>>());
        }
        let on = |shard: usize| shards.iter().enumerate().filter(move |(_, of)| **of == shard).map(|(index, _)| index);
        let computed: Vec<(usize, R)> = (0..self.shards().len())
            .into_par_iter()
            .flat_map_iter(|shard| {
                let indices: Vec<usize> = on(shard).collect();
                let inputs: Vec<&I> = indices.iter().map(|&index| &inputs[index]).collect();
                let results = if inputs.is_empty() { Vec::new() } else { kernel(shard, &inputs) };
                indices.into_iter().zip(results)
            })
            .collect();
        let mut results: Vec<Option<R>> = inputs.iter().map(|_| None).collect();
        computed.into_iter().for_each(|(index, result)| results[index] = Some(result));
        results.into_iter().map(|result| result.expect("a kernel has a result for every input")).collect()
    }

    fn on_all<const N: usize>(&self, shard: usize, buffers: [B::Buffer; N]) -> [Buffer<B>; N] {
        buffers.map(|buffer| self.on(shard, buffer))
    }
}

impl<B: Backend, C: Comm<B>> Backend for Sharded<B, C> {
    type Buffer = Replicated<B::Buffer>;

    const HOLDS_DATA: bool = B::HOLDS_DATA;

    fn primes(&self) -> &PrimeChain {
        self.shards()[0].primes()
    }

    fn shards(&self) -> usize {
        self.shards().len()
    }

    fn place(&self, polynomial: Operand<'_, Self::Buffer>, shard: usize) {
        let shards = self.shards().len();
        assert!(
            shard < shards,
            "place: shard {shard} was asked for, but there are {shards}, counted from 0; ask `Backend::shards` first"
        );
        self.bring(shard, polynomial);
        polynomial.buffer.settle(shard);
    }

    fn zeros(&self, _: Shape) -> Self::Buffer {
        Replicated::zero(self.shards().len())
    }

    fn upload(&self, shape: Shape, fill: &mut dyn FnMut(&mut [u64])) -> Self::Buffer {
        let shard = self.upload_shard();
        self.on(shard, self.shards()[shard].upload(shape, fill))
    }

    fn uniform(&self, shape: Shape, seed: &Seed) -> Self::Buffer {
        let shard = self.upload_shard();
        self.on(shard, self.shards()[shard].uniform(shape, seed))
    }

    fn upload_signed(&self, shape: Shape, coefficients: &[i64]) -> Self::Buffer {
        let shard = self.upload_shard();
        self.on(shard, self.shards()[shard].upload_signed(shape, coefficients))
    }

    fn download(&self, source: Operand<'_, Self::Buffer>) -> Option<Vec<u64>> {
        let shard = self.shard_of([source.buffer]);
        self.shards()[shard].download(self.bring(shard, source))
    }

    fn restrict(&self, source: Operand<'_, Self::Buffer>, target: Shape) -> Self::Buffer {
        self.apply(source, |shard, source| shard.restrict(source, target))
    }

    fn forward(&self, buffer: &mut Self::Buffer, shape: Shape) {
        self.change(buffer, shape, |shard, buffer| shard.forward(buffer, shape));
    }

    fn inverse(&self, buffer: &mut Self::Buffer, shape: Shape) {
        self.change(buffer, shape, |shard, buffer| shard.inverse(buffer, shape));
    }

    fn add_assign(&self, target: &mut Self::Buffer, other: Operand<'_, Self::Buffer>) {
        self.accumulate(target, other.shape, [other], |shard, target, [other]| shard.add_assign(target, other));
    }

    fn subtract_assign(&self, target: &mut Self::Buffer, other: Operand<'_, Self::Buffer>) {
        self.accumulate(target, other.shape, [other], |shard, target, [other]| shard.subtract_assign(target, other));
    }

    fn negate(&self, target: &mut Self::Buffer, shape: Shape) {
        self.change(target, shape, |shard, target| shard.negate(target, shape));
    }

    fn multiply(&self, left: Operand<'_, Self::Buffer>, right: Operand<'_, Self::Buffer>) -> Self::Buffer {
        let shard = self.shard_of([left.buffer, right.buffer]);
        let [left, right] = self.bring_pair(shard, [left, right]);
        self.on(shard, self.shards()[shard].multiply(left, right))
    }

    fn multiply_accumulate(
        &self,
        target: &mut Self::Buffer,
        left: Operand<'_, Self::Buffer>,
        right: Operand<'_, Self::Buffer>,
    ) {
        self.accumulate(target, left.shape, [left, right], |shard, target, [left, right]| {
            shard.multiply_accumulate(target, left, right);
        });
    }

    fn linear_combination(&self, terms: &[(Operand<'_, Self::Buffer>, Vec<u64>)], target: Shape) -> Self::Buffer {
        let shard = self.shard_of(terms.iter().map(|(term, _)| term.buffer));
        let terms: Vec<_> =
            terms.iter().map(|(term, constants)| (self.bring(shard, *term), constants.clone())).collect();
        self.on(shard, self.shards()[shard].linear_combination(&terms, target))
    }

    fn subring_sums(
        &self,
        inputs: &[Pair<'_, Self::Buffer>],
        factors: &[Vec<Operand<'_, Self::Buffer>>],
    ) -> Vec<[Self::Buffer; 2]> {
        let shard = self.shard_of(inputs.iter().flatten().map(|half| half.buffer));
        let inputs = self.bring_pairs(shard, inputs);
        let factors: Vec<Vec<_>> = factors.iter().map(|factors| self.bring_all(shard, factors)).collect();
        let sums = self.shards()[shard].subring_sums(&inputs, &factors);
        sums.into_iter().map(|halves| self.on_all(shard, halves)).collect()
    }

    fn tensor(&self, left: Pair<'_, Self::Buffer>, right: Pair<'_, Self::Buffer>) -> [Self::Buffer; 3] {
        let shard = self.shard_of(left.iter().chain(&right).map(|half| half.buffer));
        let [left, right] = [left, right].map(|pair| self.bring_pair(shard, pair));
        self.on_all(shard, self.shards()[shard].tensor(left, right))
    }

    fn scale(&self, target: &mut Self::Buffer, shape: Shape, constants: &[u64]) {
        self.change(target, shape, |shard, target| shard.scale(target, shape, constants));
    }

    fn add_constant(&self, target: &mut Self::Buffer, shape: Shape, constants: &[u64]) {
        self.change(target, shape, |shard, target| shard.add_constant(target, shape, constants));
    }

    fn automorphism(&self, source: Operand<'_, Self::Buffer>, element: GaloisElement) -> Self::Buffer {
        self.apply(source, |shard, source| shard.automorphism(source, element))
    }

    fn automorphism_accumulate(
        &self,
        target: &mut Self::Buffer,
        source: Operand<'_, Self::Buffer>,
        element: GaloisElement,
    ) {
        self.accumulate(target, source.shape, [source], |shard, target, [source]| {
            shard.automorphism_accumulate(target, source, element);
        });
    }

    fn multiply_monomial(&self, source: Operand<'_, Self::Buffer>, exponent: usize) -> Self::Buffer {
        self.apply(source, |shard, source| shard.multiply_monomial(source, exponent))
    }

    fn trace(&self, even: Operand<'_, Self::Buffer>, odd: Operand<'_, Self::Buffer>, turned: bool) -> Self::Buffer {
        let shard = self.shard_of([even.buffer, odd.buffer]);
        let [even, odd] = self.bring_pair(shard, [even, odd]);
        self.on(shard, self.shards()[shard].trace(even, odd, turned))
    }

    fn parity_split(&self, source: Operand<'_, Self::Buffer>) -> [Self::Buffer; 2] {
        let shard = self.shard_of([source.buffer]);
        self.on_all(shard, self.shards()[shard].parity_split(self.bring(shard, source)))
    }

    fn mod_up(
        &self,
        source: Operand<'_, Self::Buffer>,
        groups: &[Basis],
        special: usize,
    ) -> Vec<(usize, Self::Buffer)> {
        let shard = self.shard_of([source.buffer]);
        let digits = self.shards()[shard].mod_up(self.bring(shard, source), groups, special);
        digits.into_iter().map(|(group, digit)| (group, self.on(shard, digit))).collect()
    }

    fn gadget_product(
        &self,
        inputs: &[GadgetInput<'_, Self::Buffer>],
        rows: &[Pair<'_, Self::Buffer>],
    ) -> Vec<[Self::Buffer; 2]> {
        let shard_of = |input: &GadgetInput<'_, Self::Buffer>| {
            self.shard_of(input.digits.iter().chain(input.addends.iter().flatten()).map(|operand| operand.buffer))
        };
        self.batch(inputs, shard_of, |shard, inputs| {
            let inputs: Vec<_> = inputs.iter().map(|input| input.map(|operand| self.bring(shard, operand))).collect();
            let products = self.shards()[shard].gadget_product(&inputs, &self.bring_pairs(shard, rows));
            products.into_iter().map(|halves| self.on_all(shard, halves)).collect()
        })
    }

    fn hoisted_sums(
        &self,
        inputs: &[HoistedInput<'_, Self::Buffer>],
        automorphisms: &[KeyedAutomorphism<'_, Self::Buffer>],
        sums: &[HoistedSum<'_, Self::Buffer>],
    ) -> Vec<Vec<[Self::Buffer; 2]>> {
        let shard_of = |input: &HoistedInput<'_, Self::Buffer>| {
            self.shard_of(input.digits.iter().chain(&input.ciphertext).map(|operand| operand.buffer))
        };
        self.batch(inputs, shard_of, |shard, inputs| {
            let bring = |operand| self.bring(shard, operand);
            let inputs: Vec<_> = inputs.iter().map(|input| input.map(bring)).collect();
            let automorphisms: Vec<_> = automorphisms.iter().map(|automorphism| automorphism.map(bring)).collect();
            let sums: Vec<HoistedSum<'_, B::Buffer>> = (sums.iter())
                .map(|terms| terms.iter().map(|&(index, factor)| (index, bring(factor))).collect())
                .collect();
            let results = self.shards()[shard].hoisted_sums(&inputs, &automorphisms, &sums);
            results
                .into_iter()
                .map(|sums| sums.into_iter().map(|halves| self.on_all(shard, halves)).collect())
                .collect()
        })
    }

    fn extend(&self, source: Operand<'_, Self::Buffer>, special: usize) -> Self::Buffer {
        self.apply(source, |shard, source| shard.extend(source, special))
    }

    fn mod_down(&self, source: Operand<'_, Self::Buffer>, rescale: bool) -> Self::Buffer {
        self.apply(source, |shard, source| shard.mod_down(source, rescale))
    }

    fn rescale(&self, source: Operand<'_, Self::Buffer>) -> Self::Buffer {
        self.apply(source, |shard, source| shard.rescale(source))
    }

    fn raise(&self, source: Operand<'_, Self::Buffer>, target: Shape) -> Self::Buffer {
        self.apply(source, |shard, source| shard.raise(source, target))
    }

    fn weight_products(
        &self,
        weights: &IntegerMatrix,
        inputs: &[Pair<'_, Self::Buffer>],
        block: usize,
    ) -> Vec<[Self::Buffer; 2]> {
        let shard = self.shard_of(inputs.iter().flatten().map(|half| half.buffer));
        let products = self.shards()[shard].weight_products(weights, &self.bring_pairs(shard, inputs), block);
        products.into_iter().map(|halves| self.on_all(shard, halves)).collect()
    }

    fn stride_split(&self, source: Operand<'_, Self::Buffer>, parts: usize) -> Vec<Self::Buffer> {
        let shard = self.shard_of([source.buffer]);
        let split = self.shards()[shard].stride_split(self.bring(shard, source), parts);
        split.into_iter().map(|part| self.on(shard, part)).collect()
    }

    fn stride_merge(&self, parts: &[Operand<'_, Self::Buffer>]) -> Self::Buffer {
        let shard = self.shard_of(parts.iter().map(|part| part.buffer));
        self.on(shard, self.shards()[shard].stride_merge(&self.bring_all(shard, parts)))
    }

    fn lane_products(
        &self,
        left: &[Pair<'_, Self::Buffer>],
        right: &[Pair<'_, Self::Buffer>],
        rows: usize,
    ) -> Vec<[[Self::Buffer; 2]; 2]> {
        let shard = self.shard_of(left.iter().chain(right).flatten().map(|half| half.buffer));
        let [left, right] = [left, right].map(|pairs| self.bring_pairs(shard, pairs));
        let products = self.shards()[shard].lane_products(&left, &right, rows);
        products.into_iter().map(|parts| parts.map(|halves| self.on_all(shard, halves))).collect()
    }

    fn module_rows(
        &self,
        ciphertexts: &[[Operand<'_, Self::Buffer>; 2]],
        group: usize,
        tokens: usize,
    ) -> [Self::Buffer; 2] {
        let shard = self.shard_of(ciphertexts.iter().flatten().map(|half| half.buffer));
        let ciphertexts = self.bring_pairs(shard, ciphertexts);
        self.on_all(shard, self.shards()[shard].module_rows(&ciphertexts, group, tokens))
    }

    fn module_product(
        &self,
        weights: &IntegerMatrix,
        ciphertexts: &[[Operand<'_, Self::Buffer>; 2]],
        group: usize,
        tokens: usize,
    ) -> [Self::Buffer; 2] {
        let shard = self.shard_of(ciphertexts.iter().flatten().map(|half| half.buffer));
        let ciphertexts = self.bring_pairs(shard, ciphertexts);
        self.on_all(shard, self.shards()[shard].module_product(weights, &ciphertexts, group, tokens))
    }

    fn integer_product(&self, weights: &IntegerMatrix, matrix: &Self::Buffer, shape: MatrixShape) -> Self::Buffer {
        let shard = self.shard_of([matrix]);
        self.on(shard, self.shards()[shard].integer_product(weights, self.matrix(shard, matrix), shape))
    }

    fn gather_rows(
        &self,
        b: (&Self::Buffer, MatrixShape),
        a: (&Self::Buffer, MatrixShape),
        first: usize,
        ring: Ring,
    ) -> (Self::Buffer, Vec<Self::Buffer>) {
        let shard = self.shard_of([b.0]);
        let [gathered_b, gathered_a] = [b, a].map(|(matrix, shape)| (self.matrix(shard, matrix), shape));
        let (b, a) = self.shards()[shard].gather_rows(gathered_b, gathered_a, first, ring);
        (self.on(shard, b), a.into_iter().map(|part| self.on(shard, part)).collect())
    }
}
