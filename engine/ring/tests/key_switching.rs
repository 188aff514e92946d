//! Gadget products and sums of rotations, for batches, against elementary kernels.

mod support;

use fhe_ring::{
    Backend, Basis, Cpu, Digits, GadgetFactor, GaloisElement, HoistedFactor, KeyedRotation, Poly, PrimeChain, Ring,
    Shape, gadget_product, hoisted_sums,
};
use support::*;

/// Uniform residues with extremes, or all `p - 1`.
fn poly(backend: &Cpu, shape: Shape, largest: bool, seed: u64) -> Poly<Cpu> {
    let chain = backend.primes();
    let words = if largest { largest_residues(chain, shape) } else { random_residues(chain, shape, &mut rng(seed)) };
    Poly::from_parts(upload(backend, shape, &words), shape)
}

fn words(poly: &Poly<Cpu>) -> &[u64] {
    poly.buffer()
}

/// A batch of three: without addends, with one that lacks the special primes, with both.
fn addends(backend: &Cpu, shape: Shape, largest: bool) -> [[Option<Poly<Cpu>>; 2]; 3] {
    let unextended = shape.with_basis(shape.basis.without_special());
    let addend = |shape, seed| Some(poly(backend, shape, largest, seed));
    [[None, None], [addend(unextended, 90), None], [addend(shape, 91), addend(unextended, 92)]]
}

#[test]
fn gadget_products_add_up_every_digit() {
    // Degrees below a vector, of one vector, of several, of several parallel blocks; as many digits as registers hold, more, and
    // more than a lazy sum has room for.
    for (log_degree, counts) in [(1, [1, 5]), (3, [2, 6]), (4, [5, 17]), (7, [6, 33]), (13, [1, 4])] {
        let chain = chain(log_degree, 6, 4);
        let shape = Shape::evaluation(Ring::cyclotomic(log_degree), Basis::of([0, 1, 2, 5]).with_special(2));
        let key_shape = shape.with_basis(chain.full_basis());
        let extension = product(&chain, Basis::prefix(0).with_special(2));
        for (count, largest) in counts.into_iter().flat_map(|count| [(count, false), (count, true)]) {
            for backend in backends(&chain) {
                let rows: Vec<[_; 2]> = (0..count)
                    .map(|row| [0, 1].map(|half| poly(&backend, key_shape, largest, 50 + 2 * row + half)))
                    .collect();
                let rows: Vec<_> = rows.iter().collect();
                let digits: Vec<Digits<_>> = (0..3)
                    .map(|input| (0..count).map(move |digit| 100 * input + digit))
                    .map(|seeds| seeds.map(|seed| poly(&backend, shape, largest, seed)).collect())
                    .map(|digits| Digits::separate(digits).unwrap())
                    .collect();
                let addends = addends(&backend, shape, largest);
                let batch: Vec<_> = (digits.iter().zip(&addends))
                    .map(|(digits, addends)| GadgetFactor { digits, addends: addends.each_ref().map(Option::as_ref) })
                    .collect();
                let products = gadget_product(&backend, &batch, &rows).unwrap();
                for ((input, found), factor) in products.iter().enumerate().zip(&batch) {
                    for (half, found) in found.iter().enumerate() {
                        let expected = residues(&chain, shape, |m, prime, k| {
                            let start = factor.addends[half].map_or(0, |addend| match addend.shape() == shape {
                                true => limb(words(addend), shape, prime)[k],
                                false if addend.shape().basis.position(prime).is_none() => 0,
                                false => m.mul(limb(words(addend), addend.shape(), prime)[k], residue(m, &extension)),
                            });
                            factor.digits.iter().zip(&rows).fold(start, |sum, ((_, digit), row)| {
                                let (x, y) = (words(digit), words(&row[half]));
                                m.add(sum, m.mul(limb(x, shape, prime)[k], limb(y, key_shape, prime)[k]))
                            })
                        });
                        assert_eq!(words(found), expected, "degree 2^{log_degree}, {count} digits, input {input}");
                    }
                    let alone = gadget_product(&backend, std::slice::from_ref(factor), &rows).unwrap();
                    assert_eq!(alone[0].each_ref().map(words), found.each_ref().map(words), "a batch is its inputs");
                }
            }
        }
    }
}

/// What a test of sums of rotations varies.
#[derive(Clone, Copy, Debug)]
struct Scenario<'a> {
    ring: Ring,
    special: usize,
    digits: u64,
    batch: u64,
    steps: &'a [i64],
    /// Indices of rotations, sum by sum.
    sums: &'a [&'a [usize]],
}

/// Runs a scenario and composes its result from elementary kernels, on both instruction sets.
fn assert_sums(chain: &PrimeChain, scenario: Scenario<'_>, largest: bool) {
    let Scenario { ring, special, digits, batch, steps, sums } = scenario;
    let plain = Shape::evaluation(ring, Basis::of([0, 2, 3]));
    let shape = plain.extended(special);
    let full = shape.with_basis(chain.full_basis());
    let results = backends(chain).map(|backend| {
        let poly = |shape, seed| poly(&backend, shape, largest, seed);
        let inputs: Vec<(Digits<_>, [_; 2])> = (0..batch)
            .map(|input| {
                let digits = (0..digits).map(|digit| poly(shape, 100 * input + digit)).collect();
                (Digits::separate(digits).unwrap(), [98, 99].map(|seed| poly(plain, 100 * input + seed)))
            })
            .collect();
        let factors: Vec<_> =
            (inputs.iter()).map(|(digits, halves)| HoistedFactor { digits, ciphertext: halves.each_ref() }).collect();
        let keys: Vec<Vec<_>> = (1000u64..)
            .zip(steps)
            .map(|(key, _)| (0..digits).map(|row| [0, 1].map(|half| poly(full, 100 * key + 2 * row + half))).collect())
            .collect();
        let rotations: Vec<_> = (steps.iter().zip(&keys))
            .map(|(&steps, key)| KeyedRotation {
                element: GaloisElement::rotation(ring, steps),
                rows: key.iter().collect(),
            })
            .collect();
        let plaintexts: Vec<_> = (0..7).map(|i| poly(full, 5000 + i)).collect();
        let sums: Vec<Vec<_>> = (sums.iter())
            .map(|indices| indices.iter().enumerate().map(|(i, &index)| (index, &plaintexts[i % 7])).collect())
            .collect();

        let found = hoisted_sums(&backend, &factors, &rotations, &sums).unwrap();
        for (found, factor) in found.iter().zip(&factors) {
            for (found, terms) in found.iter().zip(&sums) {
                let expected = composed_sum(&backend, factor, &rotations, terms);
                assert_eq!(found.each_ref().map(words), expected.each_ref().map(words), "{scenario:?}");
            }
            let alone = hoisted_sums(&backend, std::slice::from_ref(factor), &rotations, &sums).unwrap();
            let same = alone[0].iter().zip(found).all(|(x, y)| x.each_ref().map(words) == y.each_ref().map(words));
            assert!(same, "a batch is its inputs: {scenario:?}");
        }
        let words = found.iter().flatten().flatten().map(|half| words(half).to_vec());
        words.collect::<Vec<_>>()
    });
    assert_eq!(results[0], results[1], "both instruction sets agree");
}

/// One sum for one ciphertext: gadget products, automorphisms and products, one after the other.
fn composed_sum(
    backend: &Cpu,
    factor: &HoistedFactor<'_, Cpu>,
    rotations: &[KeyedRotation<'_, Cpu>],
    terms: &[(usize, &Poly<Cpu>)],
) -> [Poly<Cpu>; 2] {
    let shape = factor.digits.shape();
    let extended = |half: &Poly<Cpu>| match shape.basis.special_count() {
        0 => half.duplicate(backend),
        special => half.extend_by_special(backend, special).unwrap(),
    };
    let mut sum = [0, 1].map(|_| Poly::zeros(backend, shape).unwrap());
    for &(index, plaintext) in terms {
        let KeyedRotation { element, rows } = &rotations[index];
        let rotated = if *element == GaloisElement::IDENTITY {
            factor.ciphertext.map(extended)
        } else {
            let input = GadgetFactor { digits: factor.digits, addends: [None, None] };
            let [mut b, a] = gadget_product(backend, &[input], rows).unwrap().remove(0);
            b.add_assign(backend, &extended(factor.ciphertext[0])).unwrap();
            [b, a].map(|half| half.automorphism(backend, *element).unwrap())
        };
        for (sum, half) in sum.iter_mut().zip(&rotated) {
            sum.multiply_accumulate(backend, half, plaintext).unwrap();
        }
    }
    sum
}

#[test]
fn sums_of_rotations_are_compositions_of_elementary_kernels() {
    let (steps, sums) = (&[0, 1, -1, 3, 0, 2][..], &[&[0, 1, 2][..], &[3], &[], &[5, 4, 1, 1]][..]);
    for log_degree in [1, 2, 3, 4, 7, 12] {
        let chain = chain(log_degree, 5, 3);
        for ring in [Ring::cyclotomic(log_degree), Ring::conjugate_invariant(log_degree)] {
            for (special, digits, batch) in [(2, 1, 1), (3, 4, 3), (0, 2, 2), (1, 6, 1), (2, 9, 2)] {
                let scenario = Scenario { ring, special, digits, batch, steps, sums };
                assert_sums(&chain, scenario, false);
            }
        }
    }
}

#[test]
fn sums_of_rotations_hold_the_largest_terms() {
    let chain = chain(5, 5, 3);
    let ring = Ring::cyclotomic(5);
    let steps: Vec<i64> = (0..50).collect();
    let every: Vec<usize> = (0..50).collect();
    // Fifty terms of one sum, beside a shorter one; one rotation that a sum names more often than it has room for.
    let (long, repeated) = ([&every[..], &every[..3]], [[7; 30].as_slice()]);
    for sums in [&long[..], &repeated] {
        for (special, digits, batch) in [(1, 6, 2), (3, 17, 1)] {
            assert_sums(&chain, Scenario { ring, special, digits, batch, steps: &steps, sums }, true);
            assert_sums(&chain, Scenario { ring, special, digits, batch, steps: &steps, sums }, false);
        }
    }
}

#[test]
fn sums_without_inputs_rotations_or_terms_are_zero() {
    let chain = chain(4, 4, 1);
    for backend in backends(&chain) {
        let plain = Shape::evaluation(Ring::cyclotomic(4), Basis::prefix(3));
        let half = poly(&backend, plain, false, 1);
        let digits = half.mod_up(&backend, &plain.basis.groups_of(2), 1).unwrap();
        let factor = || HoistedFactor { digits: &digits, ciphertext: [&half, &half] };
        assert!(hoisted_sums(&backend, &[], &[], &[vec![]]).unwrap().is_empty());
        assert!(hoisted_sums(&backend, &[factor()], &[], &[]).unwrap()[0].is_empty());
        let empty = hoisted_sums(&backend, &[factor()], &[], &[vec![], vec![]]).unwrap();
        assert_eq!(empty[0].len(), 2);
        assert!(empty[0].iter().flatten().all(|half| words(half).iter().all(|&word| word == 0)));
        assert!(gadget_product(&backend, &[], &[]).unwrap().is_empty());
    }
}
