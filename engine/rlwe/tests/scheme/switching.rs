//! Rotations and relinearisation in both rings.

use fhe_ring::{Basis, GaloisElement, RingKind, tensor};

use crate::{
    BOUND, DEGREE, RINGS,
    common::{Instance, largest, message, plain, worst},
};

fn elements(instance: &Instance, kind: RingKind) -> Vec<GaloisElement> {
    let ring = instance.parameters.ring_of(kind);
    let mut elements: Vec<_> = [0, 1, -17, 128].map(|steps| GaloisElement::rotation(ring, steps)).to_vec();
    elements.push(GaloisElement::conjugation(ring));
    elements
}

#[test]
fn automorphisms_rotate_the_plaintext() {
    let instance = Instance::new(11);
    let message = message(DEGREE, BOUND, 2);
    for kind in RINGS {
        for primes in [1, 3, 5, 7] {
            let ciphertext = instance.encrypt_in(instance.parameters.ring_of(kind), &message, primes, 7);
            for element in elements(&instance, kind) {
                let rotated =
                    instance.with_keys(|server| server.automorphism(&ciphertext, element).expect("automorphism"));
                let error = worst(&instance.decrypt(&rotated), &plain::automorphism(kind, &message, element));
                assert!(error < 200, "{kind:?}, {primes} primes, {element:?}: error {error}");
            }
        }
    }
}

#[test]
fn primes_with_gaps_rotate_alike() {
    let instance = Instance::new(12);
    let message = message(DEGREE, BOUND, 3);
    for kind in RINGS {
        let ring = instance.parameters.ring_of(kind);
        let element = GaloisElement::rotation(ring, 5);
        for basis in [Basis::of([0, 6]), Basis::of([0, 3, 4, 5])] {
            let poly = instance.poly(ring, basis, &message);
            let ciphertext = instance.client.encrypt(instance.backend.as_ref(), poly, 1).expect("encryption");
            let rotated = instance.with_keys(|server| server.automorphism(&ciphertext, element).expect("automorphism"));
            assert_eq!(rotated.basis(), basis);
            let error = worst(&instance.decrypt(&rotated), &plain::automorphism(kind, &message, element));
            assert!(error < 200, "{kind:?}, {basis}: error {error}");
        }
    }
}

#[test]
fn one_decomposition_serves_every_rotation() {
    let instance = Instance::new(13);
    for kind in RINGS {
        let ring = instance.parameters.ring_of(kind);
        let ciphertext = instance.encrypt_in(ring, &message(DEGREE, BOUND, 3), 6, 1);
        instance.with_keys(|server| {
            let digits = server.decompose(ciphertext.a()).expect("digits");
            for element in elements(&instance, kind) {
                let hoisted = server.automorphism_hoisted(&ciphertext, &digits, element).expect("automorphism");
                let alone = server.automorphism(&ciphertext, element).expect("automorphism");
                assert_eq!(instance.words(&hoisted), instance.words(&alone));
            }
        });
    }
}

#[test]
fn relinearised_product_is_the_product() {
    let instance = Instance::new(14);
    let backend = instance.backend.as_ref();
    let (left, right) = (message(DEGREE, 1 << 10, 4), message(DEGREE, 1 << 10, 5));
    for kind in RINGS {
        let ring = instance.parameters.ring_of(kind);
        let [x, y] = [(&left, 1), (&right, 2)].map(|(message, nonce)| instance.encrypt_in(ring, message, 5, nonce));
        let product = instance.with_keys(|server| {
            let product = tensor(backend, x.halves(), y.halves()).expect("product");
            server.relinearise(&[product], false).expect("relinearisation").remove(0)
        });
        let expected = plain::product(kind, &left, &right);
        // Fresh errors times messages: about 3.2 * 2^10 * sqrt(2 * 256) in standard deviation, twice that for real slots.
        let error = worst(&instance.decrypt(&product), &expected);
        assert!(error < 1 << 20, "{kind:?}: error {error}");
        assert!(largest(&expected) > 1 << 23, "the product must dwarf the error bound");
    }
}

#[test]
fn relinearisation_rescales_in_the_same_division() {
    let instance = Instance::new(15);
    let backend = instance.backend.as_ref();
    let (left, right) = (message(DEGREE, 1 << 40, 6), message(DEGREE, 1 << 40, 7));
    let divisor = i128::from(instance.parameters.chain().ciphertext_primes()[4].value());
    for kind in RINGS {
        let ring = instance.parameters.ring_of(kind);
        let [x, y] = [(&left, 1), (&right, 2)].map(|(message, nonce)| instance.encrypt_in(ring, message, 5, nonce));
        let product = instance.with_keys(|server| {
            let product = tensor(backend, x.halves(), y.halves()).expect("product");
            server.relinearise(&[product], true).expect("relinearisation").remove(0)
        });
        assert_eq!(product.basis(), Basis::prefix(4));
        let expected: Vec<_> =
            plain::product(kind, &left, &right).iter().map(|value| value.div_euclid(divisor)).collect();
        let error = worst(&instance.decrypt(&product), &expected);
        assert!(error < 200, "{kind:?}: error {error}");
        assert!(largest(&expected) > 1 << 30, "the product must dwarf the error bound");
    }
}
