//! Which keys a plan requests, which keys serve it, and what happens without.

use fhe_ring::{Basis, GaloisElement, Poly, RingKind, Shape, tensor};
use fhe_rlwe::{Gadget, KeyId, KeyRequests, KeyShape, KeyStore, Parity, Part, RaiseFactor, RlweError};

use crate::{
    BOUND, DEGREE, RINGS,
    common::{Instance, message},
};

fn shape(ciphertext: Basis, special: usize, groups: usize) -> KeyShape {
    KeyShape { ciphertext, special, gadget: Gadget::Groups(groups) }
}

#[test]
fn planning_requests_exactly_the_keys_used() {
    let instance = Instance::new(51);
    for kind in RINGS {
        let ring = instance.parameters.ring_of(kind);
        let element = GaloisElement::rotation(ring, 3);
        let planner = instance.planner();
        for primes in [2, 6, 4] {
            let ciphertext = instance.encrypt_in(ring, &message(DEGREE, BOUND, 1), primes, 0);
            planner.automorphism(&ciphertext, element).expect("planned");
        }
        let requests = planner.keys().requests();
        assert_eq!(requests.len(), 1, "one key serves all levels");
        let (id, found) = requests.iter().next().expect("one request");
        assert_eq!((*id, *found), (KeyId::Galois(kind, element), shape(Basis::prefix(6), 3, 2)));
    }
}

#[test]
fn digits_count_groups_up_to_the_last_one_present() {
    let parameters = Instance::new(52).parameters;
    let id = KeyId::Relinearisation(RingKind::Cyclotomic);
    for (basis, groups) in [
        (Basis::prefix(1), 1),
        (Basis::prefix(3), 1),
        (Basis::prefix(4), 2),
        (Basis::prefix(7), 3),
        (Basis::of([0, 6]), 3),
        (Basis::of([4]), 2),
    ] {
        assert_eq!(parameters.gadget(&id, basis), Gadget::Groups(groups), "{basis}");
    }
    for id in [KeyId::DenseToEphemeral, KeyId::LaneSwitch, KeyId::Raise(GaloisElement::IDENTITY)] {
        assert_eq!(parameters.gadget(&id, Basis::prefix(7)), Gadget::Whole, "{id}");
    }
    assert_eq!(parameters.gadget(&KeyId::RingSwitch, Basis::prefix(1)), Gadget::Halves);
}

#[test]
fn unions_serve_both_uses() {
    let id = KeyId::Relinearisation(RingKind::Cyclotomic);
    let (low, gapped) = (shape(Basis::prefix(4), 3, 2), shape(Basis::of([0, 6]), 3, 3));
    let mut requests = KeyRequests::default();
    requests.add(id, low);
    requests.add(id, gapped);
    let union = *requests.iter().next().expect("one request").1;
    assert_eq!(union, shape(Basis::of([0, 1, 2, 3, 6]), 3, 3));
    assert!(union.serves(&low) && union.serves(&gapped) && union.serves(&union));
    assert_eq!((union.rows(), union.basis().len()), (3, 8));
    assert_eq!(requests.bytes(&Instance::new(24).parameters), 8 * 2 * 3 * 8 * DEGREE);
    assert!(!low.serves(&gapped) && !gapped.serves(&low));

    // Another number of special primes is another key: its rows carry another special modulus.
    requests.add(id, shape(Basis::prefix(2), 2, 1));
    assert_eq!(requests.len(), 2);
    assert_eq!(requests.iter().map(|(_, shape)| shape.special).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn serving_takes_the_primes_the_rows_and_the_very_gadget() {
    let held = shape(Basis::prefix(6), 3, 2);
    assert!(held.serves(&shape(Basis::of([1, 5]), 3, 2)));
    assert!(held.serves(&shape(Basis::prefix(2), 3, 1)));
    assert!(!held.serves(&shape(Basis::prefix(7), 3, 2)), "a prime is missing");
    assert!(!held.serves(&shape(Basis::prefix(2), 3, 3)), "a row is missing");
    assert!(!held.serves(&shape(Basis::prefix(2), 2, 1)), "the special modulus is another");
    let whole = KeyShape { gadget: Gadget::Whole, ..held };
    assert!(whole.serves(&whole) && whole.rows() == 1);
    assert!(!held.serves(&whole) && !whole.serves(&held), "the gadget is another");
}

#[test]
fn rejects_missing_keys_and_higher_levels_than_requested() {
    let instance = Instance::new(53);
    for kind in RINGS {
        let ring = instance.parameters.ring_of(kind);
        let element = GaloisElement::rotation(ring, 3);
        let [low, high] =
            [2, 6].map(|primes| instance.encrypt_in(ring, &message(DEGREE, BOUND, 1), primes, primes as u64));
        let planner = instance.planner();
        planner.automorphism(&low, element).expect("planned");
        let requests = planner.keys().requests();
        let keys = instance.client.evaluation_keys(instance.backend.as_ref(), &requests).expect("keys");
        let server = instance.server(keys);
        assert!(server.automorphism(&low, element).is_ok());
        let error = server.automorphism(&high, element).err().expect("the key is too low");
        assert!(matches!(error, RlweError::MissingKey { .. }), "{error}");
        let other = GaloisElement::rotation(ring, 4);
        let error = server.automorphism(&low, other).err().expect("no such key").to_string();
        assert!(error.contains("absent") && error.contains("plan"), "{error}");
    }
}

#[test]
fn rejects_a_key_with_other_special_primes_than_the_division_takes_away() {
    let instance = Instance::new(54);
    let element = GaloisElement::rotation(instance.parameters.ring(), 3);
    let id = KeyId::Galois(RingKind::Cyclotomic, element);
    let key = instance.client.switching_key(instance.backend.as_ref(), &id, &shape(Basis::prefix(7), 2, 3));
    let server = instance.server(KeyStore::new([key.expect("key")]));
    let ciphertext = instance.encrypt(&message(DEGREE, BOUND, 1), 2, 1);
    let error = server.automorphism(&ciphertext, element).err().expect("two special primes instead of three");
    assert!(matches!(error, RlweError::MissingKey { .. }), "{error}");
}

#[test]
fn rejects_the_key_of_the_other_ring() {
    let instance = Instance::new(55);
    let element = GaloisElement::rotation(instance.parameters.ring(), 3);
    let id = KeyId::Galois(RingKind::ConjugateInvariant, element);
    let key = instance.client.switching_key(instance.backend.as_ref(), &id, &shape(Basis::prefix(7), 3, 3));
    let server = instance.server(KeyStore::new([key.expect("key")]));
    let ciphertext = instance.encrypt(&message(DEGREE, BOUND, 1), 2, 1);
    let error = server.automorphism(&ciphertext, element).err().expect("a key of real slots").to_string();
    assert!(error.contains("of complex slots is absent"), "{error}");
}

/// Every switch, without any key: each refusal names the key that it lacks.
#[test]
fn rejects_every_switch_without_its_key() {
    let instance = Instance::new(56);
    let (backend, parameters) = (instance.backend.as_ref(), &instance.parameters);
    let server = instance.server(KeyStore::new([]));
    let element = GaloisElement::rotation(parameters.ring(), 3);
    let refused = |result: Result<(), RlweError>, id: KeyId| match result {
        Err(RlweError::MissingKey { key, .. }) => assert_eq!(key, id.to_string()),
        other => panic!("{id}: {other:?}"),
    };
    for kind in RINGS {
        let ciphertext = instance.encrypt_in(parameters.ring_of(kind), &[0; DEGREE], 3, 0);
        let product = tensor(backend, ciphertext.halves(), ciphertext.halves()).expect("product");
        refused(server.relinearise(&[product], false).map(drop), KeyId::Relinearisation(kind));
        refused(server.automorphism(&ciphertext, element).map(drop), KeyId::Galois(kind, element));
    }
    let zero = |ring| server.extended_zeros(Shape::evaluation(ring, Basis::prefix(3).with_special(3))).expect("zero");
    let pair = [zero(parameters.ring()), zero(parameters.ring())];
    refused(server.trace_to_real(&[pair]).map(drop), KeyId::ToReal(Part::Real));
    let mut totals = [zero(parameters.ring())];
    let [b, even] = zero(parameters.ring());
    let [odd, _] = zero(parameters.ring());
    let converted = server.accumulate_complex(&mut totals, vec![(b, [even, odd])], element);
    refused(converted, KeyId::ToComplex(Parity::Even, element));
    let giant = server.accumulate_automorphisms(&mut totals, vec![zero(parameters.ring())], element);
    refused(giant, KeyId::Galois(RingKind::Cyclotomic, element));

    let lowest = instance.encrypt(&[0; DEGREE], 1, 0);
    refused(server.module_rows(&[&lowest], 8).map(drop), KeyId::RingSwitch);
    let shape = KeyShape { ciphertext: Basis::prefix(1), special: 1, gadget: Gadget::Whole };
    let map = || {
        let shape = Shape::evaluation(parameters.ring(), server.raise_basis());
        [RaiseFactor { element, factor: Poly::zeros(backend, shape).expect("zero") }]
    };
    refused(server.raise(&[&lowest], Basis::prefix(4), &map()).map(drop), KeyId::DenseToEphemeral);
    let key = instance.client.switching_key(backend, &KeyId::DenseToEphemeral, &shape).expect("key");
    let server = instance.server(KeyStore::new([key]));
    refused(server.raise(&[&lowest], Basis::prefix(4), &map()).map(drop), KeyId::Raise(element));
}
