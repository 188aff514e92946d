//! A decorator that counts what really runs.

use std::sync::Arc;

use crate::{
    Backend, Basis, Counts, GadgetInput, GaloisElement, HoistedInput, HoistedSum, IntegerMatrix, KeyedAutomorphism,
    MatrixShape, Operand, Pair, PrimeChain, Ring, Seed, Shape, Tracked,
    counts::{gadget_counts, hoisted_counts, lane_counts, subring_counts, weight_counts},
    ledger::Ledger,
};

/// A backend that executes on `B` and accounts for every kernel: [`Counts`], bytes of buffers alive, and their peak.
///
/// Buffers alive are those that callers hold; scratch space inside a kernel of `B` is not seen.
pub struct Counting<B: Backend> {
    inner: B,
    ledger: Arc<Ledger>,
}

impl<B: Backend> Counting<B> {
    /// Starts an empty account in front of `inner`.
    pub fn new(inner: B) -> Self {
        Self { inner, ledger: Arc::default() }
    }

    /// The backend that does the work.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// The work since the beginning. The work of a phase is the difference of two readings.
    pub fn counts(&self) -> Counts {
        self.ledger.counts()
    }

    /// Bytes of the buffers alive now.
    pub fn live_bytes(&self) -> u64 {
        self.ledger.live_bytes()
    }

    /// Most bytes alive at once since the beginning or the last [`Counting::restart_peak`].
    pub fn peak_bytes(&self) -> u64 {
        self.ledger.peak_bytes()
    }

    /// Lowers the peak to what is alive now, at the start of a phase.
    pub fn restart_peak(&self) {
        self.ledger.restart_peak();
    }

    fn track(&self, inner: B::Buffer, words: usize) -> Tracked<B::Buffer> {
        Tracked { inner, _allocation: self.ledger.allocate(words) }
    }
}

impl<B: Backend> Backend for Counting<B> {
    type Buffer = Tracked<B::Buffer>;

    const HOLDS_DATA: bool = B::HOLDS_DATA;

    fn primes(&self) -> &PrimeChain {
        self.inner.primes()
    }

    fn shards(&self) -> usize {
        self.inner.shards()
    }

    fn place(&self, polynomial: Operand<'_, Self::Buffer>, shard: usize) {
        self.inner.place(polynomial.untracked(), shard);
    }

    fn zeros(&self, shape: Shape) -> Self::Buffer {
        self.track(self.inner.zeros(shape), shape.words())
    }

    fn upload(&self, shape: Shape, fill: &mut dyn FnMut(&mut [u64])) -> Self::Buffer {
        self.ledger.record(Counts::upload(shape));
        self.track(self.inner.upload(shape, fill), shape.words())
    }

    fn uniform(&self, shape: Shape, seed: &Seed) -> Self::Buffer {
        self.ledger.record(Counts::upload(shape));
        self.track(self.inner.uniform(shape, seed), shape.words())
    }

    fn upload_signed(&self, shape: Shape, coefficients: &[i64]) -> Self::Buffer {
        self.ledger.record(Counts::upload(shape));
        self.track(self.inner.upload_signed(shape, coefficients), shape.words())
    }

    fn download(&self, source: Operand<'_, Self::Buffer>) -> Option<Vec<u64>> {
        self.inner.download(source.untracked())
    }

    fn restrict(&self, source: Operand<'_, Self::Buffer>, target: Shape) -> Self::Buffer {
        self.ledger.record(Counts::copy(target.words()));
        self.track(self.inner.restrict(source.untracked(), target), target.words())
    }

    fn forward(&self, buffer: &mut Self::Buffer, shape: Shape) {
        self.ledger.record(Counts::forward(shape));
        self.inner.forward(&mut buffer.inner, shape);
    }

    fn inverse(&self, buffer: &mut Self::Buffer, shape: Shape) {
        self.ledger.record(Counts::inverse(shape));
        self.inner.inverse(&mut buffer.inner, shape);
    }

    fn add_assign(&self, target: &mut Self::Buffer, other: Operand<'_, Self::Buffer>) {
        self.ledger.record(Counts::elementwise(other.shape));
        self.inner.add_assign(&mut target.inner, other.untracked());
    }

    fn subtract_assign(&self, target: &mut Self::Buffer, other: Operand<'_, Self::Buffer>) {
        self.ledger.record(Counts::elementwise(other.shape));
        self.inner.subtract_assign(&mut target.inner, other.untracked());
    }

    fn negate(&self, target: &mut Self::Buffer, shape: Shape) {
        self.ledger.record(Counts::elementwise(shape));
        self.inner.negate(&mut target.inner, shape);
    }

    fn multiply(&self, left: Operand<'_, Self::Buffer>, right: Operand<'_, Self::Buffer>) -> Self::Buffer {
        self.ledger.record(Counts::multiply(left.shape));
        self.track(self.inner.multiply(left.untracked(), right.untracked()), left.shape.words())
    }

    fn multiply_accumulate(
        &self,
        target: &mut Self::Buffer,
        left: Operand<'_, Self::Buffer>,
        right: Operand<'_, Self::Buffer>,
    ) {
        self.ledger.record(Counts::multiply_accumulate(left.shape));
        self.inner.multiply_accumulate(&mut target.inner, left.untracked(), right.untracked());
    }

    fn linear_combination(&self, terms: &[(Operand<'_, Self::Buffer>, Vec<u64>)], target: Shape) -> Self::Buffer {
        self.ledger.record(Counts::linear_combination(target, terms.len()));
        let terms: Vec<_> = terms.iter().map(|(term, constants)| (term.untracked(), constants.clone())).collect();
        self.track(self.inner.linear_combination(&terms, target), target.words())
    }

    fn subring_sums(
        &self,
        inputs: &[Pair<'_, Self::Buffer>],
        factors: &[Vec<Operand<'_, Self::Buffer>>],
    ) -> Vec<[Self::Buffer; 2]> {
        self.ledger.record(subring_counts(inputs, factors));
        let words = inputs.first().map_or(0, |input| input[0].shape.words());
        let inputs: Vec<_> = inputs.iter().map(|input| input.map(Operand::untracked)).collect();
        let factors: Vec<Vec<_>> =
            factors.iter().map(|factors| factors.iter().map(|factor| factor.untracked()).collect()).collect();
        let sums = self.inner.subring_sums(&inputs, &factors);
        sums.into_iter().map(|halves| halves.map(|half| self.track(half, words))).collect()
    }

    fn tensor(&self, left: Pair<'_, Self::Buffer>, right: Pair<'_, Self::Buffer>) -> [Self::Buffer; 3] {
        self.ledger.record(Counts::tensor(left[0].shape));
        let words = left[0].shape.words();
        let parts = self.inner.tensor(left.map(Operand::untracked), right.map(Operand::untracked));
        parts.map(|part| self.track(part, words))
    }

    fn scale(&self, target: &mut Self::Buffer, shape: Shape, constants: &[u64]) {
        self.ledger.record(Counts::elementwise(shape));
        self.inner.scale(&mut target.inner, shape, constants);
    }

    fn add_constant(&self, target: &mut Self::Buffer, shape: Shape, constants: &[u64]) {
        self.ledger.record(Counts::elementwise(shape));
        self.inner.add_constant(&mut target.inner, shape, constants);
    }

    fn automorphism(&self, source: Operand<'_, Self::Buffer>, element: GaloisElement) -> Self::Buffer {
        self.ledger.record(Counts::automorphism(source.shape));
        self.track(self.inner.automorphism(source.untracked(), element), source.shape.words())
    }

    fn automorphism_accumulate(
        &self,
        target: &mut Self::Buffer,
        source: Operand<'_, Self::Buffer>,
        element: GaloisElement,
    ) {
        self.ledger.record(Counts::automorphism(source.shape) + Counts::elementwise(source.shape));
        self.inner.automorphism_accumulate(&mut target.inner, source.untracked(), element);
    }

    fn multiply_monomial(&self, source: Operand<'_, Self::Buffer>, exponent: usize) -> Self::Buffer {
        self.ledger.record(Counts::elementwise(source.shape));
        self.track(self.inner.multiply_monomial(source.untracked(), exponent), source.shape.words())
    }

    fn trace(&self, even: Operand<'_, Self::Buffer>, odd: Operand<'_, Self::Buffer>, turned: bool) -> Self::Buffer {
        self.ledger.record(Counts::linear_combination(even.shape, 2));
        self.track(self.inner.trace(even.untracked(), odd.untracked(), turned), even.shape.words())
    }

    fn parity_split(&self, source: Operand<'_, Self::Buffer>) -> [Self::Buffer; 2] {
        self.ledger.record(Counts::linear_combination(source.shape, 2));
        self.inner.parity_split(source.untracked()).map(|part| self.track(part, source.shape.words()))
    }

    fn mod_up(
        &self,
        source: Operand<'_, Self::Buffer>,
        groups: &[Basis],
        special: usize,
    ) -> Vec<(usize, Self::Buffer)> {
        self.ledger.record(Counts::mod_up(source.shape, groups, special));
        let words = source.shape.extended(special).words();
        let digits = self.inner.mod_up(source.untracked(), groups, special);
        digits.into_iter().map(|(index, digit)| (index, self.track(digit, words))).collect()
    }

    fn gadget_product(
        &self,
        inputs: &[GadgetInput<'_, Self::Buffer>],
        rows: &[Pair<'_, Self::Buffer>],
    ) -> Vec<[Self::Buffer; 2]> {
        self.ledger.record(gadget_counts(inputs));
        let words = inputs.iter().find_map(|input| input.digits.first()).map_or(0, |digit| digit.shape.words());
        let inputs: Vec<_> = inputs.iter().map(|input| input.map(Operand::untracked)).collect();
        let rows: Vec<_> = rows.iter().map(|row| row.map(Operand::untracked)).collect();
        let products = self.inner.gadget_product(&inputs, &rows);
        products.into_iter().map(|halves| halves.map(|half| self.track(half, words))).collect()
    }

    fn hoisted_sums(
        &self,
        inputs: &[HoistedInput<'_, Self::Buffer>],
        automorphisms: &[KeyedAutomorphism<'_, Self::Buffer>],
        sums: &[HoistedSum<'_, Self::Buffer>],
    ) -> Vec<Vec<[Self::Buffer; 2]>> {
        self.ledger.record(hoisted_counts(inputs, automorphisms, sums));
        let words = inputs.iter().find_map(|input| input.digits.first()).map_or(0, |digit| digit.shape.words());
        let inputs: Vec<_> = inputs.iter().map(|input| input.map(Operand::untracked)).collect();
        let automorphisms: Vec<_> =
            automorphisms.iter().map(|automorphism| automorphism.map(Operand::untracked)).collect();
        let sums: Vec<Vec<_>> = (sums.iter())
            .map(|terms| terms.iter().map(|(index, factor)| (*index, factor.untracked())).collect())
            .collect();
        let results = self.inner.hoisted_sums(&inputs, &automorphisms, &sums);
        let track = |halves: [B::Buffer; 2]| halves.map(|half| self.track(half, words));
        results.into_iter().map(|sums| sums.into_iter().map(track).collect()).collect()
    }

    fn extend(&self, source: Operand<'_, Self::Buffer>, special: usize) -> Self::Buffer {
        self.ledger.record(Counts::elementwise(source.shape));
        let words = source.shape.extended(special).words();
        self.track(self.inner.extend(source.untracked(), special), words)
    }

    fn mod_down(&self, source: Operand<'_, Self::Buffer>, rescale: bool) -> Self::Buffer {
        self.ledger.record(Counts::mod_down(source.shape, rescale));
        let words = source.shape.divided(rescale).words();
        self.track(self.inner.mod_down(source.untracked(), rescale), words)
    }

    fn rescale(&self, source: Operand<'_, Self::Buffer>) -> Self::Buffer {
        self.ledger.record(Counts::rescale(source.shape));
        let words = source.shape.divided(true).words();
        self.track(self.inner.rescale(source.untracked()), words)
    }

    fn raise(&self, source: Operand<'_, Self::Buffer>, target: Shape) -> Self::Buffer {
        self.ledger.record(Counts::raise(source.shape.basis, target));
        self.track(self.inner.raise(source.untracked(), target), target.words())
    }

    fn weight_products(
        &self,
        weights: &IntegerMatrix,
        inputs: &[Pair<'_, Self::Buffer>],
        block: usize,
    ) -> Vec<[Self::Buffer; 2]> {
        let (counts, words, _) = weight_counts(weights.shape(), inputs, block);
        self.ledger.record(counts);
        let inputs: Vec<_> = inputs.iter().map(|halves| halves.map(Operand::untracked)).collect();
        let products = self.inner.weight_products(weights, &inputs, block);
        products.into_iter().map(|halves| halves.map(|half| self.track(half, words))).collect()
    }

    fn stride_split(&self, source: Operand<'_, Self::Buffer>, parts: usize) -> Vec<Self::Buffer> {
        let words = source.shape.words();
        self.ledger.record(Counts::copy(words));
        let split = self.inner.stride_split(source.untracked(), parts);
        split.into_iter().map(|part| self.track(part, words / parts)).collect()
    }

    fn stride_merge(&self, parts: &[Operand<'_, Self::Buffer>]) -> Self::Buffer {
        let words = parts.iter().map(|part| part.shape.words()).sum();
        self.ledger.record(Counts::copy(words));
        let parts: Vec<_> = parts.iter().map(|part| part.untracked()).collect();
        self.track(self.inner.stride_merge(&parts), words)
    }

    fn lane_products(
        &self,
        left: &[Pair<'_, Self::Buffer>],
        right: &[Pair<'_, Self::Buffer>],
        rows: usize,
    ) -> Vec<[[Self::Buffer; 2]; 2]> {
        self.ledger.record(lane_counts(left, rows));
        let words = left.first().map_or(0, |[half, _]| half.shape.words());
        let [left, right] =
            [left, right].map(|pairs| pairs.iter().map(|pair| pair.map(Operand::untracked)).collect::<Vec<_>>());
        let products = self.inner.lane_products(&left, &right, rows);
        let track = |halves: [B::Buffer; 2]| halves.map(|half| self.track(half, words));
        products.into_iter().map(|parts| parts.map(track)).collect()
    }

    fn module_rows(
        &self,
        ciphertexts: &[[Operand<'_, Self::Buffer>; 2]],
        group: usize,
        tokens: usize,
    ) -> [Self::Buffer; 2] {
        let degree = ciphertexts.first().map_or(0, |[b, _]| b.shape.ring.degree());
        let [b, a] = MatrixShape::of_module_rows(ciphertexts.len(), degree, tokens).map(MatrixShape::words);
        self.ledger.record(Counts::copy(a + b));
        let ciphertexts: Vec<_> = ciphertexts.iter().map(|halves| halves.map(Operand::untracked)).collect();
        let [rows_b, rows_a] = self.inner.module_rows(&ciphertexts, group, tokens);
        [self.track(rows_b, b), self.track(rows_a, a)]
    }

    fn module_product(
        &self,
        weights: &IntegerMatrix,
        ciphertexts: &[[Operand<'_, Self::Buffer>; 2]],
        group: usize,
        tokens: usize,
    ) -> [Self::Buffer; 2] {
        let degree = ciphertexts.first().map_or(0, |[b, _]| b.shape.ring.degree());
        let rows = weights.shape().rows;
        self.ledger.record(Counts::module_product(rows, ciphertexts.len(), degree, tokens));
        let ciphertexts: Vec<_> = ciphertexts.iter().map(|halves| halves.map(Operand::untracked)).collect();
        let [b, a] = self.inner.module_product(weights, &ciphertexts, group, tokens);
        [self.track(b, rows * tokens), self.track(a, rows * degree)]
    }

    fn integer_product(&self, weights: &IntegerMatrix, matrix: &Self::Buffer, shape: MatrixShape) -> Self::Buffer {
        self.ledger.record(Counts::integer_product(weights.shape().rows, shape));
        let product = self.inner.integer_product(weights, &matrix.inner, shape);
        self.track(product, weights.shape().rows * shape.columns)
    }

    fn gather_rows(
        &self,
        b: (&Self::Buffer, MatrixShape),
        a: (&Self::Buffer, MatrixShape),
        first: usize,
        ring: Ring,
    ) -> (Self::Buffer, Vec<Self::Buffer>) {
        let rank = a.1.columns / b.1.columns;
        self.ledger.record(Counts::copy((1 + rank) * ring.degree()));
        let (gathered_b, gathered_a) = self.inner.gather_rows((&b.0.inner, b.1), (&a.0.inner, a.1), first, ring);
        let track = |buffer| self.track(buffer, ring.degree());
        (track(gathered_b), gathered_a.into_iter().map(track).collect())
    }
}
