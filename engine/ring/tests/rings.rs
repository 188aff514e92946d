//! The maps between the cyclotomic and the conjugate-invariant ring against their definitions on coefficients.

mod support;

use fhe_ring::{Backend, Basis, Cpu, Domain, Modulus, Ring, Shape};
use support::*;

const LOG_DEGREES: std::ops::RangeInclusive<u32> = 1..=9;

/// `f + f(1/X)` in the basis `1, X^k + X^-k`, for `f` modulo `X^2N + 1`.
fn symmetric_part(m: &Modulus, f: &[u64]) -> Vec<u64> {
    let order = f.len();
    (0..order / 2).map(|k| if k == 0 { m.add(f[0], f[0]) } else { m.sub(f[k], f[order - k]) }).collect()
}

/// An element of the conjugate-invariant ring modulo `X^2N + 1`, where `X^-k = -X^(2N - k)`.
fn expanded(m: &Modulus, c: &[u64]) -> Vec<u64> {
    let mirrored = c[1..].iter().rev().map(|&c| m.neg(c));
    c.iter().copied().chain([0]).chain(mirrored).collect()
}

fn transformed(backend: &Cpu, shape: Shape, coefficients: &[u64]) -> <Cpu as Backend>::Buffer {
    let mut buffer = upload(backend, shape, coefficients);
    backend.forward(&mut buffer, shape);
    buffer
}

fn coefficients(backend: &Cpu, shape: Shape, mut values: <Cpu as Backend>::Buffer) -> Vec<u64> {
    backend.inverse(&mut values, shape.with_domain(Domain::Evaluation));
    values.to_vec()
}

#[test]
fn traces_are_sums_with_the_inverse_variable() {
    for log_degree in LOG_DEGREES {
        let chain = chain(log_degree, 4, 1);
        let source = Shape::coefficient(Ring::cyclotomic(log_degree), Basis::of([0, 1, 3]).with_special(1));
        let target = Shape { ring: Ring::conjugate_invariant(log_degree), ..source };
        let mut rng = rng(1);
        let random = [(); 2].map(|()| random_residues(&chain, source, &mut rng));
        for [even, odd] in [random, [(); 2].map(|()| largest_residues(&chain, source))] {
            for turned in [false, true] {
                let expected: Vec<u64> = (source.basis.indices())
                    .flat_map(|prime| {
                        let m = chain.modulus(prime);
                        let parts = limb(&even, source, prime).iter().zip(limb(&odd, source, prime));
                        let mut f: Vec<u64> = parts.flat_map(|(&a, &b)| [a, b]).collect();
                        let shift = if turned { f.len() / 2 } else { 0 };
                        f.rotate_right(shift); // times X^N, with X^2N = -1
                        f[..shift].iter_mut().for_each(|c| *c = m.neg(*c));
                        symmetric_part(m, &f)
                    })
                    .collect();
                for backend in backends(&chain) {
                    let values = source.with_domain(Domain::Evaluation);
                    let [a, b] = [&even, &odd].map(|part| transformed(&backend, source, part));
                    let trace = backend.trace(operand(&a, values), operand(&b, values), turned);
                    assert_eq!(
                        coefficients(&backend, target, trace),
                        expected,
                        "degree 2^{log_degree}, turned: {turned}"
                    );
                }
            }
        }
    }
}

#[test]
fn splits_by_parity_take_every_second_coefficient() {
    for log_degree in LOG_DEGREES {
        let chain = chain(log_degree, 4, 1);
        let source = Shape::coefficient(Ring::conjugate_invariant(log_degree), Basis::of([0, 1, 3]).with_special(1));
        let target = Shape { ring: Ring::cyclotomic(log_degree), ..source };
        for words in [random_residues(&chain, source, &mut rng(2)), largest_residues(&chain, source)] {
            let [even, odd] = [0, 1].map(|parity| {
                let every_second = source.basis.indices().flat_map(|prime| {
                    let f = expanded(chain.modulus(prime), limb(&words, source, prime));
                    f.into_iter().skip(parity).step_by(2)
                });
                every_second.collect::<Vec<_>>()
            });
            for backend in backends(&chain) {
                let values = transformed(&backend, source, &words);
                let split = backend.parity_split(operand(&values, source.with_domain(Domain::Evaluation)));
                let [found_even, found_odd] = split.map(|part| coefficients(&backend, target, part));
                assert_eq!(found_even, even, "degree 2^{log_degree}, even");
                assert_eq!(found_odd, odd, "degree 2^{log_degree}, odd");
            }
        }
    }
}
