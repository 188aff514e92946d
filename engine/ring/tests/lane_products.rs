//! Matrix products of ciphertexts over a subring, and strided maps of several primes, against their definitions.

mod support;

use fhe_ring::{Backend, Basis, Cpu, Modulus, Poly, PrimeChain, Ring, Shape, Words, lane_products};
use proptest::prelude::*;
use rand::{Rng, rngs::StdRng};
use support::*;

/// Both halves of so many left and right ciphertexts.
struct Matrices {
    shape: Shape,
    rows: usize,
    /// Halves of the left, then of the right ciphertexts.
    halves: Vec<Vec<u64>>,
}

impl Matrices {
    fn new(shape: Shape, rows: usize, pairs: usize, mut words: impl FnMut() -> Vec<u64>) -> Self {
        Self { shape, rows, halves: (0..4 * pairs).map(|_| words()).collect() }
    }

    fn random(chain: &PrimeChain, shape: Shape, rows: usize, pairs: usize, rng: &mut StdRng) -> Self {
        Self::new(shape, rows, pairs, || random_residues(chain, shape, rng))
    }

    fn products(&self, backend: &Cpu) -> Vec<[[Words; 2]; 2]> {
        let buffers: Vec<_> = self.halves.iter().map(|half| upload(backend, self.shape, half)).collect();
        let pairs: Vec<_> = (buffers.chunks(2)).map(|half| [0, 1].map(|i| operand(&half[i], self.shape))).collect();
        let (left, right) = pairs.split_at(pairs.len() / 2);
        backend.lane_products(left, right, self.rows)
    }

    /// Coefficients of the row of a half modulo one prime.
    fn row(&self, half: usize, limb: usize, row: usize) -> Vec<u64> {
        row_of(&self.halves[half], self.shape, limb, self.rows, row)
    }

    /// `sum_c left_c[x][i] right_c[y][j]`, by double words.
    fn entry(&self, modulus: &Modulus, limb: usize, [x, y]: [usize; 2], [i, j]: [usize; 2]) -> Vec<u64> {
        let pairs = self.halves.len() / 4;
        let points = self.shape.ring.degree() / self.rows;
        let p = modulus.value() as u128;
        let mut sum = vec![0u128; points];
        for pair in 0..pairs {
            let (left, right) = (self.row(2 * pair + x, limb, i), self.row(2 * (pairs + pair) + y, limb, j));
            for (s, &a) in left.iter().enumerate() {
                for (t, &b) in right.iter().enumerate() {
                    let product = a as u128 * b as u128 % p;
                    // Y^k = -1
                    sum[(s + t) % points] += if s + t < points { product } else { p - product };
                }
            }
        }
        sum.iter().map(|&x| (x % p) as u64).collect()
    }
}

fn row_of(words: &[u64], shape: Shape, limb: usize, rows: usize, row: usize) -> Vec<u64> {
    let degree = shape.ring.degree();
    words[limb * degree..][..degree].iter().skip(row).step_by(rows).copied().collect()
}

/// Requires some entries of the products of both instruction sets to be those of the definition: all if there are few.
fn check(chain: &PrimeChain, matrices: &Matrices, rng: &mut StdRng) {
    let Matrices { shape, rows, .. } = *matrices;
    let [vector, portable] = backends(chain).map(|backend| matrices.products(&backend));
    assert_eq!(vector.len(), rows);
    for (vector, portable) in vector.as_flattened().as_flattened().iter().zip(portable.as_flattened().as_flattened()) {
        assert!(vector.to_vec() == portable.to_vec(), "{rows} rows of {}, {}", shape.ring, shape.basis);
    }
    let all = rows * rows <= 16;
    let entries = if all { rows * rows } else { 16 };
    for (limb, modulus) in chain.moduli(shape.basis).enumerate() {
        for entry in 0..entries {
            let [i, j] = if all { [entry / rows, entry % rows] } else { [(); 2].map(|()| rng.random_range(0..rows)) };
            for halves in [[0, 0], [0, 1], [1, 0], [1, 1]] {
                let [x, y] = halves;
                let found = row_of(&vector[i][x][y], shape, limb, rows, j);
                let expected = matrices.entry(modulus, limb, halves, [i, j]);
                assert_eq!(found, expected, "entry {i} {j} of {halves:?}, {rows} rows of {}, {modulus}", shape.ring);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn products_follow_the_definition(
        log_degree in 1u32..=8,
        log_rows in 0u32..=8,
        pairs in 1usize..=9,
        primes in prop::sample::subsequence((0..5).collect::<Vec<usize>>(), 1..=3),
        seed: u64,
    ) {
        let chain = chain(8, 5, 0);
        let mut rng = rng(seed);
        let shape = Shape::coefficient(Ring::cyclotomic(log_degree), Basis::of(primes));
        let matrices = Matrices::random(&chain, shape, 1 << log_rows.min(log_degree), pairs, &mut rng);
        check(&chain, &matrices, &mut rng);
    }
}

#[test]
fn every_number_of_rows_has_products() {
    let chain = chain(9, 2, 0);
    let mut rng = rng(5);
    let shape = Shape::coefficient(Ring::cyclotomic(9), Basis::prefix(2));
    for log_rows in 0..=7 {
        check(&chain, &Matrices::random(&chain, shape, 1 << log_rows, 2, &mut rng), &mut rng);
    }
}

/// Sums longer than what registers hold at a time, of the largest products that there are.
#[test]
fn long_sums_of_the_largest_residues_are_exact() {
    let chain = chain(5, 4, 0);
    let shape = Shape::coefficient(Ring::cyclotomic(5), Basis::prefix(4));
    for (rows, pairs) in [(16, 17), (8, 256), (32, 257), (8, 700), (2, 300)] {
        let matrices = Matrices::new(shape, rows, pairs, || largest_residues(&chain, shape));
        check(&chain, &matrices, &mut rng(6));
        let matrices = Matrices::random(&chain, shape, rows, pairs, &mut rng(7));
        check(&chain, &matrices, &mut rng(8));
    }
}

#[test]
fn products_of_one_row_are_products_of_polynomials() {
    let chain = chain(6, 3, 0);
    let backend = Cpu::new(chain.clone());
    let shape = Shape::coefficient(Ring::cyclotomic(6), Basis::prefix(3));
    let mut rng = rng(9);
    let [b, a, c, d] = [(); 4].map(|()| {
        let words = random_residues(&chain, shape, &mut rng);
        Poly::upload(&backend, shape, |out| out.copy_from_slice(&words)).unwrap()
    });
    let products = lane_products(&backend, &[[&b, &a]], &[[&c, &d]], 1).unwrap();
    let [b, a, c, d] = [b, a, c, d].map(|half| half.into_evaluation(&backend));
    for (x, parts) in [&b, &a].iter().zip(&products[0]) {
        for (y, found) in [&c, &d].iter().zip(parts) {
            let expected = x.multiply(&backend, y).unwrap().into_coefficient(&backend);
            assert_eq!(found.download(&backend), expected.download(&backend));
        }
    }
}

#[test]
fn strides_run_through_all_primes() {
    let chain = chain(6, 4, 0);
    let shape = Shape::coefficient(Ring::cyclotomic(6), Basis::of([0, 1, 3]));
    let words = random_residues(&chain, shape, &mut rng(10));
    for backend in backends(&chain) {
        let poly = Poly::upload(&backend, shape, |out| out.copy_from_slice(&words)).unwrap();
        for parts in [1, 2, 8, 32] {
            let split = poly.stride_split(&backend, parts).unwrap();
            for (j, part) in split.iter().enumerate() {
                let expected: Vec<u64> = (0..3).flat_map(|limb| row_of(&words, shape, limb, parts, j)).collect();
                assert_eq!(part.download(&backend), Some(expected));
            }
            assert_eq!(Poly::stride_merge(&backend, &split).unwrap().download(&backend), Some(words.clone()));
        }
    }
}
