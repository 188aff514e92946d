//! Products of weights with module rows that are not written down, against the same rows written down and big integers.

mod support;

use fhe_ring::{
    Backend, Basis, Cpu, IntegerMatrix, MatrixShape, Modulus, PrimeChain, Ring, Shape, primes::primes_below,
};
use num_bigint::BigInt;
use proptest::prelude::*;
use rand::{Rng, rngs::StdRng};
use support::*;

type Buffer = <Cpu as Backend>::Buffer;

/// Small ciphertexts in whole groups, and weights for their rows.
struct Case {
    shape: Shape,
    ciphertexts: Vec<[Buffer; 2]>,
    group: usize,
    tokens: usize,
    weights: IntegerMatrix,
}

impl Case {
    fn ciphertext_operands(&self) -> Vec<[fhe_ring::Operand<'_, Buffer>; 2]> {
        self.ciphertexts.iter().map(|pair| pair.each_ref().map(|half| operand(half, self.shape))).collect()
    }

    /// The product through the matrices written down.
    fn dense(&self, backend: &Cpu) -> [Buffer; 2] {
        let rows = backend.module_rows(&self.ciphertext_operands(), self.group, self.tokens);
        let degree = self.shape.ring.degree();
        let [b, a] = MatrixShape::of_module_rows(self.ciphertexts.len(), degree, self.tokens);
        let [rows_b, rows_a] = &rows;
        [backend.integer_product(&self.weights, rows_b, b), backend.integer_product(&self.weights, rows_a, a)]
    }

    fn structured(&self, backend: &Cpu) -> [Buffer; 2] {
        backend.module_product(&self.weights, &self.ciphertext_operands(), self.group, self.tokens)
    }

    fn check(&self, chain: &PrimeChain) {
        let [reference, portable] = backends(chain);
        let expected = self.dense(&reference);
        for backend in [&reference, &portable] {
            for (half, (found, expected)) in self.structured(backend).iter().zip(&expected).enumerate() {
                let differs = found.iter().zip(expected.iter()).position(|(x, y)| x != y);
                let context = (self.shape.ring, self.group, self.tokens, self.weights.shape());
                assert!(found.len() == expected.len(), "{context:?}: length of half {half}");
                assert_eq!(differs, None, "{context:?}: half {half} on {}", backend.instructions());
            }
        }
    }
}

/// A case with weights that `weight` returns for row and column.
fn case(
    chain: &PrimeChain,
    log_degree: u32,
    [groups, group, tokens, rows]: [usize; 4],
    rng: &mut StdRng,
    mut weight: impl FnMut(&mut StdRng, usize, usize) -> i16,
) -> Case {
    let shape = Shape::coefficient(Ring::cyclotomic(log_degree), Basis::prefix(1));
    let backend = Cpu::portable(chain.clone());
    let half = |rng: &mut StdRng| upload(&backend, shape, &random_residues(chain, shape, rng));
    let ciphertexts: Vec<_> = (0..groups * group).map(|_| [half(rng), half(rng)]).collect();
    let columns = ciphertexts.len() * (shape.ring.degree() / tokens);
    let mut entries = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        entries.extend((0..columns).map(|column| weight(rng, row, column)));
    }
    let weights = IntegerMatrix::new(MatrixShape { rows, columns }, entries).unwrap();
    Case { shape, ciphertexts, group, tokens, weights }
}

fn any_weight(rng: &mut StdRng, _: usize, _: usize) -> i16 {
    match rng.random_range(0..6) {
        0 => i16::MIN,
        1 => i16::MAX,
        2 => 0,
        _ => rng.random_range(i16::MIN..=i16::MAX),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn equals_the_product_with_rows_written_down(
        log_degree in 1u32..8, log_tokens in 0u32..8, groups in 1usize..4, group in 1usize..18, rows in 1usize..30,
        bits in 20u32..=50, seed: u64
    ) {
        let tokens = 1 << log_tokens.min(log_degree);
        let prime = primes_below(1 << bits, 4 << log_degree).next().unwrap();
        let chain = PrimeChain::new(vec![prime], vec![], log_degree).unwrap();
        let mut rng = rng(seed);
        case(&chain, log_degree, [groups, group, tokens, rows], &mut rng, any_weight).check(&chain);
    }
}

#[test]
fn every_rank_and_number_of_tokens() {
    const LOG_DEGREE: u32 = 9;
    let chain = chain(LOG_DEGREE, 1, 0);
    for log_tokens in 0..=LOG_DEGREE {
        for group in [1, 8] {
            case(&chain, LOG_DEGREE, [1, group, 1 << log_tokens, 7], &mut rng(11), any_weight).check(&chain);
        }
    }
}

#[test]
fn sums_longer_than_one_reduction_are_exact() {
    // 2^11 products of any size fit in one sum; the largest weights and residues come close to that.
    let chain = chain(2, 1, 0);
    for group in [1, 2056] {
        let groups = 2 * 2056 / group;
        case(&chain, 2, [groups, group, 4, 2], &mut rng(5), any_weight).check(&chain);
        let mut largest = case(&chain, 2, [groups, group, 2, 2], &mut rng(5), |_, row, _| [i16::MIN, -1][row]);
        let words = largest_residues(&chain, largest.shape);
        largest.ciphertexts.iter_mut().flatten().for_each(|half| half.copy_from_slice(&words));
        largest.check(&chain);
    }
}

#[test]
fn blocks_of_zero_weights_change_nothing() {
    let chain = chain(6, 1, 0);
    // Rows 0 to 11 meet the second of three groups only, rows 12 to 23 nothing, the rest all.
    let weight = |rng: &mut StdRng, row: usize, column: usize| match row {
        0..12 if column / (16 * 8) == 1 => any_weight(rng, row, column),
        24.. => any_weight(rng, row, column),
        _ => 0,
    };
    let case = case(&chain, 6, [3, 16, 8, 29], &mut rng(8), weight);
    case.check(&chain);
    let [b, a] = case.structured(&Cpu::new(chain.clone()));
    assert!(b[12 * 8..24 * 8].iter().chain(&a[12 * 64..24 * 64]).all(|&x| x == 0));
    assert!(a[..12 * 64].iter().any(|&x| x != 0));
}

/// `sum_i u_i Z^-i a(Z)` in `Z_p[Z]/(Z^n + 1)`: the definition behind the Toeplitz matrix, in big integers.
fn definition(modulus: &Modulus, a: &[u64], weights: &[i16]) -> Vec<BigInt> {
    let n = a.len();
    let mut out = vec![BigInt::from(0); n];
    for (i, &weight) in weights.iter().enumerate() {
        for (index, &x) in a.iter().enumerate() {
            let term = BigInt::from(weight) * x;
            if index >= i { out[index - i] += term } else { out[n + index - i] -= term }
        }
    }
    out.into_iter().map(|x| BigInt::from(residue(modulus, &x))).collect()
}

#[test]
fn rows_are_products_with_reversed_weight_polynomials() {
    const TOKENS: usize = 8;
    let chain = chain(6, 1, 0);
    let modulus = &chain.ciphertext_primes()[0];
    let case = case(&chain, 6, [1, 1, TOKENS, 3], &mut rng(21), any_weight);
    let n = case.shape.ring.degree();
    let rank = n / TOKENS;
    for backend in backends(&chain) {
        let [b, a] = case.structured(&backend);
        for row in 0..3 {
            let weights = &case.weights.entries()[row * rank..][..rank];
            let [half_b, half_a] = &case.ciphertexts[0];
            for token in 0..TOKENS {
                let expected: BigInt =
                    weights.iter().enumerate().map(|(i, &w)| BigInt::from(w) * half_b[i + rank * token]).sum();
                assert_eq!(b[row * TOKENS + token], residue(modulus, &expected));
            }
            // Block j, times s_j, adds up to coefficient 0 of the product in Z: the block is coefficient -j.
            let product = definition(modulus, half_a, weights);
            for j in 0..rank {
                for token in 0..TOKENS {
                    let (index, negative) = match rank * token {
                        shift if shift >= j => (shift - j, false),
                        shift => (n + shift - j, true),
                    };
                    let entry = u64::try_from(product[index].clone()).unwrap();
                    let expected = if negative { modulus.neg(entry) } else { entry };
                    assert_eq!(a[row * n + j * TOKENS + token], expected, "row {row}, block {j}, token {token}");
                }
            }
        }
    }
}
