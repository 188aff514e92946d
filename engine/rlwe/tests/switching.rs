//! Key switching against the plaintext it must preserve.

mod common;

use common::{Instance, message, parameters, worst};
use fhe_ring::{Basis, Domain, GaloisElement, Ring, Seed};
use fhe_rlwe::{Gadget, KeyId, KeyShape, RlweError, client::ClientSecrets};

const DEGREE: usize = 1 << common::LOG_DEGREE;
const BOUND: i64 = 1 << 40;

fn automorphism(message: &[i64], exponent: u64) -> Vec<i64> {
    let mut image = vec![0; message.len()];
    for (i, &c) in message.iter().enumerate() {
        let e = (i as u64 * exponent % (2 * message.len() as u64)) as usize;
        image[e % message.len()] = if e < message.len() { c } else { -c };
    }
    image
}

#[test]
fn encryption_hides_only_a_small_error() {
    let instance = Instance::new(1);
    let plain = message(DEGREE, BOUND, 1);
    let found = instance.decrypt(&instance.encrypt(&plain, 4, 0));
    let error = worst(&found, &plain);
    assert!((1..=30).contains(&error), "fresh error {error} is not that of sigma 3.19");
    let public = instance.client.public_key(instance.backend.as_ref(), Basis::prefix(2)).expect("public key");
    let shape = fhe_ring::Shape::evaluation(instance.parameters.ring(), Basis::prefix(2));
    let poly = fhe_ring::Poly::from_signed(instance.backend.as_ref(), shape, &plain).expect("message");
    let fresh = public.encrypt(instance.backend.as_ref(), poly, &Seed::from_bytes([9; 32])).expect("encryption");
    let error = worst(&instance.decrypt(&fresh), &plain);
    assert!((1..=1000).contains(&error), "public-key error {error}");
}

#[test]
fn automorphisms_rotate_the_plaintext() {
    let instance = Instance::new(2);
    let plain = message(DEGREE, BOUND, 2);
    let ring = instance.parameters.ring();
    for primes in [1, 3, 5, 7] {
        let ciphertext = instance.encrypt(&plain, primes, 7);
        for element in [
            GaloisElement::IDENTITY,
            GaloisElement::rotation(ring, 1),
            GaloisElement::rotation(ring, -17),
            GaloisElement::conjugation(ring),
        ] {
            let rotated = instance.with_keys(|server| server.automorphism(&ciphertext, element).expect("automorphism"));
            let error = worst(&instance.decrypt(&rotated), &automorphism(&plain, element.exponent()));
            assert!(error < 200, "{primes} primes, {element:?}: error {error}");
        }
    }
}

#[test]
fn extended_automorphism_divides_to_the_plain_one() {
    let instance = Instance::new(3);
    let plain = message(DEGREE, BOUND, 3);
    let ciphertext = instance.encrypt(&plain, 6, 1);
    let element = GaloisElement::rotation(instance.parameters.ring(), 5);
    let rotated = instance.with_keys(|server| {
        let digits = server.decompose(ciphertext.a()).expect("digits");
        let extended = server.automorphism_extended(&ciphertext, &digits, element).expect("automorphism");
        server.mod_down(&extended, false).expect("division")
    });
    let error = worst(&instance.decrypt(&rotated), &automorphism(&plain, element.exponent()));
    assert!(error < 200, "error {error}");
}

#[test]
fn relinearised_product_is_the_product() {
    let instance = Instance::new(4);
    let backend = instance.backend.as_ref();
    let left = message(DEGREE, 1 << 10, 4);
    let right = message(DEGREE, 1 << 10, 5);
    let (x, y) = (instance.encrypt(&left, 5, 1), instance.encrypt(&right, 5, 2));
    let product = instance.with_keys(|server| {
        let constant = x.b().multiply(backend, y.b()).expect("product");
        let mut linear = x.b().multiply(backend, y.a()).expect("product");
        linear.multiply_accumulate(backend, x.a(), y.b()).expect("product");
        let quadratic = x.a().multiply(backend, y.a()).expect("product");
        server.relinearise([&constant, &linear, &quadratic], false).expect("relinearisation")
    });
    let mut expected = vec![0i64; DEGREE];
    for (i, a) in left.iter().enumerate() {
        for (j, b) in right.iter().enumerate() {
            let sign = if i + j < DEGREE { 1 } else { -1 };
            expected[(i + j) % DEGREE] += sign * a * b;
        }
    }
    // Fresh errors times messages: about 3.2 * 2^10 * sqrt(2 * 256) in standard deviation.
    let error = worst(&instance.decrypt(&product), &expected);
    assert!(error < 1 << 20, "error {error}");
    assert!(expected.iter().any(|v| v.abs() > 1 << 23), "the product must dwarf the error bound");
}

#[test]
fn raise_adds_a_small_multiple_of_the_lowest_prime() {
    let instance = Instance::new(5);
    let plain = message(DEGREE, 1 << 42, 6);
    let ciphertext = instance.encrypt(&plain, 1, 3);
    for target in [Basis::prefix(7), Basis::of([0, 1, 2, 5, 6])] {
        let raised = instance.with_keys(|server| server.raise(&ciphertext, target).expect("raise"));
        assert_eq!(raised.basis(), target);
        assert_eq!(raised.shape().domain, Domain::Evaluation);
        // Modulo q_0 the message is unchanged; modulo every prime the phase is the same small integer.
        let error = worst(&instance.decrypt(&raised), &plain);
        assert!(error < 2000, "error {error}");
        let phase = instance.client.decrypt(instance.backend.as_ref(), &raised).expect("phase");
        let words = phase.download(instance.backend.as_ref()).expect("data");
        let chain = instance.parameters.chain();
        let q0 = chain.ciphertext_primes()[0].value() as i128;
        for i in 0..DEGREE {
            let lifts: Vec<i128> = chain
                .moduli(target)
                .zip(words.chunks(DEGREE))
                .map(|(p, limb)| {
                    let (p, w) = (p.value() as i128, limb[i] as i128);
                    if w > p / 2 { w - p } else { w }
                })
                .collect();
            let centred = (-40i128..=40).find(|k| {
                let value = lifts[0] + k * q0;
                chain
                    .moduli(target)
                    .zip(words.chunks(DEGREE))
                    .all(|(p, limb)| value.rem_euclid(p.value() as i128) == limb[i] as i128)
            });
            assert!(centred.is_some(), "coefficient {i} is not message + q_0 I with |I| <= 40");
        }
    }
}

#[test]
fn planning_requests_exactly_the_keys_used() {
    let instance = Instance::new(6);
    let planner = instance.planner();
    let ring = instance.parameters.ring();
    let element = GaloisElement::rotation(ring, 3);
    let high = instance.encrypt(&message(DEGREE, BOUND, 1), 6, 0);
    let low = instance.encrypt(&message(DEGREE, BOUND, 1), 2, 1);
    planner.automorphism(&low, element).expect("planned");
    planner.automorphism(&high, element).expect("planned");
    let requests = planner.keys().requests();
    assert_eq!(requests.len(), 1, "one key serves both levels");
    let (id, shape) = requests.iter().next().expect("one request");
    assert_eq!(*id, KeyId::Galois(element));
    assert_eq!(shape.basis(), Basis::prefix(6).with_special(3));
    assert_eq!(shape.rows(), 2);
}

#[test]
fn rejects_missing_keys_and_higher_levels_than_requested() {
    let instance = Instance::new(7);
    let element = GaloisElement::rotation(instance.parameters.ring(), 3);
    let low = instance.encrypt(&message(DEGREE, BOUND, 1), 2, 1);
    let high = instance.encrypt(&message(DEGREE, BOUND, 1), 6, 2);
    let planner = instance.planner();
    planner.automorphism(&low, element).expect("planned");
    let keys = instance.client.evaluation_keys(instance.backend.as_ref(), &planner.keys().requests()).expect("keys");
    let server = fhe_rlwe::KeySwitcher::new(instance.backend.clone(), instance.parameters.clone(), keys);
    assert!(server.automorphism(&low, element).is_ok());
    let error = server.automorphism(&high, element).err().expect("the key is too low");
    assert!(matches!(error, RlweError::MissingKey { .. }), "{error}");
    let other = GaloisElement::rotation(instance.parameters.ring(), 4);
    let error = server.automorphism(&low, other).err().expect("no such key").to_string();
    assert!(error.contains("absent") && error.contains("plan"), "{error}");
}

#[test]
fn rejects_a_key_with_other_special_primes_than_the_division_takes_away() {
    let instance = Instance::new(14);
    let element = GaloisElement::rotation(instance.parameters.ring(), 3);
    let shape = KeyShape { ciphertext: Basis::prefix(7), special: 2, gadget: Gadget::Groups(3) };
    let key = instance.client.switching_key(instance.backend.as_ref(), &KeyId::Galois(element), &shape).expect("key");
    let keys = fhe_rlwe::KeyStore::new([key]);
    let server = fhe_rlwe::KeySwitcher::new(instance.backend.clone(), instance.parameters.clone(), keys);
    let ciphertext = instance.encrypt(&message(DEGREE, BOUND, 1), 2, 1);
    let error = server.automorphism(&ciphertext, element).err().expect("two special primes instead of three");
    assert!(matches!(error, RlweError::MissingKey { .. }), "{error}");
}

#[test]
fn rejects_insecure_keys_unless_asked_for_by_name() {
    let parameters = parameters(false);
    let backend = fhe_ring::Cpu::new(parameters.chain().clone());
    let client = ClientSecrets::generate(&parameters, &Seed::from_bytes([1; 32])).expect("secrets");
    let shape = KeyShape { ciphertext: Basis::prefix(7), special: 3, gadget: Gadget::Groups(3) };
    let error = client.switching_key(&backend, &KeyId::Relinearisation, &shape).err().expect("insecure");
    assert!(matches!(error, RlweError::Insecure { log_degree: 8, .. }), "{error}");
    assert!(error.to_string().contains("insecure = true"));
}

#[test]
fn rejects_a_key_switch_above_the_lowest_prime_where_the_key_is_for_q0() {
    let instance = Instance::new(8);
    let ciphertext = instance.encrypt(&message(DEGREE, BOUND, 1), 2, 1);
    let error = instance.planner().raise(&ciphertext, Basis::prefix(4)).err().expect("two primes");
    assert!(error.to_string().contains("q_0 alone"), "{error}");
}

#[test]
fn secrets_do_not_print() {
    let instance = Instance::new(9);
    assert_eq!(format!("{:?}", instance.client), "ClientSecrets(test)");
    assert_eq!(Ring::cyclotomic(8).degree(), DEGREE);
}
