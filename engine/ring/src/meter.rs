//! A backend that holds no data and accounts for what it is asked to do.

use std::sync::Arc;

use crate::{
    Allocation, Backend, Basis, Counts, GadgetInput, GaloisElement, HoistedInput, HoistedSum, IntegerMatrix,
    KeyedAutomorphism, MatrixShape, Operand, Pair, PrimeChain, Ring, Shape,
    counts::{gadget_counts, hoisted_counts, lane_counts, subring_counts, weight_counts},
    ledger::Ledger,
};

/// Runs a program without its arithmetic: the same [`Counts`] and the same bytes alive as [`crate::Counting`] around a
/// real backend, in microseconds. Needs no weights, no keys' contents, no inputs. Clones share the account.
#[derive(Clone)]
pub struct Meter {
    primes: PrimeChain,
    ledger: Arc<Ledger>,
}

impl Meter {
    /// An empty account over a chain of primes.
    pub fn new(primes: PrimeChain) -> Self {
        Self { primes, ledger: Arc::default() }
    }

    /// The work since the beginning. The work of a phase is the difference of two readings.
    pub fn counts(&self) -> Counts {
        self.ledger.counts()
    }

    /// Bytes that the buffers alive now would take.
    pub fn live_bytes(&self) -> u64 {
        self.ledger.live_bytes()
    }

    /// Most bytes alive at once since the beginning or the last [`Meter::restart_peak`].
    pub fn peak_bytes(&self) -> u64 {
        self.ledger.peak_bytes()
    }

    /// Lowers the peak to what is alive now, at the start of a phase.
    pub fn restart_peak(&self) {
        self.ledger.restart_peak();
    }

    fn produce(&self, counts: Counts, words: usize) -> Allocation {
        self.ledger.record(counts);
        self.ledger.allocate(words)
    }
}

impl Backend for Meter {
    type Buffer = Allocation;

    const HOLDS_DATA: bool = false;

    fn primes(&self) -> &PrimeChain {
        &self.primes
    }

    fn zeros(&self, shape: Shape) -> Allocation {
        self.ledger.allocate(shape.words())
    }

    fn upload(&self, shape: Shape, _fill: &mut dyn FnMut(&mut [u64])) -> Allocation {
        self.produce(Counts::upload(shape), shape.words())
    }

    fn upload_signed(&self, shape: Shape, _coefficients: &[i64]) -> Allocation {
        self.produce(Counts::upload(shape), shape.words())
    }

    fn download(&self, _source: Operand<'_, Allocation>) -> Option<Vec<u64>> {
        None
    }

    fn restrict(&self, _source: Operand<'_, Allocation>, target: Shape) -> Allocation {
        self.produce(Counts::copy(target.words()), target.words())
    }

    fn forward(&self, _buffer: &mut Allocation, shape: Shape) {
        self.ledger.record(Counts::forward(shape));
    }

    fn inverse(&self, _buffer: &mut Allocation, shape: Shape) {
        self.ledger.record(Counts::inverse(shape));
    }

    fn add_assign(&self, _target: &mut Allocation, other: Operand<'_, Allocation>) {
        self.ledger.record(Counts::elementwise(other.shape));
    }

    fn subtract_assign(&self, _target: &mut Allocation, other: Operand<'_, Allocation>) {
        self.ledger.record(Counts::elementwise(other.shape));
    }

    fn negate(&self, _target: &mut Allocation, shape: Shape) {
        self.ledger.record(Counts::elementwise(shape));
    }

    fn multiply(&self, left: Operand<'_, Allocation>, _right: Operand<'_, Allocation>) -> Allocation {
        self.produce(Counts::multiply(left.shape), left.shape.words())
    }

    fn multiply_accumulate(
        &self,
        _target: &mut Allocation,
        left: Operand<'_, Allocation>,
        _right: Operand<'_, Allocation>,
    ) {
        self.ledger.record(Counts::multiply_accumulate(left.shape));
    }

    fn linear_combination(&self, terms: &[(Operand<'_, Allocation>, Vec<u64>)], target: Shape) -> Allocation {
        self.produce(Counts::linear_combination(target, terms.len()), target.words())
    }

    fn subring_sums(
        &self,
        inputs: &[Pair<'_, Allocation>],
        factors: &[Vec<Operand<'_, Allocation>>],
    ) -> Vec<[Allocation; 2]> {
        self.ledger.record(subring_counts(inputs, factors));
        let words = inputs.first().map_or(0, |input| input[0].shape.words());
        factors.iter().map(|_| [0; 2].map(|_| self.ledger.allocate(words))).collect()
    }

    fn tensor(&self, left: Pair<'_, Allocation>, _right: Pair<'_, Allocation>) -> [Allocation; 3] {
        self.ledger.record(Counts::tensor(left[0].shape));
        [0; 3].map(|_| self.ledger.allocate(left[0].shape.words()))
    }

    fn scale(&self, _target: &mut Allocation, shape: Shape, _constants: &[u64]) {
        self.ledger.record(Counts::elementwise(shape));
    }

    fn add_constant(&self, _target: &mut Allocation, shape: Shape, _constants: &[u64]) {
        self.ledger.record(Counts::elementwise(shape));
    }

    fn automorphism(&self, source: Operand<'_, Allocation>, _element: GaloisElement) -> Allocation {
        self.produce(Counts::automorphism(source.shape), source.shape.words())
    }

    fn automorphism_accumulate(
        &self,
        _target: &mut Allocation,
        source: Operand<'_, Allocation>,
        _element: GaloisElement,
    ) {
        self.ledger.record(Counts::automorphism(source.shape) + Counts::elementwise(source.shape));
    }

    fn multiply_monomial(&self, source: Operand<'_, Allocation>, _exponent: usize) -> Allocation {
        self.produce(Counts::elementwise(source.shape), source.shape.words())
    }

    fn trace(&self, even: Operand<'_, Allocation>, _odd: Operand<'_, Allocation>, _turned: bool) -> Allocation {
        self.produce(Counts::linear_combination(even.shape, 2), even.shape.words())
    }

    fn parity_split(&self, source: Operand<'_, Allocation>) -> [Allocation; 2] {
        self.ledger.record(Counts::linear_combination(source.shape, 2));
        [0; 2].map(|_| self.ledger.allocate(source.shape.words()))
    }

    fn mod_up(&self, source: Operand<'_, Allocation>, groups: &[Basis], special: usize) -> Vec<(usize, Allocation)> {
        self.ledger.record(Counts::mod_up(source.shape, groups, special));
        let words = source.shape.extended(special).words();
        source.shape.basis.digits(groups).map(|(index, _)| (index, self.ledger.allocate(words))).collect()
    }

    fn gadget_product(
        &self,
        inputs: &[GadgetInput<'_, Allocation>],
        _rows: &[Pair<'_, Allocation>],
    ) -> Vec<[Allocation; 2]> {
        self.ledger.record(gadget_counts(inputs));
        let words = |input: &GadgetInput<'_, Allocation>| input.digits.first().map_or(0, |digit| digit.shape.words());
        inputs.iter().map(|input| [0; 2].map(|_| self.ledger.allocate(words(input)))).collect()
    }

    fn hoisted_sums(
        &self,
        inputs: &[HoistedInput<'_, Allocation>],
        automorphisms: &[KeyedAutomorphism<'_, Allocation>],
        sums: &[HoistedSum<'_, Allocation>],
    ) -> Vec<Vec<[Allocation; 2]>> {
        self.ledger.record(hoisted_counts(inputs, automorphisms, sums));
        let words = |input: &HoistedInput<'_, Allocation>| input.digits.first().map_or(0, |digit| digit.shape.words());
        let halves = |words| [0; 2].map(|_| self.ledger.allocate(words));
        inputs.iter().map(|input| sums.iter().map(|_| halves(words(input))).collect()).collect()
    }

    fn extend(&self, source: Operand<'_, Allocation>, special: usize) -> Allocation {
        self.produce(Counts::elementwise(source.shape), source.shape.extended(special).words())
    }

    fn mod_down(&self, source: Operand<'_, Allocation>, rescale: bool) -> Allocation {
        let words = source.shape.divided(rescale).words();
        self.produce(Counts::mod_down(source.shape, rescale), words)
    }

    fn rescale(&self, source: Operand<'_, Allocation>) -> Allocation {
        self.produce(Counts::rescale(source.shape), source.shape.divided(true).words())
    }

    fn raise(&self, source: Operand<'_, Allocation>, target: Shape) -> Allocation {
        self.produce(Counts::raise(source.shape.basis, target), target.words())
    }

    fn weight_products(
        &self,
        weights: &IntegerMatrix,
        inputs: &[Pair<'_, Allocation>],
        block: usize,
    ) -> Vec<[Allocation; 2]> {
        let (counts, words, results) = weight_counts(weights.shape(), inputs, block);
        self.ledger.record(counts);
        (0..results).map(|_| [0; 2].map(|_| self.ledger.allocate(words))).collect()
    }

    fn stride_split(&self, source: Operand<'_, Allocation>, parts: usize) -> Vec<Allocation> {
        let words = source.shape.words();
        self.ledger.record(Counts::copy(words));
        (0..parts).map(|_| self.ledger.allocate(words / parts)).collect()
    }

    fn stride_merge(&self, parts: &[Operand<'_, Allocation>]) -> Allocation {
        let words = parts.iter().map(|part| part.shape.words()).sum();
        self.produce(Counts::copy(words), words)
    }

    fn lane_products(
        &self,
        left: &[Pair<'_, Allocation>],
        _right: &[Pair<'_, Allocation>],
        rows: usize,
    ) -> Vec<[[Allocation; 2]; 2]> {
        self.ledger.record(lane_counts(left, rows));
        let Some([half, _]) = left.first() else { return Vec::new() };
        let words = half.shape.words();
        (0..rows).map(|_| [0; 2].map(|_| [0; 2].map(|_| self.ledger.allocate(words)))).collect()
    }

    fn module_rows(
        &self,
        ciphertexts: &[[Operand<'_, Allocation>; 2]],
        _group: usize,
        tokens: usize,
    ) -> [Allocation; 2] {
        let degree = ciphertexts.first().map_or(0, |[b, _]| b.shape.ring.degree());
        let [b, a] = MatrixShape::of_module_rows(ciphertexts.len(), degree, tokens).map(MatrixShape::words);
        self.ledger.record(Counts::copy(a + b));
        [self.ledger.allocate(b), self.ledger.allocate(a)]
    }

    fn module_product(
        &self,
        weights: &IntegerMatrix,
        ciphertexts: &[[Operand<'_, Allocation>; 2]],
        _group: usize,
        tokens: usize,
    ) -> [Allocation; 2] {
        let degree = ciphertexts.first().map_or(0, |[b, _]| b.shape.ring.degree());
        let rows = weights.shape().rows;
        self.ledger.record(Counts::module_product(rows, ciphertexts.len(), degree, tokens));
        [tokens, degree].map(|columns| self.ledger.allocate(rows * columns))
    }

    fn integer_product(&self, weights: &IntegerMatrix, _matrix: &Allocation, shape: MatrixShape) -> Allocation {
        let rows = weights.shape().rows;
        self.produce(Counts::integer_product(rows, shape), rows * shape.columns)
    }

    fn gather_rows(
        &self,
        b: (&Allocation, MatrixShape),
        a: (&Allocation, MatrixShape),
        _first: usize,
        ring: Ring,
    ) -> (Allocation, Vec<Allocation>) {
        let rank = a.1.columns / b.1.columns;
        self.ledger.record(Counts::copy((1 + rank) * ring.degree()));
        let allocate = || self.ledger.allocate(ring.degree());
        (allocate(), (0..rank).map(|_| allocate()).collect())
    }
}
