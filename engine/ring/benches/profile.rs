//! `cargo bench -p fhe-ring --bench profile`: the constants of a `DeviceProfile` for this machine, fitted to kernels of real size.
//!
//! Times every kernel that bootstrapping is made of, takes its counts from `Counting`, measures how fast memory is read, and solves
//! for non-negative constants of the arithmetic that make the relative errors small. Prints them in the units of `profile.rs`, and how far each kernel is from its prediction.
//! `RAYON_NUM_THREADS` sets the threads. About 5 GiB and two minutes.
#![allow(missing_docs)]

mod support;

use std::{hint::black_box, time::Instant};

use fhe_ring::{
    Backend, Basis, Counting, Counts, Cpu, DeviceProfile, GadgetInput, GaloisElement, HoistedInput, HoistedSum,
    IntegerMatrix, KeyedAutomorphism, MatrixShape, Operand, Ring, Shape,
};
use rayon::prelude::*;
use support::{LOG_DEGREE, chain, fill, words};

type Machine = Counting<Cpu>;
type Buffer = <Machine as Backend>::Buffer;

/// Runs of a kernel, of which the median counts.
const RUNS: usize = 15;
const DIGITS: usize = 4;
const ROTATIONS: usize = 8;
const SUMS: usize = 4;

/// A kernel that was timed.
struct Sample {
    name: String,
    counts: Counts,
    seconds: f64,
}

fn main() {
    let backend = Counting::new(Cpu::new(chain()));
    let mut samples = Vec::new();
    transforms_and_conversions(&backend, &mut samples);
    element_wise(&backend, &mut samples);
    for batch in [1, 4] {
        key_switching(&backend, batch, &mut samples);
    }
    integer_product(&backend, &mut samples);
    lane_products(&backend, &mut samples);
    subring_sums(&backend, &mut samples);

    let threads = rayon::current_num_threads() as u32;
    let profile = fit(&samples, threads, memory_bandwidth());
    println!("{threads} threads, {:.1} GB/s of keys, factors and polynomials", profile.memory_bandwidth / 1e9);
    let limb = f64::from(1u32 << LOG_DEGREE);
    for (name, seconds) in [
        ("transform", profile.butterfly * limb / 2.0 * f64::from(LOG_DEGREE)),
        ("limb of base-conversion MACs", profile.base_conversion_mac * limb),
        ("limb of gadget MACs", profile.gadget_mac * limb),
        ("limb of product MACs", profile.product_mac * limb),
        ("limb of element-wise words", profile.elementwise_word * limb),
        ("limb of copied words", profile.copied_word * limb),
        ("limb of integer-product MACs", profile.integer_mac * limb),
        ("limb of lane-product MACs", profile.lane_mac * limb),
        ("limb of structured-product MACs", profile.structured_mac * limb),
    ] {
        println!("{:8.2} us per {name}", seconds * 1e6);
    }
    for sample in &samples {
        let ratio = profile.predict(&sample.counts) / sample.seconds;
        println!("{:28} {:9.3} ms, predicted {ratio:.2} of it", sample.name, sample.seconds * 1e3);
    }
}

fn time(backend: &Machine, samples: &mut Vec<Sample>, name: &str, mut run: impl FnMut()) {
    (0..3).for_each(|_| run());
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let before = backend.counts();
    run();
    let counts = backend.counts() - before;
    samples.push(Sample { name: name.to_owned(), counts, seconds: seconds[RUNS / 2] });
}

fn operand(buffer: &Buffer, shape: Shape) -> Operand<'_, Buffer> {
    Operand { buffer, shape }
}

fn transforms_and_conversions(backend: &Machine, samples: &mut Vec<Sample>) {
    let ring = Ring::cyclotomic(LOG_DEGREE);
    let plain = Shape::evaluation(ring, Basis::prefix(30));
    let extended = plain.extended(8);
    let mut x = fill(backend, plain, 1);
    time(backend, samples, "forward", || backend.forward(&mut x, plain));
    time(backend, samples, "inverse", || backend.inverse(&mut x, plain));
    for special in [6, 8] {
        let groups = plain.basis.groups_of(special);
        let name = format!("mod_up, {} digits", groups.len());
        time(backend, samples, &name, || drop(backend.mod_up(operand(&x, plain), &groups, special)));
    }
    let wide = fill(backend, extended, 2);
    time(backend, samples, "mod_down", || drop(backend.mod_down(operand(&wide, extended), false)));
    time(backend, samples, "mod_down, rescale", || drop(backend.mod_down(operand(&wide, extended), true)));
    time(backend, samples, "rescale", || drop(backend.rescale(operand(&x, plain))));
    let one = Shape::coefficient(ring, Basis::prefix(1));
    let lowest = fill(backend, one, 3);
    time(backend, samples, "raise", || drop(backend.raise(operand(&lowest, one), plain)));
}

/// Operands in turn, so many that none is still in a cache, as in a circuit.
fn element_wise(backend: &Machine, samples: &mut Vec<Sample>) {
    const TURNS: usize = 4;
    let ring = Ring::cyclotomic(LOG_DEGREE);
    let shape = Shape::evaluation(ring, Basis::prefix(30));
    let mut targets = [0; TURNS].map(|seed| fill(backend, shape, seed));
    let operands: Vec<_> = (1..=3 * TURNS).map(|seed| fill(backend, shape, seed as u64)).collect();
    let turns: Vec<[_; 3]> = operands.chunks(3).map(|x| [0, 1, 2].map(|i| operand(&x[i], shape))).collect();
    let constants: Vec<u64> = backend.primes().moduli(shape.basis).map(|prime| prime.value() / 3).collect();
    let element = GaloisElement::rotation(ring, 3);
    let mut turn = 0;
    let mut next = || {
        turn = (turn + 1) % TURNS;
        turn
    };
    time(backend, samples, "add", || {
        let turn = next();
        backend.add_assign(&mut targets[turn], turns[turn][0]);
    });
    time(backend, samples, "scale", || backend.scale(&mut targets[next()], shape, &constants));
    time(backend, samples, "multiply_accumulate", || {
        let turn = next();
        backend.multiply_accumulate(&mut targets[turn], turns[turn][0], turns[turn][1]);
    });
    let mut pure = |name, run: &dyn Fn([Operand<'_, Buffer>; 3])| time(backend, samples, name, || run(turns[next()]));
    pure("multiply", &|[x, y, _]| drop(backend.multiply(x, y)));
    pure("tensor", &|[x, y, z]| drop(black_box(backend.tensor([x, y], [y, z]))));
    let combine = |terms: [Operand<'_, Buffer>; 3]| {
        let terms = terms.map(|term| (term, constants.clone()));
        drop(backend.linear_combination(&terms, shape));
    };
    pure("linear_combination", &combine);
    pure("automorphism", &|[x, ..]| drop(backend.automorphism(x, element)));
    pure("restrict", &|[x, ..]| drop(backend.restrict(x, shape)));
}

fn key_switching(backend: &Machine, batch: usize, samples: &mut Vec<Sample>) {
    let ring = Ring::cyclotomic(LOG_DEGREE);
    let plain = Shape::evaluation(ring, Basis::prefix(30));
    let shape = plain.extended(8);
    let digits: Vec<_> = (0..batch * DIGITS).map(|seed| fill(backend, shape, seed as u64)).collect();
    let digits: Vec<Vec<_>> =
        digits.chunks(DIGITS).map(|digits| digits.iter().map(|digit| operand(digit, shape)).collect()).collect();
    let rows: Vec<[Buffer; 2]> = (50..)
        .take((ROTATIONS - 1) * DIGITS)
        .map(|row| [2 * row, 2 * row + 1].map(|seed| fill(backend, shape, seed)))
        .collect();
    let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(|half| operand(half, shape))).collect();

    let inputs: Vec<_> =
        digits.iter().map(|digits| GadgetInput { digits: digits.clone(), addends: [None, None] }).collect();
    let name = format!("gadget_product of {batch}");
    time(backend, samples, &name, || drop(backend.gadget_product(&inputs, &rows[..DIGITS])));

    let halves = [1000, 1001].map(|seed| fill(backend, plain, seed));
    let ciphertext = halves.each_ref().map(|half| operand(half, plain));
    let inputs: Vec<_> = digits.iter().map(|digits| HoistedInput { digits: digits.clone(), ciphertext }).collect();
    let automorphisms: Vec<_> = (std::iter::once(Vec::new()).chain(rows.chunks(DIGITS).map(<[_]>::to_vec)).enumerate())
        .map(|(steps, rows)| KeyedAutomorphism { element: GaloisElement::rotation(ring, steps as i64), rows })
        .collect();
    let factors: Vec<_> = (2000..).take(ROTATIONS * SUMS).map(|seed| fill(backend, shape, seed)).collect();
    let sums: Vec<HoistedSum<'_, _>> = (factors.chunks(ROTATIONS))
        .map(|factors| factors.iter().map(|factor| operand(factor, shape)).enumerate().collect())
        .collect();
    let name = format!("hoisted_sums of {batch}");
    time(backend, samples, &name, || drop(backend.hoisted_sums(&inputs, &automorphisms, &sums)));
}

fn integer_product(backend: &Machine, samples: &mut Vec<Sample>) {
    let (rows, inner, columns) = (512, 512, 4096);
    let weights = words(1, rows * inner, 1 << 13).into_iter().map(|w| w as i16 - (1 << 12)).collect();
    let weights = IntegerMatrix::new(MatrixShape { rows, columns: inner }, weights).expect("the sizes agree");
    let matrix = fill(backend, Shape::coefficient(Ring::cyclotomic(21), Basis::prefix(1)), 2);
    let shape = MatrixShape { rows: inner, columns };
    time(backend, samples, "integer_product", || drop(backend.integer_product(&weights, &matrix, shape)));

    // Rank 32, which leaves 128 tokens.
    let small = Shape::coefficient(Ring::cyclotomic(12), Basis::prefix(1));
    let halves: Vec<_> = (0..2 * inner / 32).map(|seed| fill(backend, small, seed as u64)).collect();
    let ciphertexts: Vec<_> =
        halves.chunks_exact(2).map(|pair| [0, 1].map(|half| operand(&pair[half], small))).collect();
    time(backend, samples, "module_product", || drop(backend.module_product(&weights, &ciphertexts, 16, 128)));
}

/// Two matrices of 128 x 128 in each of 32 lanes.
fn lane_products(backend: &Machine, samples: &mut Vec<Sample>) {
    const ROWS: usize = 128;
    let shape = Shape::coefficient(Ring::cyclotomic(13), Basis::prefix(2));
    let halves: Vec<_> = (0..4 * ROWS as u64).map(|seed| fill(backend, shape, seed)).collect();
    let pairs: Vec<_> = halves.chunks(2).map(|pair| [0, 1].map(|half| operand(&pair[half], shape))).collect();
    let (left, right) = pairs.split_at(ROWS);
    time(backend, samples, "lane_products", || drop(backend.lane_products(left, right, ROWS)));
}

/// As many ciphertexts as rotations of 128 queries, times factors of degree 2^10.
fn subring_sums(backend: &Machine, samples: &mut Vec<Sample>) {
    const INPUTS: usize = 248;
    const SUMS: usize = 32;
    let shape = Shape::evaluation(Ring::conjugate_invariant(16), Basis::prefix(3));
    let subring = Shape::evaluation(Ring::conjugate_invariant(10), shape.basis);
    let halves: Vec<_> = (0..4).map(|seed| fill(backend, shape, seed)).collect();
    let numbers: Vec<_> = (0..7).map(|seed| fill(backend, subring, seed)).collect();
    let inputs: Vec<_> = (0..INPUTS).map(|i| [0, 1].map(|half| operand(&halves[(i + half) % 4], shape))).collect();
    let factors: Vec<Vec<_>> =
        (0..SUMS).map(|sum| (0..INPUTS).map(|i| operand(&numbers[(sum + i) % 7], subring)).collect()).collect();
    time(backend, samples, "subring_sums", || drop(backend.subring_sums(&inputs, &factors)));
}

/// Bytes per second that all threads together read from memory.
fn memory_bandwidth() -> f64 {
    let words: Vec<u64> = vec![1; 1 << 27];
    let rate = |_| {
        let start = Instant::now();
        black_box(words.par_chunks(1 << 18).map(|chunk| chunk.iter().sum::<u64>()).sum::<u64>());
        (words.len() * size_of::<u64>()) as f64 / start.elapsed().as_secs_f64()
    };
    let mut rates: Vec<f64> = (0..RUNS).map(rate).collect();
    rates.sort_by(f64::total_cmp);
    rates[RUNS / 2]
}

/// Non-negative constants of the arithmetic, by coordinate descent on the squares of relative errors, beside the bandwidth.
fn fit(samples: &[Sample], threads: u32, memory_bandwidth: f64) -> DeviceProfile {
    const CONSTANTS: usize = 9;
    let rows: Vec<([f64; CONSTANTS], f64)> = (samples.iter())
        .map(|Sample { counts, seconds, .. }| {
            let amounts = [
                counts.butterflies,
                counts.base_conversion_macs,
                counts.gadget_macs,
                counts.product_macs,
                counts.elementwise_words,
                counts.copied_words,
                counts.integer_product_macs,
                counts.lane_product_macs,
                counts.structured_product_macs,
            ];
            let moved = counts.moved_bytes() as f64 / memory_bandwidth;
            (amounts.map(|amount| amount as f64 / f64::from(threads) / seconds), 1.0 - moved / seconds)
        })
        .collect();
    let mut constants = [0.0f64; CONSTANTS];
    for _ in 0..20_000 {
        for index in 0..CONSTANTS {
            let (mut gradient, mut curvature) = (0.0, 0.0);
            for (amounts, rest) in &rows {
                let others = amounts.iter().zip(&constants).map(|(amount, constant)| amount * constant).sum::<f64>()
                    - amounts[index] * constants[index];
                gradient += amounts[index] * (rest - others);
                curvature += amounts[index] * amounts[index];
            }
            constants[index] = (gradient / curvature).max(0.0);
        }
    }
    let [
        butterfly,
        base_conversion_mac,
        gadget_mac,
        product_mac,
        elementwise_word,
        copied_word,
        integer_mac,
        lane_mac,
        structured_mac,
    ] = constants;
    DeviceProfile {
        name: "this machine",
        threads,
        butterfly,
        base_conversion_mac,
        gadget_mac,
        product_mac,
        elementwise_word,
        copied_word,
        integer_mac,
        lane_mac,
        structured_mac,
        encoded_byte: 0.0,
        memory_bandwidth,
    }
}
