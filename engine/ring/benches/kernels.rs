//! The kernels that bootstrapping is made of, at the real degree: `cargo bench -p fhe-ring`.
//!
//! Set `RAYON_NUM_THREADS=1` for one-thread figures of the multi-limb kernels; `ntt/forward` and `ntt/inverse` are one
//! limb on one thread in any case.

#![allow(missing_docs, reason = "criterion generates undocumented functions")]

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fhe_ring::{
    Backend, Basis, Cpu, GadgetInput, GaloisElement, HoistedInput, HoistedSum, InstructionSet, KeyedAutomorphism,
    Modulus, Operand, Pair, PrimeChain, Ring, Shape, ntt::NumberTheoreticTransform, primes::primes_below,
};
use support::{LOG_DEGREE, chain, fill, words};

fn transforms(c: &mut Criterion) {
    let mut group = c.benchmark_group("ntt");
    for (name, ring) in [("", Ring::cyclotomic(16)), ("conjugate-invariant/", Ring::conjugate_invariant(16))] {
        for bits in [50, 42] {
            let prime = primes_below(1 << bits, 1 << 18).next().expect("there are many");
            let modulus = Modulus::new(prime).expect("a prime");
            // A backend's buffer, because its alignment matters: vectors that straddle cache lines cost a quarter.
            let backend = Cpu::new(PrimeChain::new(vec![prime], vec![], LOG_DEGREE).expect("one prime is a chain"));
            let mut limb = fill(&backend, Shape::coefficient(ring, Basis::prefix(1)), 1);
            let suffix = if bits == 50 { "" } else { "/42-bit" };
            for instructions in InstructionSet::available().rev() {
                let transform = NumberTheoreticTransform::new(ring, &modulus, instructions).expect("1 modulo 4N");
                let fastest = instructions == InstructionSet::detect();
                let suffix = if fastest { suffix.to_string() } else { format!("{suffix}/{instructions}") };
                group
                    .bench_function(format!("{name}forward/2^16{suffix}"), |b| b.iter(|| transform.forward(&mut limb)));
                group
                    .bench_function(format!("{name}inverse/2^16{suffix}"), |b| b.iter(|| transform.inverse(&mut limb)));
            }
        }
    }
    let backend = Cpu::new(chain());
    let shape = Shape::coefficient(Ring::cyclotomic(LOG_DEGREE), Basis::of(14..30));
    let mut buffer = fill(&backend, shape, 1);
    group.throughput(Throughput::Elements(16));
    group.bench_function("batch16", |b| b.iter(|| backend.forward(&mut buffer, shape)));
    group.finish();
}

fn base_conversion(c: &mut Criterion) {
    let backend = Cpu::new(chain());
    let ring = Ring::cyclotomic(LOG_DEGREE);
    let mut group = c.benchmark_group("base-conversion");
    group.sample_size(20);
    // Six primes to thirty, transforms included: one digit of width six with six special primes.
    let shape = Shape::evaluation(ring, Basis::prefix(30));
    let source = fill(&backend, shape, 1);
    let operand = Operand { buffer: &source, shape };
    let [sixes, eights] = [6, 8].map(|width| shape.basis.groups_of(width));
    group.bench_function("mod-up/30+6/5-digits", |b| b.iter(|| backend.mod_up(operand, &sixes, 6)));
    group.bench_function("mod-up/30+8/4-digits", |b| b.iter(|| backend.mod_up(operand, &eights, 8)));
    let wide = Shape::evaluation(ring, Basis::prefix(30).with_special(6));
    let source = fill(&backend, wide, 2);
    let operand = Operand { buffer: &source, shape: wide };
    group.bench_function("mod-down/30+6", |b| b.iter(|| backend.mod_down(operand, false)));
    group.bench_function("mod-down-rescale/30+6", |b| b.iter(|| backend.mod_down(operand, true)));
    let one = Shape::coefficient(ring, Basis::prefix(1));
    let source = fill(&backend, one, 3);
    let operand = Operand { buffer: &source, shape: one };
    group.bench_function("raise/30", |b| b.iter(|| backend.raise(operand, shape)));
    group.finish();
}

/// Digits of so many ciphertexts and rows of so many keys: 30 + 8 limbs in four digits.
struct KeySwitching {
    backend: Cpu,
    shape: Shape,
    digits: Vec<<Cpu as Backend>::Buffer>,
    rows: Vec<[<Cpu as Backend>::Buffer; 2]>,
}

impl KeySwitching {
    const DIGITS: usize = 4;
    const LIMBS: usize = 38;

    fn new(batch: usize, keys: usize) -> Self {
        let backend = Cpu::new(chain());
        let shape = Shape::evaluation(Ring::cyclotomic(LOG_DEGREE), Basis::prefix(30).with_special(8));
        let fill = |seed| fill(&backend, shape, seed);
        let digits = (0..batch * Self::DIGITS).map(|i| fill(i as u64)).collect();
        let rows = (50..).take(keys * Self::DIGITS).map(|row| [2 * row, 2 * row + 1].map(fill)).collect();
        Self { digits, rows, shape, backend }
    }

    fn operand<'a>(&self, buffer: &'a <Cpu as Backend>::Buffer) -> Operand<'a, <Cpu as Backend>::Buffer> {
        Operand { buffer, shape: self.shape }
    }

    /// The digits, ciphertext by ciphertext.
    fn digits(&self) -> impl Iterator<Item = Vec<Operand<'_, <Cpu as Backend>::Buffer>>> {
        self.digits.chunks(Self::DIGITS).map(|digits| digits.iter().map(|digit| self.operand(digit)).collect())
    }

    /// The rows, key by key.
    fn keys<'a>(&'a self) -> impl Iterator<Item = Vec<Pair<'a, <Cpu as Backend>::Buffer>>> {
        let row = |row: &'a [_; 2]| row.each_ref().map(|half| self.operand(half));
        self.rows.chunks(Self::DIGITS).map(move |key| key.iter().map(row).collect())
    }
}

fn gadget_product(c: &mut Criterion) {
    let mut group = c.benchmark_group("gadget-product/30+8/4-digits");
    group.sample_size(20);
    for batch in [1, 4] {
        let bench = KeySwitching::new(batch, 1);
        let inputs: Vec<_> = bench.digits().map(|digits| GadgetInput { digits, addends: [None, None] }).collect();
        let rows = bench.keys().next().expect("one key");
        let key_bytes = (2 * KeySwitching::DIGITS * KeySwitching::LIMBS * 8) << LOG_DEGREE;
        group.throughput(Throughput::Bytes(key_bytes as u64));
        group.bench_function(format!("batch{batch}"), |b| b.iter(|| bench.backend.gadget_product(&inputs, &rows)));
    }
    group.finish();
}

/// Eight rotations, the identity among them, in four sums of eight products; every key and factor its own.
fn hoisted_sums(c: &mut Criterion) {
    const ROTATIONS: usize = 8;
    const SUMS: usize = 4;
    let mut group = c.benchmark_group("hoisted-sums/30+8/4-digits");
    group.sample_size(10);
    for batch in [1, 4] {
        let bench = KeySwitching::new(batch, ROTATIONS - 1);
        let KeySwitching { backend, shape, .. } = &bench;
        let unextended = shape.with_basis(shape.basis.without_special());
        let halves = [1000, 1001].map(|seed| fill(backend, unextended, seed));
        let ciphertext = halves.each_ref().map(|buffer| Operand { buffer, shape: unextended });
        let inputs: Vec<_> = bench.digits().map(|digits| HoistedInput { digits, ciphertext }).collect();
        let automorphisms: Vec<_> = (std::iter::once(Vec::new()).chain(bench.keys()).enumerate())
            .map(|(steps, rows)| KeyedAutomorphism { element: GaloisElement::rotation(shape.ring, steps as i64), rows })
            .collect();
        let factors: Vec<_> = (2000..).take(ROTATIONS * SUMS).map(|seed| fill(backend, *shape, seed)).collect();
        let sums: Vec<HoistedSum<'_, _>> = (factors.chunks(ROTATIONS))
            .map(|factors| factors.iter().map(|factor| bench.operand(factor)).enumerate().collect())
            .collect();
        let words = (2 * KeySwitching::DIGITS * (ROTATIONS - 1) + ROTATIONS * SUMS) * KeySwitching::LIMBS;
        group.throughput(Throughput::Bytes((words as u64 * 8) << LOG_DEGREE));
        group.bench_function(format!("batch{batch}"), |b| {
            b.iter(|| backend.hoisted_sums(&inputs, &automorphisms, &sums));
        });
    }
    group.finish();
}

fn element_wise(c: &mut Criterion) {
    let backend = Cpu::new(chain());
    let shape = Shape::evaluation(Ring::cyclotomic(LOG_DEGREE), Basis::prefix(30));
    let [x, y] = [1, 2].map(|seed| fill(&backend, shape, seed));
    let (left, right) = (Operand { buffer: &x, shape }, Operand { buffer: &y, shape });
    let mut target = fill(&backend, shape, 3);
    let mut group = c.benchmark_group("element-wise/30");
    group.sample_size(20);
    group.bench_function("add", |b| b.iter(|| backend.add_assign(&mut target, left)));
    group.bench_function("multiply", |b| b.iter(|| backend.multiply(left, right)));
    group.bench_function("multiply-accumulate", |b| b.iter(|| backend.multiply_accumulate(&mut target, left, right)));
    group.bench_function("tensor", |b| b.iter(|| backend.tensor([left, right], [right, left])));
    let terms: Vec<_> = [left, right].map(|term| (term, vec![12345; 30])).into_iter().cycle().take(8).collect();
    group.bench_function("linear-combination/8", |b| b.iter(|| backend.linear_combination(&terms, shape)));
    let element = GaloisElement::rotation(shape.ring, 5);
    group.bench_function("automorphism", |b| b.iter(|| backend.automorphism(left, element)));
    group.bench_function("monomial", |b| b.iter(|| backend.multiply_monomial(left, 1 << 15)));
    group.bench_function("trace", |b| b.iter(|| backend.trace(left, right, true)));
    let real = Shape { ring: Ring::conjugate_invariant(LOG_DEGREE), ..shape };
    let source = fill(&backend, real, 4);
    let operand = Operand { buffer: &source, shape: real };
    group.bench_function("parity-split", |b| b.iter(|| backend.parity_split(operand)));
    group.finish();
}

fn integer_product(c: &mut Criterion) {
    use fhe_ring::{IntegerMatrix, MatrixShape};
    let backend = Cpu::new(chain());
    let (rows, inner, columns) = (512, 512, 4096);
    let weights = words(1, rows * inner, 1 << 13).into_iter().map(|w| w as i16 - (1 << 12)).collect();
    let weights = IntegerMatrix::new(MatrixShape { rows, columns: inner }, weights).expect("the sizes agree");
    let matrix = fill(&backend, Shape::coefficient(Ring::cyclotomic(21), Basis::prefix(1)), 2);
    assert_eq!(matrix.len(), inner * columns);
    let mut group = c.benchmark_group("integer-product");
    group.sample_size(10);
    group.throughput(Throughput::Elements((rows * inner * columns) as u64));
    let shape = MatrixShape { rows: inner, columns };
    group.bench_function("512x512x4096", |b| b.iter(|| backend.integer_product(&weights, &matrix, shape)));
    group.finish();
}

/// Two matrices of 128 x 128 in each of 32 lanes: a product of attention, at two primes.
fn lane_products(c: &mut Criterion) {
    const ROWS: usize = 128;
    let mut group = c.benchmark_group("lane-products");
    group.sample_size(20);
    let [large, small] = [50, 42].map(|bits| primes_below(1 << bits, 4 << 13).next().expect("there are many"));
    let backend = Cpu::new(PrimeChain::new(vec![large, small], vec![], 13).expect("two primes are a chain"));
    let shape = Shape::coefficient(Ring::cyclotomic(13), Basis::prefix(2));
    let halves: Vec<_> = (0..4 * ROWS as u64).map(|seed| fill(&backend, shape, seed)).collect();
    let pairs: Vec<Pair<'_, _>> =
        halves.chunks(2).map(|pair| [0, 1].map(|half| Operand { buffer: &pair[half], shape })).collect();
    let (left, right) = pairs.split_at(ROWS);
    group.throughput(Throughput::Elements((2 * 4 * 64 * ROWS * ROWS * ROWS) as u64));
    group.bench_function("128x128x128/64-points/2-primes", |b| b.iter(|| backend.lane_products(left, right, ROWS)));
    group.finish();
}

/// The module rows of eight ciphertexts of degree 2^16 at 128 tokens, split to degree 2^12.
fn module_product(c: &mut Criterion) {
    use fhe_ring::{IntegerMatrix, MatrixShape};
    let backend = Cpu::new(chain());
    let shape = Shape::coefficient(Ring::cyclotomic(12), Basis::prefix(1));
    let ciphertexts: Vec<_> = (0..256).map(|seed| fill(&backend, shape, seed)).collect();
    let ciphertexts: Vec<_> =
        ciphertexts.chunks_exact(2).map(|pair| [0, 1].map(|half| Operand { buffer: &pair[half], shape })).collect();
    let (rows, columns) = (512, 4096);
    let weights = words(1, rows * columns, 1 << 13).into_iter().map(|w| w as i16 - (1 << 12)).collect();
    let weights = IntegerMatrix::new(MatrixShape { rows, columns }, weights).expect("the sizes agree");
    let mut group = c.benchmark_group("module-product");
    group.sample_size(10);
    group.throughput(Throughput::Elements((rows * columns) as u64));
    group.bench_function("512x4096", |b| b.iter(|| backend.module_product(&weights, &ciphertexts, 16, 128)));
    group.finish();
}

criterion_group!(
    benches,
    transforms,
    base_conversion,
    gadget_product,
    hoisted_sums,
    element_wise,
    integer_product,
    module_product,
    lane_products
);
criterion_main!(benches);
