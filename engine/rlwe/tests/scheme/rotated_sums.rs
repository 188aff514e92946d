//! Baby steps that share digits, giant steps that share divisions.

use fhe_ring::{Basis, Cpu, GaloisElement, Poly, Ring};
use fhe_rlwe::{Ciphertext, Extended, KeySwitcher, Rotated};

use crate::{
    DEGREE, RINGS,
    common::{Instance, largest, message, plain, worst},
};

/// Which rotation each term of each sum takes; every term has a factor of its own.
const SUMS: [&[usize]; 3] = [&[0, 1], &[1, 2, 0], &[2]];
const BABY_STEPS: [i64; 3] = [0, 1, -5];
const GIANT_STEPS: [i64; 3] = [0, 16, 100];

struct Transform {
    ring: Ring,
    messages: [Vec<i64>; 2],
    inputs: [Ciphertext<Cpu>; 2],
    /// As integers and encoded, for each term of each sum.
    factors: Vec<Vec<(Vec<i64>, Poly<Cpu>)>>,
}

impl Transform {
    fn new(instance: &Instance, ring: Ring) -> Self {
        let messages = [1, 2].map(|salt| message(DEGREE, 1 << 30, salt));
        let inputs = [0, 1].map(|i| instance.encrypt_in(ring, &messages[i], 5, i as u64));
        let mut salt = 10;
        let factors = SUMS.map(|sum| {
            let factor = |_: &usize| {
                salt += 1;
                let factor = message(DEGREE, 16, salt);
                // Factors may have more primes than the ciphertexts.
                let poly = instance.poly(ring, Basis::prefix(6).with_special(3), &factor);
                (factor, poly)
            };
            sum.iter().map(factor).collect()
        });
        Self { ring, messages, inputs, factors: factors.into() }
    }

    fn elements(&self, steps: [i64; 3]) -> [GaloisElement; 3] {
        steps.map(|steps| GaloisElement::rotation(self.ring, steps))
    }

    fn sums(&self, server: &KeySwitcher<Cpu>, inputs: &[&Ciphertext<Cpu>]) -> Vec<Vec<Extended<Cpu>>> {
        let digits: Vec<_> = inputs.iter().map(|input| server.decompose(input.a()).expect("digits")).collect();
        let batch: Vec<_> =
            inputs.iter().zip(&digits).map(|(ciphertext, digits)| Rotated { ciphertext, digits }).collect();
        let sums: Vec<Vec<_>> = (SUMS.iter().zip(&self.factors))
            .map(|(sum, factors)| sum.iter().zip(factors).map(|(&index, (_, poly))| (index, poly)).collect())
            .collect();
        server.rotated_sums(&batch, &self.elements(BABY_STEPS), &sums).expect("sums")
    }

    fn expected(&self, message: &[i64], sum: usize) -> Vec<i128> {
        let elements = self.elements(BABY_STEPS);
        plain::sum(SUMS[sum].iter().zip(&self.factors[sum]).map(|(&index, (factor, _))| {
            let rotated = plain::automorphism(self.ring.kind, message, elements[index]);
            plain::product(self.ring.kind, factor, &rotated)
        }))
    }
}

/// Factors of 256 coefficients below 16 meet errors of some tens: 2^10 in standard deviation.
const ERROR: i128 = 1 << 15;

#[test]
fn rotated_sums_are_the_sums_of_rotations() {
    let instance = Instance::new(21);
    for kind in RINGS {
        let transform = Transform::new(&instance, instance.parameters.ring_of(kind));
        let outputs = instance.with_keys(|server| {
            let sums = transform.sums(server, &transform.inputs.each_ref());
            let output = |(sums, input): (&Vec<Extended<Cpu>>, &Ciphertext<Cpu>)| {
                let pair = |(index, sum): (usize, &Extended<Cpu>)| {
                    [server.mod_down(sum, false).expect("division"), composed(&transform, server, input, index)]
                };
                sums.iter().enumerate().map(pair).collect::<Vec<_>>()
            };
            sums.iter().zip(&transform.inputs).map(output).collect::<Vec<_>>()
        });
        for (sums, message) in outputs.iter().zip(&transform.messages) {
            assert_eq!(sums.len(), SUMS.len());
            for (index, [sum, composed]) in sums.iter().enumerate() {
                let expected = transform.expected(message, index);
                let error = worst(&instance.decrypt(sum), &expected);
                assert!(error < ERROR, "{kind:?}, sum {index}: error {error}");
                assert!(largest(&expected) > 1 << 34, "the sums must dwarf the error bound");
                // One division at the end errs less than one for each rotation, but not by much.
                let difference = worst(&instance.decrypt(sum), &instance.decrypt(composed));
                assert!(difference < ERROR, "{kind:?}, sum {index}: {difference} from the composed rotations");
            }
        }
    }
}

fn composed(transform: &Transform, server: &KeySwitcher<Cpu>, input: &Ciphertext<Cpu>, sum: usize) -> Ciphertext<Cpu> {
    let backend = server.backend();
    let elements = transform.elements(BABY_STEPS);
    let shape = input.shape();
    let mut halves = [(); 2].map(|()| Poly::zeros(backend, shape).expect("zero"));
    for (&index, (_, factor)) in SUMS[sum].iter().zip(&transform.factors[sum]) {
        let rotated = server.automorphism(input, elements[index]).expect("rotation");
        for (half, term) in halves.iter_mut().zip(rotated.halves()) {
            half.multiply_accumulate(backend, term, factor).expect("one shape");
        }
    }
    let [b, a] = halves;
    Ciphertext::new(b, a).expect("one shape")
}

#[test]
fn giant_steps_accumulate_the_rotated_sums() {
    let instance = Instance::new(22);
    for kind in RINGS {
        let transform = Transform::new(&instance, instance.parameters.ring_of(kind));
        let giants = transform.elements(GIANT_STEPS);
        let outputs = instance.with_keys(|server| {
            let sums = transform.sums(server, &transform.inputs.each_ref());
            let shape = sums[0][0][0].shape();
            let mut totals: Vec<_> = sums.iter().map(|_| server.extended_zeros(shape).expect("zero")).collect();
            let mut by_input: Vec<_> = sums.into_iter().map(Vec::into_iter).collect();
            for giant in giants {
                let sums = by_input.iter_mut().map(|sums| sums.next().expect("a sum for each")).collect();
                server.accumulate_automorphisms(&mut totals, sums, giant).expect("giant step");
            }
            totals.iter().map(|total| server.mod_down(total, false).expect("division")).collect::<Vec<_>>()
        });
        for (output, message) in outputs.iter().zip(&transform.messages) {
            let term = |(index, giant): (usize, &GaloisElement)| {
                plain::automorphism(kind, &transform.expected(message, index), *giant)
            };
            let expected = plain::sum(giants.iter().enumerate().map(term));
            let error = worst(&instance.decrypt(output), &expected);
            assert!(error < ERROR, "{kind:?}: error {error}");
        }
    }
}

#[test]
fn rotations_are_counted_and_the_identity_is_free() {
    let instance = Instance::new(23);
    let transform = Transform::new(&instance, instance.parameters.ring());
    let planner = instance.planner();
    transform.sums(&planner, &transform.inputs.each_ref());
    assert_eq!((planner.switches(), planner.keys().requests().len()), (4, 2), "two rotations of two ciphertexts");
}
