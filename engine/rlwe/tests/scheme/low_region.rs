//! Near the lowest prime fewer special primes suffice: cheaper switches with keys of their own.

use fhe_ring::{Basis, GaloisElement, PrimeChain, Shape, primes::primes_below};
use fhe_rlwe::{Gadget, KeyStore, LowRegion, RlweError};

use crate::{
    BOUND, DEGREE, RINGS,
    common::{Instance, LOG_DEGREE, message, plain, specification, worst},
};

fn instance(seed: u8) -> Instance {
    let mut specification = specification();
    specification.low_region = Some(LowRegion { primes: 2, special: 3 });
    // Four special primes above the region.
    let congruence = 4 << LOG_DEGREE;
    let primes: Vec<u64> = primes_below(1 << 50, congruence).take(11).collect();
    specification.chain =
        PrimeChain::new(primes[..7].to_vec(), primes[7..].to_vec(), LOG_DEGREE).expect("primes of the right form");
    specification.gadget_groups = Basis::prefix(7).groups_of(4);
    Instance::of(specification, seed)
}

#[test]
fn special_primes_follow_the_region() {
    let parameters = instance(61).parameters;
    assert_eq!(parameters.special_count(), 4);
    for (basis, special) in [
        (Basis::prefix(1), 3),
        (Basis::prefix(2), 3),
        (Basis::of([1]), 3),
        (Basis::prefix(2).with_special(3), 3),
        (Basis::prefix(3), 4),
        (Basis::of([0, 4]), 4),
    ] {
        assert_eq!(parameters.special_for(basis), special, "{basis}");
    }
}

#[test]
fn one_name_has_a_key_for_each_special_modulus() {
    let instance = instance(62);
    let message = message(DEGREE, BOUND, 1);
    for kind in RINGS {
        let ring = instance.parameters.ring_of(kind);
        let element = GaloisElement::rotation(ring, 3);
        let inputs = [1, 2, 3, 7].map(|primes| instance.encrypt_in(ring, &message, primes, primes as u64));
        let planner = instance.planner();
        inputs.iter().for_each(|input| drop(planner.automorphism(input, element).expect("planned")));
        let requests = planner.keys().requests();
        let found: Vec<_> = requests.iter().map(|(_, shape)| (shape.basis(), shape.gadget)).collect();
        let [low, high] = [Basis::prefix(2).with_special(3), Basis::prefix(7).with_special(4)];
        assert_eq!(found, [(low, Gadget::Groups(1)), (high, Gadget::Groups(2))]);
        let keys = instance.client.evaluation_keys(instance.backend.as_ref(), &requests).expect("keys");
        let server = instance.server(keys);
        for input in &inputs {
            let rotated = server.automorphism(input, element).expect("automorphism");
            let error = worst(&instance.decrypt(&rotated), &plain::automorphism(kind, &message, element));
            assert!(error < 200, "{kind:?}, {}: error {error}", input.basis());
        }
    }
}

#[test]
fn giant_steps_keep_the_special_primes_of_their_sums() {
    let instance = instance(63);
    let message = message(DEGREE, BOUND, 2);
    let backend = instance.backend.as_ref();
    for kind in RINGS {
        let ring = instance.parameters.ring_of(kind);
        let element = GaloisElement::rotation(ring, 3);
        let ciphertext = instance.encrypt_in(ring, &message, 2, 0);
        let rotated = instance.with_keys(|server| {
            let sum = ciphertext.halves().map(|half| half.extend_by_special(backend, 3).expect("extended"));
            let shape = Shape::evaluation(ring, Basis::prefix(2).with_special(3));
            let mut totals = [server.extended_zeros(shape).expect("zero")];
            server.accumulate_automorphisms(&mut totals, vec![sum], element).expect("giant step");
            server.mod_down(&totals[0], false).expect("division")
        });
        let error = worst(&instance.decrypt(&rotated), &plain::automorphism(kind, &message, element));
        assert!(error < 200, "{kind:?}: error {error}");
    }
}

#[test]
fn rejects_the_high_key_in_the_low_region() {
    let instance = instance(64);
    let element = GaloisElement::rotation(instance.parameters.ring(), 3);
    let [low, high] = [2, 7].map(|primes| instance.encrypt(&message(DEGREE, BOUND, 1), primes, 0));
    let planner = instance.planner();
    planner.automorphism(&high, element).expect("planned");
    let requests = planner.keys().requests();
    let keys: KeyStore<_> = instance.client.evaluation_keys(instance.backend.as_ref(), &requests).expect("keys");
    let server = instance.server(keys);
    server.automorphism(&high, element).expect("the key is there");
    let error = server.automorphism(&low, element).err().expect("the rows carry another special modulus");
    assert!(matches!(error, RlweError::MissingKey { .. }), "{error}");
}
