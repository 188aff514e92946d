//! Conversions between complex and real slots, against their algebra in `Z[X]/(X^2N + 1)`.

use fhe_ring::{Basis, GaloisElement, RingKind};
use fhe_rlwe::{KeyId, Parity, Part};

use crate::{
    DEGREE,
    common::{Instance, message, plain, worst},
};

const PRIMES: usize = 5;

/// `2 (f(X) + f(1/X))` with `f = A(X^2) + X B(X^2)`, in the basis `1, X^k + X^-k`.
fn doubled_trace(even: &[i64], odd: &[i64]) -> Vec<i128> {
    let wide: Vec<i128> = even.iter().zip(odd).flat_map(|(&a, &b)| [2 * i128::from(a), 2 * i128::from(b)]).collect();
    let inverse = plain::substituted(&wide, 4 * DEGREE as u64 - 1);
    plain::contracted(RingKind::ConjugateInvariant, plain::sum([wide, inverse]))
}

#[test]
fn twice_the_trace_lands_under_the_real_secret() {
    let instance = Instance::new(31);
    let ring = instance.parameters.ring();
    let last = i128::from(instance.parameters.chain().ciphertext_primes()[PRIMES - 1].value());
    let plains: Vec<[Vec<i64>; 2]> = (0..2).map(|i| [0, 1].map(|j| message(DEGREE, 1 << 40, 2 * i + j))).collect();
    let batch: Vec<_> = (plains.iter().zip([0, 2]))
        .map(|([even, odd], nonce)| {
            [(even, nonce), (odd, nonce + 1)]
                .map(|(plain, nonce)| instance.encrypt_extended(ring, plain, (PRIMES, last), nonce))
        })
        .collect();
    let outputs = instance.with_keys(|server| server.trace_to_real(&batch).expect("trace"));
    assert_eq!(outputs.len(), plains.len());
    for (output, [even, odd]) in outputs.iter().zip(&plains) {
        assert_eq!(output.shape().ring, instance.parameters.real_ring());
        assert_eq!(output.basis(), Basis::prefix(PRIMES - 1));
        // Roundings of both halves meet a secret of 256 coefficients up to two.
        let error = worst(&instance.decrypt(output), &doubled_trace(even, odd));
        assert!(error < 300, "error {error}");
    }
}

#[test]
fn the_even_part_returns_under_the_dense_secret() {
    let instance = Instance::new(32);
    let backend = instance.backend.as_ref();
    let kind = RingKind::ConjugateInvariant;
    let plains: Vec<[Vec<i64>; 2]> = (0..2).map(|i| [0, 1].map(|j| message(DEGREE, 1 << 40, 9 + 2 * i + j))).collect();
    let elements = [GaloisElement::IDENTITY, GaloisElement::rotation(instance.parameters.ring(), 7)];
    let parts = |step: usize| {
        let part = |(plains, nonce): (&[Vec<i64>; 2], u64)| {
            let nonce = 2 * nonce + step as u64;
            let halves = instance.encrypt_extended(instance.parameters.real_ring(), &plains[step], (PRIMES, 1), nonce);
            let [[b, _], a] = halves.map(|half| half.parity_split(backend).expect("parts"));
            (b, a)
        };
        plains.iter().zip(0..).map(part).collect::<Vec<_>>()
    };
    let outputs = instance.with_keys(|server| {
        let shape = parts(0)[0].0.shape();
        let mut totals: Vec<_> = plains.iter().map(|_| server.extended_zeros(shape).expect("zero")).collect();
        for (step, element) in elements.into_iter().enumerate() {
            server.accumulate_complex(&mut totals, parts(step), element).expect("conversion");
        }
        totals.iter().map(|total| server.mod_down(total, false).expect("division")).collect::<Vec<_>>()
    });
    for (output, plains) in outputs.iter().zip(&plains) {
        assert_eq!(output.shape().ring, instance.parameters.ring());
        let expected = plain::sum(plains.iter().zip(elements).map(|(plain, element)| {
            let even: Vec<i128> = plain::expanded(kind, plain).into_iter().step_by(2).collect();
            plain::automorphism(RingKind::Cyclotomic, &even, element)
        }));
        let error = worst(&instance.decrypt(output), &expected);
        assert!(error < 300, "error {error}");
    }
}

#[test]
fn each_way_takes_two_keys_in_the_ring_of_its_result() {
    let instance = Instance::new(33);
    let backend = instance.backend.as_ref();
    let planner = instance.planner();
    let encrypt = |ring, nonce| instance.encrypt_extended(ring, &[0; DEGREE], (PRIMES, 1), nonce);
    let [complex, real] = [instance.parameters.ring(), instance.parameters.real_ring()];
    planner.trace_to_real(&[[encrypt(complex, 0), encrypt(complex, 1)]]).expect("planned");
    let element = GaloisElement::rotation(complex, 3);
    let [[b, _], a] = encrypt(real, 2).map(|half| half.parity_split(backend).expect("parts"));
    let mut totals = [planner.extended_zeros(b.shape()).expect("zero")];
    planner.accumulate_complex(&mut totals, vec![(b, a)], element).expect("planned");
    let requests = planner.keys().requests();
    let found: Vec<_> = requests.iter().map(|(id, shape)| (*id, shape.ciphertext, shape.rows())).collect();
    let expected = [
        (KeyId::ToReal(Part::Real), Basis::prefix(4), 2),
        (KeyId::ToReal(Part::Imaginary), Basis::prefix(4), 2),
        (KeyId::ToComplex(Parity::Even, element), Basis::prefix(5), 2),
        (KeyId::ToComplex(Parity::Odd, element), Basis::prefix(5), 2),
    ];
    assert_eq!(found, expected);
    assert_eq!(planner.switches(), 4);
}
