//! From the lowest prime upwards, with and without a linear map on the way.

use fhe_ring::{Basis, Cpu, Domain, GaloisElement, Modulus, PrimeChain, RingKind};
use fhe_rlwe::{Ciphertext, KeyId, RaiseFactor};

use crate::{
    BOUND, DEGREE,
    common::{Instance, LOG_DEGREE, largest, message, plain, specification, worst},
};

fn divisor(instance: &Instance) -> i64 {
    instance.parameters.chain().ciphertext_primes()[6].value() as i64
}

/// A map whose factors are given as integers.
fn map(instance: &Instance, factors: &[(GaloisElement, Vec<i64>)]) -> Vec<RaiseFactor<Cpu>> {
    let basis = instance.planner().raise_basis();
    let ring = instance.parameters.ring();
    let factor = |(element, factor): &(GaloisElement, Vec<i64>)| RaiseFactor {
        element: *element,
        factor: instance.poly(ring, basis, factor),
    };
    factors.iter().map(factor).collect()
}

/// The map that does nothing: its one factor is the prime that is divided away.
fn identity(instance: &Instance) -> Vec<(GaloisElement, Vec<i64>)> {
    let mut factor = vec![0; DEGREE];
    factor[0] = divisor(instance);
    vec![(GaloisElement::IDENTITY, factor)]
}

fn raised(
    instance: &Instance,
    input: &Ciphertext<Cpu>,
    target: Basis,
    factors: &[(GaloisElement, Vec<i64>)],
) -> Ciphertext<Cpu> {
    let map = map(instance, factors);
    instance.with_keys(|server| server.raise(&[input], target, &map).expect("raise").remove(0))
}

/// The phase as integers, which must be the same modulo every prime: lifted from two of them, compared with all.
fn integers(instance: &Instance, ciphertext: &Ciphertext<Cpu>) -> Vec<i128> {
    let phase = instance.client.decrypt(instance.backend.as_ref(), ciphertext).expect("phase");
    let words = phase.download(instance.backend.as_ref()).expect("data");
    let moduli: Vec<_> = instance.parameters.chain().moduli(ciphertext.basis()).collect();
    let (q0, q1) = (moduli[0], moduli[1]);
    let inverse = q1.inverse(q1.reduce(q0.value())).expect("two primes");
    let lift = |i: usize| {
        let low = i128::from(q0.centred(words[i]));
        let difference = q1.reduce_i128(i128::from(words[DEGREE + i]) - low);
        let value = low + i128::from(q0.value()) * i128::from(q1.centred(q1.mul(difference, inverse)));
        for (prime, limb) in moduli.iter().zip(words.chunks(DEGREE)) {
            assert_eq!(prime.reduce_i128(value), limb[i], "coefficient {i} is not one small integer");
        }
        value
    };
    (0..DEGREE).map(lift).collect()
}

#[test]
fn the_map_of_one_identity_is_the_raise_of_the_modulus() {
    let instance = Instance::new(41);
    let plain = message(DEGREE, 1 << 42, 6);
    let ciphertext = instance.encrypt(&plain, 1, 3);
    let q0 = i128::from(instance.parameters.chain().ciphertext_primes()[0].value());
    for target in [Basis::prefix(7), Basis::prefix(6), Basis::of([0, 1, 2, 5, 6])] {
        let raised = raised(&instance, &ciphertext, target, &identity(&instance));
        assert_eq!((raised.basis(), raised.shape().domain), (target, Domain::Evaluation));
        // Modulo q_0 the message is unchanged; the multiple of q_0 is that of a secret of weight 32.
        let error = worst(&instance.decrypt(&raised), &plain);
        assert!(error < 2000, "error {error}");
        let multiples: Vec<_> = integers(&instance, &raised).iter().map(|v| (v + q0 / 2).div_euclid(q0)).collect();
        assert!((1..=40).contains(&largest(&multiples)), "{multiples:?}");
    }
}

#[test]
fn a_linear_map_acts_on_the_integers_before_the_first_switch() {
    let instance = Instance::new(42);
    let ring = instance.parameters.ring();
    let ciphertext = instance.encrypt(&message(DEGREE, 1 << 42, 7), 1, 4);
    let target = Basis::prefix(6);
    let elements = [
        GaloisElement::IDENTITY,
        GaloisElement::rotation(ring, 1),
        GaloisElement::rotation(ring, -9),
        GaloisElement::conjugation(ring),
    ];
    let factors: Vec<_> =
        elements.iter().zip(20..).map(|(&element, salt)| (element, message(DEGREE, 1 << 44, salt))).collect();
    // Both start from the same ciphertext under the sparse secret, hence from the same m + q_0 I.
    let integral = integers(&instance, &raised(&instance, &ciphertext, target, &identity(&instance)));
    let found = integers(&instance, &raised(&instance, &ciphertext, target, &factors));
    let divisor = i128::from(divisor(&instance));
    let mapped = plain::sum((factors.iter()).map(|(element, factor)| {
        plain::product(RingKind::Cyclotomic, factor, &plain::automorphism(RingKind::Cyclotomic, &integral, *element))
    }));
    let expected: Vec<_> = mapped.iter().map(|value| value.div_euclid(divisor)).collect();
    // Four roundings that meet secrets of weight 32, and one that meets the dense one.
    let error = worst(&found, &expected);
    assert!(error < 200, "error {error}");
    assert!(largest(&expected) > 1 << 50, "the image must dwarf the error bound");
}

#[test]
fn one_switch_below_and_one_with_a_row_for_each_factor() {
    let instance = Instance::new(43);
    let ring = instance.parameters.ring();
    let element = GaloisElement::rotation(ring, 2);
    let mut factors = identity(&instance);
    factors.push((element, message(DEGREE, 100, 1)));
    let input = instance.encrypt(&message(DEGREE, BOUND, 1), 1, 0);
    let planner = instance.planner();
    let target = Basis::prefix(6);
    planner.raise(&[&input], target, &map(&instance, &factors)).expect("planned");
    let requests = planner.keys().requests();
    let found: Vec<_> = requests.iter().map(|(id, shape)| (*id, shape.basis(), shape.rows())).collect();
    let expected = [
        (KeyId::DenseToEphemeral, Basis::prefix(1).with_special(1), 1),
        (KeyId::Raise(GaloisElement::IDENTITY), target.with_special(2), 1),
        (KeyId::Raise(element), target.with_special(2), 1),
    ];
    assert_eq!(found, expected);
    // The keys of the factors are rows of one gadget product.
    assert_eq!(planner.switches(), 2);
}

#[test]
fn rejects_inputs_above_the_lowest_prime() {
    let instance = Instance::new(44);
    let ciphertext = instance.encrypt(&message(DEGREE, BOUND, 1), 2, 1);
    let map = map(&instance, &identity(&instance));
    let error = instance.planner().raise(&[&ciphertext], Basis::prefix(4), &map).err().expect("two primes");
    assert!(error.to_string().contains("q_0 alone"), "{error}");
}

#[test]
fn rejects_factors_over_other_primes() {
    let instance = Instance::new(45);
    let ciphertext = instance.encrypt(&message(DEGREE, BOUND, 1), 1, 1);
    let factor = instance.poly(instance.parameters.ring(), Basis::prefix(3), &[1; DEGREE]);
    let map = [RaiseFactor { element: GaloisElement::IDENTITY, factor }];
    assert!(instance.planner().raise(&[&ciphertext], Basis::prefix(4), &map).is_err());
}

#[test]
fn rejects_chains_without_two_primes_above_the_lowest() {
    let mut specification = specification();
    let all = specification.chain;
    let values = |primes: &[Modulus]| primes.iter().map(Modulus::value).collect::<Vec<_>>();
    let [ciphertext, special] = [&all.ciphertext_primes()[..2], all.special_primes()].map(values);
    specification.chain = PrimeChain::new(ciphertext, special, LOG_DEGREE).expect("primes of the right form");
    specification.gadget_groups = vec![Basis::prefix(2)];
    let instance = Instance::of(specification, 46);
    let ciphertext = instance.encrypt(&message(DEGREE, BOUND, 1), 1, 1);
    let factor = instance.poly(instance.parameters.ring(), Basis::prefix(2), &[1; DEGREE]);
    let map = [RaiseFactor { element: GaloisElement::IDENTITY, factor }];
    let error = instance.planner().raise(&[&ciphertext], Basis::prefix(2), &map).err().expect("too short").to_string();
    assert!(error.contains("2 ciphertext primes, required at least 3"), "{error}");
}
